// Reads, describes and issues certificates. Nothing here knows connections.
#include "base/tls_certificates.hpp"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <limits>
#include <utility>

#include "base/text.hpp"

namespace knative::tls {
namespace {

constexpr std::size_t pem_bytes_max = std::size_t{8} << 20;
constexpr std::size_t certificates_max = 10'000;
constexpr std::size_t common_name_max = 64;  // ub-common-name of RFC 5280
constexpr std::size_t names_max = 1000;
constexpr std::size_t names_shown_max = 5;
constexpr std::size_t serial_bytes = 16;
constexpr Duration late_clocks = std::chrono::hours(1);
constexpr Duration lifetime_max = std::chrono::hours(24 * 36500);

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* object) const noexcept {
    Free(object);
  }
};
using Bio = std::unique_ptr<BIO, Freed<&BIO_free>>;
using Name = std::unique_ptr<X509_NAME, Freed<&X509_NAME_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Freed<&X509_EXTENSION_free>>;
using GeneralNames = std::unique_ptr<GENERAL_NAMES, Freed<&GENERAL_NAMES_free>>;
using GeneralName = std::unique_ptr<GENERAL_NAME, Freed<&GENERAL_NAME_free>>;
using Octets = std::unique_ptr<ASN1_OCTET_STRING, Freed<&ASN1_OCTET_STRING_free>>;

Result<Bio> open_text(std::string_view pem) {
  if (pem.size() > pem_bytes_max) return bad("more than 8 MiB of PEM text");
  return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

/// Never asks anybody for a passphrase; notes that one was needed.
int refuse_passphrase(char*, int, int, void* asked) noexcept {
  if (asked != nullptr) *static_cast<bool*>(asked) = true;
  return -1;
}

std::string text_of(BIO& bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(&bio, &data);
  return size > 0 ? std::string(data, static_cast<std::size_t>(size)) : std::string();
}

/// Names in certificates are a stranger's bytes: only what can be shown is.
std::string shown(const unsigned char* data, int size) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (int i = 0; i < size; ++i) {
    if (data[i] > ' ' && data[i] < 127 && data[i] != '\\') {
      text.push_back(static_cast<char>(data[i]));
    } else {
      text += {'\\', 'x', digits[data[i] >> 4], digits[data[i] & 15]};
    }
  }
  return text;
}

std::string address_text(const unsigned char* octets, int size) {
  char text[48] = "";
  if (size == 4) {
    std::snprintf(text, sizeof text, "%d.%d.%d.%d", octets[0], octets[1], octets[2], octets[3]);
    return text;
  }
  if (size != 16) return shown(octets, size);
  std::array<unsigned, 8> groups{};
  for (std::size_t i = 0; i < 8; ++i) {
    groups[i] = static_cast<unsigned>(octets[2 * i] << 8 | octets[2 * i + 1]);
  }
  // RFC 5952: the longest run of zeros, two at least, becomes "::".
  std::size_t best = 8;
  std::size_t best_length = 1;
  for (std::size_t i = 0; i < 8; ++i) {
    std::size_t length = 0;
    while (i + length < 8 && groups[i + length] == 0) ++length;
    if (length > best_length) {
      best = i;
      best_length = length;
    }
    i += length;
  }
  std::string result;
  for (std::size_t i = 0; i < 8; ++i) {
    if (i == best) {
      result += "::";
      i += best_length - 1;
      continue;
    }
    if (!result.empty() && !result.ends_with(':')) result += ':';
    std::snprintf(text, sizeof text, "%x", groups[i]);
    result += text;
  }
  return result;
}

std::string name_text(const X509_NAME* name) {
  const Bio bio(BIO_new(BIO_s_mem()));
  if (bio == nullptr || X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253) < 0) return "?";
  return text_of(*bio);
}

