// A platform as Python holds it: one that runs on a thread of its own, or one in virtual time.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "levels.hpp"
#include "messenger.hpp"
#include "native.hpp"
#include "operation.hpp"

namespace native {

/// The way to a platform's loop, for those who may outlive the platform. Thread-safe.
class Door {
 public:
  using Post = std::function<void(std::function<void()>)>;
  explicit Door(Post post) : post_(std::move(post)) {}
  /// Run `work` on the loop; false when the platform is gone, or is another process's.
  bool post(std::function<void()> work);
  /// Nothing passes any more.
  void close();

 private:
  std::recursive_mutex mutex_;  // in virtual time `work` runs at once, and may post again
  Post post_;
  const Birth birth_;
};

/// Sentences of what is accepted without effect.
using Warnings = std::vector<std::string>;

/// What runs a platform. Made, used and destroyed by one `Host`.
class Core {
 public:
  virtual ~Core() = default;
  /// Begin a call; with the lock.
  virtual std::shared_ptr<Operation> begin(Make make) = 0;
  /// Begin to stop the platform and to end every call; with the lock.
  virtual std::shared_ptr<Operation> begin_stop(knative::Duration grace) = 0;
  /// Whether the platform was stopped; on the loop.
  virtual bool stopped() const = 0;

  /// The way in for what may outlive the platform.
  const std::shared_ptr<Door>& door() const { return door_; }
  /// Null in virtual time, where Python runs on the loop's own thread.
  const std::shared_ptr<Messenger>& messenger() const { return messenger_; }
  /// What `apply` accepted without effect since somebody took it; on the loop.
  const std::shared_ptr<Warnings>& warnings() const { return warnings_; }

 protected:
  Operation::Post poster() const {
    return [door = door_](std::function<void()> work) { door->post(std::move(work)); };
  }
  /// What a platform does with its warnings.
  static std::function<void(std::string_view, std::string_view)> collector(
      const std::shared_ptr<Warnings>& warnings);
  std::shared_ptr<Door> door_;
  std::shared_ptr<Messenger> messenger_;
  std::shared_ptr<Warnings> warnings_ = std::make_shared<Warnings>();
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
  std::shared_ptr<Operation> stop(double grace_seconds) const;
  /// Destroy the platform, which lets go of its data directory. With the lock.
  void close();

 private:
  std::unique_ptr<Core> core_;
  /// In a child that was forked nothing of it can be used, and nothing ended.
  const Birth birth_;
};

/// A function of the table: its name, what to call, and whether it answers later (`Answer`).
struct NamedFunction {
  std::string name;
  Callable function;
  bool asynchronous = false;
};
std::vector<NamedFunction> named_functions(const py::list& list);
/// Fill a table. `post` and `messenger` serve the asynchronous ones, `levels` (may be null) those
/// that are called by others.
void add_functions(knative::FunctionTable& table, const std::vector<NamedFunction>& functions,
                   const Operation::Post& post, const std::shared_ptr<Messenger>& messenger,
                   const std::shared_ptr<Levels>& levels);
/// A subscriber in Python as the platform wants it; on the loop.
knative::EventHandler event_handler(const Callable& function, bool asynchronous,
                                    knative::Offload& offload, const Operation::Post& post,
                                    const std::shared_ptr<Messenger>& messenger);

}  // namespace native
