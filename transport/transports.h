#pragma once

#include <memory>

#include "oci/image_store.h"
#include "registry/client.h"
#include "transport/image_name.h"

namespace starling::transport {

/// Opens images by name. Threads: safe.
class Transports {
 public:
  /// Borrows `registries`.
  explicit Transports(registry::Client& registries) : registries_(registries) {}
  /// kNotFound when a file or tag is missing; a registry is not asked yet.
  StatusOr<std::shared_ptr<oci::ImageSource>> OpenSource(const ImageName& name);
  /// Layouts are made or added to; archives are written whole when the top manifest is.
  StatusOr<std::shared_ptr<oci::ImageDestination>> OpenDestination(const ImageName& name);

 private:
  registry::Client& registries_;
};

}  // namespace starling::transport
