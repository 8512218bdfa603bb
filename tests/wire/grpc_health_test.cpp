#include "wire/grpc_health.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "knative/simulation.hpp"

namespace knative::grpc {
namespace {

using namespace std::string_literals;

std::string frame(char type, char flags, std::uint32_t stream, const std::string& payload) {
  std::string bytes;
  for (int shift = 16; shift >= 0; shift -= 8) {
    bytes.push_back(static_cast<char>((payload.size() >> shift) & 0xff));
  }
  bytes.push_back(type);
  bytes.push_back(flags);
  for (int shift = 24; shift >= 0; shift -= 8) {
    bytes.push_back(static_cast<char>((stream >> shift) & 0xff));
  }
  return bytes + payload;
}

const std::string settings_frame = frame(4, 0, 0, "");
const std::string header_frame = frame(1, 4, 1, "\x88"s);
std::string answer(const std::string& body, char flags = 0) {
  return frame(0, flags, 1, "\0\0\0\0"s + static_cast<char>(body.size()) + body);
}

std::string problem_of(const std::string& bytes) {
  HealthReply reply;
  reply.feed(bytes);
  return reply.problem().value_or("well");
}

TEST(GrpcHealth, SaysWhatTheServerSays) {
  const std::string begin = settings_frame + header_frame;
  EXPECT_EQ(problem_of(begin + answer("\x08\x01")), "well");
  EXPECT_EQ(problem_of(begin + answer("\x08\x02")), "it says NOT_SERVING");
  EXPECT_EQ(problem_of(begin + answer("\x08\x03")), "it says SERVICE_UNKNOWN");
  EXPECT_EQ(problem_of(begin + answer("")), "its health is not known");
  EXPECT_EQ(problem_of(begin + answer("\x12\x02xx\x08\x01")), "well") << "unknown fields";
  const std::string padded = frame(0, 8, 1, "\x02\0\0\0\0\x02\x08\x01pp"s);
  EXPECT_EQ(problem_of(begin + padded), "well");
}

TEST(GrpcHealth, BytesMayComeOneByOne) {
  HealthReply reply;
  std::string output;
  const std::string bytes = settings_frame + frame(6, 0, 0, "12345678") + header_frame +
                            frame(8, 0, 0, "\0\0\1\0"s) + answer("\x08\x01");
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    EXPECT_EQ(reply.feed(bytes.substr(i, 1)), i + 1 < bytes.size()) << i;
    output += reply.take_output();
  }
  EXPECT_FALSE(reply.problem().has_value());
  EXPECT_EQ(output, frame(4, 1, 0, "") + frame(6, 1, 0, "12345678"));
}

TEST(GrpcHealth, WhatIsNoAnswerIsNamed) {
  EXPECT_EQ(problem_of(""), "the connection ended before it answered");
  EXPECT_EQ(problem_of("HTTP/1.1 400 Bad Request\r\n\r\n"), "it does not speak gRPC");
  EXPECT_EQ(problem_of(frame(1, 5, 1, "\x88"s)),
            "it has no health service, or does not know this service");
  EXPECT_EQ(problem_of(frame(7, 0, 0, "\0\0\0\0\0\0\0\1"s)), "it closes the connection");
  EXPECT_EQ(problem_of(frame(3, 0, 1, "\0\0\0\7"s)), "it refuses the request");
  EXPECT_EQ(problem_of(answer("\x08")), "its answer is malformed");
  EXPECT_EQ(problem_of(answer("\x12\x7fx")), "its answer is malformed");
  EXPECT_EQ(problem_of(frame(0, 1, 1, "\0\0"s)), "it gave no status");
  EXPECT_EQ(problem_of(frame(0, 8, 1, "\x09xx")), "it does not speak gRPC");
  EXPECT_EQ(problem_of(frame(0, 0, 1, "\1\0\0\0\0"s)), "its answer is compressed or too long");
  EXPECT_EQ(problem_of(frame(0, 0, 1, "\0\x7f\0\0\0"s)), "its answer is compressed or too long");
  std::string endless;
  while (endless.size() < 200'000) endless += frame(8, 0, 0, "\0\0\0\1"s);
  EXPECT_EQ(problem_of(endless), "it answers with too many bytes");
}

Task<std::string> serve_one(Network& network, std::uint16_t port) {
  const Endpoint here{.host = "127.0.0.1", .port = port, .path = {}};
  const std::unique_ptr<Listener> listener = network.listen(here).value();
  Task<Result<std::unique_ptr<Stream>>> accepting = listener->accept();
  const std::unique_ptr<Stream> stream = (co_await std::move(accepting)).value();
  std::string seen;
  std::array<char, 1024> buffer;
  while (seen.find("shop") == std::string::npos) {
    const std::size_t got = (co_await stream->read_some(buffer)).value();
    if (got == 0) break;
    seen.append(buffer.data(), got);
  }
  const std::string reply = settings_frame + header_frame + answer("\x08\x01");
  Task<Result<std::size_t>> writing = stream->write_all(reply);
  (void)co_await std::move(writing);
  co_return seen;
}

Task<std::string> ask(Network& network, std::uint16_t port) {
  const Endpoint there{.host = "127.0.0.1", .port = port, .path = {}};
  Task<Result<std::unique_ptr<Stream>>> connecting = network.connect(there);
  const std::unique_ptr<Stream> stream = (co_await std::move(connecting)).value();
  Task<std::optional<std::string>> asking = ask_health(*stream, "127.0.0.1:9000", "shop");
  const std::optional<std::string> problem = co_await std::move(asking);
  co_return problem.value_or("well");
}

TEST(GrpcHealth, AsksForTheServiceOverAConnection) {
  Simulation world{5};
  std::vector<Task<std::string>> both;
  both.push_back(serve_one(world.env().network, 9000));
  both.push_back(ask(world.env().network, 9000));
  const std::vector<std::string> results = world.run(when_all(std::move(both)));
  const std::string& seen = results[0];
  EXPECT_EQ(results[1], "well");
  EXPECT_EQ(seen.substr(0, 24), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  EXPECT_NE(seen.find("\x04\x1c/grpc.health.v1.Health/Check\x01\x0e"
                      "127.0.0.1:9000"),
            std::string::npos);
  EXPECT_NE(seen.find("\0\0\0\0\6\x0a\x04shop"s), std::string::npos);
}

}  // namespace
}  // namespace knative::grpc
