#include "containerd/image_layers.h"

#include "containerd/client.h"
#include "oci/manifest.h"
#include "oci/reference.h"

namespace starling::containerd {
namespace {

/// What is below `target`: an image's manifest, or an index of such.
StatusOr<std::set<oci::Digest>> LayersOf(Client& client, const oci::Descriptor& target,
                                         bool may_be_index) {
  if (target.size_bytes > oci::kMaxManifestBytes) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("{} is too large for a manifest", target.digest.ToString()));
  }
  ASSIGN_OR_RETURN(const Bytes json, client.ReadContent(target));
  std::set<oci::Digest> layers;
  if (const auto manifest = oci::Manifest::Parse(json, target.media_type); manifest.ok()) {
    for (const oci::Descriptor& layer : manifest->layers) {
      layers.insert(layer.digest);
    }
    return layers;
  }
  if (!may_be_index) {
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("{} is no manifest", target.digest.ToString()));
  }
  ASSIGN_OR_RETURN(const oci::Index index, oci::Index::Parse(json, target.media_type));
  for (const oci::Descriptor& manifest : index.manifests) {
    // Those that were not pulled are not there.
    if (auto of_one = LayersOf(client, manifest, /*may_be_index=*/false); of_one.ok()) {
      layers.merge(*std::move(of_one));
    }
  }
  return layers;
}

StatusOr<std::vector<std::string>> NamespacesOf(const std::string& address) {
  return Client({.address = address, .namespace_name = "default"}).Namespaces();
}

}  // namespace

StatusOr<ImagesByLayer> FindImagesByLayer(const std::string& address) {
  ImagesByLayer found;
  ASSIGN_OR_RETURN(const std::vector<std::string> namespaces, NamespacesOf(address));
  for (const std::string& name : namespaces) {
    Client client({.address = address, .namespace_name = name});
    ASSIGN_OR_RETURN(const std::vector<Client::Image> images, client.Images());
    std::map<oci::Digest, std::set<oci::Digest>> known;  // one image has many names
    for (const Client::Image& image : images) {
      if (oci::Digest::Parse(image.name).ok()) {
        continue;
      }
      const auto [layers, is_new] = known.try_emplace(image.target.digest);
      if (is_new) {
        layers->second =
            LayersOf(client, image.target, /*may_be_index=*/true).value_or(std::set<oci::Digest>());
      }
      for (const oci::Digest& layer : layers->second) {
        found[layer].insert(image.name);
      }
    }
  }
  return found;
}

StatusOr<std::set<oci::Digest>> FindLayersOfImage(const std::string& address,
                                                  const std::string& namespace_name,
                                                  const std::string& name) {
  std::vector<std::string> namespaces = {namespace_name};
  if (namespace_name.empty()) {
    ASSIGN_OR_RETURN(namespaces, NamespacesOf(address));
  }
  std::set<std::string> names = {name};
  if (const auto reference = oci::Reference::Parse(name); reference.ok()) {
    names.insert(reference->ToString());
  }
  std::set<oci::Digest> layers;
  bool is_known = false;
  for (const std::string& one : namespaces) {
    Client client({.address = address, .namespace_name = one});
    for (const std::string& spelled : names) {
      const auto target = client.GetImage(spelled);
      if (target.status().code() == StatusCode::kNotFound) {
        continue;
      }
      RETURN_IF_ERROR(target.status());
      ASSIGN_OR_RETURN(auto of_one, LayersOf(client, *target, /*may_be_index=*/true));
      layers.merge(of_one);
      is_known = true;
    }
  }
  if (!is_known) {
    return MakeError(
        StatusCode::kNotFound,
        fmt::format("containerd at {} has no image {} in {}", address, name,
                    namespace_name.empty() ? "any namespace" : "the namespace " + namespace_name));
  }
  return layers;
}

}  // namespace starling::containerd
