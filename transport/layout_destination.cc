#include "transport/layout_destination.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/file_system.h"
#include "oci/referrer.h"
#include "transport/file_extent.h"

namespace starling::transport {
namespace {

namespace fs = std::filesystem;
// Ordered: what we do not understand in index.json stays as it came.
using Json = nlohmann::ordered_json;

constexpr std::string_view kLayoutMarker = R"({"imageLayoutVersion":"1.0.0"})";
constexpr mode_t kFileMode = 0644;
constexpr mode_t kDirectoryMode = 0755;

StatusOr<Json> ParseIndexDocument(ByteSpan bytes, const fs::path& path) {
  const std::string_view text = AsText(bytes);
  RETURN_IF_ERROR(
      Annotate(oci::Index::Parse(bytes, oci::media_type::kOciIndex).status(), path.string()));
  return Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
}

/// The layout's index; one without images when there is none yet.
StatusOr<Json> ReadIndexDocument(const fs::path& directory) {
  const fs::path path = directory / "index.json";
  auto bytes = ReadFile(RealFileSystem(), path, oci::kMaxManifestBytes);
  if (bytes.status().code() == StatusCode::kNotFound) {
    return Json{{"schemaVersion", 2},
                {"mediaType", oci::media_type::kOciIndex},
                {"manifests", Json::array()}};
  }
  RETURN_IF_ERROR(bytes.status());
  return ParseIndexDocument(*bytes, path);
}

/// The name that an entry of index.json bears, which may be none.
std::string NameOf(const Json& entry) {
  const auto annotations = entry.find("annotations");
  if (annotations == entry.end() || !annotations->is_object()) {
    return {};
  }
  const auto name = annotations->find(std::string(oci::annotation::kRefName));
  return name == annotations->end() || !name->is_string() ? std::string()
                                                          : name->get<std::string>();
}

/// A referrer's annotations say much, but not what it is called here.
Json EntryOf(const oci::Descriptor& referrer) {
  Json entry{{"mediaType", referrer.media_type},
             {"digest", referrer.digest.ToString()},
             {"size", referrer.size_bytes}};
  if (!referrer.artifact_type.empty()) {
    entry["artifactType"] = referrer.artifact_type;
  }
  Json annotations = Json::object();
  for (const auto& [key, value] : referrer.annotations) {
    if (key != oci::annotation::kRefName && key != oci::annotation::kContainerdName) {
      annotations[key] = value;
    }
  }
  if (!annotations.empty()) {
    entry["annotations"] = std::move(annotations);
  }
  return entry;
}

Status SyncDirectory(const fs::path& directory) {
  ASSIGN_OR_RETURN(const UniqueFd fd, RealFileSystem().Open(directory, O_RDONLY | O_DIRECTORY, 0));
  return ::fsync(fd.get()) == 0 ? OkStatus()
                                : ErrnoError(errno, fmt::format("fsync {}", directory.string()));
}

/// A file that is renamed into place when it is complete, and removed when that never happens.
class UnfinishedFile {
 public:
  static StatusOr<UnfinishedFile> Create(const fs::path& final_path) {
    std::string path = (final_path.parent_path() / ".starling-XXXXXX").string();
    UniqueFd fd(::mkostemp(path.data(), O_CLOEXEC));
    if (!fd.valid()) {
      return ErrnoError(errno, fmt::format("create {}", path));
    }
    return UnfinishedFile(std::move(fd), std::move(path), final_path);
  }
  UnfinishedFile(UnfinishedFile&& other) noexcept
      : fd_(std::move(other.fd_)),
        path_(std::exchange(other.path_, {})),
        final_path_(std::move(other.final_path_)) {}
  UnfinishedFile& operator=(UnfinishedFile&&) = delete;
  ~UnfinishedFile() {
    if (!path_.empty()) {
      ::unlink(path_.c_str());
    }
  }

  int fd() const { return fd_.get(); }

  Status Finish() {
    if (::fchmod(fd_.get(), kFileMode) != 0) {
      return ErrnoError(errno, fmt::format("chmod {}", path_));
    }
    RETURN_IF_ERROR(RealFileSystem().SyncData(fd_.get()));
    RETURN_IF_ERROR(RealFileSystem().Rename(path_, final_path_));
    path_.clear();
    return OkStatus();
  }

