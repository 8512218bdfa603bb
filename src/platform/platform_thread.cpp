#include <unistd.h>

#include <atomic>
#include <future>
#include <thread>

#include "knative/platform_thread.hpp"

namespace knative {

// The one thread that the library starts for a platform; everything runs on its loop.
struct PlatformThread::Impl {
  Impl(FunctionTable& functions, PlatformOptions options, LoopOptions loop_options)
      : owned(std::make_unique<Loop>(std::move(loop_options))),
        loop(*owned),
        default_namespace(options.default_namespace) {
    platform = std::make_unique<Platform>(loop.env(), functions, std::move(options));
    thread = std::thread([this] { loop.run(); });
  }

  ~Impl() {
    loop.stop();
    thread.join();
    running.reset();
    platform.reset();
    // A blocking function that goes on owns what it uses; nobody has to wait for it but the loop
    // whose thread it runs on.
    if (owned->offloading()) std::thread([last = std::move(owned)] {}).detach();
  }

  bool on_loop() const { return std::this_thread::get_id() == thread.get_id(); }

  // A blocking call from the loop's own thread would wait for itself.
  void refuse_on_loop() const {
    if (!on_loop()) return;
    detail::throw_error(
        fail(Errc::failed_precondition, "blocking call from a handler on the platform's own loop"));
  }

  // A child that was forked has no thread that could answer.
  bool forked() const noexcept { return process != ::getpid(); }

  // Run `task` on the loop; the caller's thread waits. What it throws is thrown here.
  void run(const std::function<Task<void>(Platform&)>& make) {
    if (forked()) {
      detail::throw_error(
          fail(Errc::failed_precondition, "the platform belongs to the parent of this process"));
    }
    refuse_on_loop();
    std::promise<void> finished;
    loop.post([this, &make, &finished] { tasks().add(drive(make, *platform, finished)); });
    finished.get_future().get();
  }

  static Task<void> drive(const std::function<Task<void>(Platform&)>& make, Platform& platform,
                          std::promise<void>& finished) {
    try {
      co_await make(platform);
    } catch (...) {
      finished.set_exception(std::current_exception());
      co_return;
    }
    finished.set_value();
  }

  TaskSet& tasks() {
    if (!running) running = std::make_unique<TaskSet>(loop.env().executor);
    return *running;
  }