WallTime time_of(const ASN1_TIME* time) noexcept {
  using namespace std::chrono;
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return {};
  const sys_days day = year(parts.tm_year + 1900) / month(static_cast<unsigned>(parts.tm_mon + 1)) /
                       std::chrono::day(static_cast<unsigned>(parts.tm_mday));
  const sys_seconds at = day + hours(parts.tm_hour) + minutes(parts.tm_min) + seconds(parts.tm_sec);
  // "No end" is the year 9999, which nanoseconds do not reach.
  if (at >= floor<seconds>(WallTime::max())) return WallTime::max();
  if (at <= ceil<seconds>(WallTime::min())) return WallTime::min();
  return at;
}

std::string key_text(EVP_PKEY* key) {
  if (key == nullptr) return "unknown";
  const int bits = EVP_PKEY_get_bits(key);
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA: return "RSA " + std::to_string(bits);
    case EVP_PKEY_RSA_PSS: return "RSA-PSS " + std::to_string(bits);
    case EVP_PKEY_ED25519: return "Ed25519";
    case EVP_PKEY_ED448: return "Ed448";
    case EVP_PKEY_EC: return "EC P-" + std::to_string(bits);
    default:
      return std::string(EVP_PKEY_get0_type_name(key) != nullptr ? EVP_PKEY_get0_type_name(key)
                                                                 : "unknown") +
             " " + std::to_string(bits);
  }
}

Result<Key> parse_key(std::string_view pem) {
  Result<Bio> bio = open_text(pem);
  if (!bio) return bio.error();
  bool asked = false;
  ERR_clear_error();
  Key key(PEM_read_bio_PrivateKey(bio->get(), nullptr, &refuse_passphrase, &asked));
  if (key != nullptr) return key;
  ERR_clear_error();  // its words could quote the key
  if (asked) return bad("it is encrypted; give it without a passphrase");
  return bad("no PEM text of a private key");
}

}  // namespace

void CertificateDeleter::operator()(x509_st* certificate) const noexcept { X509_free(certificate); }
void KeyDeleter::operator()(evp_pkey_st* key) const noexcept { EVP_PKEY_free(key); }

std::string take_openssl_error() {
  const unsigned long code = ERR_peek_last_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  ERR_clear_error();
  return reason == nullptr ? "unknown reason" : reason;
}

std::int64_t unix_seconds(WallTime time) noexcept {
  return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}

std::string date_text(WallTime time) {
  using namespace std::chrono;
  const auto at = floor<seconds>(time);
  const auto day = floor<days>(at);
  const year_month_day date(day);
  const hh_mm_ss<seconds> clock(at - day);
  char text[64];
  std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02dZ", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                static_cast<int>(clock.seconds().count()));
  return text;
}

bool is_address(std::string_view text) {
  if (text.empty() || text.size() > 45 || text.find('\0') != text.npos) return false;
  const Octets octets(a2i_IPADDRESS(std::string(text).c_str()));
  ERR_clear_error();
  return octets != nullptr;
}

bool is_host_name(std::string_view text, bool wildcard) {
  if (wildcard && text.starts_with("*.")) text.remove_prefix(2);
  if (text.empty() || text.size() > 253) return false;
  std::size_t label = 0;
  for (const char c : text) {
    if (c == '.') {
      if (label == 0) return false;
      label = 0;
    } else if (base::is_letter(c) || base::is_digit(c) || c == '-' || c == '_') {
      if (++label > 63) return false;
    } else {
      return false;
    }
  }
  return label != 0;
}

// ---------------------------------------------------------------------------- reading

Result<std::vector<Certificate>> parse_certificates(std::string_view pem) {
  Result<Bio> bio = open_text(pem);
  if (!bio) return bio.error();
  std::vector<Certificate> certificates;
  for (;;) {
    ERR_clear_error();
    Certificate next(PEM_read_bio_X509(bio->get(), nullptr, &refuse_passphrase, nullptr));
    if (next == nullptr) break;
    if (certificates.size() == certificates_max) return bad("more than 10000 certificates");
    certificates.push_back(std::move(next));
  }
  const unsigned long code = ERR_peek_last_error();
  const bool end = ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
  const std::string why = take_openssl_error();
  if (!end) {
    return bad("certificate " + std::to_string(certificates.size() + 1) + " is damaged: " + why);
  }
  if (certificates.empty()) return bad("no PEM text of a certificate");
  return certificates;
}

