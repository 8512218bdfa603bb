// A question from the platform's loop to an `async def` function, and its answer.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <utility>

#include "messenger.hpp"
#include "native.hpp"
#include "operation.hpp"

namespace native {

/// One question. `answered` belongs to the loop, the rest is thread-safe.
template <class T>
class Exchange : public std::enable_shared_from_this<Exchange<T>> {
 public:
  Exchange(Operation::Post post, std::shared_ptr<Messenger> messenger)
      : post_(std::move(post)), messenger_(std::move(messenger)) {}

  knative::Wakeup answered;

  /// The first answer counts.
  void finish(std::optional<T> value, std::exception_ptr thrown) {
    {
      const std::lock_guard lock(mutex_);
      if (done_) return;
      done_ = true;
      value_ = std::move(value);
      thrown_ = std::move(thrown);
    }
    post_([self = this->shared_from_this()] { self->answered.set(); });
  }
  /// The answer, once; after `answered`. An exception then belongs to the caller's thread alone.
  T take() {
    const std::lock_guard lock(mutex_);
    if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
    return *std::move(value_);
  }
  /// Call `function` when nobody waits for the answer any more.
  void on_cancel(Callable function) {
    const std::lock_guard lock(mutex_);
    cancel_ = std::move(function);
    if (abandoned_) tell();
  }
  /// Nobody waits any more.
  void abandon() {
    const std::lock_guard lock(mutex_);
    abandoned_ = true;
    if (!done_) tell();
    done_ = true;
  }
  /// Ask: `function(argument, answer)` runs on the messenger's thread, so many hops from the first
  /// caller, and returns soon.
  template <class Argument>
  void ask(const Callable& function, std::shared_ptr<Argument> argument, int hops);

 private:
  void tell() {
    if (!cancel_) return;
    messenger_->post([callable = *std::exchange(cancel_, std::nullopt)] { callable(); });
  }
  Operation::Post post_;
  std::shared_ptr<Messenger> messenger_;
  std::mutex mutex_;
  bool done_ = false;
  bool abandoned_ = false;
  std::optional<T> value_;
  std::exception_ptr thrown_;
  std::optional<Callable> cancel_;
};

/// What Python answers with; letting go of it unanswered is a failure.
template <class T>
class Answer {
 public:
  explicit Answer(std::shared_ptr<Exchange<T>> exchange) : exchange_(std::move(exchange)) {}
  Answer(Answer&&) noexcept = default;
  Answer& operator=(Answer&&) noexcept = default;
  ~Answer() {
    if (exchange_) fail(std::make_exception_ptr(std::runtime_error("there was no answer")));
  }
  void finish(T value) {
    blocking([&] { exchange_->finish(std::move(value), nullptr); });
  }
  void fail(std::exception_ptr thrown) {
    blocking([&] { exchange_->finish(std::nullopt, std::move(thrown)); });
  }
  void on_cancel(py::function function) {
    const Callable callable(std::move(function));
    blocking([&] { exchange_->on_cancel(callable); });
  }

 private:
  std::shared_ptr<Exchange<T>> exchange_;
};

template <class T>
template <class Argument>
void Exchange<T>::ask(const Callable& function, std::shared_ptr<Argument> argument, int hops) {
  messenger_->post([function, argument, hops, self = this->shared_from_this()] {
    const HopsScope scope(hops);
    try {
      function(std::move(*argument), Answer<T>(self));
    } catch (py::error_already_set& thrown) {
      std::exception_ptr reason = native_exception(thrown.value());
      blocking([&] { self->finish(std::nullopt, std::move(reason)); });
    }
  });
}

/// Ask Python and wait; dropping the task tells Python to give up.
template <class T, class Argument>
knative::Task<T> ask_python(std::shared_ptr<Exchange<T>> exchange, Callable function,
                            std::shared_ptr<Argument> argument) {
  struct Asker {
    Exchange<T>& exchange;
    ~Asker() { exchange.abandon(); }
  };
  const Asker asker{*exchange};
  knative::CurrentHops here;
  const int hops = co_await here;
  exchange->ask(function, std::move(argument), hops);
  co_await exchange->answered.wait();
  co_return exchange->take();
}

}  // namespace native
