// Feeds arbitrary bytes to what the registry client reads of strangers: refusals, ranges, links,
// tokens, helpers' answers, docker's configuration, documents. The first byte chooses.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "engines/registry/registry_document.hpp"
#include "engines/registry/registry_text.hpp"
#include "knative/registry_credentials.hpp"

namespace {

using namespace knative;
using namespace knative::oci;

void require(bool holds) {
  if (!holds) std::abort();
}

bool one_line(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
  }
  return text.size() <= 310;
}

void fields(std::string_view text) {
  if (const auto offset = read_upload_range(text)) require(*offset != 1);
  if (const auto range = read_content_range(text)) {
    require(range->first <= range->last && (!range->total || *range->total > range->last));
  }
  http::Headers headers;
  (void)headers.add("Link", text);
  (void)headers.add("Retry-After", text);
  const http::Url page = http::Url::parse("https://a.example:8443/v2/x/tags/list?n=1").value();
  if (const auto next = read_next_page(headers, page)) {
    require(next->host == page.host && next->port == page.port && next->scheme == page.scheme);
  }
  const WallTime now(std::chrono::seconds(1'767'225'600));
  if (const auto pause = read_retry_after(headers, now)) require(*pause >= Duration::zero());
}

void keyring(const Result<RegistryKeyring>& keyring) {
  if (!keyring) return;
  for (const char* name : {"busybox", "a.example/b/c:v1", "localhost:5000/x"}) {
    const Reference image = Reference::parse(name).value();
    for (const RegistryCredential& one : keyring->find(image)) require(!one.empty());
    const std::string helper = keyring->helper(image);
    require(helper.find('/') == helper.npos && helper.find(' ') == helper.npos);
  }
}

void document(std::string_view text) {
  const Result<std::string> type = document_type(text, "");
  if (!type) return;
  require(is_index_type(*type) != is_manifest_type(*type));
  if (!is_index_type(*type)) return;
  const Result<Index> index = Index::parse(text);
  if (index) (void)choose_platform(*index, host_platform());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 6) {
    case 0: {
      const RegistryErrors errors = read_registry_errors(text);
      require(one_line(errors.text) && one_line(errors.first_code));
      break;
    }
    case 1: fields(text); break;
    case 2: {
      const Result<GrantedToken> token = read_granted_token(text);
      if (token) require(!token->token.empty() && token->lifetime > Duration::zero());
      (void)read_helper_answer(text);
      break;
    }
    case 3: keyring(RegistryKeyring::parse_docker_config(text)); break;
    case 4: keyring(RegistryKeyring::parse_dockercfg(text)); break;
    default: document(text); break;
  }
  return 0;
}
