#include "dockerfile/build/cache_mount_layers.h"

#include <filesystem>
#include <set>
#include <utility>

#include "diff/upper_tar.h"
#include "dockerfile/build/layer_maker.h"

namespace starling::dockerfile::build {

std::set<std::string> CacheMountsOf(const plan::Graph& graph, plan::NodeId root) {
  std::set<std::string> ids;
  for (const plan::NodeId node : plan::NeededBy(graph, root)) {
    if (const auto* run = std::get_if<plan::Run>(&graph.nodes[node].operation)) {
      for (const plan::RunMount& mount : run->mounts) {
        if (mount.type == syntax::MountType::kCache) {
          ids.insert(mount.id);
        }
      }
    }
  }
  return ids;
}

StatusOr<StoredCacheMounts> StoreCacheMounts(containerd::Client& client, const CacheMounts& mounts,
                                             const std::set<std::string>& ids, size_t threads,
                                             const oci::Platform& platform) {
  // All of it is unpacked where it is used: an index, which is a file of the tar, would be one of
  // the mount's.
  const LayerFormat format{.compression = Compression::kZstd, .threads = threads};
  StoredCacheMounts stored;
  Tree tree;
  CacheRecords records;
  for (const std::string& id : ids) {
    const auto store = [&](const std::filesystem::path& directory) -> Status {
      std::error_code error;
      if (std::filesystem::is_empty(directory, error)) {
        return OkStatus();
      }
      ASSIGN_OR_RETURN(const std::unique_ptr<diff::UpperTar> tar,
                       diff::UpperTar::Open(directory, {}));
      // Without a time of its own: the same files are the same image.
      ASSIGN_OR_RETURN(Layer layer, StoreLayer(client, *tar, format, {}));
      records.mounts.push_back({.id = id, .layer = tree.layers.size()});
      records.created.push_back(layer.created);
      tree.layers.push_back(std::move(layer));
      return OkStatus();
    };
    const Status looked = mounts.Look(id, store).status();
    if (looked.code() == StatusCode::kAborted) {
      stored.changing.push_back(id);
    } else if (!looked.ok()) {
      return Annotate(looked, fmt::format("cache mount {}", id));
    }
  }
  if (!tree.layers.empty()) {
    ASSIGN_OR_RETURN(stored.image, DescribeImage(plan::ImageDraft::Scratch(platform), tree,
                                                 {.cache_records = std::move(records)}));
  }
  return stored;
}

}  // namespace starling::dockerfile::build
