/// \file
/// TLS over any network: `wrap` makes connections of a `Network` or a `Listener` secure.
///
/// Both are decorators that speak TLS over the streams they are given, so they work in `Loop` and
/// in `Simulation` alike. TLS 1.2 (RFC 5246, ephemeral elliptic curves and AEAD only) and TLS 1.3
/// (RFC 8446). Host names are verified by subjectAltName alone (RFC 9525), times against
/// `Timers::wall()`. Not here: revocation lists, session resumption, renegotiation, a way to leave
/// out verification; a private authority is trusted by its certificate instead.
///
/// A secure stream keeps the promises of `Stream`. In addition an end without the peer's
/// close_notify fails with `unavailable` ("truncated"), so that a cut is told from an end;
/// destroying a stream says close_notify when that needs no waiting. Memory per connection is
/// bounded: what is received beyond one record waits in the network.
///
/// Everything belongs to one loop. Sizes on the wire depend on the seed of a simulation alone
/// when no certificate has an ECDSA key, whose signatures vary in length.
///
/// \code
/// auto authority = tls::Authority::create({}, env.timers.wall()).value();
/// tls::LeafOptions leaf;
/// leaf.names = {"localhost", "127.0.0.1"};
/// tls::ServerOptions server;
/// server.identities.push_back(authority.issue(leaf, env.timers.wall()).value());
/// auto listener = tls::wrap(env.executor, env.timers, env.logger, std::move(plain), server);
///
/// tls::ClientOptions client;
/// client.trust.certificates = authority.certificate();
/// auto network = tls::wrap(env.executor, env.timers, env.network, client).value();
/// auto stream = co_await network->connect(endpoint);
/// \endcode
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knative/env.hpp"
#include "knative/error.hpp"
#include "knative/io.hpp"
#include "knative/task.hpp"

