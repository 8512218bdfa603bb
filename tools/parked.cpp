// `knative parked`: what a running platform could not deliver.
#include <algorithm>
#include <cstdio>
#include <knative/knative.hpp>
#include <set>
#include <string>
#include <vector>

#include "command.hpp"

namespace kn = knative;

namespace command {

namespace {

constexpr std::size_t shown_max = 10'000;

int parked_misused(const std::string& why) {
  std::fprintf(stderr, "knative parked: %s; knative help parked tells more\n", why.c_str());
  return 2;
}

int parked_failed(const std::string& why) {
  std::fprintf(stderr, "knative parked: %s\n", why.c_str());
  return 1;
}

std::string escaped(std::string_view text) {
  constexpr std::string_view plain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (plain.find(c) != plain.npos) {
      out += c;
    } else {
      out.append("%").append(1, digits[byte >> 4]).append(1, digits[byte & 15]);
    }
  }
  return out;
}

constexpr const char* choices[] = {"--trigger", "--id", "--source", "--offset", "--kind"};

// The URL of what is asked for.
std::string url_of(const Arguments& arguments, const std::string& action) {
  std::string server = arguments.get("--server", "http://127.0.0.1:8080");
  while (server.ends_with('/')) server.pop_back();
  const std::string& broker = arguments.words.back();
  const std::size_t slash = broker.find('/');
  const std::string space = slash == broker.npos ? "default" : broker.substr(0, slash);
  const std::string name = slash == broker.npos ? broker : broker.substr(slash + 1);
  std::string url = server + "/-/parked/" + escaped(space) + "/" + escaped(name);
  std::vector<std::string> parameters;
  if (action == "redrive" || action == "discard") {
    url += "/" + action;
    if (arguments.has("--all")) parameters.push_back("all=true");
  } else {
    parameters.push_back("count=" + std::to_string(shown_max + 1));
  }
  for (const std::string name_of : choices) {
    if (!arguments.has(name_of)) continue;
    parameters.push_back(name_of.substr(2) + "=" + escaped(arguments.get(name_of)));
  }
  for (std::size_t i = 0; i < parameters.size(); ++i) url += (i == 0 ? "?" : "&") + parameters[i];
  return url;
}

kn::Task<kn::Result<std::string>> ask(kn::Env& env, kn::http::OutboundOptions options,
                                      kn::http::Url url, bool changes) {
  kn::http::Outbound outbound(env.executor, env.timers, env.network, std::move(options));
  kn::http::Request request = kn::http::get("/");
  if (changes) {
    request.method = "POST";
    request.headers.set("content-type", "application/json");
  }
  kn::Result<kn::http::Response> response = co_await outbound.send(url, request);
  if (!response) co_return response.error();
  const kn::Result<void> read = co_await response->body.read_all(std::size_t{256} << 20);
  if (!read) co_return read.error();
  std::string text(response->body.bytes());
  if (!response->ok()) {
    while (text.ends_with('\n')) text.pop_back();
    co_return kn::fail(kn::Errc::unavailable, text);
  }
  co_return text;
}

// What strangers wrote, for a terminal: it does nothing but show.
std::string shown(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const unsigned char next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
    const bool second_half = byte == 0xc2 && next < 0xa0;  // U+0080 to U+009F control, too
    if (second_half) ++i;
    out += second_half || (byte < 0x20 && byte != '\n') || byte == 0x7f ? '?' : text[i];
  }
  return out;
}

std::string field(const kn::Value& map, std::string_view path) {
  const kn::Value* found = map.at_path(path);
  if (found == nullptr) return "";
  std::string text = shown(found->is_string() ? found->as_string() : found->to_json());
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

void print_list(const kn::Value& all) {
  for (const kn::Value& one : all.as_list()) {
    std::printf("%-24s %8s  %s  %s attempts  %s %s  %s %s\n", field(one, "trigger").c_str(),
                field(one, "offset").c_str(), field(one, "parkedAt").c_str(),
                field(one, "attempts").c_str(), field(one, "status").c_str(),
                field(one, "cause").c_str(), field(one, "event.type").c_str(),
                field(one, "event.id").c_str());
  }
}

}  // namespace

int parked(const Arguments& arguments) {
  if (arguments.words.size() != 2) return parked_misused("a command and a Broker are wanted");
  const std::string& action = arguments.words.front();
  if (!std::set<std::string>{"list", "show", "redrive", "discard"}.contains(action)) {
    return parked_misused("unknown command " + action);
  }
  const bool changes = action == "redrive" || action == "discard";
  for (const std::string name : choices) {
    if (arguments.has(name) && arguments.get(name).empty()) return parked_misused(name + ": empty");
  }
  const bool chosen = arguments.has("--trigger") || arguments.has("--id") ||
                      arguments.has("--source") || arguments.has("--offset");
  if (changes && !chosen && !arguments.has("--all")) {
    return parked_misused("which of them? --all means whatever there is");
  }
  kn::Result<kn::http::Url> url = kn::http::Url::parse(url_of(arguments, action));
  if (!url) return parked_misused("--server: " + shown(url.error().detail));
  kn::LoopOptions quiet;
  quiet.log_level = kn::LogLevel::error;
  kn::Loop loop(quiet);
  kn::http::OutboundOptions options;
  if (const std::string trust = arguments.get("--trust"); !trust.empty()) {
    kn::Result<kn::tls::Material> read = kn::tls::load(loop.env().files, {{}, {}, trust});
    if (!read) return parked_misused("--trust: " + read.error().detail);
    options.tls.trust.certificates = read->trusted;
  }
  const kn::Result<std::string> answer = loop.run(ask(loop.env(), options, *url, changes));
  if (!answer) return parked_failed(shown(answer.error().detail));
  const kn::Result<kn::Value> value = kn::Value::parse_json(*answer);
  if (!value) return parked_failed("the server's answer is no JSON; is it a platform?");
  if (value->is_list() && value->as_list().size() > shown_max) {
    return parked_failed("there are more than " + std::to_string(shown_max) +
                         ": say which, by --trigger, --id, --source or --offset");
  }
  if (action == "list" && value->is_list()) {
    print_list(*value);
  } else if (action == "show") {
    std::printf("%s\n", shown(value->to_json_pretty()).c_str());
  } else {
    std::printf("%s: %s\n", action.c_str(), field(*value, "count").c_str());
  }
  return 0;
}

}  // namespace command
