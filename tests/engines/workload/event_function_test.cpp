#include <gtest/gtest.h>

#include "engines/workload/function_fixture.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

using EventFunctionTest = FunctionFixture;

Task<Reply> accept(const CloudEvent& order) {
  CloudEvent reply("order.accepted", "/shop", order.data());
  reply.set_id("r-" + order.id());
  co_return reply;
}

http::Request order() {
  CloudEvent event("order.created", "/web", {{"id", 7}});
  event.set_id("1");
  return to_http(event);
}

TEST_F(EventFunctionTest, EventFunctionsReplyOverHttp) {
  functions.event("accept", accept);
  functions.event("plain", [](const CloudEvent& event) {
    return CloudEvent("copy." + event.type(), "/f").set_id("2");
  });
  functions.event("silent", [](const CloudEvent&) {});
  functions.event("result", [](const CloudEvent&) -> Result<Reply> {
    return fail(Errc::unavailable, "not today");
  });
  const http::Response reply = call("fn:accept", order());
  EXPECT_EQ(reply.status, 200);
  const CloudEvent event = from_http(reply).value();
  EXPECT_EQ(event.type(), "order.accepted");
  EXPECT_EQ(event.id(), "r-1");
  EXPECT_EQ(event.data().bytes(), "{\"id\":7}");
  EXPECT_EQ(from_http(call("fn:plain", order())).value().type(), "copy.order.created");
  EXPECT_EQ(call("fn:silent", order()).status, 202);
  const http::Response refused = call("fn:result", order());
  EXPECT_EQ(refused.status, 503);
  EXPECT_NE(refused.body.bytes().find("not today"), std::string::npos);
}

TEST_F(EventFunctionTest, AReplyWithoutIdOrSourceGetsThemAndTheWorkIsDoneOnce) {
  int calls = 0;
  functions.event("score", [&calls](const CloudEvent&) {
    ++calls;
    return CloudEvent("answered", "", Value("42"));
  });
  const CloudEvent first = from_http(call("fn:score", order())).value();
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(first.id().empty());
  EXPECT_EQ(first.source(), "/functions/f");
  // The same event again is answered under the same id: receivers can tell.
  EXPECT_EQ(from_http(call("fn:score", order())).value().id(), first.id());
  CloudEvent other("order.created", "/web", {{"id", 8}});
  other.set_id("2");
  EXPECT_NE(from_http(call("fn:score", to_http(other))).value().id(), first.id());
}

TEST_F(EventFunctionTest, AReplyThatIsNoEventIsAFailureAndLogged) {
  functions.event("bad", [](const CloudEvent&) { return CloudEvent("", "/f"); });
  functions.event("fails", [](const CloudEvent&) -> Result<Reply> {
    return fail(Errc::unavailable, "not today");
  });
  EXPECT_EQ(call("fn:bad", order()).status, 500);
  EXPECT_EQ(call("fn:fails", order()).status, 503);
  ASSERT_EQ(logged.size(), 2U);
  EXPECT_NE(logged[0].find("its reply is no valid event"), std::string::npos) << logged[0];
  EXPECT_NE(logged[1].find("not today"), std::string::npos) << logged[1];
  EXPECT_NE(logged[1].find("\"1\""), std::string::npos) << logged[1];
}

TEST_F(EventFunctionTest, WhatIsNoEventIs400) {
  functions.event("accept", accept);
  http::Request request = order();
  request.headers.remove("ce-id");
  const http::Response response = call("fn:accept", std::move(request));
  EXPECT_EQ(response.status, 400);
  EXPECT_NE(response.body.bytes().find("id"), std::string::npos);
}

}  // namespace
}  // namespace knative
