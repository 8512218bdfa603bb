// Services whose instances are forks of one interpreter.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "platform/deployed_services.hpp"
#include "platform/sandbox_guest_image.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

constexpr const char* server = R"(
import http.server, os
import helper
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = ('%d %d %s' % (os.getppid(), os.getpid(), helper.word)).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()
)";

class ZygoteServices : public testing_platform::DeployedServices {
 protected:
  ZygoteServices() {
    begin();
    const std::string layer =
        oci::testing_tar::raw_tar({{.name = "app/", .type = '5', .mode = 0755},
                                   {.name = "app/server.py", .content = server},
                                   {.name = "app/helper.py", .content = "word = 'hello'\n"}});
    testing_platform::store_image(platform_->images(), "local/app:v1", layer,
                                  {"python3", "/app/server.py"});
  }

  Result<void> deploy(const std::string& more) {
    return DeployedServices::deploy(
        "app",
        "    metadata:\n      annotations:\n"
        "        autoscaling.knative.dev/min-scale: \"2\"\n"
        "        autoscaling.knative.dev/target-burst-capacity: \"-1\"\n"
        "    spec:\n      runtimeClassName: zygote\n      containers:\n"
        "      - image: local/app:v1\n" +
            more);
  }
};

TEST_F(ZygoteServices, all_instances_fork_from_one_interpreter) {
  const Result<void> ready = deploy("");
  ASSERT_TRUE(ready) << ready.error().to_string();
  std::set<std::string> parents;
  std::set<std::string> instances;
  for (int i = 0; i < 200 && instances.size() < 2; ++i) {
    const std::string answer = asked("app");
    ASSERT_THAT(answer, testing::EndsWith(" hello"));
    parents.insert(answer.substr(0, answer.find(' ')));
    instances.insert(answer);
  }
  EXPECT_EQ(instances.size(), 2u);
  EXPECT_EQ(parents.size(), 1u);
}

TEST_F(ZygoteServices, a_program_of_another_language_is_named) {
  const Result<void> ready = deploy("        command: [node, server.js]\n");
  ASSERT_FALSE(ready);
  EXPECT_THAT(ready.error().detail, testing::HasSubstr("\"node server.js\""));
}

}  // namespace
}  // namespace knative
