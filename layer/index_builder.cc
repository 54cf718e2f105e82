#include "layer/index_builder.h"

#include <sys/stat.h>

#include <algorithm>

#include "erofs/format.h"
#include "erofs/image_writer.h"
#include "layer/member_decoder.h"
#include "layer/unlikely_files.h"

namespace starling::layer {
namespace {

using estargz::Chunk;
using estargz::Inode;
using estargz::LayerTree;

// EROFS counts blocks in 32 bits.
constexpr uint64_t kMaxDataBytes = erofs::kBlockBytes << 32;

struct DataLayout {
  std::vector<uint64_t> addresses;  // by inode; 0 for what has no content
  std::vector<uint32_t> files;      // inodes with content, by address
  uint64_t data_size_bytes = 0;
};

/// The inodes with content, in the order of the blob.
DataLayout LayoutOf(const LayerTree& tree) {
  const std::vector<Inode>& inodes = tree.inodes();
  DataLayout layout{.addresses = std::vector<uint64_t>(inodes.size())};
  for (uint32_t number = 0; number < inodes.size(); ++number) {
    if (S_ISREG(inodes[number].mode) && inodes[number].chunk_count > 0) {
      layout.files.push_back(number);
    }
  }
  std::ranges::stable_sort(layout.files, [&](uint32_t a, uint32_t b) {
    const Chunk& left = tree.chunks()[inodes[a].first_chunk];
    const Chunk& right = tree.chunks()[inodes[b].first_chunk];
    return std::tie(left.blob_offset, left.inner_offset) <
           std::tie(right.blob_offset, right.inner_offset);
  });
  return layout;
}

/// Gives the file `number` its place; the device ends behind it.
Status Place(uint32_t number, uint64_t data_address, uint64_t size_bytes, DataLayout& layout) {
  if (data_address > kMaxDataBytes || size_bytes > kMaxDataBytes - data_address) {
    return MakeError(StatusCode::kResourceExhausted, "layer: more than 16 TiB of files");
  }
  layout.addresses[number] = data_address;
  layout.data_size_bytes = erofs::format::RoundUp(data_address + size_bytes, erofs::kBlockBytes);
  return OkStatus();
}

/// Files that are fetched together lie together.
StatusOr<DataLayout> LayOut(const LayerTree& tree) {
  DataLayout layout = LayoutOf(tree);
  for (const uint32_t number : layout.files) {
    RETURN_IF_ERROR(
        Place(number, layout.data_size_bytes, tree.inodes()[number].size_bytes, layout));
  }
  return layout;
}

StatusOr<DataLayout> LayOutPlaced(const LayerTree& tree, std::span<const PlacedFile> placed) {
  DataLayout layout = LayoutOf(tree);
  auto place = placed.begin();
  for (const uint32_t number : layout.files) {
    const Inode& inode = tree.inodes()[number];
    const uint64_t inner_offset = tree.chunks()[inode.first_chunk].inner_offset;
    // Those of files that were replaced by later ones.
    while (place != placed.end() && place->inner_offset < inner_offset) {
      ++place;
    }
    if (place == placed.end() || place->inner_offset != inner_offset ||
        place->data_address % erofs::kBlockBytes != 0 ||
        place->data_address < layout.data_size_bytes) {
      return MakeError(StatusCode::kInvalidArgument, "layer: a file without a place of its own");
    }
    RETURN_IF_ERROR(Place(number, place->data_address, inode.size_bytes, layout));
  }
  return layout;
}

std::vector<MemberRecord> MembersOf(const LayerTree& tree, const DataLayout& layout) {
  std::vector<MemberRecord> members;
  for (const uint32_t number : layout.files) {
    const Inode& inode = tree.inodes()[number];
    for (uint32_t i = 0; i < inode.chunk_count; ++i) {
      const Chunk& chunk = tree.chunks()[inode.first_chunk + i];
      if (!chunk.is_hole) {
        members.push_back({.blob_offset = chunk.blob_offset, .blob_size = chunk.blob_size});
      }
    }
  }
  std::ranges::sort(members, {}, &MemberRecord::blob_offset);
  const auto same = [](const MemberRecord& a, const MemberRecord& b) {
    return a.blob_offset == b.blob_offset;
  };
  members.erase(std::unique(members.begin(), members.end(), same), members.end());
  members.shrink_to_fit();
  return members;
}

/// Where in the layer inode `number` is.
std::string PathOf(const LayerTree& tree, uint32_t number) {
  for (uint32_t directory = 0; directory < tree.inodes().size(); ++directory) {
    for (const estargz::Child& child : tree.inodes()[directory].children) {
      if (child.inode == number) {
        const std::string above = directory == 0 ? "" : PathOf(tree, directory) + "/";
        return above + std::string(child.name);
      }
    }
  }
  return "";
}

/// What is fetched by itself is decoded and verified in memory.
Status CheckFitsMemory(const LayerTree& tree, uint32_t number, const Chunk& chunk, Codec codec) {
  const bool has_members = codec == Codec::kGzip || codec == Codec::kZstd;
  const bool ends_too_late = chunk.inner_offset > kMaxMemberBytes ||
                             chunk.size_bytes > kMaxMemberBytes - chunk.inner_offset;
  if (chunk.size_bytes <= kMaxChunkBytes && !(has_members && ends_too_late)) {
    return OkStatus();
  }
  return MakeError(StatusCode::kResourceExhausted,
                   fmt::format("layer: \"{}\": a chunk of {} bytes, {} bytes into its member; at "
                               "most {} and {} are decoded in memory: convert the image with "
                               "smaller chunks",
                               PathOf(tree, number).substr(0, 200), chunk.size_bytes,
                               chunk.inner_offset, kMaxChunkBytes, kMaxMemberBytes));
}

StatusOr<ChunkTableSpec> TableOf(const LayerTree& tree, const DataLayout& layout, Codec codec) {
  ChunkTableSpec spec{.members = MembersOf(tree, layout),
                      .data_size_bytes = layout.data_size_bytes,
                      .prefetch_end = tree.prefetch_end(),
                      .no_prefetch = tree.no_prefetch(),
                      .has_xattrs = tree.has_xattrs()};
  spec.chunks.reserve(tree.chunks().size());
  const std::vector<bool> unlikely = FindUnlikelyFiles(tree);
  for (const uint32_t number : layout.files) {
    const Inode& inode = tree.inodes()[number];
    for (uint32_t i = 0; i < inode.chunk_count; ++i) {
      const Chunk& chunk = tree.chunks()[inode.first_chunk + i];
      if (chunk.is_hole) {
        continue;
      }
      RETURN_IF_ERROR(CheckFitsMemory(tree, number, chunk, codec));
      const auto member =
          std::ranges::lower_bound(spec.members, chunk.blob_offset, {}, &MemberRecord::blob_offset);
      spec.chunks.push_back({.data_address = layout.addresses[number] + chunk.file_offset,
                             .size_bytes = chunk.size_bytes,
                             .inner_offset = chunk.inner_offset,
                             .member = static_cast<uint32_t>(member - spec.members.begin()),
                             .flags = unlikely[number] ? kUnlikely : 0,
                             .digest = chunk.digest.value()});
    }
  }
  return spec;
}

/// The views that erofs::InodeSpec borrows.
struct SpecStorage {
  std::vector<erofs::XattrSpec> xattrs;
  std::vector<erofs::ChildSpec> children;
};

std::vector<erofs::InodeSpec> SpecsOf(const LayerTree& tree, const DataLayout& layout,
                                      SpecStorage& storage) {
  size_t xattrs = 0;
  size_t children = 0;
  for (const Inode& inode : tree.inodes()) {
    xattrs += inode.xattrs.size();
    children += inode.children.size();
  }
  storage.xattrs.reserve(xattrs);  // views into them must stay valid
  storage.children.reserve(children);
  std::vector<erofs::InodeSpec> specs;
  specs.reserve(tree.inodes().size());
  for (const Inode& inode : tree.inodes()) {
    const size_t first_xattr = storage.xattrs.size();
    for (const estargz::Xattr& xattr : inode.xattrs) {
      storage.xattrs.push_back({.name = xattr.name, .value = xattr.value});
    }
    const size_t first_child = storage.children.size();
    for (const estargz::Child& child : inode.children) {
      storage.children.push_back({.name = child.name, .inode = child.inode});
    }
    specs.push_back({.mode = inode.mode,
                     .uid = inode.uid,
                     .gid = inode.gid,
                     .nlink = inode.nlink,
                     .size_bytes = inode.size_bytes,
                     .modified_seconds = inode.modified_seconds,
                     .device_major = inode.device_major,
                     .device_minor = inode.device_minor,
                     .parent = inode.parent,
                     .symlink_target = inode.symlink_target,
                     .xattrs = std::span(storage.xattrs).subspan(first_xattr),
                     .children = std::span(storage.children).subspan(first_child),
                     .data_address = layout.addresses[specs.size()]});
  }
  return specs;
}

/// How the members of a blob are to be read.
struct BlobForm {
  uint64_t size_bytes = 0;
  Codec codec = Codec::kGzip;
  ByteSpan seek_index;
};

StatusOr<LayerIndex> BuildLaidOut(const LayerTree& tree, const DataLayout& layout,
                                  const BlobForm& blob) {
  ASSIGN_OR_RETURN(ChunkTableSpec table, TableOf(tree, layout, blob.codec));
  table.blob_size_bytes = blob.size_bytes;
  table.codec = blob.codec;
  table.seek_index = blob.seek_index;
  LayerIndex index;
  index.info = {.blob_size_bytes = blob.size_bytes,
                .data_size_bytes = layout.data_size_bytes,
                .chunk_count = table.chunks.size()};
  ASSIGN_OR_RETURN(index.chunk_table, WriteChunkTable(std::move(table)));
  SpecStorage storage;
  const std::vector<erofs::InodeSpec> specs = SpecsOf(tree, layout, storage);
  ASSIGN_OR_RETURN(index.image, erofs::WriteImage(specs, layout.data_size_bytes));
  return index;
}

}  // namespace

StatusOr<LayerIndex> BuildIndex(const LayerTree& tree, uint64_t blob_size_bytes, Codec codec) {
  ASSIGN_OR_RETURN(const DataLayout layout, LayOut(tree));
  return BuildLaidOut(tree, layout, {.size_bytes = blob_size_bytes, .codec = codec});
}

StatusOr<LayerIndex> BuildIndexOfPlaced(const LayerTree& tree, uint64_t blob_size_bytes,
                                        std::span<const PlacedFile> placed) {
  ASSIGN_OR_RETURN(const DataLayout layout, LayOutPlaced(tree, placed));
  return BuildLaidOut(tree, layout, {.size_bytes = blob_size_bytes, .codec = Codec::kWhole});
}

StatusOr<LayerIndex> BuildIndex(const estargz::GzipLayerIndex& description) {
  const auto parse = [&]() -> StatusOr<estargz::Toc> {
    ASSIGN_OR_RETURN(const estargz::TocJson json, description.ReadToc());
    return estargz::Toc::Parse(json);
  };
  ASSIGN_OR_RETURN(estargz::Toc toc, parse());
  ASSIGN_OR_RETURN(const LayerTree tree,
                   LayerTree::Build(std::move(toc), description.seek_index().blob_end()));
  ASSIGN_OR_RETURN(const DataLayout layout, LayOut(tree));
  return BuildLaidOut(tree, layout,
                      {.size_bytes = description.blob_size_bytes(),
                       .codec = Codec::kGzipSpans,
                       .seek_index = description.seek_index_bytes()});
}

}  // namespace starling::layer
