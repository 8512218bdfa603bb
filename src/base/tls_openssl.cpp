// TLS connections by OpenSSL, as a state machine between two pairs of buffers: OpenSSL reads what
// the inner stream has received and appends what it is to send; it never sees a socket. Bounds: at
// most one buffer of received bytes, and nothing is sealed while more than `flight_bytes` wait.
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <map>
#include <optional>
#include <utility>

#include "base/text.hpp"
#include "base/tls_certificates.hpp"
#include "base/tls_stream.hpp"

namespace knative::tls {
namespace {

constexpr std::size_t record_bytes = 16 * 1024;
constexpr std::size_t flight_bytes = 64 * 1024;  // sealed at a time
constexpr std::size_t sealing_bytes = 256;       // what records add to it
constexpr std::size_t first_input_bytes = 4 * 1024;
constexpr std::size_t large_input_bytes = 32 * 1024;
constexpr std::size_t refused_input_bytes_max = 64 * 1024;
constexpr Duration refused_time = std::chrono::seconds(1);
constexpr int chain_depth_max = 10;
constexpr int security_level = 2;  // 112 bits: RSA 2048, no MD5, no SHA-1

struct ContextFree {
  void operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }
};
struct ConnectionFree {
  void operator()(SSL* connection) const noexcept { SSL_free(connection); }
};
struct MethodFree {
  void operator()(BIO_METHOD* method) const noexcept { BIO_meth_free(method); }
};
struct StackFree {
  void operator()(STACK_OF(X509) * stack) const noexcept { sk_X509_free(stack); }
};
using Connection = std::unique_ptr<SSL, ConnectionFree>;

}  // namespace

class Context {
 public:
  Context() = default;
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  /// The credentials to serve a host name with; null: the first.
  struct Served {
    Credentials credentials;
    std::unique_ptr<STACK_OF(X509), StackFree> issuers;
  };
  const Served* find(std::string_view server_name) const;

  std::unique_ptr<SSL_CTX, ContextFree> ssl;
  std::unique_ptr<BIO_METHOD, MethodFree> method;
  std::string alpn;  ///< In the form of the wire.
  std::vector<Served> served;
  std::map<std::string, std::size_t, std::less<>> by_name;
};

const Context::Served* Context::find(std::string_view server_name) const {
  std::string name(server_name);
  for (char& c : name) c = base::to_lower(c);
  auto found = by_name.find(name);
  if (found == by_name.end()) {
    const std::size_t dot = name.find('.');
    if (dot != name.npos) found = by_name.find("*" + name.substr(dot));
  }
  if (found == by_name.end() || found->second == 0) return nullptr;
  return &served[found->second];
}

namespace {

// ---------------------------------------------------------------------------- stream

class OpensslStream final : public SecureStream {
 public:
  OpensslStream(Executor& executor, Timers& timers, std::shared_ptr<const Context> context,
                std::unique_ptr<Stream> inner)
      : timers_(timers),
        context_(std::move(context)),
        inner_(std::move(inner)),
        ssl_(SSL_new(context_->ssl.get())),
        received_(executor, *this, &OpensslStream::on_received),
        sent_(executor, *this, &OpensslStream::on_sent) {}
  ~OpensslStream() override;

  Result<void> begin_server();
  Result<void> begin_client(std::string_view server_name);

  Task<Result<void>> handshake() override;
  void shutdown_write() noexcept override;
  void abort() noexcept override;
  std::string peer() const override { return inner_->peer(); }
  const Facts* tls_facts() const noexcept override { return facts_ ? &*facts_ : nullptr; }

  // OpenSSL's side.
  static int on_bio_read(BIO* bio, char* into, int size) noexcept;
  static int on_bio_write(BIO* bio, const char* from, int size) noexcept;
  static long on_bio_control(BIO* bio, int command, long, void*) noexcept;
  static int on_verify(int good, X509_STORE_CTX* verification) noexcept;
  static int on_certificate(SSL* ssl, void* context) noexcept;
  static int on_alpn(SSL* ssl, const unsigned char** out, unsigned char* out_size,
                     const unsigned char* in, unsigned in_size, void* context) noexcept;

