#include "apps/starling/build_host.h"

#include <system_error>

#include "base/clock.h"

namespace starling::cli {
namespace {

constexpr const char* kNoContainerd = "none";

}  // namespace

BuildHostOptions ChooseBuildHost(const ContainerdOptions& containerd, const std::string& starlingd,
                                 const std::filesystem::path& state_directory) {
  std::error_code error;
  const bool is_there = std::filesystem::exists(containerd.address, error);
  return {
      .containerd = containerd,
      .is_standalone = containerd.address == kNoContainerd || (!containerd.is_named && !is_there),
      .starlingd = starlingd,
      .state_directory = state_directory};
}

StatusOr<BuildHost> BuildHost::Open(const BuildHostOptions& options) {
  BuildHost host;
  containerd::Client::Options client = {.address = options.containerd.address,
                                        .namespace_name = options.containerd.namespace_name};
  if (options.is_standalone) {
    auto server = standalone::Server::Start({.directory = options.state_directory / "standalone",
                                             .starlingd = options.starlingd,
                                             .work_directory = kBuildWorkDirectory},
                                            SystemClock());
    if (server.status().code() == StatusCode::kUnavailable && !options.containerd.is_named) {
      return MakeError(StatusCode::kUnavailable,
                       fmt::format("there is no containerd at {}, and no starlingd to build on "
                                   "without one: {}",
                                   options.containerd.address, MessageOf(server.status())));
    }
    RETURN_IF_ERROR(server.status());
    host.server_ = *std::move(server);
    client.channel = host.server_->Connect();
  }
  host.client_ = std::make_unique<containerd::Client>(std::move(client));
  RETURN_IF_ERROR(host.client_->Version().status());
  return host;
}

Status BuildHost::Collect() {
  return server_ == nullptr ? OkStatus() : server_->Collect().status();
}

Status BuildHost::ForgetImages() {
  return server_ == nullptr ? OkStatus() : server_->ForgetImages();
}

}  // namespace starling::cli
