// What was applied of Eventing, as of this moment: Brokers and Channels with who consumes them. It
// is read from watches whenever somebody asks, so that an event is judged by the objects that were
// there before it and not by what the reconcilers have come to yet.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "knative/client.hpp"

namespace knative {

class AppliedObjects {
 public:
  /// A Broker or Channel.
  struct Source {
    std::string uid;
  };
  /// A Trigger or Subscription.
  struct Consumer {
    std::string uid;
    std::string name;
    std::int64_t generation = 0;
    std::string source;  ///< Id of the Broker or Channel that it names.
  };
  using Consumers = std::map<std::string, Consumer, std::less<>>;  ///< By uid.

  /// `client` must outlive it.
  explicit AppliedObjects(Client& client);

  /// Read what has changed. Costs a comparison when nothing has.
  void catch_up();
  /// Ids whose source or consumers changed since the last call.
  std::set<std::string> take_changed() { return std::exchange(changed_, {}); }

  /// Uids of sources and consumers that have gone since the last call.
  std::set<std::string> take_gone() { return std::exchange(gone_, {}); }

  /// Null when no such object is there to stay.
  const Source* source(std::string_view id) const;
  /// Who names this source, be it there or not.
  const Consumers& consumers(std::string_view id) const;
  const Consumer* consumer(std::string_view uid) const;
  /// Of all sources, also of those that are being deleted.
  std::set<std::string> source_uids() const;

 private:
  enum class Kind : unsigned char { broker, channel, trigger, subscription };
  struct Followed {
    Kind kind;
    std::string api_version;
    std::string name;
    std::unique_ptr<Watch> watch;
    std::set<std::string> told;  ///< Keys of this kind, to find out what a new list leaves out.
  };
  void read(Followed& followed);
  void begin(Followed& followed);
  void take(Followed& followed, const WatchEvent& event);
  void put(Kind kind, const std::string& key, const AnyObject& object);
  void drop(Kind kind, const std::string& key);
  void drop_consumer(Kind kind, const std::string& key);

  Client& client_;
  std::string version_;
  std::vector<Followed> followed_;
  std::map<std::string, Source, std::less<>> sources_;             // By id.
  std::map<std::string, Consumers, std::less<>> consumers_;        // By id of the source.
  std::map<std::string, std::string, std::less<>> consumer_keys_;  // Kind and key to uid.
  std::map<std::string, std::string, std::less<>> consumer_of_;    // Uid to id of the source.
  std::map<std::string, std::string, std::less<>> uids_;           // Kind and key to uid.
  std::set<std::string> changed_;
  std::set<std::string> gone_;
  const Consumers none_;
};

}  // namespace knative