 private:
  /// Runs when an inner operation that was pending has finished. A fiber without a frame: being
  /// made ready just calls `on_done`.
  class Reaction final : public Fiber {
   public:
    Reaction(Executor& executor, OpensslStream& stream, void (OpensslStream::*react)())
        : Fiber(executor), stream_(stream), react_(react) {}
    ~Reaction() override = default;

   private:
    void on_done() noexcept override { (stream_.*react_)(); }
    OpensslStream& stream_;
    void (OpensslStream::*react_)();
  };

  static Error aborted() { return fail(Errc::cancelled, "the connection was aborted"); }

  bool start(StreamOp& op) override;
  void cancel(StreamOp& op) noexcept override;
  void on_received();
  void on_sent();

  Result<void> attach();
  void advance_read();
  void advance_write();
  bool receive();
  void take_received();
  bool flush();
  void take_sent();
  bool seal();
  std::span<const char> next_plain(std::array<char, record_bytes>& scratch, std::size_t& taken);
  void finish_shutdown() noexcept;
  void complete_read(Result<std::size_t> result);
  void complete_write(Result<std::size_t> result);

  std::span<char> input_room();
  Error explain(int why);
  void establish();
  Task<Result<void>> refuse_politely();

  Timers& timers_;
  std::shared_ptr<const Context> context_;
  std::unique_ptr<Stream> inner_;
  std::unique_ptr<char[]> input_;
  std::size_t input_capacity_ = 0;
  std::size_t input_begin_ = 0;
  std::size_t input_end_ = 0;
  std::string output_;  // sealed, waits for the flight before it
  std::string flight_;  // being sent
  std::string_view flight_view_;
  Connection ssl_;
  std::string server_name_;
  std::string distrust_;  // why the peer's certificate was refused
  std::optional<Facts> facts_;
  std::optional<Error> read_failure_;
  std::optional<Error> write_failure_;
  StreamOp* read_ = nullptr;
  StreamOp* write_ = nullptr;
  std::size_t piece_ = 0;    // of the write: the buffer being sealed
  std::size_t offset_ = 0;   // in it
  std::size_t written_ = 0;  // sealed of the operation so far
  std::size_t total_ = 0;    // of the operation
  bool inner_ended_ = false;
  bool aborted_ = false;
  bool shut_ = false;           // no more writes
  bool close_said_ = false;     // close_notify was sealed
  bool shutdown_done_ = false;  // and all was sent
  bool is_client_ = false;
  Reaction received_;
  Reaction sent_;
  // After the stream they are on: operations go first.
  std::optional<StreamOp> inner_read_;
  std::optional<StreamOp> inner_write_;
};

OpensslStream& stream_of(SSL* ssl) { return *static_cast<OpensslStream*>(SSL_get_app_data(ssl)); }

OpensslStream::~OpensslStream() {
  KN_ASSERT(read_ == nullptr && write_ == nullptr);
  const bool quiet = !inner_write_ && output_.empty() && !write_failure_ && !aborted_;
  if (!facts_ || close_said_ || !quiet) return;
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
  flush();  // what needs waiting is not sent
}

Result<void> OpensslStream::attach() {
  BIO* bio = ssl_ == nullptr ? nullptr : BIO_new(context_->method.get());
  if (bio == nullptr) return fail(Errc::resource_exhausted, "TLS: " + take_openssl_error());
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_app_data(ssl_.get(), this);
  X509_VERIFY_PARAM_set_time(SSL_get0_param(ssl_.get()), unix_seconds(timers_.wall()));
  return {};
}

Result<void> OpensslStream::begin_server() {
  Result<void> attached = attach();
  if (attached) SSL_set_accept_state(ssl_.get());
  return attached;
}

Result<void> OpensslStream::begin_client(std::string_view server_name) {
  if (server_name.starts_with('[') && server_name.ends_with(']')) {
    server_name = server_name.substr(1, server_name.size() - 2);
  }
  if (server_name.ends_with('.')) server_name.remove_suffix(1);
  const bool address = is_address(server_name);
  if (!address && !is_host_name(server_name, false)) {
    return bad("server name \"" + std::string(server_name.substr(0, 300)) +
               "\": no host name and no address that a certificate can be for");
  }
  Result<void> attached = attach();
  if (!attached) return attached;
  is_client_ = true;
  server_name_ = server_name;
  X509_VERIFY_PARAM* verify = SSL_get0_param(ssl_.get());
  X509_VERIFY_PARAM_set_hostflags(
      verify, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  const bool set = address ? X509_VERIFY_PARAM_set1_ip_asc(verify, server_name_.c_str()) == 1
                           : X509_VERIFY_PARAM_set1_host(verify, server_name_.data(),
                                                         server_name_.size()) == 1 &&
                                 SSL_set_tlsext_host_name(ssl_.get(), server_name_.c_str()) == 1;
  if (!set) return fail(Errc::internal, "TLS: " + take_openssl_error());
  SSL_set_connect_state(ssl_.get());
  return {};
}

// ---------------------------------------------------------------------------- OpenSSL's side

int OpensslStream::on_bio_read(BIO* bio, char* into, int size) noexcept {
  auto& stream = *static_cast<OpensslStream*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const std::size_t count = std::min(stream.input_end_ - stream.input_begin_,
                                     static_cast<std::size_t>(std::max(size, 0)));
  if (count == 0) {
    BIO_set_retry_read(bio);
    return -1;
  }
  std::memcpy(into, stream.input_.get() + stream.input_begin_, count);
  stream.input_begin_ += count;
  return static_cast<int>(count);
}

int OpensslStream::on_bio_write(BIO* bio, const char* from, int size) noexcept {
  auto& stream = *static_cast<OpensslStream*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  stream.output_.append(from, static_cast<std::size_t>(std::max(size, 0)));
  return size;
}

long OpensslStream::on_bio_control(BIO*, int command, long, void*) noexcept {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

int OpensslStream::on_verify(int good, X509_STORE_CTX* verification) noexcept {
  if (good == 1) return 1;
  auto* ssl = static_cast<SSL*>(
      X509_STORE_CTX_get_ex_data(verification, SSL_get_ex_data_X509_STORE_CTX_idx()));
  OpensslStream& stream = stream_of(ssl);
  if (stream.distrust_.empty()) {
    const int code = X509_STORE_CTX_get_error(verification);
    X509* certificate = X509_STORE_CTX_get_current_cert(verification);
    if (certificate == nullptr) certificate = X509_STORE_CTX_get0_cert(verification);
    stream.distrust_ =
        certificate == nullptr
            ? std::string(X509_verify_cert_error_string(code))
            : distrust_text(code, *certificate, stream.server_name_, stream.timers_.wall());
  }
  return 0;
}

int OpensslStream::on_certificate(SSL* ssl, void* context) noexcept {
  const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (name == nullptr) return 1;
  const Context::Served* served = static_cast<const Context*>(context)->find(name);
  if (served == nullptr) return 1;
  SSL_certs_clear(ssl);  // another kind of key in the first identity would stay beside it
  return SSL_use_cert_and_key(ssl, served->credentials.chain.front().get(),
                              served->credentials.key.get(), served->issuers.get(), 1);
}

int OpensslStream::on_alpn(SSL*, const unsigned char** out, unsigned char* out_size,
                           const unsigned char* in, unsigned in_size, void* context) noexcept {
  const std::string& ours = static_cast<const Context*>(context)->alpn;
  unsigned char* chosen = nullptr;
  const int how =
      SSL_select_next_proto(&chosen, out_size, reinterpret_cast<const unsigned char*>(ours.data()),
                            static_cast<unsigned>(ours.size()), in, in_size);
  *out = chosen;
  return how == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/// What a failed call of OpenSSL means, in words for people.
Error OpensslStream::explain(int why) {
  const unsigned long code = ERR_peek_last_error();
  const int reason = ERR_GET_REASON(code);
  const std::string text = take_openssl_error();
  const std::string where =
      (is_client_ ? server_name_ + " (" + inner_->peer() + ")" : inner_->peer()) + ": ";
  if (!distrust_.empty()) return fail(Errc::failed_precondition, where + distrust_);
  if (why != SSL_ERROR_SSL || ERR_GET_LIB(code) != ERR_LIB_SSL) {
    return fail(Errc::unavailable, where + "TLS failed: " + text);
  }
  if (reason > SSL_AD_REASON_OFFSET) {
    return fail(Errc::unavailable, where + "the peer refused: " + text);
  }
  switch (reason) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
      return fail(Errc::unavailable, where + "the peer speaks HTTP without TLS");
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_WRONG_SSL_VERSION:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_BAD_RECORD_TYPE:
      if (!facts_)
        return fail(Errc::unavailable, where + "the peer does not speak TLS (" + text + ")");
      break;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
      return fail(Errc::unavailable, where + "no version of TLS in common");
    case SSL_R_NO_SHARED_CIPHER: return fail(Errc::unavailable, where + "no cipher in common");
    case SSL_R_NO_APPLICATION_PROTOCOL:
      return fail(Errc::unavailable, where + "no application protocol in common");
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return fail(Errc::failed_precondition, where + "the client shows no certificate");
    default: break;
  }
  return fail(Errc::unavailable, where + "TLS failed: " + text);
}

// ---------------------------------------------------------------------------- handshake

std::span<char> OpensslStream::input_room() {
  // OpenSSL has taken all there was before it asks for more.
  KN_ASSERT(input_begin_ == input_end_);
  const bool filled = input_end_ == input_capacity_ && input_capacity_ != 0;
  const std::size_t wanted = filled ? large_input_bytes : first_input_bytes;
  if (input_capacity_ < wanted) {
    input_.reset(new char[wanted]);
    input_capacity_ = wanted;
  }
  input_begin_ = input_end_ = 0;
  return std::span<char>(input_.get(), input_capacity_);
}

Task<Result<void>> OpensslStream::handshake() {
  for (;;) {
    ERR_clear_error();
    const int done = SSL_do_handshake(ssl_.get());
    const int why = done == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl_.get(), done);
    std::optional<Error> refused;  // read now: OpenSSL's errors belong to the thread
    if (why != SSL_ERROR_NONE && why != SSL_ERROR_WANT_READ) refused = explain(why);
    if (!output_.empty()) {
      flight_.swap(output_);
      Result<std::size_t> sent = co_await inner_->write_all(flight_);
      flight_.clear();
      if (!sent && !refused) co_return sent.error().within(peer() + ": TLS handshake");
    }
    if (refused) {
      auto goodbye = with_deadline(timers_, refuse_politely(), timers_.now() + refused_time);
      (void)co_await goodbye;
      co_return std::move(*refused);
    }
    if (why == SSL_ERROR_NONE) break;
    const std::span<char> room = input_room();
    Result<std::size_t> got = co_await inner_->read_some(room);
    if (!got) co_return got.error().within(peer() + ": TLS handshake");
    if (*got == 0) {
      co_return fail(Errc::unavailable, peer() + ": closed during the TLS handshake");
    }
    input_end_ = *got;
  }
  establish();
  co_return Result<void>();
}

/// Closing while bytes of the peer are unread would reset the connection and could take the alert
/// with it.
Task<Result<void>> OpensslStream::refuse_politely() {
  inner_->shutdown_write();
  std::size_t dropped = 0;
  input_begin_ = input_end_ = 0;
  while (dropped < refused_input_bytes_max) {
    const std::span<char> room = input_room();
    Result<std::size_t> got = co_await inner_->read_some(room);
    if (!got || *got == 0) break;
    dropped += *got;
  }
  co_return Result<void>();
}

void OpensslStream::establish() {
  Facts facts;
  SSL* ssl = ssl_.get();
  facts.version = SSL_version(ssl) == TLS1_2_VERSION ? Version::tls_1_2 : Version::tls_1_3;
  if (const char* cipher = SSL_get_cipher_name(ssl)) facts.cipher = cipher;
  const unsigned char* protocol = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl, &protocol, &size);
  if (size != 0) facts.alpn.assign(reinterpret_cast<const char*>(protocol), size);
  if (const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)) {
    facts.server_name = name;
  }
  if (const X509* certificate = SSL_get0_peer_certificate(ssl)) {
    facts.peer = describe(*certificate);
  }
  facts_ = std::move(facts);
}

