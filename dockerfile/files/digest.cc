#include "dockerfile/files/digest.h"

#include <fcntl.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>

#include "base/file_system.h"
#include "base/io.h"
#include "dockerfile/files/entry_files.h"

namespace starling::dockerfile::files {
namespace {

constexpr uint64_t kMagic = 0x31474944'4c525453;  // "STRLDIG1"
constexpr uint64_t kMaxFileBytes = uint64_t{1} << 30;
constexpr size_t kPieceBytes = 256 << 10;
constexpr int64_t kRacyNanoseconds = 2'000'000'000;
constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;
constexpr mode_t kModeBits = 07777;

int64_t Nanoseconds(const struct timespec& time) {
  return int64_t{time.tv_sec} * kNanosecondsPerSecond + time.tv_nsec;
}

int64_t Now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

StatusOr<oci::Digest> ReadDigest(const Entry& entry) {
  ASSIGN_OR_RETURN(const UniqueFd file, OpenEntry(entry, O_RDONLY));
  FdSource source(file.get());
  oci::Sha256 digest;
  thread_local Bytes piece(kPieceBytes);
  for (;;) {
    ASSIGN_OR_RETURN(const size_t size, source.Read(piece));
    if (size == 0) {
      return digest.Finish();
    }
    digest.Update(ByteSpan(piece).first(size));
  }
}

/// Puts all entries into one digest.
class Digesting : public EntryVisitor {
 public:
  Digesting(bool zero_owners, ContentDigests& contents)
      : zero_owners_(zero_owners), contents_(contents) {}

  void Begin(const std::string& name) { AddText(name); }
  Status EnterDirectory(const Entry& entry) override { return Add(entry); }
  Status LeaveDirectory() override { return OkStatus(); }
  Status VisitFile(const Entry& entry) override { return Add(entry); }
  oci::Digest Finish() { return digest_.Finish(); }

 private:
  void AddNumber(uint64_t number) {
    std::array<std::byte, sizeof(number)> bytes{};
    std::memcpy(bytes.data(), &number, sizeof(number));
    digest_.Update(bytes);
  }
  /// With its length in front, so that no two lists of texts look the same.
  void AddText(std::string_view text) {
    AddNumber(text.size());
    digest_.Update(AsBytes(text));
  }

  Status Add(const Entry& entry) {
    const struct stat& attributes = entry.attributes;
    AddText(entry.path);
    // A socket becomes a file when it is copied.
    const mode_t type = S_ISSOCK(attributes.st_mode) ? S_IFREG : attributes.st_mode & S_IFMT;
    AddNumber(type | (attributes.st_mode & kModeBits));
    AddNumber(zero_owners_ ? 0 : attributes.st_uid);
    AddNumber(zero_owners_ ? 0 : attributes.st_gid);
    if (S_ISLNK(attributes.st_mode)) {
      ASSIGN_OR_RETURN(const std::string target, ReadLinkOf(entry));
      AddText(target);
      return OkStatus();
    }
    if (S_ISCHR(attributes.st_mode) || S_ISBLK(attributes.st_mode)) {
      AddNumber(attributes.st_rdev);
    }
    if (S_ISREG(attributes.st_mode)) {
      ASSIGN_OR_RETURN(const oci::Digest content, contents_.Of(entry));
      AddNumber(static_cast<uint64_t>(attributes.st_size));
      digest_.Update(content.value());
    }
    ASSIGN_OR_RETURN(const Xattrs xattrs, ReadXattrs(entry));
    AddNumber(xattrs.size());
    for (const auto& [name, value] : xattrs) {
      AddText(name);
      AddText(AsText(value));
    }
    return OkStatus();
  }

  const bool zero_owners_;
  ContentDigests& contents_;
  oci::Sha256 digest_;
};

}  // namespace

ContentDigests::ContentDigests(std::filesystem::path file) : file_(std::move(file)) { Load(); }

void ContentDigests::Load() {
  const auto bytes = ReadFile(RealFileSystem(), file_, kMaxFileBytes);
  uint64_t magic = 0;
  if (!bytes.ok() || bytes->size() < sizeof(magic)) {
    return;
  }
  std::memcpy(&magic, bytes->data(), sizeof(magic));
  const size_t count = (bytes->size() - sizeof(magic)) / sizeof(Record);
  if (magic != kMagic || sizeof(magic) + count * sizeof(Record) != bytes->size()) {
    return;
  }
  MutexLock lock(mutex_);
  known_.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    Record record;
    std::memcpy(&record, bytes->data() + sizeof(magic) + i * sizeof(Record), sizeof(Record));
    known_.emplace(record.key, record.digest);
  }
}

StatusOr<oci::Digest> ContentDigests::Of(const Entry& entry) {
  const Key key{.device = entry.attributes.st_dev,
                .inode = entry.attributes.st_ino,
                .size = static_cast<uint64_t>(entry.attributes.st_size),
                .modified_ns = Nanoseconds(entry.attributes.st_mtim),
                .changed_ns = Nanoseconds(entry.attributes.st_ctim)};
  {
    MutexLock lock(mutex_);
    for (auto* map : {&used_, &known_}) {
      if (const auto found = map->find(key); found != map->end()) {
        const oci::Digest digest(found->second);
        used_.emplace(key, digest.value());
        return digest;
      }
    }
  }
  const int64_t before = Now();
  ASSIGN_OR_RETURN(const oci::Digest digest, ReadDigest(entry));
  MutexLock lock(mutex_);
  ++read_files_;
  if (before - key.changed_ns > kRacyNanoseconds) {
    used_.emplace(key, digest.value());
  }
  return digest;
}

uint64_t ContentDigests::read_files() const {
  MutexLock lock(mutex_);
  return read_files_;
}

Status ContentDigests::Save() {
  Bytes bytes;
  {
    MutexLock lock(mutex_);
    if (read_files_ == 0) {
      return OkStatus();
    }
    bytes.resize(sizeof(kMagic) + used_.size() * sizeof(Record));
    std::memcpy(bytes.data(), &kMagic, sizeof(kMagic));
    size_t at = sizeof(kMagic);
    for (const auto& [key, digest] : used_) {
      const Record record{.key = key, .digest = digest};
      std::memcpy(bytes.data() + at, &record, sizeof(record));
      at += sizeof(record);
    }
  }
  RETURN_IF_ERROR(MakeDirectories(file_.parent_path(), 0700));
  return WriteFileAtomically(RealFileSystem(), file_, bytes, 0600);
}

StatusOr<oci::Digest> DigestOf(const CopySource& source, const std::vector<std::string>& exclude,
                               bool parents, ContentDigests& contents) {
  ASSIGN_OR_RETURN(const std::vector<std::string> selected, Select(source, parents));
  ASSIGN_OR_RETURN(const std::unique_ptr<const syntax::IgnoreFile> excludes,
                   ParseExcludes(exclude));
  Digesting digesting(source.zero_owners, contents);
  for (const std::string& path : selected) {
    const bool named = source.is_pattern || parents;
    digesting.Begin(!named ? "" : parents ? path : path.substr(path.rfind('/') + 1));
    RETURN_IF_ERROR(Annotate(Visit(source, path, excludes.get(), digesting), "/" + path));
  }
  return digesting.Finish();
}

}  // namespace starling::dockerfile::files