Result<Credentials> parse_identity(const Identity& identity) {
  Result<std::vector<Certificate>> chain = parse_certificates(identity.certificates);
  if (!chain) return chain.error().within("certificates");
  Result<Key> key = parse_key(identity.private_key);
  if (!key) return key.error().within("private_key");
  ERR_clear_error();
  const bool fits = X509_check_private_key(chain->front().get(), key->get()) == 1;
  ERR_clear_error();
  if (!fits) {
    return bad("private_key: it does not belong to the certificate of " +
               describe(*chain->front()).subject);
  }
  return Credentials{std::move(*chain), std::move(*key)};
}

CertificateInfo describe(const x509_st& certificate) {
  X509* const x509 = const_cast<X509*>(&certificate);  // OpenSSL's readers take no const
  CertificateInfo info;
  info.subject = name_text(X509_get_subject_name(x509));
  info.issuer = name_text(X509_get_issuer_name(x509));
  const GeneralNames names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(x509, NID_subject_alt_name, nullptr, nullptr)));
  const int count = names == nullptr ? 0 : sk_GENERAL_NAME_num(names.get());
  for (int i = 0; i < count && info.names.size() < names_max; ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_IPADD) {
      info.names.push_back(address_text(ASN1_STRING_get0_data(name->d.iPAddress),
                                        ASN1_STRING_length(name->d.iPAddress)));
    } else if (name->type == GEN_DNS || name->type == GEN_URI || name->type == GEN_EMAIL) {
      info.names.push_back(
          shown(ASN1_STRING_get0_data(name->d.ia5), ASN1_STRING_length(name->d.ia5)));
    }
  }
  info.not_before = time_of(X509_get0_notBefore(x509));
  info.not_after = time_of(X509_get0_notAfter(x509));
  info.key = key_text(X509_get0_pubkey(x509));
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (X509_digest(x509, EVP_sha256(), digest, &size) == 1) {
    constexpr std::string_view digits = "0123456789abcdef";
    for (unsigned i = 0; i < size; ++i) {
      info.sha256 += {digits[digest[i] >> 4], digits[digest[i] & 15]};
    }
  }
  ERR_clear_error();
  return info;
}

std::vector<std::string> host_names(const x509_st& certificate) {
  std::vector<std::string> names;
  for (std::string& name : describe(certificate).names) {
    if (is_address(name) || !is_host_name(name, true)) continue;
    for (char& c : name) c = base::to_lower(c);
    names.push_back(std::move(name));
  }
  return names;
}

std::string distrust_text(int code, const x509_st& certificate, const std::string& wanted,
                          WallTime time) {
  const CertificateInfo info = describe(certificate);
  const std::string whose = "the certificate of \"" + info.subject + "\" ";
  const std::string now = " (it is now " + date_text(time) + ")";
  switch (code) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return whose + "expired on " + date_text(info.not_after) + now;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return whose + "is not valid before " + date_text(info.not_before) + now;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH: {
      std::string names;
      for (std::size_t i = 0; i < info.names.size() && i < names_shown_max; ++i) {
        names += (i == 0 ? "" : ", ") + info.names[i].substr(0, 300);
      }
      if (info.names.size() > names_shown_max) {
        names += " and " + std::to_string(info.names.size() - names_shown_max) + " more";
      }
      return "the certificate is for " + (names.empty() ? "no name" : names) + ", not for " +
             wanted;
    }
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT: return whose + "is self-signed and not trusted";
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      return whose + "was issued by an unknown authority: \"" + info.issuer + "\"";
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL: return whose + "has too weak a key: " + info.key;
    case X509_V_ERR_CA_MD_TOO_WEAK:
      return whose +
             "has too weak a signature: " + OBJ_nid2ln(X509_get_signature_nid(&certificate));
    default: return whose + "is refused: " + X509_verify_cert_error_string(code);
  }
}

