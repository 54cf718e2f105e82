#include "control/channel.h"

#include <filesystem>

namespace starling::control {
namespace {

/// A list of all layers of a large store.
constexpr int kMaxMessageBytes = 64 << 20;
constexpr int kMaxReconnectMilliseconds = 1000;

}  // namespace

std::shared_ptr<grpc::Channel> ConnectTo(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMaxReconnectMilliseconds);
  return grpc::CreateCustomChannel("unix://" + std::filesystem::absolute(address).string(),
                                   grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace starling::control
