/// \file
/// Functions of the host program by name: the images "fn:NAME" of a platform.
///
/// A function answers HTTP requests (a coroutine, a plain function on the loop, or a plain one
/// that may block) or events. A table outlives whoever runs its functions.
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
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "knative/env.hpp"
#include "knative/error.hpp"
#include "knative/event.hpp"
#include "knative/http.hpp"
#include "knative/task.hpp"

namespace knative {

/// One function as the table keeps it. May run many requests at once on its loop.
class KNATIVE_EXPORT Function {
 public:
  virtual ~Function() = default;
  /// Answer `request`; exceptions are the caller's to catch.
  virtual Task<http::Response> call(http::Request& request, Offload& offload) const = 0;
};

/// A function of events, served over HTTP: binary and structured events in, the reply out (200),
/// 202 without a reply, 400 for what is no event. An error answers 400, 503 or 500 by condition.
class KNATIVE_EXPORT EventFunction : public Function {
 public:
  Task<http::Response> call(http::Request& request, Offload& offload) const final;

 protected:
  virtual Task<Result<Reply>> deliver(const CloudEvent& event) const = 0;
  Task<Result<Reply>> deliver(CloudEvent&& event) const = delete;
};

/// Functions by name; the images "fn:NAME" of a platform.
///
/// Thread rule: fill it on one thread; while platforms use it, change it on none. Several loops
/// may then share it, if the functions themselves may run on several threads. The table must
/// outlive whoever runs its functions.
class KNATIVE_EXPORT FunctionTable {
 public:
  FunctionTable();
  ~FunctionTable();
  FunctionTable(FunctionTable&&) noexcept;
  FunctionTable& operator=(FunctionTable&&) noexcept;

  /// Add an HTTP function: `Task<http::Response>(http::Request&)`, or a plain
  /// `http::Response(http::Request&)` that runs on the loop and must not block. Replaces a
  /// function of that name. Captures of `f` live as long as the table.
  template <class F>
  requires std::invocable<F&, http::Request&>
  void http(std::string name, F f) {
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
  /// Add any implementation.
  void add(std::string name, std::shared_ptr<const Function> function);
  /// Null when absent.
  std::shared_ptr<const Function> find(std::string_view name) const;
  std::vector<std::string> names() const;

 private:
  template <class F>
  class HttpFunction final : public Function {
   public:
    explicit HttpFunction(F f) : f_(std::move(f)) {}
    Task<http::Response> call(http::Request& request, Offload&) const override {
      if constexpr (std::is_same_v<std::invoke_result_t<F&, http::Request&>,
                                   Task<http::Response>>) {
        return f_(request);
      } else {
        return plain(request);
      }
    }

   private:
    Task<http::Response> plain(http::Request& request) const { co_return f_(request); }
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
    Task<http::Response> call(http::Request& request, Offload& offload) const override {
      const Result<void> read = co_await request.body.read_all();
      if (!read) co_return http::error_response(413, read.error().detail);
      auto owned = std::make_shared<http::Request>(std::move(request));
      std::function<http::Response()> work = [f = f_, owned] { return (*f)(*owned); };
      co_return co_await offload.run(work);
    }

   private:
    std::shared_ptr<F> f_;
  };
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace knative
