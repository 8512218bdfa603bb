// Who asks and who publishes: in process, and over sockets in pieces, with patience or without.
#include <algorithm>
#include <utility>

#include "churn/world.hpp"

namespace knative::churn {

namespace {

struct Exchange {
  bool sent = false;      // all of it
  bool answered = false;  // a whole head came back
  int status = 0;
  std::string body;
};

std::string cut(const std::string& text, std::size_t& from, std::size_t length) {
  std::string piece = text.substr(from, length);
  from += piece.size();
  return piece;
}

// Send a request in pieces, give up in the middle now and then, read to the end.
Task<Exchange> exchange(Env& env, Endpoint door, std::string text, std::uint64_t seed) {
  Random random(seed);
  Exchange result;
  auto dialled = co_await env.network.connect(door);
  if (!dialled) co_return result;
  Stream& stream = **dialled;
  const bool whole = random.uniform() < 0.5;
  const bool patient = random.uniform() < 0.85;
  std::size_t from = 0;
  while (from < text.size()) {
    const std::size_t length =
        whole ? text.size() : 1 + static_cast<std::size_t>(random.below(text.size()));
    const std::string piece = cut(text, from, length);
    const Result<std::size_t> sent = co_await stream.write_all(piece);
    if (!sent) break;
    if (from == text.size()) break;
    const Duration gap(static_cast<std::int64_t>(random.exponential(5e7)));
    co_await env.timers.sleep_for(gap);
    if (!patient && random.uniform() < 0.3) {
      stream.abort();
      co_return result;
    }
  }
  result.sent = from == text.size();
  if (!patient && random.uniform() < 0.5) co_return result;
  std::string all;
  char buffer[1024];
  const std::span<char> into(buffer);
  for (;;) {
    const Result<std::size_t> got = co_await stream.read_some(into);
    if (!got || *got == 0) break;
    all.append(buffer, *got);
  }
  const std::size_t end = all.find("\r\n\r\n");
  if (end == std::string::npos || !all.starts_with("HTTP/1.1 ")) co_return result;
  result.answered = true;
  result.status = std::stoi(all.substr(9, 3));
  result.body = all.substr(end + 4);
  co_return result;
}

std::string host_of(const std::string& route) { return route + ".default.svc.cluster.local"; }

}  // namespace

void World::answered(const std::string& route, const std::string& how, Instant begun, int status,
                     const std::string& text) {
  ++requests_;
  if (plan_.verbose) say("answer " + how + " " + route + " " + std::to_string(status) + " " + text);
  if (status != 200) return;
  observe();  // what changed in this very turn counts
  if (!text.starts_with("m")) return violate("answer", how + " " + route + " said " + text);
  // "m12 content-3 s0-00002/UID"
  const std::size_t space = text.find(' ');
  const std::size_t second = text.find(' ', space + 1);
  const int mark = std::stoi(text.substr(1, space - 1));
  const std::string content = text.substr(space + 1, second - space - 1);
  const std::string revision = text.substr(second + 1);
  if (!ledger_.mark_of_revision[revision].contains(mark)) {
    violate("wrong-identity", how + " " + route + " was answered by m" + std::to_string(mark) +
                                  ", which takes itself for " + revision);
  }
  const std::set<int> named = ledger_.named(route, begun - 20ms, sim_.now());
  if (!named.contains(mark)) {
    std::string names;
    for (const int name : named) names += " m" + std::to_string(name);
    violate("answered-by-unnamed", how + " " + route + " was answered by m" + std::to_string(mark) +
                                       "; its Route named" + (names.empty() ? " nothing" : names) +
                                       " meanwhile");
  }
  const std::string name = revision.substr(0, revision.find('/'));
  const std::string uid = ledger_.only_revision(name, begun - 20ms, sim_.now());
  if (uid.empty()) return;  // a program knows its Revision's name only
  const auto first = ledger_.content_of_revision.emplace(name + "/" + uid, content);
  if (first.first->second != content) {
    violate("revision-changed-code", name + " m" + std::to_string(mark) + " answered with " +
                                         first.first->second + " and now with " + content);
  }
}

Task<void> World::call_inside(std::string route) {
  const Instant begun = sim_.now();
  http::Request request = http::get("/?takes=" + std::to_string(requests_ % 3 * 150));
  Result<http::Response> response = co_await platform_->invoke(route, request);
  if (!response) co_return;
  const Result<void> read = co_await response->body.read_all();
  if (!read) co_return;
  answered(route, "invoke", begun, response->status, response->body.bytes());
}

Task<void> World::call_raw(std::string route, std::uint64_t seed) {
  const Instant begun = sim_.now();
  const std::string body(static_cast<std::size_t>(seed % 2000), 'x');
  const std::string takes = std::to_string(seed % 5 == 0 ? 2500 : seed % 3 * 100);
  const std::string text =
      "POST /?takes=" + takes + " HTTP/1.1\r\nHost: " + host_of(route) +
      "\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  const Exchange result = co_await exchange(env(), door_, text, seed);
  if (result.answered) answered(route, "POST to", begun, result.status, result.body);
}

void World::send_request() {
  const std::string names[] = {"s0", "s1", "s2", "r0"};
  const std::string& route = names[pick(4)];
  if (chance(0.4)) {
    say("invoke " + route);
    inside_->add(call_inside(route));
    return;
  }
  say("POST to " + route);
  clients_->add(call_raw(route, random_()));
}

// ---------------------------------------------------------------------------- events

std::size_t World::new_event() {
  Sent sent;
  sent.type = chance(0.5) ? "a" : chance(0.5) ? "b" : "c";
  sent.target = chance(0.75) ? "broker/b" + std::to_string(pick(2)) : "channel/c0";
  sent.begun = sim_.now();
  sent.begun_order = ++ledger_.order;
  ledger_.sent.push_back(sent);
  return ledger_.sent.size() - 1;
}

void World::acknowledged(std::size_t number, const std::string& how) {
  Sent& sent = ledger_.sent[number];
  sent.acknowledged = sim_.now();
  if (plan_.verbose) say("acknowledged n" + std::to_string(number));
  for (const Life& life : ledger_.lives[sent.target]) {
    if (life.died_order > sent.begun_order) return;
  }
  violate("taken-by-nobody", how + " n" + std::to_string(number) + " to " + sent.target +
                                 " was acknowledged, and there was none");
}

Task<void> World::publish_inside(std::size_t number) {
  const Sent sent = ledger_.sent[number];
  CloudEvent event(sent.type, "/churn");
  event.set_subject("n" + std::to_string(number));
  if (sent.named) event.set_id("e" + std::to_string(number));
  const std::string target = sent.target.substr(sent.target.find('/') + 1);
  const Result<Offset> taken = co_await platform_->publish(target, event);
  if (taken) acknowledged(number, "publish");
}

Task<void> World::publish_raw(std::size_t number, std::uint64_t seed) {
  const Sent& sent = ledger_.sent[number];
  const bool broker = sent.target.starts_with("broker/");
  const std::string name = sent.target.substr(sent.target.find('/') + 1);
  const std::string host = broker ? "broker-ingress.knative-eventing.svc.cluster.local"
                                  : name + "-kn-channel.default.svc.cluster.local";
  const std::string body(static_cast<std::size_t>(seed % 300), 'y');
  const std::string text =
      "POST " + (broker ? "/default/" + name : std::string("/")) + " HTTP/1.1\r\nHost: " + host +
      "\r\nConnection: close\r\nce-specversion: 1.0\r\nce-id: e" + std::to_string(number) +
      "\r\nce-source: /churn\r\nce-type: " + sent.type + "\r\nce-subject: n" +
      std::to_string(number) +
      "\r\nContent-Type: text/plain\r\nContent-Length: " + std::to_string(body.size()) +
      "\r\n\r\n" + body;
  const Exchange result = co_await exchange(env(), door_, text, seed);
  if (result.answered && result.status == 202) acknowledged(number, "POST");
}

void World::send_event() {
  const std::size_t number = new_event();
  Sent& sent = ledger_.sent[number];
  const std::string what = " n" + std::to_string(number) + " type " + sent.type + " to ";
  if (chance(0.4)) {
    sent.named = chance(0.5);
    say("publish" + what + sent.target);
    inside_->add(publish_inside(number));
    return;
  }
  say("POST event" + what + sent.target);
  clients_->add(publish_raw(number, random_()));
}

}  // namespace knative::churn
