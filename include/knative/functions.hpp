/// \file
/// Functions of the host program by name: the images "fn:NAME" of a platform.
///
/// A function answers HTTP requests (a coroutine, a plain function on the loop, or a plain one
/// that may block) or events, or it is a program that runs to its end, as a step of a build does.
/// Whoever runs functions shares their table: destroying a `FunctionTable` early harms nothing.
///
/// \code
/// knative::FunctionTable functions;
/// functions.http("hello", [](knative::http::Request& request) {
///   return knative::http::text("hello " + request.query("name", "world"));
/// });
/// \endcode
#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "knative/container.hpp"
#include "knative/env.hpp"
#include "knative/error.hpp"
#include "knative/event.hpp"
#include "knative/http.hpp"
#include "knative/task.hpp"

namespace knative {

/// What a call of a function may use, and for whom it answers. Lives as long as the call.
struct FunctionContext {
  Offload& offload;
  const ContainerIdentity& identity;  ///< Service and revision that it answers for.
  /// Bound of a body that is read into memory. (413)
  std::size_t body_bytes_max = std::size_t{16} << 20;
  /// Tell the log that the call for `id` (of an event or request, may be empty) failed.
  std::function<void(std::string_view id, std::string_view cause)> failed;
};

/// One function as the table keeps it. May run many requests at once on its loop.
class KNATIVE_EXPORT Function {
 public:
  virtual ~Function() = default;
  /// Answer `request`; exceptions are the caller's to catch.
  virtual Task<http::Response> call(http::Request& request,
                                    const FunctionContext& context) const = 0;
  Task<http::Response> call(http::Request& request, FunctionContext&& context) const = delete;

 protected:
  /// Read a body that is not in memory yet. Empty when all of it is there, else the answer: 413
  /// beyond the bound, 400 when it was cut.
  static Task<std::optional<http::Response>> read_body(http::Request& request,
                                                       const FunctionContext& context);
};

/// A function of events, served over HTTP: binary and structured events in, the reply out (200),
/// 202 without a reply, 400 for what is no event. An error answers by its condition and is told to
/// the context. A reply without id or source gets them: a new id, and "/functions/SERVICE".
class KNATIVE_EXPORT EventFunction : public Function {
 public:
  Task<http::Response> call(http::Request& request, const FunctionContext& context) const final;

 protected:
  virtual Task<Result<Reply>> deliver(const CloudEvent& event) const = 0;
  Task<Result<Reply>> deliver(CloudEvent&& event) const = delete;
};

/// A function that runs to its end and returns its exit code. An exception or error fails it. The
/// spec is as a program on this machine sees it, with real paths.
using ProgramFunction =
    std::function<Task<Result<int>>(const ContainerSpec& spec, const ContainerOutput& output)>;

/// Functions by name; the images "fn:NAME" of a platform.
///
/// Thread rule: fill it on one thread; while platforms use it, change it on none. Several loops
/// may then share it, if the functions themselves may run on several threads. Functions and their
/// captures live until the last of table, shares and runtimes is gone.
class KNATIVE_EXPORT FunctionTable {
 public:
  FunctionTable();
  ~FunctionTable();
  FunctionTable(FunctionTable&&) noexcept;
  FunctionTable& operator=(FunctionTable&&) noexcept;
  /// Another handle of the same functions.
  FunctionTable share() const;

