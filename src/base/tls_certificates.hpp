// Certificates and keys of the TLS rooms: read, told, checked. Names of OpenSSL's types only.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "knative/tls.hpp"

struct x509_st;
struct evp_pkey_st;

namespace knative::tls {

struct CertificateDeleter {
  void operator()(x509_st* certificate) const noexcept;
};
struct KeyDeleter {
  void operator()(evp_pkey_st* key) const noexcept;
};
using Certificate = std::unique_ptr<x509_st, CertificateDeleter>;
using Key = std::unique_ptr<evp_pkey_st, KeyDeleter>;

/// An `Identity` that was read: its own certificate first, then its issuers.
struct Credentials {
  std::vector<Certificate> chain;
  Key key;
};

/// What somebody gave us is wrong.
inline Error bad(std::string detail) { return fail(Errc::invalid_argument, std::move(detail)); }

/// Every certificate of the text, at least one.
Result<std::vector<Certificate>> parse_certificates(std::string_view pem);
/// Certificates and key, which belong together.
Result<Credentials> parse_identity(const Identity& identity);

CertificateInfo describe(const x509_st& certificate);
/// Host names of the certificate in lower case, wildcards included.
std::vector<std::string> host_names(const x509_st& certificate);

/// Why a certificate is not to be trusted, in words: `code` is X509_V_ERR_..., `wanted` the name or
/// address it should be for.
std::string distrust_text(int code, const x509_st& certificate, const std::string& wanted,
                          WallTime time);

/// An IPv4 or IPv6 address, without brackets.
bool is_address(std::string_view text);
/// A host name that a certificate can be for; `wildcard`: "*." may come first.
bool is_host_name(std::string_view text, bool wildcard);

/// "2026-01-01T00:00:00Z"
std::string date_text(WallTime time);
/// Seconds since the epoch.
std::int64_t unix_seconds(WallTime time) noexcept;
/// What OpenSSL says of its last failure on this thread, which is then forgotten.
std::string take_openssl_error();

}  // namespace knative::tls
