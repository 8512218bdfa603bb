// A load generator on one thread: N keep-alive connections, one request in flight on each. It
// also reads the run time of the measured process before and after, so that CPU per request needs
// no other tool.
//
//   peer_load PORT CONNECTIONS SECONDS [PID [EVENT_BYTES PATH]]
//
// With EVENT_BYTES it posts events (binary mode) to PATH instead. Prints one line of JSON.
// `cpu_us_per_request` is the sum over the threads of PID.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "run_time.hpp"

namespace {

constexpr std::string_view plain_request =
    "GET /hello?name=ada HTTP/1.1\r\nHost: hello.default.example.com\r\n"
    "User-Agent: load/1\r\nAccept: */*\r\nAccept-Encoding: identity\r\n\r\n";

std::string event_request(const std::string& path, std::size_t bytes) {
  return "POST " + path +
         " HTTP/1.1\r\nHost: localhost\r\nce-specversion: 1.0\r\nce-type: order.created\r\n"
         "ce-source: /load\r\nce-id: 0a1b2c3d\r\nContent-Type: application/octet-stream\r\n"
         "Content-Length: " +
         std::to_string(bytes) + "\r\n\r\n" + std::string(bytes, 'x');
}

struct Connection {
  int fd = -1;
  std::size_t got = 0;       ///< Bytes of the response in progress.
  std::size_t expected = 0;  ///< Its length, 0 until its head is complete.
  std::int64_t sent_at = 0;
  char buffer[32 * 1024];
};

std::int64_t now_ns() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

int connect_to(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<unsigned short>(port));
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0) {
    std::perror("connect");
    std::exit(1);
  }
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

void send_request(Connection& connection, std::string_view request) {
  connection.got = connection.expected = 0;
  connection.sent_at = now_ns();
  if (::send(connection.fd, request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size())) {
    std::perror("send");
    std::exit(1);
  }
}

/// True when a whole response is there. Anything but 200 or 202 with a Content-Length ends the run.
bool response_complete(Connection& connection) {
  if (connection.expected == 0) {
    const std::string_view seen(connection.buffer,
                                std::min(connection.got, sizeof connection.buffer));
    const std::size_t end = seen.find("\r\n\r\n");
    if (end == std::string_view::npos) return false;
    std::string head(seen.substr(0, end));
    std::transform(head.begin(), head.end(), head.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const std::size_t length = head.find("content-length: ");
    const std::string_view status = std::string_view(head).substr(0, 12);
    if ((status != "http/1.1 200" && status != "http/1.1 202") || length == std::string::npos) {
      std::fprintf(stderr, "unexpected response:\n%s\n", head.c_str());
      std::exit(1);
    }
    connection.expected = end + 4 + std::strtoul(head.c_str() + length + 16, nullptr, 10);
  }
  if (connection.got > connection.expected) {
    std::fprintf(stderr, "response longer than its length\n");
    std::exit(1);
  }
  return connection.got == connection.expected;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const int port = std::atoi(argv[1]);
  const auto count = static_cast<std::size_t>(std::atoi(argv[2]));
  const double seconds = std::atof(argv[3]);
  const int pid = argc > 4 ? std::atoi(argv[4]) : 0;
  const std::string request = argc > 6 ? event_request(argv[6], std::strtoul(argv[5], nullptr, 10))
                                       : std::string(plain_request);
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  std::vector<Connection> connections(count);
  for (Connection& connection : connections) {
    connection.fd = connect_to(port);
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    event.data.ptr = &connection;
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, connection.fd, &event);
  }
  for (Connection& connection : connections) send_request(connection, request);

  const std::int64_t warm = now_ns() + 100'000'000;
  std::int64_t begin = 0;
  std::int64_t end = warm + static_cast<std::int64_t>(seconds * 1e9);
  std::uint64_t cpu = 0;
  std::uint64_t requests = 0;
  std::uint64_t total = 0;  // with those before the measuring began
  std::vector<std::uint32_t> latencies;
  latencies.reserve(4'000'000);
  epoll_event events[256];
  for (;;) {
    const int ready = ::epoll_wait(epoll, events, 256, 1000);
    const std::int64_t now = now_ns();
    if (begin == 0 && now >= warm) {
      begin = now;
      end = now + static_cast<std::int64_t>(seconds * 1e9);
      cpu = pid != 0 ? run_time(pid) : 0;
      requests = 0;
      latencies.clear();
    }
    if (now >= end) {
      end = now;
      break;
    }
    for (int i = 0; i < ready; ++i) {
      Connection& connection = *static_cast<Connection*>(events[i].data.ptr);
      for (;;) {
        // A long body is counted, not kept.
        const std::size_t at =
            connection.expected != 0 || connection.got >= 16384 ? 0 : connection.got;
        const std::size_t room = sizeof connection.buffer - at;
        const ssize_t got = ::recv(connection.fd, connection.buffer + at, room, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) break;
        if (got <= 0) {
          std::fprintf(stderr, "connection closed by the server\n");
          return 1;
        }
        connection.got += static_cast<std::size_t>(got);
        if (response_complete(connection)) {
          ++requests;
          ++total;
          if (latencies.size() < latencies.capacity()) {
            latencies.push_back(static_cast<std::uint32_t>((now_ns() - connection.sent_at) / 1000));
          }
          send_request(connection, request);
        }
        if (static_cast<std::size_t>(got) < room) break;
      }
    }
  }
  const double used = pid != 0 ? static_cast<double>(run_time(pid) - cpu) / 1000 : 0;
  std::sort(latencies.begin(), latencies.end());
  auto quantile = [&latencies](double q) {
    return latencies.empty()
               ? 0U
               : latencies[static_cast<std::size_t>(q * static_cast<double>(latencies.size() - 1))];
  };
  const double elapsed = static_cast<double>(end - begin) / 1e9;
  std::printf(
      "{\"requests\": %llu, \"requests_per_second\": %.0f, \"cpu_us_per_request\": %.3f, "
      "\"p50_us\": %u, \"p99_us\": %u, \"total\": %llu}\n",
      static_cast<unsigned long long>(requests), static_cast<double>(requests) / elapsed,
      requests != 0 ? used / static_cast<double>(requests) : 0, quantile(0.5), quantile(0.99),
      static_cast<unsigned long long>(total));
}
