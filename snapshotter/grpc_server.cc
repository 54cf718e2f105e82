#include "snapshotter/grpc_server.h"

#include <grpc/grpc.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server_posix.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cerrno>

#include "base/executor.h"
#include "base/log.h"

namespace starling::snapshotter {
namespace {

bool MayConnect(int connection) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  return ::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
         (peer.uid == 0 || peer.uid == ::geteuid());
}

// gRPC's own clean-up, when its last object goes, waits up to 10 s for a connection that was handed
// in as a descriptor (measured in about a fifth of the shutdowns), so it never comes to that.
void KeepGrpcUntilExit() {
  static const bool kept = [] {
    grpc_init();
    return true;
  }();
  (void)kept;
}

}  // namespace

GrpcServer::GrpcServer(UnixListener listener, UniqueFd wake, std::unique_ptr<grpc::Server> server)
    : listener_(std::move(listener)), wake_(std::move(wake)), server_(std::move(server)) {}

StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(Options options, UnixListener listener,
                                                        std::vector<grpc::Service*> services) {
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC));
  if (!wake.valid()) {
    return ErrnoError(errno, "eventfd");
  }
  KeepGrpcUntilExit();
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ResourceQuota quota("starlingd");
  quota.SetMaxThreads(options.max_threads);
  grpc::ServerBuilder builder;
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(options.max_message_bytes);
  builder.SetMaxSendMessageSize(options.max_message_bytes);
  for (grpc::Service* service : services) {
    builder.RegisterService(service);
  }
  if (options.others != nullptr) {
    builder.RegisterCallbackGenericService(options.others);
  }
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) {
    return MakeError(StatusCode::kInternal, "the gRPC server does not start");
  }
  auto started = std::unique_ptr<GrpcServer>(
      new GrpcServer(std::move(listener), std::move(wake), std::move(server)));
  started->acceptor_ = std::thread([server_of_thread = started.get()] {
    SetThreadName("grpc-accept");
    server_of_thread->AcceptUntilWoken();
  });
  return started;
}

void GrpcServer::AcceptUntilWoken() {
  pollfd watched[] = {{.fd = listener_.fd(), .events = POLLIN, .revents = 0},
                      {.fd = wake_.get(), .events = POLLIN, .revents = 0}};
  while (true) {
    if (::poll(watched, 2, -1) < 0 && errno != EINTR) {
      log::Error("no more connections are accepted",
                 {{"error", Describe(ErrnoError(errno, "poll"))}});
      return;
    }
    if (watched[1].revents != 0) {
      return;
    }
    UniqueFd connection(::accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!connection.valid()) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
        // The connection stays in the backlog; wait for a descriptor instead of spinning.
        ::poll(&watched[1], 1, 100);
      }
      continue;
    }
    if (!MayConnect(connection.get())) {
      log::Warning("refused a connection of another user");
      continue;
    }
    grpc::AddInsecureChannelFromFd(server_.get(), connection.Release());
  }
}

void GrpcServer::Stop(std::chrono::milliseconds grace) {
  if (!acceptor_.joinable()) {
    return;
  }
  ::eventfd_write(wake_.get(), 1);
  acceptor_.join();
  server_->Shutdown(std::chrono::system_clock::now() + grace);
  server_->Wait();
}

GrpcServer::~GrpcServer() { Stop(std::chrono::milliseconds(0)); }

}  // namespace starling::snapshotter