// ---------------------------------------------------------------------------- reading

bool OpensslStream::start(StreamOp& op) {
  if (aborted_) {
    op.complete(aborted());
    return true;
  }
  KN_ASSERT(facts_.has_value());  // not before the handshake
  if (op.is_read()) {
    KN_ASSERT(read_ == nullptr);
    if (op.read_buffer().empty()) {
      op.complete(std::size_t{0});
      return true;
    }
    read_ = &op;
    advance_read();
    return read_ == nullptr;
  }
  KN_ASSERT(write_ == nullptr);
  write_ = &op;
  piece_ = offset_ = written_ = total_ = 0;
  for (const std::string_view piece : op.write_buffers()) total_ += piece.size();
  advance_write();
  return write_ == nullptr;
}

void OpensslStream::cancel(StreamOp& op) noexcept {
  // What goes on below is between the inner stream and us: no byte of the user is touched.
  if (read_ == &op) read_ = nullptr;
  if (write_ == &op) {
    write_ = nullptr;
    if (shut_) finish_shutdown();
  }
}

void OpensslStream::complete_read(Result<std::size_t> result) {
  if (StreamOp* op = std::exchange(read_, nullptr)) op->complete(std::move(result));
}

void OpensslStream::complete_write(Result<std::size_t> result) {
  if (StreamOp* op = std::exchange(write_, nullptr)) op->complete(std::move(result));
  if (!inner_write_) {
    // The connection may be idle from now on: it keeps no large flight's memory.
    if (flight_.capacity() > record_bytes) flight_ = std::string();
    if (output_.empty() && output_.capacity() > record_bytes) output_ = std::string();
  }
  if (shut_) finish_shutdown();
}

