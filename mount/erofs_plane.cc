#include "mount/erofs_plane.h"

#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_system.h"
#include "base/log.h"
#include "fuse/mount_table.h"

namespace starling::mount {
namespace {

/// The layer's number that a directory is called by.
std::optional<uint64_t> NumberOf(std::string_view name) {
  uint64_t number = 0;
  const char* end = name.data() + name.size();
  const auto [parsed_to, error] = std::from_chars(name.data(), end, number);
  return error == std::errc() && parsed_to == end ? std::optional(number) : std::nullopt;
}

const ErofsOptions& ReadsOf(ErofsPlane::Data data) {
  return data == ErofsPlane::Data::kOverFuse ? kReadsOverFuse : kReadsOfStored;
}

/// Exact reads of the data device are how the two kinds of mounts differ.
bool ReadsOverFuse(const fuse::MountEntry& mount) {
  static_assert(kReadsOverFuse.device_reads != kReadsOfStored.device_reads);
  return fmt::format(",{},", mount.options).find(",directio,") != std::string::npos;
}

}  // namespace

StatusOr<std::unique_ptr<ErofsPlane>> ErofsPlane::Start(std::filesystem::path directory) {
  RETURN_IF_ERROR(MakeDirectories(directory, 0755));
  RETURN_IF_ERROR(DetachMountsBelow(directory));
  std::error_code error;
  std::vector<std::filesystem::path> left;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    left.push_back(entry.path());
  }
  for (const std::filesystem::path& path : left) {
    std::filesystem::remove_all(path, error);
  }
  return std::unique_ptr<ErofsPlane>(new ErofsPlane(std::move(directory)));
}

StatusOr<std::unique_ptr<ErofsPlane>> ErofsPlane::Adopt(std::filesystem::path directory) {
  RETURN_IF_ERROR(MakeDirectories(directory, 0755));
  ASSIGN_OR_RETURN(const auto mounts, fuse::EntriesBelow(directory));
  std::unique_ptr<ErofsPlane> plane(new ErofsPlane(std::move(directory)));
  {
    MutexLock lock(plane->mutex_);
    for (const fuse::MountEntry& mount : mounts) {
      const std::optional<uint64_t> number = NumberOf(mount.mount_point.filename().native());
      if (number && mount.mount_point == plane->PathOf(*number)) {
        // Where two lie at one place, a replacement has not come to its end: the upper one counts.
        plane->shown_[*number] = ReadsOverFuse(mount) ? Data::kOverFuse : Data::kStored;
      }
    }
  }
  return plane;
}

void ErofsPlane::Leave() {
  MutexLock lock(mutex_);
  shown_.clear();
}

std::optional<std::filesystem::path> ErofsPlane::Find(uint64_t number) const {
  MutexLock lock(mutex_);
  return shown_.contains(number) ? std::optional(PathOf(number)) : std::nullopt;
}

bool ErofsPlane::UsesStored(uint64_t number) const {
  MutexLock lock(mutex_);
  const auto found = shown_.find(number);
  return found != shown_.end() && found->second == Data::kStored;
}

std::vector<uint64_t> ErofsPlane::Numbers() const {
  MutexLock lock(mutex_);
  std::vector<uint64_t> numbers;
  numbers.reserve(shown_.size());
  for (const auto& [number, data] : shown_) {
    numbers.push_back(number);
  }
  return numbers;
}

ErofsPlane::~ErofsPlane() {
  std::map<uint64_t, Data> shown;
  {
    MutexLock lock(mutex_);
    shown = shown_;
  }
  for (const auto& [number, data] : shown) {
    Hide(number);
  }
}

std::filesystem::path ErofsPlane::PathOf(uint64_t number) const {
  return directory_ / std::to_string(number);
}

StatusOr<std::filesystem::path> ErofsPlane::Show(uint64_t number, const ErofsImage& image,
                                                 Data data) {
  const std::filesystem::path path = PathOf(number);
  MutexLock lock(mutex_);
  if (shown_.contains(number)) {
    return MakeError(StatusCode::kAlreadyExists, fmt::format("layer {} is shown already", number));
  }
  ASSIGN_OR_RETURN(const UniqueFd mount, MakeErofsMount(image, ReadsOf(data)));
  RETURN_IF_ERROR(MakeDirectories(path, 0755));
  if (const Status status = AttachMount(mount.get(), path); !status.ok()) {
    std::error_code error;
    std::filesystem::remove(path, error);
    return status;
  }
  shown_[number] = data;
  return path;
}

Status ErofsPlane::UseStored(uint64_t number, const ErofsImage& image) {
  MutexLock lock(mutex_);
  const auto found = shown_.find(number);
  return found == shown_.end() || found->second == Data::kStored
             ? OkStatus()
             : GoOver(*found, image, Data::kStored);
}

Status ErofsPlane::Replace(uint64_t number, const ErofsImage& image) {
  MutexLock lock(mutex_);
  const auto found = shown_.find(number);
  return found == shown_.end() ? OkStatus() : GoOver(*found, image, Data::kOverFuse);
}

Status ErofsPlane::GoOver(std::pair<const uint64_t, Data>& shown, const ErofsImage& image,
                          Data data) {
  ASSIGN_OR_RETURN(const UniqueFd mount, MakeErofsMount(image, ReadsOf(data)));
  RETURN_IF_ERROR(ReplaceMount(mount.get(), PathOf(shown.first)));
  shown.second = data;
  return OkStatus();
}

void ErofsPlane::Hide(uint64_t number) {
  {
    MutexLock lock(mutex_);
    if (shown_.erase(number) == 0) {
      return;
    }
  }
  const std::filesystem::path path = PathOf(number);
  if (const Status status = DetachMount(path); !status.ok()) {
    log::Warning("a layer stays mounted", {{"error", Describe(status)}});
    return;
  }
  while (DetachMount(path).ok()) {
    // What lay beneath, where a replacement did not come to its end.
  }
  std::error_code error;
  std::filesystem::remove(path, error);
}

}  // namespace starling::mount
