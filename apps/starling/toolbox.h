#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/starling/commands.h"
#include "base/executor.h"
#include "credentials/sources.h"
#include "layer/toc_image.h"
#include "registry/client.h"
#include "registry/curl_transport.h"
#include "registry/referrers.h"
#include "transport/transports.h"

namespace starling::cli {

/// How `options` say that registries are reached.
registry::ClientOptions ClientOptionsOf(const RegistryOptions& options);

/// What every command needs to reach images, connected. Starts threads: fork before.
class Toolbox {
 public:
  /// Errors: of `options.secret`, which counts for the registry of `image`, and of the
  /// destination's for that of `destination`.
  static StatusOr<std::unique_ptr<Toolbox>> Make(const RegistryOptions& options,
                                                 const std::string& image,
                                                 const std::string& destination = "");

  StatusOr<std::shared_ptr<oci::ImageSource>> OpenSource(const std::string& image);
  StatusOr<std::shared_ptr<oci::ImageDestination>> OpenDestination(const std::string& image);
  /// As registry::Client's, of an image in a registry; nothing for one in files.
  StatusOr<std::vector<oci::BlobPlace>> BlobPlaces(const std::string& image);
  /// What is said about an image of a registry; kUnimplemented for one in files.
  StatusOr<std::shared_ptr<registry::Referrers>> OpenReferrers(const std::string& image);
  /// The image that keeps the TOCs of another one's layers, opened when it is asked. Borrows this.
  std::unique_ptr<layer::TocImage> TocImageOf(std::shared_ptr<oci::ImageSource> image);
  registry::Client& registries() { return *registries_; }
  /// Whatever waits for a registry ends with kCancelled, now and from now on. Threads: safe.
  void StopNetwork() { http_.Stop(); }

 private:
  Toolbox();
  void Connect(const RegistryOptions& options);

  registry::CurlTransport http_;
  credentials::Sources credentials_;
  ThreadPool helpers_;
  std::optional<registry::Client> registries_;
  std::optional<transport::Transports> transports_;
};

}  // namespace starling::cli