void OpensslStream::advance_read() {
  while (read_ != nullptr) {
    if (read_failure_) return complete_read(*read_failure_);
    // Answers to a peer that asks for new keys must not pile up.
    if (output_.size() >= flight_bytes && !flush()) return;
    std::size_t got = 0;
    ERR_clear_error();
    const std::span<char> into = read_->read_buffer();
    const int done = SSL_read_ex(ssl_.get(), into.data(), into.size(), &got);
    const int why = done == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl_.get(), done);
    if (why != SSL_ERROR_NONE && why != SSL_ERROR_WANT_READ && why != SSL_ERROR_ZERO_RETURN) {
      read_failure_ = explain(why);
    }
    if (!output_.empty()) flush();
    if (why == SSL_ERROR_NONE) return complete_read(got);
    if (why == SSL_ERROR_ZERO_RETURN) return complete_read(std::size_t{0});
    if (read_failure_) continue;
    if (inner_ended_) {
      read_failure_ = fail(Errc::unavailable,
                           peer() + ": truncated: the connection ended without close_notify");
      continue;
    }
    if (!receive()) return;
  }
}

/// Have more bytes; false: they come later.
bool OpensslStream::receive() {
  if (inner_read_) return false;
  inner_read_.emplace(*inner_, input_room());
  if (!inner_read_->begin()) {
    inner_read_->park(received_);
    return false;
  }
  take_received();
  return true;
}