 private:
  UnfinishedFile(UniqueFd fd, std::string path, fs::path final_path)
      : fd_(std::move(fd)), path_(std::move(path)), final_path_(std::move(final_path)) {}

  UniqueFd fd_;
  std::string path_;
  fs::path final_path_;
};

struct WriterCloser {
  void operator()(archive* opened) const { archive_write_free(opened); }
};
using ArchiveWriter = std::unique_ptr<archive, WriterCloser>;

Status ArchiveError(archive* opened) {
  const char* message = archive_error_string(opened);
  const int error_number = archive_errno(opened);
  return error_number > 0
             ? ErrnoError(error_number, "write tar")
             : MakeError(StatusCode::kInternal,
                         fmt::format("write tar: {}", message == nullptr ? "failed" : message));
}

/// Header with nothing in it that depends on the machine or the time.
Status WriteHeader(archive* tar, const std::string& name, mode_t type, uint64_t size_bytes) {
  const std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry(archive_entry_new(),
                                                                            &archive_entry_free);
  archive_entry_set_pathname(entry.get(), name.c_str());
  archive_entry_set_filetype(entry.get(), type);
  archive_entry_set_perm(entry.get(), type == AE_IFDIR ? kDirectoryMode : kFileMode);
  archive_entry_set_size(entry.get(), static_cast<la_int64_t>(size_bytes));
  archive_entry_set_mtime(entry.get(), 0, 0);
  return archive_write_header(tar, entry.get()) == ARCHIVE_OK ? OkStatus() : ArchiveError(tar);
}

Status WriteMember(archive* tar, const fs::path& directory, const std::string& name) {
  ASSIGN_OR_RETURN(const FileExtent extent, OpenFileExtent(directory / name));
  RETURN_IF_ERROR(WriteHeader(tar, name, AE_IFREG, extent.size_bytes));
  ExtentStream stream(extent);
  Bytes buffer(1 << 20);
  for (;;) {
    ASSIGN_OR_RETURN(const size_t count, stream.Read(buffer));
    if (count == 0) {
      return OkStatus();
    }
    if (archive_write_data(tar, buffer.data(), count) != static_cast<la_ssize_t>(count)) {
      return ArchiveError(tar);
    }
  }
}

/// The same layout always gives the same bytes.
Status WriteLayoutTar(const fs::path& layout, int fd) {
  const ArchiveWriter writer(archive_write_new());
  archive* const tar = writer.get();
  if (archive_write_set_format_pax_restricted(tar) != ARCHIVE_OK ||
      archive_write_open_fd(tar, fd) != ARCHIVE_OK) {
    return ArchiveError(tar);
  }
  RETURN_IF_ERROR(WriteMember(tar, layout, "oci-layout"));
  RETURN_IF_ERROR(WriteMember(tar, layout, "index.json"));
  RETURN_IF_ERROR(WriteHeader(tar, "blobs/", AE_IFDIR, 0));
  RETURN_IF_ERROR(WriteHeader(tar, "blobs/sha256/", AE_IFDIR, 0));
  std::vector<std::string> blobs;
  std::error_code error;
  for (fs::directory_iterator i(layout / "blobs/sha256", error), end; !error && i != end;
       i.increment(error)) {
    blobs.push_back("blobs/sha256/" + i->path().filename().string());
  }
  if (error) {
    return ErrnoError(error.value(), fmt::format("list {}", layout.string()));
  }
  std::sort(blobs.begin(), blobs.end());
  for (const std::string& blob : blobs) {
    RETURN_IF_ERROR(WriteMember(tar, layout, blob));
  }
  return archive_write_close(tar) == ARCHIVE_OK ? OkStatus() : ArchiveError(tar);
}

/// Keeps other writers of the layout out until the descriptor is closed.
StatusOr<UniqueFd> LockDirectory(const fs::path& path) {
  ASSIGN_OR_RETURN(UniqueFd directory, RealFileSystem().Open(path, O_RDONLY | O_DIRECTORY, 0));
  while (::flock(directory.get(), LOCK_EX) != 0) {
    if (errno != EINTR) {
      return ErrnoError(errno, fmt::format("lock {}", path.string()));
    }
  }
  return directory;
}

/// Anything but a layout, nothing at all, or an empty directory. Another writer may be making the
/// layout.
StatusOr<bool> IsSomethingElse(const fs::path& directory) {
  std::error_code error;
  if (!fs::exists(directory, error)) {
    return false;
  }
  if (!fs::is_directory(directory, error)) {
    return true;
  }
  ASSIGN_OR_RETURN(const UniqueFd lock, LockDirectory(directory));
  return !fs::exists(directory / "oci-layout", error) && !fs::is_empty(directory, error);
}

}  // namespace

StatusOr<std::shared_ptr<LayoutDestination>> LayoutDestination::Open(fs::path directory,
                                                                     std::string tag) {
  ASSIGN_OR_RETURN(const bool something_else, IsSomethingElse(directory));
  if (something_else) {
    return MakeError(StatusCode::kFailedPrecondition,
                     fmt::format("{} exists and is not an OCI layout; name another directory",
                                 directory.string()));
  }
  // Better now than after an hour of conversion.
  RETURN_IF_ERROR(ReadIndexDocument(directory).status());
  return std::shared_ptr<LayoutDestination>(
      new LayoutDestination(std::move(directory), std::move(tag)));
}

std::string LayoutDestination::Name() const {
  return "oci:" + directory_.string() + (tag_.empty() ? "" : ":" + tag_);
}

fs::path LayoutDestination::BlobPath(const oci::Digest& digest) const {
  return directory_ / "blobs/sha256" / digest.Hex();
}

Status LayoutDestination::MakeLayout() {
  MutexLock lock(mutex_);
  if (made_) {
    return OkStatus();
  }
  RETURN_IF_ERROR(MakeDirectories(directory_, kDirectoryMode));
  {
    // The marker comes first: what has content but no marker is somebody else's directory.
    ASSIGN_OR_RETURN(const UniqueFd others_wait, LockDirectory(directory_));
    std::error_code error;
    if (!fs::exists(directory_ / "oci-layout", error)) {
      RETURN_IF_ERROR(WriteFileAtomically(RealFileSystem(), directory_ / "oci-layout",
                                          AsBytes(kLayoutMarker), kFileMode));
    }
  }
  RETURN_IF_ERROR(MakeDirectories(directory_ / "blobs/sha256", kDirectoryMode));
  made_ = true;
  return OkStatus();
}

StatusOr<bool> LayoutDestination::HasBlob(const oci::Descriptor& blob) {
  struct stat attributes{};
  if (::stat(BlobPath(blob.digest).c_str(), &attributes) != 0) {
    return false;
  }
  return S_ISREG(attributes.st_mode) &&
         static_cast<uint64_t>(attributes.st_size) == blob.size_bytes;
}

StatusOr<oci::BlobArrival> LayoutDestination::PutBlob(const oci::Descriptor& blob,
                                                      const OpenStream& open,
                                                      const std::vector<oci::BlobOrigin>&) {
  ASSIGN_OR_RETURN(const bool present, HasBlob(blob));
  if (present) {
    return oci::BlobArrival::kPresent;
  }
  RETURN_IF_ERROR(MakeLayout());
  ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> stream, open(0));
  ASSIGN_OR_RETURN(UnfinishedFile file, UnfinishedFile::Create(BlobPath(blob.digest)));
  FdSink sink(file.fd());
  oci::DigestingSink digesting(sink);
  RETURN_IF_ERROR(Annotate(CopyAll(*stream, digesting).status(),
                           fmt::format("{}: blob {}", Name(), blob.digest.ToString())));
  if (digesting.size_bytes() != blob.size_bytes || digesting.Finish() != blob.digest) {
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("{}: what came for blob {} has another size or digest", Name(),
                                 blob.digest.ToString()));
  }
  RETURN_IF_ERROR(file.Finish());
  return oci::BlobArrival::kSent;
}

