#include "knative/task.hpp"

#include <cstdio>
#include <cstdlib>

namespace knative {

// ---------------------------------------------------------------------------- fibers

Executor::~Executor() {
  if (fibers_ == 0) return;
  // They would refer to what is gone. The host reads this, so it says what to do.
  std::fprintf(
      stderr,
      "knative: a loop is being destroyed while %zu task%s still run%s on it. Destroy what "
      "uses a loop (platforms, servers, task sets, tasks) before the loop itself.\n",
      fibers_, fibers_ == 1 ? "" : "s", fibers_ == 1 ? "s" : "");
  std::abort();
}

void Executor::push(Fiber& fiber) noexcept {
  const bool was_empty = first_ == nullptr;
  fiber.previous_ = last_;
  fiber.next_ = nullptr;
  (last_ != nullptr ? last_->next_ : first_) = &fiber;
  last_ = &fiber;
  fiber.queued_ = true;
  fiber.turn_ = turn_;
  if (was_empty && !running_) on_ready();
}

void Executor::unlink(Fiber& fiber) noexcept {
  (fiber.previous_ != nullptr ? fiber.previous_->next_ : first_) = fiber.next_;
  (fiber.next_ != nullptr ? fiber.next_->previous_ : last_) = fiber.previous_;
  fiber.previous_ = fiber.next_ = nullptr;
  fiber.queued_ = false;
}

void Executor::collect_ready(std::vector<Fiber*>& into) const {
  into.clear();
  for (Fiber* fiber = first_; fiber != nullptr; fiber = fiber->next_) into.push_back(fiber);
}

void Executor::requeue(const std::vector<Fiber*>& order) noexcept {
  KN_ASSERT(!running_);
  first_ = last_ = nullptr;
  for (Fiber* fiber : order) {
    KN_ASSERT(fiber->queued_);
    fiber->previous_ = last_;
    fiber->next_ = nullptr;
    (last_ != nullptr ? last_->next_ : first_) = fiber;
    last_ = fiber;
  }
}

std::size_t Executor::run_ready() {
  KN_ASSERT(!running_);
  running_ = true;
  const std::uint64_t turn = turn_++;  // what is queued from here on belongs to the next turn
  std::size_t ran = 0;
  while (first_ != nullptr && first_->turn_ <= turn) {
    Fiber& fiber = *first_;
    unlink(fiber);
    ++ran;
    fiber.pump();
  }
  running_ = false;
  if (first_ != nullptr) on_ready();
  return ran;
}

Fiber::Fiber(Executor& executor) noexcept : executor_(executor) {
  ++executor_.fibers_;
  if (executor_.pumped_ != nullptr) hops_ = executor_.pumped_->hops_;
}

Fiber::~Fiber() {
  KN_ASSERT(!running_);
  if (queued_) executor_.unlink(*this);
  --executor_.fibers_;
}

void Fiber::pump() {
  running_ = true;
  parked_ = false;
  executor_.pumped_ = this;
  while (current_ != nullptr && !parked_) current_->self.resume();
  executor_.pumped_ = nullptr;
  running_ = false;
  if (current_ == nullptr) on_done();
}

void Fiber::unwind() noexcept { unwind_to(nullptr); }

void Fiber::unwind_to(const detail::PromiseBase* frame) noexcept {
  KN_ASSERT(!running_);
  while (current_ != nullptr && current_ != frame && current_->awaiter != nullptr) {
    detail::PromiseBase* innermost = current_;
    innermost->awaiter->child = nullptr;  // its owner has nothing left to destroy
    current_ = innermost->awaiter->parent;
    innermost->self.destroy();
  }
}

// ---------------------------------------------------------------------------- events

void Wakeup::List::append(Wait& wait) noexcept {
  wait.previous_ = last;
  wait.next_ = nullptr;
  (last != nullptr ? last->next_ : first) = &wait;
  last = &wait;
}

void Wakeup::List::remove(Wait& wait) noexcept {
  (wait.previous_ != nullptr ? wait.previous_->next_ : first) = wait.next_;
  (wait.next_ != nullptr ? wait.next_->previous_ : last) = wait.previous_;
  wait.previous_ = wait.next_ = nullptr;
}

void Wakeup::forget(List& list) noexcept {
  while (list.first != nullptr) {
    Wait& wait = *list.first;
    list.remove(wait);
    wait.place_ = Wait::Place::none;
    wait.event_ = nullptr;
  }
}

Wakeup::~Wakeup() {
  forget(waiting_);
  forget(notified_);
}

Wakeup::Wait::~Wait() {
  if (place_ == Place::none) return;
  const bool owes_notice = place_ == Place::notified;
  leave();
  if (owes_notice) event_->notify_one();
}

void Wakeup::Wait::link() noexcept {
  KN_ASSERT(event_ != nullptr && place_ == Place::none);
  event_->waiting_.append(*this);
  place_ = Place::waiting;
}

void Wakeup::Wait::leave() noexcept {
  (place_ == Place::waiting ? event_->waiting_ : event_->notified_).remove(*this);
  place_ = Place::none;
}

bool Wakeup::notify_one() noexcept {
  ++notices_;
  if (waiting_.first == nullptr) return false;
  Wait& wait = *waiting_.first;
  waiting_.remove(wait);
  notified_.append(wait);
  wait.place_ = Wait::Place::notified;
  wait.waiter_.wake();
  return true;
}

void Wakeup::notify_all() noexcept {
  ++notices_;
  while (waiting_.first != nullptr) {
    Wait& wait = *waiting_.first;
    waiting_.remove(wait);
    wait.place_ = Wait::Place::none;
    wait.waiter_.wake();
  }
}

void Wakeup::set() noexcept {
  set_ = true;
  notify_all();
}

// ---------------------------------------------------------------------------- task sets

class TaskSet::Node final : public Fiber {
 public:
  Node(TaskSet& set, Task<void> task) noexcept
      : Fiber(set.executor_), set_(set), task_(std::move(task)) {
    next = set_.first_;
    if (next != nullptr) next->previous = this;
    set_.first_ = this;
    ++set_.size_;
    start(task_.frame());
  }
  ~Node() override { unwind(); }
  Node* previous = nullptr;
  Node* next = nullptr;

