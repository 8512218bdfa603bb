#include "knative/event.hpp"

#include <gtest/gtest.h>

#include <string>

namespace knative {
namespace {

CloudEvent order() {
  CloudEvent event("order.created", "/web", {{"id", 7}, {"total", 120}});
  event.set_id("a-1");
  return event;
}

TEST(CloudEvent, is_made_from_type_source_and_data_of_many_kinds) {
  EXPECT_EQ(order().data().bytes(), R"({"id":7,"total":120})");
  EXPECT_EQ(order().datacontenttype(), "application/json");
  EXPECT_EQ(CloudEvent("t", "/s", {1, 2, 3}).data().bytes(), "[1,2,3]");
  EXPECT_EQ(CloudEvent("t", "/s", "text").data().bytes(), "\"text\"");
  EXPECT_EQ(CloudEvent("t", "/s", EventData::text("text")).data().bytes(), "text");
  EXPECT_EQ(CloudEvent("t", "/s", order().data()).data(), order().data());
  EXPECT_FALSE(CloudEvent("t", "/s").data().present());
  EXPECT_EQ(*order().json().value().find("total"), Value(120));
  EXPECT_EQ(CloudEvent("t", "/s").json().error().code, Errc::not_found);
}

TEST(CloudEvent, finds_every_attribute_by_name) {
  CloudEvent event = order();
  event.set_subject("s").set_extension("number", 5).set_extension("flag", true);
  EXPECT_EQ(event.attribute("type"), "order.created");
  EXPECT_EQ(event.attribute("subject"), "s");
  EXPECT_EQ(event.attribute("time"), std::nullopt);
  EXPECT_EQ(event.attribute("number"), "5");
  EXPECT_EQ(event.attribute("flag"), "true");
  EXPECT_EQ(event.attribute("none"), std::nullopt);
  event.set_attribute("type", "other").set_attribute("more", "x").remove_extension("flag");
  EXPECT_EQ(event.type(), "other");
  EXPECT_EQ(event.attribute("more"), "x");
  EXPECT_EQ(event.attribute("flag"), std::nullopt);
}

std::string why(const CloudEvent& event) {
  const Result<void> valid = event.validate();
  if (valid) return "";
  EXPECT_EQ(valid.error().code, Errc::invalid_argument);
  return valid.error().detail;
}

TEST(CloudEvent, validation_names_the_attribute) {
  EXPECT_EQ(why(order()), "");
  EXPECT_EQ(why(order().set_id("")), "id: missing");
  EXPECT_EQ(why(order().set_source("")), "source: missing");
  EXPECT_EQ(why(order().set_type("")), "type: missing");
  EXPECT_EQ(why(order().set_specversion("")), "specversion: missing");
  EXPECT_EQ(why(order().set_specversion("2.0")), "specversion: \"2.0\" is not supported");
  EXPECT_EQ(why(order().set_specversion("0.3")), "");
  EXPECT_TRUE(why(order().set_source("a b")).starts_with("source: "));
  EXPECT_TRUE(why(order().set_source("/%zz")).starts_with("source: "));
  for (const char* wrong :
       {"http://[x", "http://x]/", "//[]/", "http://[::1]x/", "http://a@[::1"}) {
    EXPECT_TRUE(why(order().set_source(wrong)).starts_with("source: no URI: wrong host")) << wrong;
  }
  for (const char* right :
       {"http://[::1]:8080/x", "//a@[::1]", "urn:a//[b", "/a//[b]", "x?y=//[", "http://a/[x]"}) {
    EXPECT_EQ(why(order().set_source(right)), "") << right;
  }
  EXPECT_TRUE(why(order().set_type("a\nb")).starts_with("type: "));
  EXPECT_TRUE(why(order().set_id("\xff")).starts_with("id: "));
  EXPECT_TRUE(why(order().set_subject("\xef\xbf\xbf")).starts_with("subject: "));  // U+FFFF
  EXPECT_TRUE(why(order().set_time("yesterday")).starts_with("time: "));
  EXPECT_TRUE(why(order().set_dataschema("relative")).starts_with("dataschema: "));
  EXPECT_EQ(why(order().set_dataschema("https://example.com/schema")), "");
  EXPECT_TRUE(why(order().set_extension("Bad", "x")).starts_with("Bad: "));
  EXPECT_TRUE(why(order().set_extension("with_underscore", "x")).starts_with("with_underscore"));
  EXPECT_TRUE(why(order().set_extension("data", "x")).starts_with("data: "));
  EXPECT_TRUE(why(order().set_extension("", "x")).starts_with("extension: "));
  EXPECT_TRUE(why(order().set_extension("fine", "a\tb")).starts_with("fine: "));
  CloudEvent typed = order();
  typed.set_data(EventData::of("x", "nonsense"));
  EXPECT_TRUE(why(typed).starts_with("datacontenttype: "));
}

TEST(CloudEvent, accepts_only_real_timestamps) {
  for (const char* good : {"2026-01-31T23:59:59Z", "2024-02-29T00:00:00.123456789+05:30",
                           "1985-04-12t23:20:50.52z", "1990-12-31T23:59:60Z"}) {
    EXPECT_EQ(why(order().set_time(good)), "") << good;
  }
  for (const char* wrong : {"2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01 00:00:00Z",
                            "2026-01-01T24:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:00.Z",
                            "2026-1-1T0:0:0Z", "2026-01-01T00:00:00+25:00"}) {
    EXPECT_NE(why(order().set_time(wrong)), "") << wrong;
  }
  const WallTime time{std::chrono::seconds(1'767'225'600) + std::chrono::milliseconds(5)};
  EXPECT_EQ(order().set_time(time).time(), "2026-01-01T00:00:00.005000000Z");
}

// --------------------------------------------------------------------------- HTTP

TEST(EventHttp, binary_mode_carries_attributes_as_fields_and_data_as_body) {
  CloudEvent event = order();
  event.set_subject("Euro \xe2\x82\xac 100%").set_extension("traceid", "x y");
  const http::Request request = to_http(event, ContentMode::binary, "/default/broker");
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.target, "/default/broker");
  EXPECT_EQ(request.headers.get("ce-id"), "a-1");
  EXPECT_EQ(request.headers.get("CE-Type"), "order.created");
  EXPECT_EQ(request.headers.get("ce-specversion"), "1.0");
  EXPECT_EQ(request.headers.get("ce-subject"), "Euro%20%E2%82%AC%20100%25");
  EXPECT_EQ(request.headers.get("ce-traceid"), "x%20y");
  EXPECT_EQ(request.headers.get("content-type"), "application/json");
  EXPECT_FALSE(request.headers.has("ce-datacontenttype"));
  EXPECT_EQ(request.body.bytes(), R"({"id":7,"total":120})");
  EXPECT_EQ(from_http(request).value(), event);
}

TEST(EventHttp, structured_mode_carries_everything_in_the_body) {
  CloudEvent event = order();
  event.set_extension("count", 3).set_extension("flag", false).set_subject("\"quoted\"");
  const http::Request request = to_http(event, ContentMode::structured);
  EXPECT_EQ(request.headers.get("content-type"), "application/cloudevents+json");
  EXPECT_FALSE(request.headers.has("ce-id"));
  EXPECT_EQ(from_http(request).value(), event);
}

TEST(EventHttp, responses_carry_replies) {
  const http::Response response = to_http_response(order(), 200);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(from_http(response).value(), order());
}

http::Headers binary_fields() {
  return http::Headers{
      {"Ce-Specversion", "1.0"}, {"CE-ID", "1"}, {"ce-source", "/s"}, {"ce-type", "t"}};
}

std::string refused(http::Headers headers, std::string_view body = "") {
  const Result<CloudEvent> event = from_http(headers, body);
  if (event) return "";
  return event.error().detail;
}

TEST(EventHttp, an_event_without_an_id_gives_one_clear_error) {
  http::Headers headers = binary_fields();
  headers.remove("ce-id");
  EXPECT_EQ(refused(headers), "id: missing");
  EXPECT_EQ(refused(http::Headers{{"content-type", "application/cloudevents+json"}},
                    R"({"specversion":"1.0","source":"/s","type":"t"})"),
            "id: missing");
}

TEST(EventHttp, an_escape_that_is_none_is_refused_by_the_name_of_its_attribute) {
  for (const char* value : {"%ZZ", "a%", "ends%4", "%4g", "ok%20%"}) {
    http::Headers fields = binary_fields();
    fields.set("ce-x", value);
    EXPECT_TRUE(refused(fields).starts_with("x: ")) << value;
  }
  http::Headers fields = binary_fields();
  fields.set("ce-x", "100%25");
  EXPECT_EQ(refused(fields), "");
}

TEST(EventHttp, content_type_wins_over_an_attribute_of_the_same_meaning) {
  http::Headers fields = binary_fields();
  fields.set("content-type", "application/json");
  fields.set("ce-datacontenttype", "text/plain");
  const Result<CloudEvent> event = from_http(fields, "{}");
  ASSERT_TRUE(event);
  EXPECT_EQ(event->datacontenttype(), "application/json");
}

TEST(EventHttp, refuses_what_is_no_event_and_names_the_place) {
  EXPECT_EQ(refused(binary_fields()), "");
  http::Headers twice = binary_fields();
  twice.add("ce-type", "again");
  EXPECT_EQ(refused(twice), "type: given twice");
  http::Headers type = binary_fields();
  type.remove("content-type");
  type.add("ce-datacontenttype", "text/plain");
  EXPECT_TRUE(refused(type).starts_with("datacontenttype: "));
  http::Headers broken = binary_fields();
  broken.set("ce-subject", "%C0%80");
  EXPECT_TRUE(refused(broken).starts_with("subject: "));
  http::Headers control = binary_fields();
  control.set("ce-subject", "a%0Ab");
  EXPECT_TRUE(refused(control).starts_with("subject: "));
  EXPECT_TRUE(refused(http::Headers{{"content-type", "application/json"}}, "{}")
                  .starts_with("specversion: missing"));
  const auto code = [](std::string_view content_type) {
    return from_http(http::Headers{{"content-type", content_type}}, "[]").error().code;
  };
  EXPECT_EQ(code("application/cloudevents-batch+json"), Errc::unimplemented);
  EXPECT_EQ(code("application/cloudevents+avro"), Errc::unimplemented);
  EXPECT_EQ(code("application/cloudevents+json; charset=utf-8"), Errc::invalid_argument);
}

TEST(EventHttp, decodes_quoted_values) {
  http::Headers headers = binary_fields();
  headers.set("ce-subject", R"("say \"hi\"")");
  headers.set("ce-other", "100%25");
  const CloudEvent event = from_http(headers, "").value();
  EXPECT_EQ(event.subject(), R"(say "hi")");
  EXPECT_EQ(event.attribute("other"), "100%");
}

TEST(EventHttp, version_0_3_is_passed_on_as_it_came) {
  http::Headers headers = binary_fields();
  headers.set("ce-specversion", "0.3");
  headers.set("ce-schemaurl", "/schema");
  headers.set("ce-subject", "100%25");
  const CloudEvent event = from_http(headers, "x").value();
  EXPECT_EQ(event.subject(), "100%25");
  EXPECT_EQ(event.dataschema(), "/schema");
  const http::Request again = to_http(event);
  EXPECT_EQ(again.headers.get("ce-specversion"), "0.3");
  EXPECT_EQ(again.headers.get("ce-schemaurl"), "/schema");
  EXPECT_EQ(again.headers.get("ce-subject"), "100%25");
}

// --------------------------------------------------------------------------- JSON

CloudEvent from_json(std::string_view members) {
  return event_from_json(R"({"specversion":"1.0","id":"1","source":"/s","type":"t",)" +
                         std::string(members) + "}")
      .value();
}

TEST(EventJson, keeps_data_byte_for_byte) {
  const CloudEvent event =
      from_json(R"("data": { "big": 12345678901234567890, "f": 1.0, "t": [ "}", "\"" ] } )");
  EXPECT_EQ(event.data().bytes(),
            R"({ "big": 12345678901234567890, "f": 1.0, "t": [ "}", "\"" ] })");
  EXPECT_EQ(event.datacontenttype(), "application/json");
  EXPECT_EQ(from_json(R"("data": 1.50)").data().bytes(), "1.50");
  EXPECT_EQ(from_json(R"("data":false)").data().bytes(), "false");
  EXPECT_EQ(from_json(R"("data":"text")").data().bytes(), "\"text\"");
  EXPECT_EQ(from_json(R"("d\u0061ta": [1 ])").data().bytes(), "[1 ]");
  EXPECT_FALSE(from_json(R"("data":null)").data().present());
}