Status LayoutDestination::WriteManifest(const oci::RawManifest& manifest) {
  const oci::Descriptor descriptor{.media_type = manifest.media_type,
                                   .digest = manifest.digest,
                                   .size_bytes = manifest.bytes.size()};
  RETURN_IF_ERROR(WriteBlob(descriptor, oci::StreamOf(manifest.bytes)));
  // What is no manifest to us is still kept.
  if (auto referrer = oci::ReferrerOf(manifest); referrer.ok() && *referrer) {
    MutexLock lock(mutex_);
    referrers_.push_back(std::move((*referrer)->entry));
  }
  return OkStatus();
}

bool LayoutDestination::IsReferrer(const oci::Digest& manifest) const {
  const auto bytes = ReadFile(RealFileSystem(), BlobPath(manifest), oci::kMaxManifestBytes);
  if (!bytes.ok()) {
    return false;
  }
  const auto referrer = oci::ReferrerOf({.media_type = {}, .digest = manifest, .bytes = *bytes});
  return referrer.ok() && *referrer;
}

Status LayoutDestination::WriteTopManifest(const oci::RawManifest& manifest) {
  RETURN_IF_ERROR(WriteManifest(manifest));
  // The names of the blobs must be durable before index.json leads to them.
  RETURN_IF_ERROR(SyncDirectory(directory_ / "blobs/sha256"));
  RETURN_IF_ERROR(ReplaceIndexEntry(manifest));
  return SyncDirectory(directory_);
}

