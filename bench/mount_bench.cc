// What does a fully held layer cost when it is mounted? Converts TAR, mounts the layer below
// ROOT from a file, prints the layer's directory, and serves until its input ends.
//   mount_bench TAR ROOT
#include <fcntl.h>
#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <future>

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

Status Run(const char* tar, const std::filesystem::path& root) {
  RETURN_IF_ERROR(MakeDirectories(root, 0700));
  const auto blob = root / "blob";
  ASSIGN_OR_RETURN(const estargz::WrittenLayer layer, Convert(tar, blob));
  ::malloc_trim(0);
  const auto image = std::make_shared<FileImage>(blob);
  ASSIGN_OR_RETURN(
      const auto host,
      mount::LayerHost::Start({.root = root / "host"},
                              {.sources = [image](const std::string&)
                                   -> StatusOr<std::shared_ptr<oci::ImageSource>> { return image; },
                               .files = RealFileSystem()}));
  const auto begin = std::chrono::steady_clock::now();
  ASSIGN_OR_RETURN(const mount::MountedLayer mounted,
                   host->Mount(1, {.image = "bench",
                                   .layer = layer.digest,
                                   .toc = layer.toc_digest,
                                   .size_bytes = layer.size_bytes}));
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
  std::printf("%s\n", mounted.path.c_str());
  std::fprintf(stderr, "mounted %lu inodes in %.1f ms\n",
               static_cast<unsigned long>(mounted.inodes), took.count());
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  const mount::HostCounters counters = host->counters();
  std::fprintf(stderr, "%lu requests, %lu bytes\n",
               static_cast<unsigned long>(counters.blob_requests),
               static_cast<unsigned long>(counters.blob_bytes));
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