 private:
  void on_done() noexcept override {
    TaskSet& set = set_;
    const std::exception_ptr thrown = task_.frame().promise().thrown;
    set.remove(*this);
    if (set.size_ == 0) set.empty_.notify_all();
    if (thrown) {
      KN_ASSERT(set.handler_ != nullptr);
      set.handler_(set.context_, thrown);
    }
    // Last, for the task's arguments may own the set.
    delete this;
  }
  TaskSet& set_;
  Task<void> task_;
};

TaskSet::TaskSet(Executor& executor) : executor_(executor) {}

TaskSet::~TaskSet() {
  // Nobody is told: who waits in drained() would look at a set that is gone.
  drop_all();
}

void TaskSet::drop_all() noexcept {
  while (first_ != nullptr) {
    Node* node = first_;
    remove(*node);  // NOLINT(clang-analyzer-cplusplus.NewDelete): it moves first_ on
    delete node;
  }
}

void TaskSet::remove(Node& node) noexcept {
  (node.previous != nullptr ? node.previous->next : first_) = node.next;
  if (node.next != nullptr) node.next->previous = node.previous;
  --size_;
}

void TaskSet::add(Task<void> task) {
  KN_ASSERT(task.valid());
  new Node(*this, std::move(task));
}

void TaskSet::clear() {
  drop_all();
  empty_.notify_all();
}

Task<void> TaskSet::drained() {
  while (size_ != 0) co_await empty_.wait();
}

}  // namespace knative
