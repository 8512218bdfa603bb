// A proxy for tests of the outgoing client, in either world.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "knative/http_outbound.hpp"
#include "knative/http_server.hpp"

namespace knative::http::testing {

/// A proxy of our own: passes whole URLs on and connects.
class Proxy {
 public:
  explicit Proxy(Env& env)
      : env_(env), handler_(make_handler([this](Request& request) { return answer(request); })) {
    ServerOptions options;
    options.connect = true;
    server_ = std::make_unique<Server>(env.executor, env.timers, env.logger,
                                       env.network.listen(Endpoint{}).value(), *handler_, options);
  }
  Proxies::Proxy as_proxy(std::string authorization = "") const {
    return {server_->endpoint(), std::move(authorization)};
  }
  Endpoint to;
  std::vector<std::string> seen;

 private:
  Task<Response> answer(Request& request) {
    seen.push_back(request.method + " " + request.target + " " +
                   std::string(request.headers.get("Proxy-Authorization").value_or("-")));
    if (refusing) co_return text("who?", 407);
    Client client(env_.executor, env_.timers, env_.network, to);
    if (request.method != "CONNECT") {
      remove_hop_by_hop(request.headers);
      Response response = co_await client.handle(request);
      Result<void> read = co_await response.body.read_all();
      if (!read) co_return error_response(502);
      co_return response;
    }
    auto connected = co_await env_.network.connect(to);
    if (!connected) co_return error_response(502);
    Response response;
    response.tunnel = std::make_unique<Pipe>(env_.executor, std::move(*connected));
    co_return response;
  }
  class Pipe final : public Tunnel {
   public:
    Pipe(Executor& executor, std::unique_ptr<Stream> far)
        : executor_(executor), far_(std::move(far)) {}
    Task<void> run(std::unique_ptr<Stream> near) override {
      TaskSet both(executor_);
      both.add(copy(*near, *far_));
      both.add(copy(*far_, *near));
      co_await both.drained();
    }

   private:
    static Task<void> copy(Stream& from, Stream& to) {
      std::vector<char> buffer(4096);
      const std::span<char> room(buffer);
      for (;;) {
        Result<std::size_t> got = co_await from.read_some(room);
        if (!got || *got == 0) break;
        const std::string_view piece(buffer.data(), *got);
        Result<std::size_t> put = co_await to.write_all(piece);
        if (!put) break;
      }
      to.shutdown_write();
    }
    Executor& executor_;
    std::unique_ptr<Stream> far_;
  };

 public:
  bool refusing = false;

 private:
  Env& env_;
  std::unique_ptr<Handler> handler_;
  std::unique_ptr<Server> server_;
};

}  // namespace knative::http::testing
