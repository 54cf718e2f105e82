#include "apps/starling/toolbox.h"

#include "base/clock.h"
#include "base/file_system.h"

namespace starling::cli {

namespace {

/// Whose secret may be given for an image.
StatusOr<std::string> RegistryOf(const std::string& image) {
  ASSIGN_OR_RETURN(const transport::ImageName name, transport::ImageName::Parse(image));
  if (name.kind != transport::Kind::kRegistry) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("{} is not in a registry, so it needs no secret", image));
  }
  ASSIGN_OR_RETURN(const oci::Reference reference, oci::Reference::Parse(name.reference));
  return reference.domain();
}

}  // namespace

registry::ClientOptions ClientOptionsOf(const RegistryOptions& options) {
  registry::ClientOptions client{.plain_http_hosts = options.plain_http_hosts};
  client.hosts_directories.assign(options.hosts_directories.begin(),
                                  options.hosts_directories.end());
  return client;
}

StatusOr<std::unique_ptr<Toolbox>> Toolbox::Make(const RegistryOptions& options,
                                                 const std::string& image,
                                                 const std::string& destination) {
  auto toolbox = std::unique_ptr<Toolbox>(new Toolbox);
  if (!options.secret.empty()) {
    ASSIGN_OR_RETURN(const std::string registry, RegistryOf(image));
    RETURN_IF_ERROR(toolbox->credentials_.AddSecret(options.secret, registry));
  }
  if (!options.destination_secret.empty()) {
    ASSIGN_OR_RETURN(const std::string registry, RegistryOf(destination));
    RETURN_IF_ERROR(toolbox->credentials_.AddSecret(options.destination_secret, registry));
  }
  toolbox->Connect(options);
  return toolbox;
}

Toolbox::Toolbox()
    : credentials_({.transport = http_,
                    .files = RealFileSystem(),
                    .clock = SystemClock(),
                    .environment = credentials::Environment::OfProcess()}),
      helpers_("helper", 1) {}

void Toolbox::Connect(const RegistryOptions& options) {
  registries_.emplace(ClientOptionsOf(options),
                      registry::Client::Dependencies{.transport = http_,
                                                     .credentials = credentials_.in_order(),
                                                     .clock = SystemClock(),
                                                     .executor = helpers_});
  transports_.emplace(*registries_);
}

StatusOr<std::shared_ptr<oci::ImageSource>> Toolbox::OpenSource(const std::string& image) {
  ASSIGN_OR_RETURN(const transport::ImageName name, transport::ImageName::Parse(image));
  return transports_->OpenSource(name);
}

StatusOr<std::shared_ptr<oci::ImageDestination>> Toolbox::OpenDestination(
    const std::string& image) {
  ASSIGN_OR_RETURN(const transport::ImageName name, transport::ImageName::Parse(image));
  return transports_->OpenDestination(name);
}

StatusOr<std::vector<oci::BlobPlace>> Toolbox::BlobPlaces(const std::string& image) {
  ASSIGN_OR_RETURN(const transport::ImageName name, transport::ImageName::Parse(image));
  if (name.kind != transport::Kind::kRegistry) {
    return std::vector<oci::BlobPlace>();
  }
  ASSIGN_OR_RETURN(const oci::Reference reference, oci::Reference::Parse(name.reference));
  return registries_->BlobPlaces(reference);
}

std::unique_ptr<layer::TocImage> Toolbox::TocImageOf(std::shared_ptr<oci::ImageSource> image) {
  return std::make_unique<layer::TocImage>(
      [this, image = std::move(image)]() -> StatusOr<std::shared_ptr<oci::ImageSource>> {
        ASSIGN_OR_RETURN(const std::string name, layer::TocImage::NameFor(image->Name()));
        return OpenSource(name);
      });
}

StatusOr<std::shared_ptr<registry::Referrers>> Toolbox::OpenReferrers(const std::string& image) {
  ASSIGN_OR_RETURN(const transport::ImageName name, transport::ImageName::Parse(image));
  if (name.kind != transport::Kind::kRegistry) {
    return MakeError(StatusCode::kUnimplemented,
                     fmt::format("{} is not in a registry, so nothing can be attached to it; "
                                 "give a FILE instead",
                                 image));
  }
  ASSIGN_OR_RETURN(const oci::Reference reference, oci::Reference::Parse(name.reference));
  return registries_->ReferrersIn(reference);
}

}  // namespace starling::cli
