#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "registry/client.h"
#include "registry/curl_transport.h"
#include "registry/docker_config.h"
#include "registry/referrers.h"
#include "transport/transports.h"

namespace starling::cli {

/// What every command needs to reach images, connected. Starts threads: fork before.
class Toolbox {
 public:
  explicit Toolbox(std::vector<std::string> plain_http_hosts);

  StatusOr<std::shared_ptr<oci::ImageSource>> OpenSource(const std::string& image);
  StatusOr<std::shared_ptr<oci::ImageDestination>> OpenDestination(const std::string& image);
  /// What is said about an image of a registry; kUnimplemented for one in files.
  StatusOr<std::shared_ptr<registry::Referrers>> OpenReferrers(const std::string& image);
  /// Whatever waits for a registry ends with kCancelled, now and from now on. Threads: safe.
  void StopNetwork() { http_.Stop(); }

 private:
  registry::CurlTransport http_;
  registry::DockerConfig docker_config_;
  ThreadPool helpers_;
  registry::Client registries_;
  transport::Transports transports_;
};

}  // namespace starling::cli
