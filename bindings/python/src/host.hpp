// A platform as Python holds it: one that runs on a thread of its own, or one in virtual time.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "messenger.hpp"
#include "native.hpp"
#include "operation.hpp"

namespace native {

/// The way to a platform's loop, for those who may outlive the platform. Thread-safe.
class Door {
 public:
  using Post = std::function<void(std::function<void()>)>;
  explicit Door(Post post) : post_(std::move(post)) {}
  /// Run `work` on the loop; false when the platform is gone.
  bool post(std::function<void()> work);
  /// Nothing passes any more.
  void close();

 private:
  std::recursive_mutex mutex_;  // in virtual time `work` runs at once, and may post again
  Post post_;
};

/// What runs a platform. Made, used and destroyed by one `Host`.
class Core {
 public:
  virtual ~Core() = default;
  /// Begin a call; with the lock.
  virtual std::shared_ptr<Operation> begin(Make make) = 0;
  /// End every call and stop the platform; without the lock.
  virtual void stop(knative::Duration grace) = 0;
  /// Whether the platform was stopped; on the loop.
  virtual bool stopped() const = 0;

  /// The way in for what may outlive the platform.
  const std::shared_ptr<Door>& door() const { return door_; }
  /// Null in virtual time, where Python runs on the loop's own thread.
  const std::shared_ptr<Messenger>& messenger() const { return messenger_; }

 protected:
  Operation::Post poster() const {
    return [door = door_](std::function<void()> work) { door->post(std::move(work)); };
  }
  std::shared_ptr<Door> door_;
  std::shared_ptr<Messenger> messenger_;
};

/// A platform in Python's hands, until `close`.
class Host {
 public:
  explicit Host(std::unique_ptr<Core> core);
  ~Host() { close(); }
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  /// Raises FailedPrecondition after `close`, RuntimeError in a forked child.
  Core& core() const;
  std::shared_ptr<Operation> begin(Make make) const { return core().begin(std::move(make)); }
  void stop(double grace_seconds) const;
  /// Destroy the platform, which lets go of its data directory. With the lock.
  void close();

 private:
  /// A child that was forked has none of the platform's threads: nothing of it can be used there,
  /// and nothing ended.
  bool forked() const;
  std::unique_ptr<Core> core_;
  long process_;  ///< That made it.
};

/// A function of the table: its name, what to call, and whether it answers later (`Answer`).
struct NamedFunction {
  std::string name;
  Callable function;
  bool asynchronous = false;
};
std::vector<NamedFunction> named_functions(const py::list& list);
/// Fill a table. `post` and `messenger` serve the asynchronous ones.
void add_functions(knative::FunctionTable& table, const std::vector<NamedFunction>& functions,
                   const Operation::Post& post, const std::shared_ptr<Messenger>& messenger);
/// A subscriber in Python as the platform wants it; on the loop.
knative::EventHandler event_handler(const Callable& function, bool asynchronous,
                                    knative::Offload& offload, const Operation::Post& post,
                                    const std::shared_ptr<Messenger>& messenger);

}  // namespace native
