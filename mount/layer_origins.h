#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "mount/layer_spec.h"

namespace starling::mount {

/// What the numbers of layers were mounted for. Threads: not safe.
class LayerOrigins {
 public:
  void Set(uint64_t number, const LayerSpec& spec) {
    origins_[number] = {.image = spec.image,
                        .manifest = spec.manifest,
                        .chain = spec.chain,
                        .parent_chain = spec.parent_chain};
  }
  void Erase(uint64_t number) { origins_.erase(number); }

  /// The images that something was mounted for.
  size_t image_count() const;
  /// Of the manifest that `number` was mounted for, if it was named.
  std::optional<oci::Digest> ManifestOf(uint64_t number) const;
  /// The images that need each number: those that it was mounted for, and those that a layer above
  /// it was mounted for, because clients ask for what is here already only once.
  std::map<uint64_t, std::set<std::string>> ImagesByNumber() const;

 private:
  struct Origin {
    std::string image;
    std::optional<oci::Digest> manifest;
    std::optional<oci::Digest> chain;
    std::optional<oci::Digest> parent_chain;
  };
  std::map<uint64_t, Origin> origins_;
};

}  // namespace starling::mount