Status LayoutDestination::ReplaceIndexEntry(const oci::RawManifest& manifest) {
  // Held to the end of the function: another process may add its image meanwhile.
  ASSIGN_OR_RETURN(const UniqueFd others_wait, LockDirectory(directory_));
  ASSIGN_OR_RETURN(Json index, ReadIndexDocument(directory_));
  std::vector<oci::Descriptor> referrers;
  {
    MutexLock lock(mutex_);
    referrers = referrers_;
  }
  std::erase_if(referrers, [&](const auto& entry) { return entry.digest == manifest.digest; });
  Json entries = Json::array();
  for (const Json& entry : index["manifests"]) {
    const std::string text = entry.value("digest", "");
    std::erase_if(referrers, [&](const auto& known) { return known.digest.ToString() == text; });
    bool stays = NameOf(entry) != tag_;
    if (!stays && tag_.empty() && text != manifest.digest.ToString()) {
      const auto digest = oci::Digest::Parse(text);
      stays = digest.ok() && IsReferrer(*digest);
    }
    if (stays) {
      entries.push_back(entry);
    }
  }
  for (const oci::Descriptor& referrer : referrers) {
    entries.push_back(EntryOf(referrer));
  }
  Json added{{"mediaType", manifest.media_type},
             {"digest", manifest.digest.ToString()},
             {"size", manifest.bytes.size()}};
  if (!tag_.empty()) {
    added["annotations"] = Json{{std::string(oci::annotation::kRefName), tag_}};
  }
  entries.push_back(std::move(added));
  index["manifests"] = std::move(entries);
  const std::string text = index.dump(-1, ' ', false, Json::error_handler_t::replace);
  return WriteFileAtomically(RealFileSystem(), directory_ / "index.json", AsBytes(text), kFileMode);
}

StatusOr<std::shared_ptr<ArchiveDestination>> ArchiveDestination::Open(fs::path file,
                                                                       std::string tag) {
  std::error_code error;
  if (fs::is_directory(file, error)) {
    return MakeError(StatusCode::kFailedPrecondition,
                     fmt::format("{} is a directory; write oci:{} or name a file", file.string(),
                                 file.string()));
  }
  const fs::path parent = file.has_parent_path() ? file.parent_path() : fs::path(".");
  ASSIGN_OR_RETURN(TempDir staging, TempDir::Make(parent, ".starling-archive-"));
  ASSIGN_OR_RETURN(auto layout, LayoutDestination::Open(staging.path() / "layout", std::move(tag)));
  return std::shared_ptr<ArchiveDestination>(
      new ArchiveDestination(std::move(file), std::move(staging), std::move(layout)));
}

std::string ArchiveDestination::Name() const { return "oci-archive:" + file_.string(); }

Status ArchiveDestination::WriteTopManifest(const oci::RawManifest& manifest) {
  RETURN_IF_ERROR(layout_->WriteTopManifest(manifest));
  const fs::path target = fs::absolute(file_);
  ASSIGN_OR_RETURN(UnfinishedFile unfinished, UnfinishedFile::Create(target));
  RETURN_IF_ERROR(Annotate(WriteLayoutTar(LayoutDirectory(), unfinished.fd()), Name()));
  RETURN_IF_ERROR(unfinished.Finish());
  return SyncDirectory(target.parent_path());
}

}  // namespace starling::transport
