#include "knative/task.hpp"

namespace knative {

Executor::~Executor() { KN_ASSERT(first_ == nullptr); }

void Executor::push(Fiber& fiber) noexcept {
  const bool was_empty = first_ == nullptr;
  fiber.previous_ = last_;
  fiber.next_ = nullptr;
  (last_ != nullptr ? last_->next_ : first_) = &fiber;
  last_ = &fiber;
  fiber.queued_ = true;
  if (was_empty && !running_) on_ready();
}

void Executor::unlink(Fiber& fiber) noexcept {
  (fiber.previous_ != nullptr ? fiber.previous_->next_ : first_) = fiber.next_;
  (fiber.next_ != nullptr ? fiber.next_->previous_ : last_) = fiber.previous_;
  fiber.previous_ = fiber.next_ = nullptr;
  fiber.queued_ = false;
}

std::size_t Executor::run_ready() {
  KN_ASSERT(!running_);
  running_ = true;
  // A marker would be needed to stop exactly at the fibers of this turn; counting them is
  // enough, because a fiber that is dropped meanwhile only makes the turn reach a little further.
  std::size_t turn = 0;
  for (Fiber* fiber = first_; fiber != nullptr; fiber = fiber->next_) ++turn;
  std::size_t ran = 0;
  while (ran < turn && first_ != nullptr) {
    Fiber& fiber = *first_;
    unlink(fiber);
    ++ran;
    fiber.pump();
  }
  running_ = false;
  if (first_ != nullptr) on_ready();
  return ran;
}

Fiber::~Fiber() {
  KN_ASSERT(!running_);
  if (queued_) executor_.unlink(*this);
}

void Fiber::make_ready() noexcept {
  if (!queued_) executor_.push(*this);
}

void Fiber::pump() {
  running_ = true;
  parked_ = false;
  while (current_ && !parked_) current_.resume();
  running_ = false;
  if (!current_) on_done();
}

Event::~Event() {
  notify_all();
}

Event::Wait::~Wait() {
  if (!linked_) return;
  (previous_ != nullptr ? previous_->next_ : event_->first_) = next_;
  (next_ != nullptr ? next_->previous_ : event_->last_) = previous_;
}

void Event::Wait::link() noexcept {
  previous_ = event_->last_;
  (previous_ != nullptr ? previous_->next_ : event_->first_) = this;
  event_->last_ = this;
  linked_ = true;
}

Event::Wait* Event::pop() noexcept {
  Wait* wait = first_;
  first_ = wait->next_;
  (first_ != nullptr ? first_->previous_ : last_) = nullptr;
  wait->next_ = nullptr;
  wait->linked_ = false;
  return wait;
}

bool Event::notify_one() noexcept {
  if (first_ == nullptr) return false;
  pop()->waiter_.wake();
  return true;
}

void Event::notify_all() noexcept {
  while (notify_one()) {
  }
}

void Event::set() noexcept {
  set_ = true;
  notify_all();
}

class TaskSet::Node final : public Fiber {
 public:
  Node(TaskSet& set, Task<void> task) noexcept
      : Fiber(set.executor_), set_(set), task_(std::move(task)) {
    next = set_.first_;
    if (next != nullptr) next->previous = this;
    set_.first_ = this;
    ++set_.size_;
    task_.frame().promise().fiber = this;
    start(task_.frame());
  }
  ~Node() override {
    (previous != nullptr ? previous->next : set_.first_) = next;
    if (next != nullptr) next->previous = previous;
    --set_.size_;
  }
  Node* previous = nullptr;
  Node* next = nullptr;

 private:
  void on_done() noexcept override {
    TaskSet& set = set_;
    std::exception_ptr thrown = task_.frame().promise().thrown;
    delete this;
    if (thrown) {
      KN_ASSERT(set.handler_ != nullptr);
      set.handler_(set.context_, thrown);
    }
    if (set.size_ == 0) set.empty_.notify_all();
  }
  TaskSet& set_;
  Task<void> task_;
};

TaskSet::TaskSet(Executor& executor) : executor_(executor) {}

TaskSet::~TaskSet() { clear(); }

void TaskSet::add(Task<void> task) {
  KN_ASSERT(task.valid());
  new Node(*this, std::move(task));
}

void TaskSet::clear() {
  while (first_ != nullptr) delete first_;
  empty_.notify_all();
}

Task<void> TaskSet::drained() {
  while (size_ != 0) co_await empty_.wait();
}

}  // namespace knative
