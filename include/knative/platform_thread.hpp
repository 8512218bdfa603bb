/// \file
/// `PlatformThread`: a platform with blocking calls from any thread.
///
/// \code
/// knative::PlatformThread platform(functions);
/// platform.apply(knative::serving::service("hello", "fn:hello")).value();
/// platform.wait_ready("hello").value();
/// \endcode
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "knative/platform.hpp"

namespace knative {

/// A platform that owns its loop on a thread of its own. Every member may be called from any
/// thread and blocks until done; handlers run on the loop's thread. The destructor stops the
/// platform and joins the thread. A call from another thread begins with no hops behind it, also
/// from a function's (`http_blocking`): functions that call each other so are not told from those
/// that never end, and are bounded by the threads of the `Offload` alone.
class KNATIVE_EXPORT PlatformThread {
 public:
  explicit PlatformThread(FunctionTable& functions, PlatformOptions options = {},
                          LoopOptions loop = {});
  ~PlatformThread();
  PlatformThread(const PlatformThread&) = delete;
  PlatformThread& operator=(const PlatformThread&) = delete;

  /// See `Platform::install`.
  Result<void> install(std::unique_ptr<Extension> extension);
  Result<void> start();
  /// See `Platform::stop`. A second call does nothing.
  void stop(Duration grace = std::chrono::seconds(5));

  Result<ObjectRef> apply(const AnyObject& object);
  Result<std::vector<ObjectRef>> apply_text(std::string_view text,
                                            std::string_view file_name = "manifest");
  Result<std::vector<ObjectRef>> apply_path(const std::string& path);
  Result<AnyObject> get(const ObjectRef& ref);
  template <class T>
  Result<T> get(std::string_view name, std::string_view namespace_ = {}) {
    Result<AnyObject> object = get(ref<T>(name, namespace_));
    if (!object) return object.error();
    return object->template get<T>();
  }
  template <class T>
  ObjectRef ref(std::string_view name, std::string_view namespace_ = {}) const {
    return ObjectRef{std::string(T::api_version), std::string(T::kind),
                     std::string(namespace_.empty() ? default_namespace() : namespace_),
                     std::string(name)};
  }
  Result<void> remove(const ObjectRef& ref);
  Result<std::vector<AnyObject>> list(std::string_view api_version, std::string_view kind,
                                      std::string_view namespace_ = {});

  Result<void> ready(const ObjectRef& ref, Duration timeout = std::chrono::seconds(60));
  /// `ready` for a Service by name.
  Result<void> wait_ready(std::string_view service, Duration timeout = std::chrono::seconds(60));
  Result<void> durable(const ObjectRef& ref);
  /// The body of the answer is read into memory.
  Result<http::Response> invoke(const std::string& service, http::Request request);
  Result<Offset> publish(const std::string& broker, const CloudEvent& event);
  /// `function` runs on the loop's thread and must not block it.
  Result<EventSubscription> subscribe(const std::string& broker, const Filter& filter,
                                      EventHandler function);
  Result<std::vector<ParkedEvent>> parked(const std::string& broker,
                                          const ParkedSelection& selection = {},
                                          std::size_t count_max = 1000);
  Result<std::size_t> redrive(const std::string& broker, const ParkedSelection& selection);
  Result<std::size_t> discard(const std::string& broker, const ParkedSelection& selection);
  Result<BuildResult> build(const build::Build& build);

  Endpoint endpoint();
  std::string url(const ObjectRef& ref);
  int scale(const std::string& service);
  std::string metrics_text();
  std::string default_namespace() const;

  /// Run `work` on the loop's thread later, in the order of calls, and do not wait for it. Works
  /// until the destructor begins; what has not run by then is dropped.
  void post(std::function<void(Platform&)> work);
  /// Run `work` on the loop's thread and wait for it.
  void call(const std::function<void(Platform&)>& work);
  /// Run a task on the loop's thread and wait for its value.
  template <class T>
  T run(std::function<Task<T>(Platform&)> make) {
    std::optional<T> value;
    run_task([&make, &value](Platform& platform) -> Task<void> {
      return store_value(make(platform), value);
    });
    return std::move(*value);
  }

 private:
  template <class T>
  static Task<void> store_value(Task<T> task, std::optional<T>& value) {
    value.emplace(co_await std::move(task));
  }
  void run_task(const std::function<Task<void>(Platform&)>& make);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace knative