void OpensslStream::take_received() {
  Result<std::size_t> got = inner_read_->await_resume();
  inner_read_.reset();
  if (!got) {
    read_failure_ = std::move(got).error();
  } else if (*got == 0) {
    inner_ended_ = true;
  } else {
    input_end_ = *got;
  }
}

void OpensslStream::on_received() {
  if (!inner_read_ || inner_read_->pending()) return;
  take_received();
  advance_read();
}

// ---------------------------------------------------------------------------- writing

/// The next plain bytes to seal as one record: of the operation's own where they fill a record,
/// gathered where they are small.
std::span<const char> OpensslStream::next_plain(std::array<char, record_bytes>& scratch,
                                                std::size_t& taken) {
  const std::span<const std::string_view> pieces = write_->write_buffers();
  while (piece_ < pieces.size() && offset_ == pieces[piece_].size()) {
    ++piece_;
    offset_ = 0;
  }
  taken = 0;
  if (piece_ == pieces.size()) return {};
  const std::string_view first = pieces[piece_].substr(offset_);
  const bool last = piece_ + 1 == pieces.size();
  if (first.size() >= record_bytes || last) {
    taken = std::min(first.size(), record_bytes);
    offset_ += taken;
    return {first.data(), taken};
  }
  for (; piece_ < pieces.size() && taken < record_bytes; ++piece_, offset_ = 0) {
    const std::string_view rest = pieces[piece_].substr(offset_);
    const std::size_t count = std::min(rest.size(), record_bytes - taken);
    if (count != 0) std::memcpy(scratch.data() + taken, rest.data(), count);
    taken += count;
    if (count < rest.size()) {
      offset_ += count;
      break;
    }
  }
  return {scratch.data(), taken};
}