TEST(EventJson, data_of_other_types_is_text_or_base64) {
  const CloudEvent text = from_json(R"("datacontenttype":"text/plain","data":"a\nb")");
  EXPECT_EQ(text.data().bytes(), "a\nb");
  EXPECT_EQ(event_from_json(to_json(text)).value(), text);
  const CloudEvent bytes = from_json(R"("data_base64":"AP8B","datacontenttype":"image/png")");
  EXPECT_EQ(bytes.data().bytes(), std::string("\x00\xff\x01", 3));
  EXPECT_EQ(event_from_json(to_json(bytes)).value(), bytes);
  CloudEvent untyped = order();
  untyped.set_data(EventData::of("plain", ""));
  EXPECT_NE(to_json(untyped).find("data_base64"), std::string::npos);
  EXPECT_EQ(event_from_json(to_json(untyped)).value(), untyped);
  // JSON by its type but not by its bytes
  CloudEvent broken = order();
  broken.set_data(EventData::of("{", "application/json"));
  EXPECT_EQ(event_from_json(to_json(broken)).value().data().bytes(), "{");
}

TEST(EventJson, round_trips_every_length_of_base64) {
  std::string bytes;
  for (int i = 0; i < 70; ++i) {
    CloudEvent event = order();
    event.set_data(EventData::of(bytes, "application/octet-stream"));
    bytes += static_cast<char>(255 - i * 3);
    event.set_data(EventData::of("\xff" + bytes, "application/octet-stream"));
    EXPECT_EQ(event_from_json(to_json(event)).value(), event);
  }
}