Result<std::vector<CertificateInfo>> inspect(std::string_view pem) {
  Result<std::vector<Certificate>> certificates = parse_certificates(pem);
  if (!certificates) return certificates.error();
  std::vector<CertificateInfo> infos;
  infos.reserve(certificates->size());
  for (const Certificate& certificate : *certificates) infos.push_back(describe(*certificate));
  return infos;
}

// ---------------------------------------------------------------------------- issuing

namespace {

Error broken() { return fail(Errc::internal, "OpenSSL: " + take_openssl_error()); }

Key make_key(KeyType type) {
  if (type == KeyType::p256) return Key(EVP_EC_gen("P-256"));
  return Key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
}

Result<Identity> to_pem(X509& certificate, EVP_PKEY& key) {
  const Bio public_part(BIO_new(BIO_s_mem()));
  const Bio secret_part(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(public_part.get(), &certificate) != 1 ||
      PEM_write_bio_PrivateKey(secret_part.get(), &key, nullptr, nullptr, 0, nullptr, nullptr) !=
          1) {
    return broken();
  }
  return Identity{text_of(*public_part), text_of(*secret_part)};
}

bool add_extension(X509& certificate, X509& issuer, int kind, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, &issuer, &certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value));
  return extension != nullptr && X509_add_ext(&certificate, extension.get(), -1) == 1;
}

Result<GeneralName> alternative_name(const std::string& name) {
  GeneralName made(GENERAL_NAME_new());
  if (is_address(name)) {
    GENERAL_NAME_set0_value(made.get(), GEN_IPADD, a2i_IPADDRESS(name.c_str()));
    return made;
  }
  const bool uri = name.find("://") != name.npos;
  const bool printable = std::all_of(name.begin(), name.end(), [](char c) { return c > ' '; });
  if (uri ? !printable || name.size() > 2048 : !is_host_name(name, true)) {
    return bad("names: \"" +
               shown(reinterpret_cast<const unsigned char*>(name.data()),
                     static_cast<int>(std::min<std::size_t>(name.size(), 300))) +
               "\" is no host name, address or URI");
  }
  ASN1_IA5STRING* text = ASN1_IA5STRING_new();
  ASN1_STRING_set(text, name.data(), static_cast<int>(name.size()));
  GENERAL_NAME_set0_value(made.get(), uri ? GEN_URI : GEN_DNS, text);
  return made;
}

Result<void> add_names(X509& certificate, const std::vector<std::string>& names, bool critical) {
  if (names.empty()) return bad("names: there is none");
  if (names.size() > names_max) return bad("names: more than 1000");
  const GeneralNames all(GENERAL_NAMES_new());
  for (const std::string& name : names) {
    Result<GeneralName> made = alternative_name(name);
    if (!made) return made.error();
    if (sk_GENERAL_NAME_push(all.get(), made->get()) == 0) return broken();
    (void)made->release();
  }
  if (X509_add1_ext_i2d(&certificate, NID_subject_alt_name, all.get(), critical ? 1 : 0, 0) != 1) {
    return broken();
  }
  return {};
}

struct Validity {
  WallTime from;
  WallTime to;
};

/// Version, a serial number that is always of one length, validity, subject and key.
Result<Certificate> begin_certificate(const std::string& common_name, Validity validity,
                                      EVP_PKEY& key) {
  Certificate made(X509_new());
  unsigned char serial[serial_bytes];
  if (made == nullptr || RAND_bytes(serial, sizeof serial) != 1) return broken();
  serial[0] = static_cast<unsigned char>((serial[0] & 0x3f) | 0x40);
  const Name name(X509_NAME_new());
  if (!common_name.empty() &&
      X509_NAME_add_entry_by_NID(name.get(), NID_commonName, MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(common_name.data()),
                                 static_cast<int>(common_name.size()), -1, 0) != 1) {
    ERR_clear_error();
    return bad("common_name: it is longer than 64 characters or no UTF-8");
  }
  ASN1_INTEGER* number = X509_get_serialNumber(made.get());
  const bool done =
      X509_set_version(made.get(), X509_VERSION_3) == 1 &&
      ASN1_STRING_set(number, serial, sizeof serial) == 1 &&
      ASN1_TIME_set(X509_getm_notBefore(made.get()), unix_seconds(validity.from)) != nullptr &&
      ASN1_TIME_set(X509_getm_notAfter(made.get()), unix_seconds(validity.to)) != nullptr &&
      X509_set_subject_name(made.get(), name.get()) == 1 && X509_set_pubkey(made.get(), &key) == 1;
  if (!done) return broken();
  return made;
}