/// Seal what fits into one flight. True when nothing of the operation is left.
bool OpensslStream::seal() {
  std::array<char, record_bytes> scratch;  // not initialised
  output_.reserve(std::min(total_ - written_, flight_bytes + record_bytes) + sealing_bytes);
  while (output_.size() < flight_bytes) {
    std::size_t taken = 0;
    const std::span<const char> plain = next_plain(scratch, taken);
    if (taken == 0) return true;
    std::size_t done = 0;
    ERR_clear_error();
    const int sealed = SSL_write_ex(ssl_.get(), plain.data(), plain.size(), &done);
    if (sealed != 1 || done != plain.size()) {
      write_failure_ = explain(SSL_get_error(ssl_.get(), sealed));
      return true;
    }
    written_ += taken;
  }
  return false;
}

void OpensslStream::advance_write() {
  while (write_ != nullptr) {
    if (write_failure_) return complete_write(*write_failure_);
    if (close_said_) {
      return complete_write(fail(Errc::unavailable, "writing after shutdown_write"));
    }
    const bool all = seal();
    if (write_failure_) continue;
    if (!flush()) return;
    if (all && output_.empty() && !write_failure_) return complete_write(written_);
  }
}

/// Send what is sealed. True when nothing is under way any more.
bool OpensslStream::flush() {
  if (inner_write_) return false;
  if (output_.empty() || write_failure_) return true;
  flight_.clear();
  flight_.swap(output_);
  flight_view_ = flight_;
  inner_write_.emplace(*inner_, std::span<const std::string_view>(&flight_view_, 1));
  if (!inner_write_->begin()) {
    inner_write_->park(sent_);
    return false;
  }
  take_sent();
  return true;
}

void OpensslStream::take_sent() {
  Result<std::size_t> sent = inner_write_->await_resume();
  inner_write_.reset();
  if (!sent) write_failure_ = std::move(sent).error();
}

void OpensslStream::on_sent() {
  if (!inner_write_ || inner_write_->pending()) return;
  take_sent();
  if (write_ != nullptr) {
    advance_write();
  } else if (flush() && shut_) {
    finish_shutdown();
  }
  if (read_ != nullptr && !inner_read_) advance_read();
}

// ---------------------------------------------------------------------------- the end

void OpensslStream::shutdown_write() noexcept {
  if (shut_ || aborted_) return;
  shut_ = true;
  finish_shutdown();
}

/// Say close_notify after the last byte, and end the stream below after that.
void OpensslStream::finish_shutdown() noexcept {
  if (write_ != nullptr || shutdown_done_ || aborted_) return;
  if (!close_said_) {
    close_said_ = true;
    ERR_clear_error();
    if (facts_ && !write_failure_) SSL_shutdown(ssl_.get());
    ERR_clear_error();
  }
  while (!output_.empty() && !write_failure_) {
    if (!flush()) return;
  }
  if (inner_write_) return;
  shutdown_done_ = true;
  inner_->shutdown_write();
}

void OpensslStream::abort() noexcept {
  if (aborted_) return;
  aborted_ = true;
  inner_->abort();
  complete_read(aborted());
  complete_write(aborted());
}

// ---------------------------------------------------------------------------- contexts