std::string json_error(std::string_view text) {
  const Result<CloudEvent> event = event_from_json(text);
  return event ? "" : event.error().detail;
}

TEST(EventJson, refuses_wrong_members_and_names_them) {
  const std::string head = R"({"specversion":"1.0","id":"1","source":"/s","type":"t",)";
  EXPECT_EQ(json_error(head + R"("id2":{}})"),
            "id2: must be a string, a boolean or a 32-bit integer");
  EXPECT_EQ(json_error(head + R"("n":3000000000})"),
            "n: must be a string, a boolean or a 32-bit integer");
  EXPECT_EQ(json_error(head + R"("subject":5})"), "subject: must be a string");
  EXPECT_EQ(json_error(head + R"("subject":""})"), "subject: must not be empty");
  EXPECT_EQ(json_error(head + R"("data":1,"data_base64":"AA=="})"),
            "data_base64: must not stand beside data");
  EXPECT_EQ(json_error(head + R"("data_base64":"A"})"),
            "data_base64: must be a base64 string: incomplete base64 data at byte 1");
  EXPECT_EQ(json_error(head + R"("datacontenttype":"text/plain","data":{}})"),
            "data: must be a string for text/plain");
  EXPECT_TRUE(json_error(head + R"("Bad":"x"})").starts_with("Bad: "));
  EXPECT_NE(json_error("["), "");
  EXPECT_NE(json_error("[]"), "");
  EXPECT_NE(json_error(R"({"id":"1","id":"2"})"), "");
}

