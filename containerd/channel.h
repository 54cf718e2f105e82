#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>

namespace grpc {
class Channel;
}  // namespace grpc

namespace starling::containerd {

/// A connection to containerd at `socket`, for messages as long as its own clients take; made when
/// it is first used, and again when it breaks: after `max_reconnect` at most, or gRPC's own two
/// minutes.
std::shared_ptr<grpc::Channel> Dial(const std::filesystem::path& socket,
                                    std::optional<std::chrono::milliseconds> max_reconnect = {});

}  // namespace starling::containerd