namespace knative::tls {

// ---------------------------------------------------------------------------- facts

/// Versions of the protocol, oldest first.
enum class Version : unsigned char { tls_1_2 = 2, tls_1_3 = 3 };

/// "TLSv1.2", "TLSv1.3"
KNATIVE_EXPORT std::string_view to_string(Version version) noexcept;

/// What a certificate says of itself.
struct CertificateInfo {
  std::string subject;  ///< As in RFC 4514: "CN=ada,O=Analytical Engines".
  std::string issuer;   ///< Likewise.
  /// Names and addresses it is for (subjectAltName): host names, IP addresses, URIs, mail.
  std::vector<std::string> names;
  WallTime not_before{};
  WallTime not_after{};
  std::string key;     ///< Kind and size: "RSA 2048", "EC P-256", "Ed25519".
  std::string sha256;  ///< Digest of its DER form, 64 hexadecimal digits.
  friend bool operator==(const CertificateInfo&, const CertificateInfo&) = default;
};

/// Read every certificate of a PEM text, in order. Fails with `invalid_argument`, naming the
/// number of the one that is damaged, or when there is none. Private keys are passed over.
KNATIVE_EXPORT Result<std::vector<CertificateInfo>> inspect(std::string_view pem);

/// What a handshake has established; `Stream::tls_facts()` gives it.
struct Facts {
  Version version = Version::tls_1_3;
  std::string cipher;       ///< "TLS_AES_128_GCM_SHA256"
  std::string alpn;         ///< The protocol agreed upon, e.g. "h2"; empty: none.
  std::string server_name;  ///< What the client asked for (RFC 6066); empty: nothing.
  /// The peer's certificate, verified; none when the client of this stream showed none.
  std::optional<CertificateInfo> peer;
};

// ---------------------------------------------------------------------------- identity, trust

/// Who we are: PEM text of the certificate, its issuers after it, and its private key (RSA of at
/// least 2048 bits, ECDSA or Ed25519; not encrypted). The key never appears in an error or a log.
struct Identity {
  std::string certificates;
  std::string private_key;
};

/// Whom we believe.
struct Trust {
  /// The operating system's authorities, those of the machine in a simulation, too; SSL_CERT_FILE
  /// and SSL_CERT_DIR replace its places.
  bool system = true;
  /// More of them as PEM text. A certificate in here is trusted as it is, be it an authority's or
  /// a peer's own.
  std::string certificates;
};

/// PEM files; an empty path: none.
struct Paths {
  std::string certificates;  ///< Of `Identity`.
  std::string private_key;   ///< Of `Identity`; may be the same file.
  std::string trusted;       ///< Of `Trust`.
};

/// The content of `Paths`.
struct Material {
  std::optional<Identity> identity;
  std::string trusted;
};

/// Read the files and check that they are what they should be and that key and certificate belong
/// together. Errors name the file. Blocks.
KNATIVE_EXPORT Result<Material> load(Files& files, const Paths& paths);

/// How `follow` looks at files.
struct FollowOptions {
  Duration interval = std::chrono::seconds(10);
};

/// Look at the files again and again until dropped, and give them to `apply` whenever they
/// differ from `current` and are in order; typically it calls `reload`. While they are not (a key
/// that does not fit its certificate yet) or `apply` fails, all stays as it is, the log says why,
/// once per cause, and the next round tries again.
KNATIVE_EXPORT Task<void> follow(Timers& timers, Files& files, Offload& offload, Logger& logger,
                                 Paths paths, Material current,
                                 std::function<Result<void>(const Material&)> apply,
                                 FollowOptions options = {});

// ---------------------------------------------------------------------------- client

/// How to dial.
struct ClientOptions {
  Trust trust;
  std::optional<Identity> identity;  ///< Shown to servers that ask for a certificate.
  std::vector<std::string> alpn;     ///< Protocols to offer, the best first (RFC 7301).
  /// Verify this name or address instead of the endpoint's host; needed for Unix sockets.
  std::string server_name;
  Version version_min = Version::tls_1_2;
  Duration handshake_timeout = std::chrono::seconds(10);  ///< Without the time to connect.
};

/// A network whose connections are TLS. Connections may outlive it.
class KNATIVE_EXPORT SecureNetwork : public Network {
 public:
  virtual ~SecureNetwork() = default;
  /// Begin TLS on a connection that stands, e.g. through a proxy, with the server of this name or
  /// address. Fails with
  ///  - `failed_precondition`: the server's certificate is not to be trusted; says why, e.g.
  ///    "the certificate is for a.example, not for b.example",
  ///  - `unavailable`: the connection broke, or the server refused (its alert is named),
  ///  - `deadline_exceeded`: no handshake within `handshake_timeout`,
  ///  - `invalid_argument`: no name, or one that cannot be verified.
  virtual Task<Result<std::unique_ptr<Stream>>> secure(std::unique_ptr<Stream> stream,
                                                       std::string server_name) = 0;
  /// Connections from here on use these options. Fails as `wrap` and then changes nothing.
  virtual Result<void> reload(const ClientOptions& options) = 0;
  // connect: as the network below, then as `secure` with the endpoint's host. A server that asks
  // for a client's certificate judges it after the client is done: the first read tells.
  // listen: fails with `failed_precondition`; listeners are wrapped by themselves.
};

/// Dial TLS over `network`, which must outlive what is returned, as must the others. Fails with
/// `invalid_argument`, naming the option.
KNATIVE_EXPORT Result<std::unique_ptr<SecureNetwork>> wrap(Executor& executor, Timers& timers,
                                                           Network& network,
                                                           const ClientOptions& options = {});

// ---------------------------------------------------------------------------- server

/// Whether a server asks its clients for certificates.
enum class ClientCertificates : unsigned char {
  ignored,   ///< Does not ask.
  optional,  ///< Asks, and refuses one that is not to be trusted.
  required,  ///< Refuses clients without one.
};

/// How to serve.
struct ServerOptions {
  /// At least one. The name a client asks for chooses; the first one is for all others.
  std::vector<Identity> identities;
  ClientCertificates client_certificates = ClientCertificates::ignored;
  Trust client_trust = {false, {}};  ///< Whose clients are believed.
  /// Protocols to choose from, the best first. A client that offers only others is refused; one
  /// that offers none is served. Empty: whatever is offered is passed over.
  std::vector<std::string> alpn;
  Version version_min = Version::tls_1_2;
  Duration handshake_timeout = std::chrono::seconds(10);
  /// Connections whose handshake is under way or that wait for `accept`. When all are taken, the
  /// one that keeps us waiting longest goes, once that is a second; new ones wait meanwhile.
  std::size_t handshakes_max = 256;
};

/// What became of the connections of a listener.
struct HandshakeCounts {
  std::uint64_t completed = 0;
  std::uint64_t failed = 0;  ///< No TLS, no common version, certificate refused, broken.
  std::uint64_t timed_out = 0;
  std::uint64_t evicted = 0;  ///< Gave way to others; see `handshakes_max`.
  std::size_t under_way = 0;
  friend bool operator==(const HandshakeCounts&, const HandshakeCounts&) = default;
};

/// A listener whose connections are TLS. Handshakes run side by side, and `accept` yields those
/// that are done: a client that stalls stops nobody. Failed ones are counted and logged (debug).
/// Connections may outlive it.
class KNATIVE_EXPORT SecureListener : public Listener {
 public:
  /// Connections accepted from here on use these options. Fails as `wrap` and then changes
  /// nothing.
  virtual Result<void> reload(const ServerOptions& options) = 0;
  virtual HandshakeCounts counts() const noexcept = 0;
};

/// Serve TLS on `listener`. Fails with `invalid_argument`, naming the option, when a certificate,
/// key or protocol is damaged or weak, or they do not belong together.
KNATIVE_EXPORT Result<std::unique_ptr<SecureListener>> wrap(Executor& executor, Timers& timers,
                                                            Logger& logger,
                                                            std::unique_ptr<Listener> listener,
                                                            const ServerOptions& options);

// ---------------------------------------------------------------------------- authority

/// Kinds of keys that are made here.
enum class KeyType : unsigned char {
  ed25519,  ///< Small and quick, signatures of one length. Browsers do not know it.
  p256,     ///< ECDSA, understood by everybody.
};

/// What a new authority is like.
struct AuthorityOptions {
  std::string common_name = "knative local authority";
  KeyType key_type = KeyType::ed25519;
  Duration lifetime = std::chrono::hours(24 * 3650);
};

/// What a new certificate is for. It serves servers and clients alike.
struct LeafOptions {
  /// Host names ("*.svc.local" too), IP addresses or URIs (with "://").
  std::vector<std::string> names;
  std::string common_name;  ///< Empty: the first name.
  KeyType key_type = KeyType::ed25519;
  Duration lifetime = std::chrono::hours(24 * 90);  ///< No longer than the authority's own.
};

/// A certificate authority of our own, for tests and local use: who trusts its certificate trusts
/// what it issues. A value; whoever holds it can issue, so keep it as a private key is kept.
class KNATIVE_EXPORT Authority {
 public:
  /// Make a new one. It and what it issues begin an hour before `now`, for clocks that are late.
  /// Fails with `invalid_argument` when an option is not usable.
  static Result<Authority> create(const AuthorityOptions& options, WallTime now);
  /// Go on with one that was kept. Fails with `invalid_argument` when it is damaged or is no
  /// authority.
  static Result<Authority> from(Identity identity);

  /// Its certificate as PEM text, for `Trust::certificates`.
  const std::string& certificate() const noexcept { return identity_.certificates; }
  /// Certificate and private key, to be kept.
  const Identity& identity() const noexcept { return identity_; }
  /// Make a key and a certificate for it. Fails with `invalid_argument`, naming the option.
  Result<Identity> issue(const LeafOptions& options, WallTime now) const;

 private:
  explicit Authority(Identity identity) : identity_(std::move(identity)) {}
  Identity identity_;
};

}  // namespace knative::tls