TEST(EventJson, reads_batches_and_names_the_wrong_element) {
  const std::string one = R"({"specversion":"1.0","id":"1","source":"/s","type":"t","data":[1,2]})";
  const auto events = events_from_json_batch("[" + one + " , " + one + "]").value();
  EXPECT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].data().bytes(), "[1,2]");
  EXPECT_TRUE(events_from_json_batch("[]").value().empty());
  const auto wrong = events_from_json_batch("[" + one + ",{}]");
  EXPECT_TRUE(wrong.error().detail.starts_with("event 1: "));
}

// --------------------------------------------------------------------------- bytes

TEST(EventBytes, round_trip_and_refuse_every_cut) {
  CloudEvent event = order();
  event.set_subject("s").set_time("2026-01-01T00:00:00Z").set_dataschema("http://s/");
  event.set_extension("n", -2147483647).set_extension("b", true).set_extension("s", "x");
  const std::string bytes = to_bytes(event);
  EXPECT_EQ(event_from_bytes(bytes).value(), event);
  const std::size_t envelope = bytes.size() - event.data().bytes().size();
  for (std::size_t cut = 0; cut < envelope; ++cut) {
    EXPECT_FALSE(event_from_bytes(std::string_view(bytes).substr(0, cut))) << cut;
  }
  EXPECT_EQ(event_from_bytes("\x02").error().code, Errc::data_loss);
  CloudEvent without = CloudEvent("t", "/s");
  EXPECT_EQ(event_from_bytes(to_bytes(without)).value(), without);
  without.set_data(EventData::of("", ""));
  EXPECT_TRUE(event_from_bytes(to_bytes(without)).value().data().present());
}

