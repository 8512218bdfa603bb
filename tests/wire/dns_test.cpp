// The name server of one address: what it answers, and what it makes of garbage.
#include "wire/dns.hpp"

#include <gtest/gtest.h>

#include "knative/random.hpp"

namespace knative {
namespace {

using namespace std::string_literals;

std::string dns_question(std::string_view name, unsigned type = 1, unsigned class_ = 1) {
  std::string query = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"s;
  while (!name.empty()) {
    const std::size_t end = std::min(name.find('.'), name.size());
    query.push_back(static_cast<char>(end));
    query.append(name.substr(0, end));
    name.remove_prefix(std::min(end + 1, name.size()));
  }
  query.append({'\0', '\0', static_cast<char>(type), '\0', static_cast<char>(class_)});
  return query;
}

dns::Zone dns_zone() {
  dns::Zone zone;
  zone.address = {169, 254, 20, 1};
  zone.knows = [](std::string_view name) { return name == "a.default.svc.cluster.local"; };
  return zone;
}

std::string dns_answer(std::string_view query) { return dns::answer(query, dns_zone()); }
int code_of(const std::string& answer) { return answer.size() < 12 ? -1 : answer[3] & 15; }

TEST(Dns, ANameThatIsKnownHasTheAddress) {
  const std::string query = dns_question("A.Default.svc.cluster.local");
  const std::string answer = dns_answer(query);
  EXPECT_EQ(answer.substr(0, 12), "\x12\x34\x85\x80\x00\x01\x00\x01\x00\x00\x00\x00"s);
  EXPECT_EQ(answer.substr(12, query.size() - 12), query.substr(12)) << "as it was asked";
  EXPECT_EQ(answer.substr(query.size()),
            "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04"
            "\xa9\xfe\x14\x01"s);
}

// A resolver that is told that there is no such name does not go on to ask for the other family.
TEST(Dns, AnotherTypeOfAKnownNameIsEmptyAndNotAbsent) {
  const std::string answer = dns_answer(dns_question("a.default.svc.cluster.local", 28));
  EXPECT_EQ(code_of(answer), 0);
  EXPECT_EQ(answer.substr(4, 4), "\x00\x01\x00\x00"s);
}

TEST(Dns, AnyOtherNameDoesNotExist) {
  for (const char* name : {"b.default.svc.cluster.local", "example.org", "a", "local"}) {
    const std::string answer = dns_answer(dns_question(name));
    EXPECT_EQ(code_of(answer), 3) << name;
    EXPECT_EQ(answer[7], 0) << name;
  }
  const std::string one_label = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x1b"s +
                                "a.default.svc.cluster.local" + "\0\0\1\0\1"s;
  EXPECT_EQ(code_of(dns_answer(one_label)), 3) << "dots inside a label";
}

TEST(Dns, WhatIsNoSuchQuestionIsRefusedByItsCode) {
  EXPECT_EQ(code_of(dns_answer(dns_question("a.default.svc.cluster.local", 1, 3))), 5);
  std::string query = dns_question("a.default.svc.cluster.local");
  query[2] = 0x28;  // an update
  EXPECT_EQ(code_of(dns_answer(query)), 4);
  query = dns_question("a.default.svc.cluster.local");
  query[5] = 2;  // two questions
  EXPECT_EQ(code_of(dns_answer(query)), 1);
  query = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01"s;
  EXPECT_EQ(code_of(dns_answer(query)), 1) << "a pointer to itself";
  std::string endless;
  for (int i = 0; i < 70; ++i) endless += "label.";
  EXPECT_EQ(code_of(dns_answer(dns_question(endless))), 1);
  EXPECT_EQ(code_of(dns_answer(dns_question(""))), 0) << "the root";
}

TEST(Dns, AnswersAndFragmentsAreNotAnswered) {
  std::string query = dns_question("a.default.svc.cluster.local");
  query[2] = '\x81';
  EXPECT_EQ(dns_answer(query), "") << "two servers would talk for ever";
  for (std::size_t size = 0; size < 12; ++size) {
    EXPECT_EQ(dns_answer(query.substr(0, size)), "");
  }
  query = dns_question("a.default.svc.cluster.local");
  for (std::size_t size = 12; size < query.size(); ++size) {
    EXPECT_EQ(code_of(dns_answer(query.substr(0, size))), 1) << size;
  }
}

TEST(Dns, AnAnswerToGarbageIsHardlyLongerThanIt) {
  Random random(7);
  for (int i = 0; i < 20'000; ++i) {
    std::string query = dns_question("a.default.svc.cluster.local");
    for (int changes = 0; changes < 4; ++changes) {
      query[random.below(query.size())] = static_cast<char>(random.below(256));
    }
    query.resize(random.below(query.size() + 1));
    EXPECT_LE(dns_answer(query).size(), query.size() + 16);
  }
}

}  // namespace
}  // namespace knative
