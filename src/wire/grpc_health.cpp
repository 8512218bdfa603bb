// HTTP/2 (RFC 9113) as far as one request on one stream needs it: nothing of the reply's header
// block is decoded, since the message alone says what is asked for.
#include "wire/grpc_health.hpp"

#include <array>
#include <span>

namespace knative::grpc {

namespace {

constexpr std::size_t frame_header_bytes = 9;
constexpr std::size_t frame_bytes_max = 16'384;  // what we allow by saying nothing else
constexpr std::size_t reply_bytes_max = 100'000;
constexpr std::size_t message_header_bytes = 5;
constexpr std::size_t message_bytes_max = 1'024;
constexpr std::size_t service_bytes_max = 1'024;

enum FrameType : std::uint8_t { data_frame = 0, headers_frame = 1, reset = 3, settings = 4 };
constexpr std::uint8_t ping = 6;
constexpr std::uint8_t goaway = 7;
constexpr std::uint8_t flag_ack = 1;
constexpr std::uint8_t flag_end_stream = 1;
constexpr std::uint8_t flag_end_headers = 4;
constexpr std::uint8_t flag_padded = 8;

std::string frame_of(std::uint8_t type, std::uint8_t flags, std::uint32_t stream,
                     std::string_view payload) {
  std::string bytes;
  const auto put = [&bytes](std::size_t value) {
    bytes.push_back(static_cast<char>(value & 0xff));
  };
  put(payload.size() >> 16);
  put(payload.size() >> 8);
  put(payload.size());
  put(type);
  put(flags);
  for (int shift = 24; shift >= 0; shift -= 8) put(stream >> shift);
  bytes.append(payload);
  return bytes;
}

std::uint32_t number_at(std::string_view bytes, std::size_t at, std::size_t count) {
  std::uint32_t number = 0;
  for (std::size_t i = at; i < at + count; ++i) {
    number = (number << 8) | static_cast<unsigned char>(bytes[i]);
  }
  return number;
}

// An integer with a prefix of seven bits (RFC 7541, 5.1), as lengths are written.
void put_length(std::string& into, std::size_t value) {
  constexpr std::size_t prefix_max = 127;
  if (value < prefix_max) {
    into.push_back(static_cast<char>(value));
    return;
  }
  into.push_back(static_cast<char>(prefix_max));
  for (value -= prefix_max; value >= 128; value >>= 7) {
    into.push_back(static_cast<char>((value & 127) | 128));
  }
  into.push_back(static_cast<char>(value));
}

void put_text(std::string& into, std::string_view text) {
  put_length(into, text.size());
  into.append(text);
}

// The header block: entries of the static table (RFC 7541, appendix A), literals without indexing.
std::string header_block(std::string_view authority) {
  std::string block("\x83\x86\x04", 3);  // POST, http, and a literal under the name ":path"
  put_text(block, "/grpc.health.v1.Health/Check");
  block.push_back('\x01');  // :authority
  put_text(block, authority);
  block.append("\x0f\x10", 2);  // content-type, number 31
  put_text(block, "application/grpc");
  block.push_back('\0');
  put_text(block, "te");
  put_text(block, "trailers");
  block.push_back('\0');
  put_text(block, "user-agent");
  put_text(block, "kube-probe/knative");
  return block;
}

// HealthCheckRequest{service = 1} with gRPC's prefix: not compressed, and its length.
std::string request_message(std::string_view service) {
  std::string body;
  if (!service.empty()) {
    body.push_back('\x0a');
    std::size_t length = service.size();
    for (; length >= 128; length >>= 7) body.push_back(static_cast<char>((length & 127) | 128));
    body.push_back(static_cast<char>(length));
    body.append(service);
  }
  std::string message(1, '\0');
  for (int shift = 24; shift >= 0; shift -= 8) {
    message.push_back(static_cast<char>((body.size() >> shift) & 0xff));
  }
  return message + body;
}

std::optional<std::uint64_t> read_varint(std::string_view bytes, std::size_t& at) {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 64 && at < bytes.size(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes[at++]);
    value |= static_cast<std::uint64_t>(byte & 127) << shift;
    if (byte < 128) return value;
  }
  return std::nullopt;
}

// The status of a HealthCheckResponse: field 1, 0 when it is left out; nothing when malformed.
std::optional<std::uint64_t> status_in(std::string_view body) {
  std::uint64_t status = 0;
  for (std::size_t at = 0; at < body.size();) {
    const std::optional<std::uint64_t> tag = read_varint(body, at);
    if (!tag) return std::nullopt;
    const std::optional<std::uint64_t> value = read_varint(body, at);
    if (!value) return std::nullopt;
    const std::uint64_t wire_type = *tag & 7;
    if (wire_type == 2) {
      if (*value > body.size() - at) return std::nullopt;
      at += static_cast<std::size_t>(*value);
    } else if (wire_type != 0) {
      return std::nullopt;
    } else if (*tag >> 3 == 1) {
      status = *value;
    }
  }
  return status;
}

}  // namespace

