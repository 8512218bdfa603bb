// One TLS connection over a stream, before and after its handshake. Knows no sockets and no time
// but the wall clock that certificates are judged by.
#pragma once

#include <memory>
#include <string_view>

#include "knative/tls.hpp"

namespace knative::tls {

/// Options made ready; never changes and is shared by the connections that were begun with it.
class Context;

Result<std::shared_ptr<const Context>> make_context(const ClientOptions& options);
Result<std::shared_ptr<const Context>> make_context(const ServerOptions& options);

/// A stream that is of use once `handshake` has succeeded; dropping that task leaves it useless.
class SecureStream : public Stream {
 public:
  virtual Task<Result<void>> handshake() = 0;
};

/// The client's end: verifies `server_name`, a host name or an address. `invalid_argument` when it
/// is neither. The context must be a client's.
Result<std::unique_ptr<SecureStream>> begin_client(Executor& executor, Timers& timers,
                                                   std::shared_ptr<const Context> context,
                                                   std::unique_ptr<Stream> stream,
                                                   std::string_view server_name);
/// The server's end. The context must be a server's.
Result<std::unique_ptr<SecureStream>> begin_server(Executor& executor, Timers& timers,
                                                   std::shared_ptr<const Context> context,
                                                   std::unique_ptr<Stream> stream);

}  // namespace knative::tls