  std::unique_ptr<Loop> owned;
  Loop& loop;
  std::string default_namespace;
  std::unique_ptr<Platform> platform;
  std::unique_ptr<TaskSet> running;
  std::thread thread;
  std::atomic<bool> stopped = false;
  const ::pid_t process = ::getpid();
};

PlatformThread::PlatformThread(FunctionTable& functions, PlatformOptions options, LoopOptions loop)
    : impl_(std::make_unique<Impl>(functions, std::move(options), std::move(loop))) {}

PlatformThread::~PlatformThread() {
  if (impl_->forked()) {
    static_cast<void>(impl_.release());  // nothing of it can be ended here
    return;
  }
  stop();
}

void PlatformThread::run_task(const std::function<Task<void>(Platform&)>& make) {
  impl_->run(make);
}

void PlatformThread::post(std::function<void(Platform&)> work) {
  impl_->loop.post([impl = impl_.get(), work = std::move(work)] { work(*impl->platform); });
}

void PlatformThread::call(const std::function<void(Platform&)>& work) {
  impl_->run([&work](Platform& platform) -> Task<void> {
    const auto* job = &work;
    return [](const std::function<void(Platform&)>& todo, Platform& on) -> Task<void> {
      todo(on);
      co_return;
    }(*job, platform);
  });
}

Result<void> PlatformThread::install(std::unique_ptr<Extension> extension) {
  Result<void> result;
  call([&](Platform& platform) { result = platform.install(std::move(extension)); });
  return result;
}

Result<void> PlatformThread::start() {
  Result<void> result;
  call([&result](Platform& platform) { result = platform.start(); });
  return result;
}

void PlatformThread::stop(Duration grace) {
  impl_->refuse_on_loop();  // which does not count as the one call that stops
  if (impl_->stopped.exchange(true)) return;
  impl_->run([grace](Platform& platform) { return platform.stop(grace); });
}

Result<ObjectRef> PlatformThread::apply(const AnyObject& object) {
  Result<ObjectRef> result = ObjectRef{};
  call([&](Platform& platform) { result = platform.apply(object); });
  return result;
}

Result<std::vector<ObjectRef>> PlatformThread::apply_text(std::string_view text,
                                                          std::string_view file_name) {
  Result<std::vector<ObjectRef>> result = std::vector<ObjectRef>{};
  call([&](Platform& platform) { result = platform.apply_text(text, file_name); });
  return result;
}

Result<std::vector<ObjectRef>> PlatformThread::apply_path(const std::string& path) {
  Result<std::vector<ObjectRef>> result = std::vector<ObjectRef>{};
  call([&](Platform& platform) { result = platform.apply_path(path); });
  return result;
}

Result<AnyObject> PlatformThread::get(const ObjectRef& ref) {
  Result<AnyObject> result = AnyObject();
  call([&](Platform& platform) { result = platform.get(ref); });
  return result;
}

Result<void> PlatformThread::remove(const ObjectRef& ref) {
  Result<void> result;
  call([&](Platform& platform) { result = platform.remove(ref); });
  return result;
}

Result<std::vector<AnyObject>> PlatformThread::list(std::string_view api_version,
                                                    std::string_view kind,
                                                    std::string_view namespace_) {
  Result<std::vector<AnyObject>> result = std::vector<AnyObject>{};
  call([&](Platform& platform) {
    if (Result<void> started = platform.start(); !started) {
      result = started.error();
      return;
    }
    ListOptions options;
    options.namespace_ = std::string(namespace_);
    Result<ObjectList> found = platform.store().list(api_version, kind, options);
    if (found) {
      result = std::move(found->items);
    } else {
      result = found.error();
    }
  });
  return result;
}

Result<void> PlatformThread::ready(const ObjectRef& ref, Duration timeout) {
  Result<void> result;
  run_task([&](Platform& platform) {
    return [](Platform& on, ObjectRef of, Duration limit, Result<void>& out) -> Task<void> {
      out = co_await on.ready(std::move(of), limit);
    }(platform, ref, timeout, result);
  });
  return result;
}

Result<void> PlatformThread::wait_ready(std::string_view service, Duration timeout) {
  return ready(ref<serving::Service>(service), timeout);
}

Result<void> PlatformThread::durable(const ObjectRef& ref) {
  Result<void> result;
  run_task([&](Platform& platform) {
    return [](Platform& on, ObjectRef of, Result<void>& out) -> Task<void> {
      out = co_await on.durable(std::move(of));
    }(platform, ref, result);
  });
  return result;
}

Result<http::Response> PlatformThread::invoke(const std::string& service, http::Request request) {
  Result<http::Response> result = http::Response{};
  run_task([&](Platform& platform) {
    return [](Platform& on, std::string name, http::Request& with,
              Result<http::Response>& out) -> Task<void> {
      out = co_await on.invoke(std::move(name), with);
      if (!out) co_return;
      const Result<void> read = co_await out->body.read_all();
      if (!read) out = read.error();
    }(platform, service, request, result);
  });
  return result;
}

Result<Offset> PlatformThread::publish(const std::string& broker, const CloudEvent& event) {
  Result<Offset> result = Offset{};
  run_task([&](Platform& platform) {
    return [](Platform& on, std::string name, const CloudEvent& what,
              Result<Offset>& out) -> Task<void> {
      out = co_await on.publish(std::move(name), what);
    }(platform, broker, event, result);
  });
  return result;
}

Result<std::vector<ParkedEvent>> PlatformThread::parked(const std::string& broker,
                                                        const ParkedSelection& selection,
                                                        std::size_t count_max) {
  Result<std::vector<ParkedEvent>> result = std::vector<ParkedEvent>();
  call([&](Platform& platform) { result = platform.parked(broker, selection, count_max); });
  return result;
}

namespace {

Task<void> await_into(Task<Result<std::size_t>> task, Result<std::size_t>& out) {
  out = co_await std::move(task);
}

}  // namespace

Result<std::size_t> PlatformThread::redrive(const std::string& broker,
                                            const ParkedSelection& selection) {
  Result<std::size_t> result = std::size_t{0};
  run_task([&](Platform& on) { return await_into(on.redrive(broker, selection), result); });
  return result;
}

Result<std::size_t> PlatformThread::discard(const std::string& broker,
                                            const ParkedSelection& selection) {
  Result<std::size_t> result = std::size_t{0};
  run_task([&](Platform& on) { return await_into(on.discard(broker, selection), result); });
  return result;
}

Result<EventSubscription> PlatformThread::subscribe(const std::string& broker, const Filter& filter,
                                                    EventHandler function) {
  Result<EventSubscription> result = fail(Errc::internal, "not subscribed");
  call([&](Platform& platform) {
    result = platform.subscribe(broker, filter, std::move(function));
  });
  if (!result) return result;
  // Cancelling may happen on any thread, but must happen on the loop.
  auto inner = std::make_shared<EventSubscription>(std::move(*result));
  return EventSubscription(inner->trigger(), [this, inner] {
    if (impl_->stopped) {
      inner->detach();
      return;
    }
    // Its own handler may cancel it, too.
    if (impl_->on_loop()) return inner->cancel();
    call([&](Platform&) { inner->cancel(); });
  });
}

Result<BuildResult> PlatformThread::build(const build::Build& build) {
  Result<BuildResult> result = fail(Errc::internal, "not built");
  run_task([&](Platform& platform) {
    return [](Platform& on, const build::Build& what, Result<BuildResult>& out) -> Task<void> {
      if (Result<void> started = on.start(); !started) {
        out = started.error();
        co_return;
      }
      out = co_await on.builder().run(what);
    }(platform, build, result);
  });
  return result;
}

Endpoint PlatformThread::endpoint() {
  Endpoint result;
  call([&](Platform& platform) { result = platform.endpoint(); });
  return result;
}

std::string PlatformThread::url(const ObjectRef& ref) {
  std::string result;
  call([&](Platform& platform) { result = platform.url(ref); });
  return result;
}

int PlatformThread::scale(const std::string& service) {
  int result = 0;
  call([&](Platform& platform) { result = platform.scale(service); });
  return result;
}

std::string PlatformThread::metrics_text() {
  std::string result;
  call([&](Platform& platform) { result = platform.metrics_text(); });
  return result;
}

std::string PlatformThread::default_namespace() const { return impl_->default_namespace; }

}  // namespace knative
