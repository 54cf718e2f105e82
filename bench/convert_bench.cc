// How long does it take to make layers eStargz, and how large do they get?
//
//   convert_bench [--format FORMAT] [--level N] [--threads N] [--min-chunk-size BYTES] [--gzip]
//                 [--out FILE] LAYER...
//
// FORMAT is estargz, zstd:chunked (of containers/storage) or zstdchunked (of stargz-snapshotter).
// LAYER is a tar, plain or compressed. --gzip also runs `gzip -9` on each (minutes) and prints the
// ratio of the sizes. --out keeps the last blob.
#include <fcntl.h>
#include <sys/wait.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "base/io.h"
#include "estargz/writer.h"

namespace {

using starling::StatusOr;
using starling::estargz::WriteFormat;

struct Arguments {
  starling::estargz::WriteOptions options;
  bool gzip = false;
  std::string out;
  std::vector<std::string> layers;
};

bool Parse(int argc, char** argv, Arguments& arguments) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    const bool has_value = i + 1 < argc;
    if (word == "--gzip") {
      arguments.gzip = true;
    } else if (word == "--format" && has_value) {
      const std::string_view format = argv[++i];
      arguments.options.format = format == "zstd:chunked"  ? WriteFormat::kContainersZstd
                                 : format == "zstdchunked" ? WriteFormat::kStargzZstd
                                                           : WriteFormat::kEstargz;
    } else if (word == "--level" && has_value) {
      arguments.options.compression_level = std::atoi(argv[++i]);
    } else if (word == "--threads" && has_value) {
      arguments.options.threads = static_cast<size_t>(std::atoi(argv[++i]));
    } else if (word == "--min-chunk-size" && has_value) {
      arguments.options.shared_member_bytes = static_cast<uint64_t>(std::atoll(argv[++i]));
    } else if (word == "--out" && has_value) {
      arguments.out = argv[++i];
    } else if (word.starts_with("--")) {
      return false;
    } else {
      arguments.layers.emplace_back(word);
    }
  }
  return !arguments.layers.empty();
}

/// Counts and forgets.
class NullSink : public starling::ByteSink {
 public:
  starling::Status Write(starling::ByteSpan) override { return starling::OkStatus(); }
};

StatusOr<starling::estargz::WrittenLayer> Convert(const std::string& layer,
                                                  const Arguments& arguments) {
  auto& files = starling::RealFileSystem();
  ASSIGN_OR_RETURN(const starling::UniqueFd in, files.Open(layer, O_RDONLY, 0));
  starling::FdSource source(in.get());
  if (arguments.out.empty()) {
    NullSink sink;
    return starling::estargz::WriteLayer(source, sink, arguments.options);
  }
  ASSIGN_OR_RETURN(const starling::UniqueFd out,
                   files.Open(arguments.out, O_CREAT | O_TRUNC | O_WRONLY, 0644));
  starling::FdSink sink(out.get());
  return starling::estargz::WriteLayer(source, sink, arguments.options);
}

/// The size of `gzip -9` of the file; 0 when it cannot be run.
uint64_t GzipBytes(const std::string& layer) {
  FILE* pipe = popen(("gzip -9 -n -c '" + layer + "'").c_str(), "re");
  if (pipe == nullptr) {
    return 0;
  }
  uint64_t size_bytes = 0;
  std::vector<char> buffer(1 << 20);
  for (size_t count = 1; count > 0; size_bytes += count) {
    count = fread(buffer.data(), 1, buffer.size(), pipe);
  }
  return pclose(pipe) == 0 ? size_bytes : 0;
}

double SecondsSince(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (!Parse(argc, argv, arguments)) {
    std::fprintf(
        stderr,
        "usage: convert_bench [--format FORMAT] [--level N] [--threads N] [--min-chunk-size BYTES] "
        "[--gzip] [--out FILE] LAYER...\n");
    return 2;
  }
  double seconds = 0;
  uint64_t stored_bytes = 0;
  uint64_t gzip_bytes = 0;
  for (const std::string& layer : arguments.layers) {
    const auto begin = std::chrono::steady_clock::now();
    const auto written = Convert(layer, arguments);
    const double layer_seconds = SecondsSince(begin);
    if (!written.ok()) {
      std::fprintf(stderr, "%s: %s\n", layer.c_str(), starling::Describe(written.status()).c_str());
      return 1;
    }
    std::printf("%s: %.2f s, tar %.1f MB -> %.3f MB, %s\n", layer.c_str(), layer_seconds,
                static_cast<double>(written->uncompressed_bytes) / 1e6,
                static_cast<double>(written->size_bytes) / 1e6, written->digest.Hex().c_str());
    seconds += layer_seconds;
    stored_bytes += written->size_bytes;
    gzip_bytes += arguments.gzip ? GzipBytes(layer) : 0;
  }
  std::printf("level %d, %zu threads: %.2f s, %.3f MB\n",
              arguments.options.compression_level.value_or(
                  starling::estargz::DefaultLevel(arguments.options.format)),
              arguments.options.threads, seconds, static_cast<double>(stored_bytes) / 1e6);
  if (gzip_bytes > 0) {
    std::printf("gzip -9: %.3f MB, ratio %.4f\n", static_cast<double>(gzip_bytes) / 1e6,
                static_cast<double>(stored_bytes) / static_cast<double>(gzip_bytes));
  }
  return 0;
}
