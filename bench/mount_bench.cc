// What does a layer cost when it is shown? Converts TAR and shows the layer below ROOT once for
// each data plane, each with a store of its own that is filled from a file. Prints "NAME DIRECTORY"
// for each and serves until its input ends: `tree` over FUSE; `erofs`, its data over FUSE for
// ever; `stored`, which goes over to the stored files once it was read as a whole.
//   mount_bench TAR ROOT
#include <fcntl.h>
#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <vector>

#include "base/file_system.h"
#include "estargz/writer.h"
#include "mount/layer_host.h"

namespace starling {
namespace {

/// A blob in a file. Threads: safe.
class FileBlob : public oci::BlobReader {
 public:
  FileBlob(UniqueFd fd, uint64_t size_bytes) : fd_(std::move(fd)), size_bytes_(size_bytes) {}
  uint64_t SizeBytes() const override { return size_bytes_; }
  void Read(oci::BlobRange range, const oci::ReadOptions&, Done done) override {
    Bytes out(range.size_bytes);
    const Status status = RealFileSystem().ReadAt(fd_.get(), range.blob_offset, out);
    done(status.ok() ? StatusOr<Bytes>(std::move(out)) : status);
  }

 private:
  const UniqueFd fd_;
  const uint64_t size_bytes_;
};

/// The image whose only blob is a file.
class FileImage : public oci::ImageSource {
 public:
  explicit FileImage(std::filesystem::path blob) : path_(std::move(blob)) {}
  std::string Name() const override { return path_.native(); }
  StatusOr<oci::RawManifest> ReadTopManifest() override { return NoManifest(); }
  StatusOr<oci::RawManifest> ReadManifest(const oci::Descriptor&) override { return NoManifest(); }
  Status ReadBlob(const oci::Descriptor&, ByteSink&) override { return NoManifest(); }
  StatusOr<oci::OpenedBlob> OpenBlob(const oci::Descriptor& blob, uint64_t tail_bytes) override {
    ASSIGN_OR_RETURN(std::shared_ptr<oci::BlobReader> reader, BlobAt(blob));
    const uint64_t tail = std::min(tail_bytes, reader->SizeBytes());
    ASSIGN_OR_RETURN(Bytes bytes, reader->ReadAndWait({reader->SizeBytes() - tail, tail}));
    return oci::OpenedBlob{.reader = std::move(reader), .tail = std::move(bytes)};
  }
  StatusOr<std::shared_ptr<oci::BlobReader>> BlobAt(const oci::Descriptor&) override {
    ASSIGN_OR_RETURN(UniqueFd fd, RealFileSystem().Open(path_, O_RDONLY, 0));
    return std::make_shared<FileBlob>(std::move(fd), std::filesystem::file_size(path_));
  }

 private:
  static Status NoManifest() { return MakeError(StatusCode::kUnimplemented, "only a blob"); }
  const std::filesystem::path path_;
};

StatusOr<estargz::WrittenLayer> Convert(const char* tar, const std::filesystem::path& blob) {
  ASSIGN_OR_RETURN(const UniqueFd in, RealFileSystem().Open(tar, O_RDONLY, 0));
  ASSIGN_OR_RETURN(const UniqueFd out,
                   RealFileSystem().Open(blob, O_WRONLY | O_CREAT | O_TRUNC, 0600));
  FdSource source(in.get());
  FdSink sink(out.get());
  return estargz::WriteLayer(source, sink, {});
}

struct Plane {
  const char* name;
  mount::DataPlane plane;
  bool replaces;
};
constexpr Plane kPlanes[] = {{"tree", mount::DataPlane::kTree, false},
                             {"erofs", mount::DataPlane::kErofs, false},
                             {"stored", mount::DataPlane::kErofs, true}};

StatusOr<std::unique_ptr<mount::LayerHost>> Show(const Plane& plane,
                                                 const std::filesystem::path& root,
                                                 const std::shared_ptr<FileImage>& image,
                                                 const estargz::WrittenLayer& layer) {
  const auto probe = [&plane](auto&... arguments) {
    mount::ErofsSupport support = mount::ProbeErofs(arguments...);
    if (!plane.replaces) {
      support.replacing = MakeError(StatusCode::kUnimplemented, "not wanted");
    }
    return support;
  };
  ASSIGN_OR_RETURN(
      auto host,
      mount::LayerHost::Start({.root = root / plane.name, .data_plane = plane.plane},
                              {.sources = [image](const std::string&)
                                   -> StatusOr<std::shared_ptr<oci::ImageSource>> { return image; },
                               .files = RealFileSystem(),
                               .probe = probe}));
  const auto begin = std::chrono::steady_clock::now();
  ASSIGN_OR_RETURN(const mount::MountedLayer mounted,
                   host->Mount(1, {.image = "bench",
                                   .layer = layer.digest,
                                   .toc = layer.toc_digest,
                                   .size_bytes = layer.size_bytes}));
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
  std::printf("%s %s\n", plane.name, mounted.path.c_str());
  std::fprintf(stderr, "%s: opened and shown %lu inodes in %.1f ms\n", plane.name,
               static_cast<unsigned long>(mounted.inodes), took.count());
  return host;
}

Status Run(const char* tar, const std::filesystem::path& root) {
  RETURN_IF_ERROR(MakeDirectories(root, 0700));
  const auto blob = root / "blob";
  ASSIGN_OR_RETURN(const estargz::WrittenLayer layer, Convert(tar, blob));
  ::malloc_trim(0);
  const auto image = std::make_shared<FileImage>(blob);
  std::vector<std::unique_ptr<mount::LayerHost>> hosts;
  for (const Plane& plane : kPlanes) {
    ASSIGN_OR_RETURN(auto host, Show(plane, root, image, layer));
    hosts.push_back(std::move(host));
  }
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  return OkStatus();
}

}  // namespace
}  // namespace starling

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: mount_bench TAR ROOT\n");
    return 2;
  }
  ::mallopt(M_ARENA_MAX, 2);
  const starling::Status status = starling::Run(argv[1], argv[2]);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", starling::Describe(status).c_str());
    return 1;
  }
  return 0;
}
