// The yardstick: a hand-written HTTP server on one thread, edge-triggered epoll, one recv and one
// send per request. It parses as little as is honest: a whole head, GET or POST without a body,
// HTTP/1.1, keep-alive. No timeouts, no bounds, no chunks.
//
//   peer_epoll_server PORT BODY_BYTES    "$PORT": the number is in that variable
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

namespace {

struct Connection {
  int fd = -1;
  std::size_t size = 0;
  char buffer[8192];
};

int listen_on(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<unsigned short>(port));
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0 ||
      ::listen(fd, 1024) < 0) {
    std::perror("listen");
    std::exit(1);
  }
  socklen_t length = sizeof address;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  std::printf("%d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  return fd;
}

/// Answers every whole request in the buffer. False when the connection is to be closed.
bool answer(Connection& connection, const std::string& response) {
  std::string out;
  std::size_t at = 0;
  for (;;) {
    const std::string_view rest(connection.buffer + at, connection.size - at);
    const std::size_t end = rest.find("\r\n\r\n");
    if (end == std::string_view::npos) break;
    const std::size_t line = rest.find("\r\n");
    const std::string_view request = rest.substr(0, line);
    const bool known = request.substr(0, 4) == "GET " || request.substr(0, 5) == "POST ";
    if (!known || request.size() < 14 || request.substr(request.size() - 9) != " HTTP/1.1") {
      return false;
    }
    at += end + 4;
    if (at == connection.size && out.empty()) {
      connection.size = 0;
      return ::send(connection.fd, response.data(), response.size(), MSG_NOSIGNAL) ==
             static_cast<ssize_t>(response.size());
    }
    out += response;
  }
  std::memmove(connection.buffer, connection.buffer + at, connection.size - at);
  connection.size -= at;
  if (out.empty()) return connection.size < sizeof connection.buffer;
  return ::send(connection.fd, out.data(), out.size(), MSG_NOSIGNAL) ==
         static_cast<ssize_t>(out.size());
}

bool serve(Connection& connection, const std::string& response) {
  for (;;) {
    const std::size_t room = sizeof connection.buffer - connection.size;
    const ssize_t got = ::recv(connection.fd, connection.buffer + connection.size, room, 0);
    if (got == 0) return false;
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    connection.size += static_cast<std::size_t>(got);
    if (!answer(connection, response)) return false;
    if (static_cast<std::size_t>(got) < room) return true;  // the socket is empty
  }
}

}  // namespace

int main(int argc, char** argv) {
  const bool told = argc > 1 && std::strcmp(argv[1], "$PORT") == 0;
  const char* number = told ? std::getenv("PORT") : argc > 1 ? argv[1] : nullptr;
  const int port = number != nullptr ? std::atoi(number) : 0;
  const std::size_t body = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 200;
  const std::string response =
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
      "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: " +
      std::to_string(body) + "\r\n\r\n" + std::string(body, 'x');
  const int listener = listen_on(port);
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;
  ::epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
  epoll_event events[256];
  for (;;) {
    const int count = ::epoll_wait(epoll, events, 256, -1);
    for (int i = 0; i < count; ++i) {
      auto* connection = static_cast<Connection*>(events[i].data.ptr);
      if (connection == nullptr) {
        const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) continue;
        auto made = std::make_unique<Connection>();
        made->fd = fd;
        event.events = EPOLLIN | EPOLLRDHUP | EPOLLET;
        event.data.ptr = made.release();
        ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
      } else if (!serve(*connection, response)) {
        ::close(connection->fd);
        delete connection;
      }
    }
  }
}
