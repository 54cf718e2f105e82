#include "apps/starling/toolbox.h"

#include "base/clock.h"
#include "base/file_system.h"

namespace starling::cli {

Toolbox::Toolbox(std::vector<std::string> plain_http_hosts)
    : docker_config_(RealFileSystem(), registry::DockerConfig::DefaultPath()),
      helpers_("helper", 1),
      registries_({.plain_http_hosts = std::move(plain_http_hosts)},
                  {.transport = http_,
                   .credentials = {&docker_config_},
                   .clock = SystemClock(),
                   .executor = helpers_}),
      transports_(registries_) {}

StatusOr<std::shared_ptr<oci::ImageSource>> Toolbox::OpenSource(const std::string& image) {
  ASSIGN_OR_RETURN(const transport::ImageName name, transport::ImageName::Parse(image));
  return transports_.OpenSource(name);
}

StatusOr<std::shared_ptr<oci::ImageDestination>> Toolbox::OpenDestination(
    const std::string& image) {
  ASSIGN_OR_RETURN(const transport::ImageName name, transport::ImageName::Parse(image));
  return transports_.OpenDestination(name);
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
  return registries_.ReferrersIn(reference);
}

}  // namespace starling::cli
