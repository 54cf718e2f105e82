#include "containerd/channel.h"

#include <grpcpp/grpcpp.h>

namespace starling::containerd {

std::shared_ptr<grpc::Channel> Dial(const std::filesystem::path& socket,
                                    std::optional<std::chrono::milliseconds> max_reconnect) {
  constexpr int kMaxMessageBytes = 16 << 20;  // containerd's own limit for both directions
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  if (max_reconnect) {
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, static_cast<int>(max_reconnect->count()));
  }
  // Otherwise the path becomes the authority, which Go's server refuses.
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  return grpc::CreateCustomChannel("unix://" + std::filesystem::absolute(socket).string(),
                                   grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace starling::containerd