bool sign(X509& certificate, EVP_PKEY& key) {
  const bool digests_itself = EVP_PKEY_get_base_id(&key) == EVP_PKEY_ED25519;
  return X509_sign(&certificate, &key, digests_itself ? nullptr : EVP_sha256()) > 0;
}

Result<Validity> validity(Duration lifetime, WallTime now) {
  if (lifetime <= Duration(0) || lifetime > lifetime_max) {
    return bad("lifetime: not between a moment and a hundred years");
  }
  return Validity{now - late_clocks, now + lifetime};
}

}  // namespace

Result<Authority> Authority::create(const AuthorityOptions& options, WallTime now) {
  ERR_clear_error();
  if (options.common_name.empty()) return bad("common_name: it is empty");
  Result<Validity> times = validity(options.lifetime, now);
  if (!times) return times.error();
  const Key key = make_key(options.key_type);
  if (key == nullptr) return broken();
  Result<Certificate> made = begin_certificate(options.common_name, *times, *key);
  if (!made) return made.error();
  X509& certificate = **made;
  const bool done =
      X509_set_issuer_name(&certificate, X509_get_subject_name(&certificate)) == 1 &&
      add_extension(certificate, certificate, NID_basic_constraints,
                    "critical,CA:TRUE,pathlen:0") &&
      add_extension(certificate, certificate, NID_key_usage, "critical,keyCertSign,cRLSign") &&
      add_extension(certificate, certificate, NID_subject_key_identifier, "hash") &&
      sign(certificate, *key);
  if (!done) return broken();
  Result<Identity> identity = to_pem(certificate, *key);
  if (!identity) return identity.error();
  return Authority(std::move(*identity));
}

Result<Authority> Authority::from(Identity identity) {
  Result<Credentials> read = parse_identity(identity);
  if (!read) return read.error();
  if (X509_check_ca(read->chain.front().get()) != 1) {
    return bad("certificates: " + describe(*read->chain.front()).subject + " is no authority");
  }
  return Authority(std::move(identity));
}

Result<Identity> Authority::issue(const LeafOptions& options, WallTime now) const {
  Result<Credentials> own = parse_identity(identity_);
  if (!own) return own.error();
  X509& issuer = *own->chain.front();
  Result<Validity> times = validity(options.lifetime, now);
  if (!times) return times.error();
  times->to = std::min(times->to, time_of(X509_get0_notAfter(&issuer)));
  if (times->to <= now) return bad("lifetime: the authority itself has expired");
  const Key key = make_key(options.key_type);
  if (key == nullptr) return broken();
  std::string common_name = options.common_name;
  if (common_name.empty() && !options.names.empty() &&
      options.names.front().size() <= common_name_max) {
    common_name = options.names.front();
  }
  Result<Certificate> made = begin_certificate(common_name, *times, *key);
  if (!made) return made.error();
  X509& certificate = **made;
  Result<void> named = add_names(certificate, options.names, common_name.empty());
  if (!named) return named.error();
  const bool done =
      X509_set_issuer_name(&certificate, X509_get_subject_name(&issuer)) == 1 &&
      add_extension(certificate, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
      add_extension(certificate, issuer, NID_key_usage, "critical,digitalSignature") &&
      add_extension(certificate, issuer, NID_ext_key_usage, "serverAuth,clientAuth") &&
      add_extension(certificate, issuer, NID_subject_key_identifier, "hash") &&
      add_extension(certificate, issuer, NID_authority_key_identifier, "keyid:always") &&
      sign(certificate, *own->key);
  if (!done) return broken();
  return to_pem(certificate, *key);
}

}  // namespace knative::tls
