#pragma once

#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"
#include "snapshotter/unix_listener.h"

namespace grpc {
class CallbackGenericService;
class Server;
class Service;
}  // namespace grpc

namespace starling::snapshotter {

/// Serves gRPC on a unix socket, with the standard health service and reflection. Accepts itself,
/// so that the socket may be inherited and only root and the daemon's own user get in.
class GrpcServer {
 public:
  struct Options {
    /// Most threads at once; an RPC beyond it is answered with RESOURCE_EXHAUSTED.
    int max_threads = 256;
    /// Largest message to take, as containerd has it.
    int max_message_bytes = 16 << 20;
    /// Takes the calls that are for none of the services; null: they are unknown.
    grpc::CallbackGenericService* others = nullptr;
  };
  /// Borrows `services` and `others` until it is gone.
  static StatusOr<std::unique_ptr<GrpcServer>> Start(Options options, UnixListener listener,
                                                     std::vector<grpc::Service*> services);
  /// Accepts no more, waits `grace` for the RPCs in flight and cancels what is left.
  void Stop(std::chrono::milliseconds grace);
  ~GrpcServer();

 private:
  GrpcServer(UnixListener listener, UniqueFd wake, std::unique_ptr<grpc::Server> server);
  void AcceptUntilWoken();

  UnixListener listener_;
  UniqueFd wake_;  // an eventfd
  std::unique_ptr<grpc::Server> server_;
  std::thread acceptor_;
};

}  // namespace starling::snapshotter