TEST(EventBytes, stamps_are_written_as_if_the_event_had_them) {
  CloudEvent event = order();
  event.set_extension("b", true).set_extension("d", "own").set_extension("f", 7);
  const ExtensionValue text = "stamped";
  const ExtensionValue number = std::int32_t{3};
  for (const std::vector<std::string>& names : std::vector<std::vector<std::string>>{
           {}, {"a"}, {"d"}, {"z"}, {"a", "b"}, {"b", "c"}, {"d", "f"}, {"c", "e"}, {"f", "z"}}) {
    CloudEvent expected = event;
    std::vector<ExtensionStamp> stamps;
    for (const std::string& name : names) {
      const ExtensionValue& value = stamps.empty() ? text : number;
      stamps.push_back({name, value});
      expected.set_extension(name, value);
    }
    std::string bytes = "before";
    append_bytes(bytes, event, stamps);
    EXPECT_EQ(bytes, "before" + to_bytes(expected)) << ::testing::PrintToString(names);
  }
}

// --------------------------------------------------------------------------- sinks

TEST(DeliveryAttempt, maps_errors_to_statuses_that_decide_about_retries) {
  EXPECT_EQ(DeliveryAttempt::from(Reply()).status, 202);
  EXPECT_EQ(DeliveryAttempt::from(Reply(order())).status, 200);
  EXPECT_EQ(DeliveryAttempt::from(fail(Errc::invalid_argument, "x")).status, 400);
  EXPECT_EQ(DeliveryAttempt::from(fail(Errc::unavailable, "x")).status, 503);
  EXPECT_EQ(DeliveryAttempt::from(fail(Errc::internal, "x")).detail, "internal: x");
}

}  // namespace
}  // namespace knative