Result<void> trust(SSL_CTX& ssl, const Trust& trusted, std::string_view field, bool name_them) {
  X509_STORE* store = SSL_CTX_get_cert_store(&ssl);
  // What is given is trusted as it is: an authority below a root, or the peer itself.
  X509_VERIFY_PARAM_set_flags(X509_STORE_get0_param(store), X509_V_FLAG_PARTIAL_CHAIN);
  if (!trusted.system && trusted.certificates.empty()) {
    return bad(std::string(field) + ": nobody is trusted, so nobody could connect");
  }
  if (trusted.system) {
    X509_STORE_set_default_paths(store);
    // A library that was built elsewhere looks at places that this system may not have.
    if (::access(X509_get_default_cert_file(), R_OK) != 0 &&
        ::access(X509_get_default_cert_dir(), R_OK) != 0) {
      for (const char* place :
           {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
            "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"}) {
        if (::access(place, R_OK) == 0 && X509_STORE_load_file(store, place) == 1) break;
      }
    }
    ERR_clear_error();
  }
  if (trusted.certificates.empty()) return {};
  Result<std::vector<Certificate>> certificates = parse_certificates(trusted.certificates);
  if (!certificates) return certificates.error().within(std::string(field) + ".certificates");
  for (const Certificate& certificate : *certificates) {
    if (X509_STORE_add_cert(store, certificate.get()) != 1 ||
        (name_them && SSL_CTX_add_client_CA(&ssl, certificate.get()) != 1)) {
      return fail(Errc::internal, std::string(field) + ": " + take_openssl_error());
    }
  }
  return {};
}

Result<Context::Served> credentials(const Identity& identity, const std::string& field) {
  Result<Credentials> read = parse_identity(identity);
  if (!read) return read.error().within(field);
  Context::Served served{std::move(*read), nullptr};
  served.issuers.reset(sk_X509_new_null());
  for (std::size_t i = 1; i < served.credentials.chain.size(); ++i) {
    sk_X509_push(served.issuers.get(), served.credentials.chain[i].get());
  }
  return served;
}

/// Fails when the certificate is weak or of a kind that cannot be used.
Result<void> use(SSL_CTX& ssl, const Context::Served& served, const std::string& field) {
  const Credentials& own = served.credentials;
  ERR_clear_error();
  if (SSL_CTX_use_cert_and_key(&ssl, own.chain.front().get(), own.key.get(), served.issuers.get(),
                               1) == 1) {
    return {};
  }
  const std::string why = take_openssl_error();
  const CertificateInfo info = describe(*own.chain.front());
  return bad(field + ": the certificate of \"" + info.subject + "\" (" + info.key +
             ") cannot be used: " + why);
}

Result<void> set_alpn(Context& context, const std::vector<std::string>& protocols) {
  for (const std::string& protocol : protocols) {
    if (protocol.empty() || protocol.size() > 255) {
      return bad("alpn: a protocol's name has between 1 and 255 bytes");
    }
    context.alpn.push_back(static_cast<char>(protocol.size()));
    context.alpn += protocol;
  }
  if (context.alpn.size() > 4096) return bad("alpn: more than 4096 bytes");
  return {};
}

Result<std::shared_ptr<Context>> begin_context(const SSL_METHOD* method, Version version_min) {
  auto context = std::make_shared<Context>();
  ERR_clear_error();
  context->ssl.reset(SSL_CTX_new(method));
  context->method.reset(BIO_meth_new(BIO_TYPE_SOURCE_SINK, "knative stream"));
  SSL_CTX* ssl = context->ssl.get();
  BIO_METHOD* bio = context->method.get();
  if (ssl == nullptr || bio == nullptr) {
    return fail(Errc::internal, "OpenSSL: " + take_openssl_error());
  }
  BIO_meth_set_read(bio, &OpensslStream::on_bio_read);
  BIO_meth_set_write(bio, &OpensslStream::on_bio_write);
  BIO_meth_set_ctrl(bio, &OpensslStream::on_bio_control);
  SSL_CTX_set_security_level(ssl, security_level);
  const int oldest = version_min == Version::tls_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
  const bool set = SSL_CTX_set_min_proto_version(ssl, oldest) == 1 &&
                   SSL_CTX_set_max_proto_version(ssl, TLS1_3_VERSION) == 1 &&
                   SSL_CTX_set_cipher_list(ssl, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1 &&
                   SSL_CTX_set_ciphersuites(ssl,
                                            "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                                            "TLS_CHACHA20_POLY1305_SHA256") == 1 &&
                   SSL_CTX_set1_groups_list(ssl, "X25519:P-256:P-384") == 1;
  if (!set) return fail(Errc::internal, "OpenSSL: " + take_openssl_error());
  SSL_CTX_set_options(ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET);
  SSL_CTX_clear_options(ssl, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_LEGACY_SERVER_CONNECT);
  // No sessions: each connection is judged by the trust of its own time.
  SSL_CTX_set_num_tickets(ssl, 0);
  SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(
      ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_verify_depth(ssl, chain_depth_max);
  return context;
}

}  // namespace

Result<std::shared_ptr<const Context>> make_context(const ClientOptions& options) {
  Result<std::shared_ptr<Context>> made = begin_context(TLS_client_method(), options.version_min);
  if (!made) return made.error();
  Context& context = **made;
  SSL_CTX* ssl = context.ssl.get();
  SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, &OpensslStream::on_verify);
  if (Result<void> done = trust(*ssl, options.trust, "trust", false); !done) return done.error();
  if (Result<void> done = set_alpn(context, options.alpn); !done) return done.error();
  if (!context.alpn.empty() &&
      SSL_CTX_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(context.alpn.data()),
                              static_cast<unsigned>(context.alpn.size())) != 0) {
    return fail(Errc::internal, "alpn: " + take_openssl_error());
  }
  if (options.identity) {
    Result<Context::Served> own = credentials(*options.identity, "identity");
    if (!own) return own.error();
    if (Result<void> done = use(*ssl, *own, "identity"); !done) return done.error();
  }
  return std::shared_ptr<const Context>(std::move(*made));
}

