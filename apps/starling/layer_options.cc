#include "apps/starling/layer_options.h"

#include <algorithm>
#include <map>
#include <string>
#include <thread>

namespace starling::cli {
namespace {

/// As the tools of each format call it, and without characters that some would rather not type.
const std::map<std::string, estargz::WriteFormat>& FormatNames() {
  static const std::map<std::string, estargz::WriteFormat> kNames = {
      {"estargz", estargz::WriteFormat::kEstargz},
      {"zstd:chunked", estargz::WriteFormat::kContainersZstd},
      {"zstd-chunked", estargz::WriteFormat::kContainersZstd},
      {"zstdchunked", estargz::WriteFormat::kStargzZstd},
      {"zstd-chunked-stargz", estargz::WriteFormat::kStargzZstd},
  };
  return kNames;
}

}  // namespace

estargz::WriteOptions LayerOptions::DefaultWriteOptions() {
  return {.threads = std::max<size_t>(std::thread::hardware_concurrency(), 1)};
}

void AddLayerOptions(CLI::App& command, LayerOptions& options) {
  estargz::WriteOptions& write = options.write;
  command.add_option("--threads", write.threads, "Compressing threads")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command
      .add_option("--format", write.format,
                  "estargz; zstd:chunked (podman, buildah, skopeo); zstdchunked (nerdctl, "
                  "stargz-snapshotter)")
      ->transform(CLI::CheckedTransformer(FormatNames()).description(""))
      ->option_text("FORMAT [estargz]");
  command
      .add_option("--level", write.compression_level,
                  fmt::format("Compression level: of libdeflate to {}, default {}; of zstd to {}, "
                              "default {}",
                              estargz::MaxLevel(estargz::WriteFormat::kEstargz),
                              estargz::DefaultLevel(estargz::WriteFormat::kEstargz),
                              estargz::MaxLevel(estargz::WriteFormat::kStargzZstd),
                              estargz::DefaultLevel(estargz::WriteFormat::kStargzZstd)))
      ->check(CLI::Range(1, estargz::MaxLevel(estargz::WriteFormat::kStargzZstd)));
  command.add_option("--chunk-size", write.chunk_size_bytes, "Bytes a chunk at most")
      ->check(CLI::Range(estargz::kMinChunkBytes, estargz::kMaxChunkBytes))
      ->capture_default_str();
  command
      .add_option("--min-chunk-size", write.shared_member_bytes,
                  "Compress small files together, up to so many bytes, into smaller layers for "
                  "readers that know innerOffset; 0: each alone")
      ->check(CLI::Range(uint64_t{0}, estargz::kMaxSharedMemberBytes))
      ->capture_default_str();
}

}  // namespace starling::cli
