#include "extensions/eventing/parking_door.hpp"

#include <algorithm>
#include <initializer_list>
#include <set>
#include <utility>

#include "base/text.hpp"
#include "knative/scalars.hpp"
#include "knative/value.hpp"
#include "wire/http_authority.hpp"

namespace knative {

namespace {

constexpr std::size_t list_max = 1000;
constexpr std::size_t body_bytes_max = 64;  // nothing is expected

Result<std::optional<std::uint64_t>> number(const http::Request& request, std::string_view name) {
  const std::string text = request.query(name);
  if (text.empty()) return std::optional<std::uint64_t>();
  std::uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9' || text.size() > 19) {
      return fail(Errc::invalid_argument, std::string(name) + ": not a number: " + text);
    }
    value = value * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return std::optional<std::uint64_t>(value);
}

/// Whether each parameter of the request is one of these, stands once and says something.
Result<void> check_parameters(const http::Request& request,
                              std::initializer_list<std::string_view> known) {
  std::string_view rest = request.target;
  const std::size_t mark = rest.find('?');
  rest = mark == rest.npos ? std::string_view() : rest.substr(mark + 1);
  std::set<std::string_view> seen;
  while (!rest.empty()) {
    const std::string_view parameter = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), parameter.size() + 1));
    const std::string_view name = parameter.substr(0, parameter.find('='));
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      std::string all;
      for (const std::string_view one : known) all.append(all.empty() ? "" : ", ").append(one);
      return fail(Errc::invalid_argument,
                  "\"" + base::shown_name(name) + "\" is no parameter; there are " + all);
    }
    if (!seen.insert(name).second) {
      return fail(Errc::invalid_argument, std::string(name) + ": stands there more than once");
    }
    if (parameter.size() <= name.size() + 1) {
      return fail(Errc::invalid_argument, std::string(name) + ": is empty");
    }
  }
  return {};
}

/// With the kind, where that is said.
Result<std::string> full_key(const http::Request& request, std::string key) {
  const std::string kind = request.query("kind");
  if (kind.empty()) return key;
  if (kind == "Broker" || kind == "Channel") return kind + "/" + key;
  return fail(Errc::invalid_argument, "kind: must be Broker or Channel");
}

bool chooses(const ParkedSelection& selection) {
  return !selection.trigger.empty() || !selection.id.empty() || !selection.source.empty() ||
         selection.offset.has_value();
}

Result<ParkedSelection> selection_of(const http::Request& request) {
  ParkedSelection selection;
  selection.trigger = request.query("trigger");
  selection.id = request.query("id");
  selection.source = request.query("source");
  const Result<std::optional<std::uint64_t>> offset = number(request, "offset");
  if (!offset) return offset.error();
  selection.offset = *offset;
  return selection;
}

Value to_value(const ParkedEvent& parked) {
  Value::Map out;
  out["trigger"] = parked.trigger;
  out["offset"] = parked.offset;
  out["parkedAt"] = Timestamp(parked.parked_at).to_string();
  out["attempts"] = parked.attempts;
  out["letters"] = parked.letters;
  out["status"] = parked.status;
  out["cause"] = parked.cause;
  out["destination"] = parked.destination;
  Result<Value> event = Value::parse_json(to_json(parked.event));
  if (event) out["event"] = std::move(*event);
  return out;
}

http::Response refusal(const Error& error) {
  return http::error_response(http::status_of(error.code), error.detail);
}

}  // namespace

Task<http::Response> ParkingDoor::handle(http::Request& request) {
  if (!http::wire::is_local_peer(request.peer)) {
    co_return http::error_response(403, "what is parked is shown to loopback connections only");
  }
  std::string_view path = request.path();
  path.remove_prefix(std::min(path.size(), parking_path.size()));
  if (path.starts_with('/')) path.remove_prefix(1);
  std::string key(path);
  std::string action;
  const std::size_t first = path.find('/');
  const std::size_t second = first == path.npos ? path.npos : path.find('/', first + 1);
  if (second != path.npos) {
    key = path.substr(0, second);
    action = path.substr(second + 1);
  }
  const bool known = action.empty() || action == "redrive" || action == "discard";
  if (first == path.npos || !known) {
    co_return http::error_response(404,
                                   "the paths are /-/parked/NAMESPACE/NAME, and behind it "
                                   "/redrive and /discard");
  }
  if (request.method != (action.empty() ? "GET" : "POST")) {
    http::Response wrong = http::error_response(405, "GET lists, POST redrives or discards");
    wrong.headers.set("allow", action.empty() ? "GET" : "POST");
    co_return wrong;
  }
  if (action.empty()) co_return list(request, std::move(key));
  if (request.headers.get("content-type").value_or("") != "application/json") {
    co_return http::error_response(415, "content-type: must be application/json");
  }
  Task<http::Response> moving = move(request, std::move(key), std::move(action));
  co_return co_await std::move(moving);
}

http::Response ParkingDoor::list(const http::Request& request, std::string key) {
  const Result<void> known =
      check_parameters(request, {"trigger", "id", "source", "offset", "kind", "count"});
  if (!known) return refusal(known.error());
  Result<ParkedSelection> selection = selection_of(request);
  if (!selection) return refusal(selection.error());
  const Result<std::optional<std::uint64_t>> count = number(request, "count");
  if (!count) return refusal(count.error());
  Result<std::string> full = full_key(request, std::move(key));
  if (!full) return refusal(full.error());
  const std::size_t most = static_cast<std::size_t>(count->value_or(list_max));
  const Result<std::vector<ParkedEvent>> parked =
      events_.parked(std::move(*full), std::move(*selection), most);
  if (!parked) return refusal(parked.error());
  Value::List all;
  for (const ParkedEvent& one : *parked) all.push_back(to_value(one));
  return http::json_text(Value(std::move(all)).to_json());
}

Task<http::Response> ParkingDoor::move(http::Request& request, std::string key,
                                       std::string action) {
  const Result<void> known =
      check_parameters(request, {"trigger", "id", "source", "offset", "kind", "all"});
  if (!known) co_return refusal(known.error());
  Task<Result<void>> reading = request.body.read_all(body_bytes_max);
  const Result<void> read = co_await std::move(reading);
  if (!read || !request.body.bytes().empty()) {
    co_return http::error_response(400, "body: must be empty; parameters of the URL choose");
  }
  Result<ParkedSelection> selection = selection_of(request);
  if (!selection) co_return refusal(selection.error());
  const std::string all = request.query("all");
  if (!all.empty() && all != "true") co_return http::error_response(400, "all: must be true");
  if (all.empty() && !chooses(*selection)) {
    co_return http::error_response(
        400, "which of them? trigger, id, source and offset choose, all=true means all");
  }
  Result<std::string> full = full_key(request, std::move(key));
  if (!full) co_return refusal(full.error());
  const ParkedMove move = action == "redrive" ? ParkedMove::redrive : ParkedMove::discard;
  Task<Result<std::size_t>> moving =
      events_.move_parked(std::move(*full), std::move(*selection), move);
  const Result<std::size_t> moved = co_await std::move(moving);
  if (!moved) co_return refusal(moved.error());
  Value::Map out;
  out["count"] = static_cast<std::uint64_t>(*moved);
  co_return http::json_text(Value(std::move(out)).to_json());
}

}  // namespace knative