bool HealthReply::give_up(std::string why) {
  why_ = std::move(why);
  return false;
}

bool HealthReply::feed(std::string_view bytes) {
  taken_ += bytes.size();
  if (taken_ > reply_bytes_max) return give_up("it answers with too many bytes");
  input_.append(bytes);
  while (input_.size() >= frame_header_bytes) {
    const std::size_t length = number_at(input_, 0, 3);
    if (length > frame_bytes_max) return give_up("it does not speak gRPC");
    if (input_.size() < frame_header_bytes + length) return true;
    const std::string payload = input_.substr(frame_header_bytes, length);
    const auto type = static_cast<std::uint8_t>(input_[3]);
    const auto flags = static_cast<std::uint8_t>(input_[4]);
    const std::uint32_t stream = number_at(input_, 5, 4) & 0x7fffffff;
    input_.erase(0, frame_header_bytes + length);
    if (!frame(type, flags, stream, payload)) return false;
  }
  return true;
}

bool HealthReply::frame(std::uint8_t type, std::uint8_t flags, std::uint32_t stream,
                        std::string_view payload) {
  if (type == settings && (flags & flag_ack) == 0)
    output_.append(frame_of(settings, flag_ack, 0, {}));
  if (type == ping && (flags & flag_ack) == 0) output_.append(frame_of(ping, flag_ack, 0, payload));
  if (type == goaway) return give_up("it closes the connection");
  if (stream != 1) return true;
  if (type == reset) return give_up("it refuses the request");
  if (type == data_frame) return data(flags, payload);
  if (type == headers_frame && (flags & flag_end_stream) != 0) {
    return give_up("it has no health service, or does not know this service");
  }
  return true;
}

bool HealthReply::data(std::uint8_t flags, std::string_view payload) {
  if ((flags & flag_padded) != 0) {
    const std::size_t padding = payload.empty() ? 0 : static_cast<unsigned char>(payload[0]);
    if (payload.size() < padding + 1) return give_up("it does not speak gRPC");
    payload = payload.substr(1, payload.size() - padding - 1);
  }
  message_.append(payload);
  if (message_.size() >= message_header_bytes) {
    const std::size_t length = number_at(message_, 1, 4);
    if (message_[0] != 0 || length > message_bytes_max) {
      return give_up("its answer is compressed or too long");
    }
    if (message_.size() >= message_header_bytes + length) {
      status_ = status_in(std::string_view(message_).substr(message_header_bytes, length));
      return status_ ? false : give_up("its answer is malformed");
    }
  }
  return (flags & flag_end_stream) == 0 || give_up("it gave no status");
}

std::string HealthReply::take_output() { return std::exchange(output_, std::string()); }

std::optional<std::string> HealthReply::problem() const {
  if (!status_) return why_;
  switch (*status_) {
    case 1: return std::nullopt;
    case 2: return "it says NOT_SERVING";
    case 3: return "it says SERVICE_UNKNOWN";
    default: return "its health is not known";
  }
}

Task<std::optional<std::string>> ask_health(Stream& stream, std::string_view authority,
                                            std::string_view service) {
  if (service.size() > service_bytes_max) co_return "the service's name is too long";
  std::string request = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  request.append(frame_of(settings, 0, 0, {}));
  request.append(frame_of(headers_frame, flag_end_headers, 1, header_block(authority)));
  request.append(frame_of(data_frame, flag_end_stream, 1, request_message(service)));
  Task<Result<std::size_t>> sending = stream.write_all(request);
  const Result<std::size_t> sent = co_await std::move(sending);
  if (!sent) co_return sent.error().detail;
  HealthReply reply;
  std::array<char, 4096> buffer;
  while (true) {
    const Result<std::size_t> got = co_await stream.read_some(buffer);
    if (!got) co_return got.error().detail;
    if (*got == 0 || !reply.feed(std::string_view(buffer.data(), *got))) break;
    const std::string output = reply.take_output();
    if (output.empty()) continue;
    Task<Result<std::size_t>> answering = stream.write_all(output);
    const Result<std::size_t> answered = co_await std::move(answering);
    if (!answered) co_return answered.error().detail;
  }
  co_return reply.problem();
}

}  // namespace knative::grpc