  /// Add an HTTP function: `Task<http::Response>(http::Request&)`, or a plain
  /// `http::Response(http::Request&)` that runs on the loop and must not block. Either may take a
  /// `const FunctionContext&` after the request. A plain one gets the whole body in memory.
  /// Replaces a function of that name.
  template <class F>
  requires(std::invocable<F&, http::Request&> ||
           std::invocable<F&, http::Request&, const FunctionContext&>) void http(std::string name,
                                                                                 F f) {
    add(std::move(name), std::make_shared<const HttpFunction<F>>(std::move(f)));
  }
  /// Add a plain HTTP function that may block: it runs on the `Offload` pool, on several
  /// threads at once. A streamed body is read into memory first.
  template <class F>
  requires std::invocable<F&, http::Request&>
  void http_blocking(std::string name, F f) {
    add(std::move(name), std::make_shared<const BlockingFunction<F>>(std::move(f)));
  }
  /// Add a function of events: `Task<Reply>(const CloudEvent&)`, `Task<Result<Reply>>(...)`, or
  /// plain with `Reply`, `Result<Reply>`, `CloudEvent` or nothing as its result.
  template <class F>
  requires std::invocable<F&, const CloudEvent&>
  void event(std::string name, F f) {
    add(std::move(name), std::make_shared<const EventCall<F>>(std::move(f)));
  }
  /// Add a program for steps of builds.
  void program(std::string name, ProgramFunction function);
  /// Add any implementation.
  void add(std::string name, std::shared_ptr<const Function> function);
  /// Null when absent.
  std::shared_ptr<const Function> find(std::string_view name) const;
  /// Null when absent.
  std::shared_ptr<const ProgramFunction> find_program(std::string_view name) const;
  /// Names of functions that answer, and of programs.
  std::vector<std::string> names() const;
  std::vector<std::string> program_names() const;

 private:
  template <class F>
  class HttpFunction final : public Function {
   public:
    explicit HttpFunction(F f) : f_(std::move(f)) {}
    Task<http::Response> call(http::Request& request,
                              const FunctionContext& context) const override {
      if constexpr (std::is_same_v<decltype(invoke(std::declval<F&>(), request, context)),
                                   Task<http::Response>>) {
        return invoke(f_, request, context);
      } else {
        return plain(request, context);
      }
    }

   private:
    static decltype(auto) invoke(F& f, http::Request& request, const FunctionContext& context) {
      if constexpr (std::invocable<F&, http::Request&>) {
        return f(request);
      } else {
        return f(request, context);
      }
    }
    Task<http::Response> plain(http::Request& request, const FunctionContext& context) const {
      if (request.body.streamed() || request.body.bytes().size() > context.body_bytes_max) {
        std::optional<http::Response> refused = co_await read_body(request, context);
        if (refused) co_return std::move(*refused);
      }
      co_return invoke(f_, request, context);
    }
    mutable F f_;
  };
  template <class F>
  class EventCall final : public EventFunction {
   public:
    explicit EventCall(F f) : f_(std::move(f)) {}

   private:
    using Outcome = std::invoke_result_t<F&, const CloudEvent&>;
    Task<Result<Reply>> deliver(const CloudEvent& event) const override {
      if constexpr (std::is_same_v<Outcome, Task<Result<Reply>>>) {
        return f_(event);
      } else {
        return convert(event);
      }
    }
    Task<Result<Reply>> deliver(CloudEvent&& event) const = delete;
    Task<Result<Reply>> convert(CloudEvent&& event) const = delete;
    Task<Result<Reply>> convert(const CloudEvent& event) const {
      if constexpr (std::is_same_v<Outcome, Task<Reply>>) {
        Reply reply = co_await f_(event);
        co_return reply;
      } else if constexpr (std::is_void_v<Outcome>) {
        f_(event);
        co_return Reply();
      } else if constexpr (std::is_same_v<Outcome, Result<Reply>>) {
        co_return f_(event);
      } else {
        co_return Reply(f_(event));
      }
    }
    mutable F f_;
  };
  template <class F>
  class BlockingFunction final : public Function {
   public:
    explicit BlockingFunction(F f) : f_(std::make_shared<F>(std::move(f))) {}
    Task<http::Response> call(http::Request& request,
                              const FunctionContext& context) const override {
      std::optional<http::Response> refused = co_await read_body(request, context);
      if (refused) co_return std::move(*refused);
      auto owned = std::make_shared<http::Request>(std::move(request));
      std::function<http::Response()> work = [f = f_, owned] { return (*f)(*owned); };
      co_return co_await context.offload.run(work);
    }

   private:
    std::shared_ptr<F> f_;
  };
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace knative