Result<std::shared_ptr<const Context>> make_context(const ServerOptions& options) {
  if (options.identities.empty()) return bad("identities: there is none");
  Result<std::shared_ptr<Context>> made = begin_context(TLS_server_method(), options.version_min);
  if (!made) return made.error();
  Context& context = **made;
  SSL_CTX* ssl = context.ssl.get();
  for (std::size_t i = options.identities.size(); i-- != 0;) {
    const std::string field = "identities[" + std::to_string(i) + "]";
    Result<Context::Served> own = credentials(options.identities[i], field);
    if (!own) return own.error();
    // Each is tried on a context of its own: kinds of keys have their places side by side.
    const std::unique_ptr<SSL_CTX, ContextFree> trial(SSL_CTX_new(TLS_server_method()));
    if (trial == nullptr) return fail(Errc::internal, "OpenSSL: " + take_openssl_error());
    SSL_CTX_set_security_level(trial.get(), security_level);
    if (Result<void> done = use(i == 0 ? *ssl : *trial, *own, field); !done) return done.error();
    for (std::string& name : host_names(*own->credentials.chain.front())) {
      context.by_name[std::move(name)] = i;  // the first of several, since it comes last
    }
    context.served.insert(context.served.begin(), std::move(*own));
  }
  if (options.identities.size() > 1) {
    SSL_CTX_set_cert_cb(ssl, &OpensslStream::on_certificate, &context);
  }
  if (Result<void> done = set_alpn(context, options.alpn); !done) return done.error();
  if (!context.alpn.empty()) SSL_CTX_set_alpn_select_cb(ssl, &OpensslStream::on_alpn, &context);
  if (options.client_certificates != ClientCertificates::ignored) {
    const int must = options.client_certificates == ClientCertificates::required
                         ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                         : 0;
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | must, &OpensslStream::on_verify);
    Result<void> done = trust(*ssl, options.client_trust, "client_trust", true);
    if (!done) return done.error();
  }
  return std::shared_ptr<const Context>(std::move(*made));
}

Result<std::unique_ptr<SecureStream>> begin_client(Executor& executor, Timers& timers,
                                                   std::shared_ptr<const Context> context,
                                                   std::unique_ptr<Stream> stream,
                                                   std::string_view server_name) {
  auto made =
      std::make_unique<OpensslStream>(executor, timers, std::move(context), std::move(stream));
  if (Result<void> begun = made->begin_client(server_name); !begun) return begun.error();
  return std::unique_ptr<SecureStream>(std::move(made));
}

Result<std::unique_ptr<SecureStream>> begin_server(Executor& executor, Timers& timers,
                                                   std::shared_ptr<const Context> context,
                                                   std::unique_ptr<Stream> stream) {
  auto made =
      std::make_unique<OpensslStream>(executor, timers, std::move(context), std::move(stream));
  if (Result<void> begun = made->begin_server(); !begun) return begun.error();
  return std::unique_ptr<SecureStream>(std::move(made));
}

}  // namespace knative::tls
