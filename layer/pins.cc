#include "layer/pins.h"

#include <algorithm>

namespace starling::layer {
namespace {

constexpr std::string_view kHeader = "starling pins 1";
constexpr uint64_t kMaxFileBytes = 1 << 20;
constexpr size_t kMaxNameBytes = 4096;

bool IsLine(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNameBytes &&
         std::ranges::none_of(name, [](char c) { return c >= 0 && c < ' '; });
}

}  // namespace

StatusOr<std::unique_ptr<Pins>> Pins::Open(std::filesystem::path path, FileSystem& files) {
  std::set<std::string> names;
  const auto bytes = ReadFile(files, path, kMaxFileBytes);
  if (!bytes.ok() && bytes.status().code() != StatusCode::kNotFound) {
    return bytes.status();
  }
  std::string_view text = bytes.ok() ? AsText(*bytes) : std::string_view();
  for (bool is_first = true; !text.empty(); is_first = false) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    if (end == std::string_view::npos || (is_first ? line != kHeader : !IsLine(line))) {
      return MakeError(
          StatusCode::kDataLoss,
          fmt::format("{} is damaged: remove it to start without pins", path.string()));
    }
    if (!is_first) {
      names.emplace(line);
    }
    text.remove_prefix(end + 1);
  }
  return std::unique_ptr<Pins>(new Pins(std::move(path), files, std::move(names)));
}

Status Pins::Add(const std::string& name) {
  if (!IsLine(name)) {
    return MakeError(StatusCode::kInvalidArgument, "this is no name of an image or a layer");
  }
  const MutexLock lock(write_mutex_);
  std::set<std::string> changed = names();
  return changed.insert(name).second ? Write(std::move(changed)) : OkStatus();
}

Status Pins::Remove(const std::string& name) {
  const MutexLock lock(write_mutex_);
  std::set<std::string> changed = names();
  if (changed.erase(name) == 0) {
    return MakeError(StatusCode::kNotFound, fmt::format("{} is not pinned", name));
  }
  return Write(std::move(changed));
}

Status Pins::Write(std::set<std::string> names) {
  std::string text = fmt::format("{}\n", kHeader);
  for (const std::string& name : names) {
    text += name + "\n";
  }
  if (text.size() > kMaxFileBytes) {
    return MakeError(StatusCode::kResourceExhausted, "too much is pinned: unpin something first");
  }
  RETURN_IF_ERROR(WriteFileAtomically(files_, path_, AsBytes(text), 0600));
  const MutexLock lock(mutex_);
  names_ = std::move(names);
  return OkStatus();
}

std::set<std::string> Pins::names() const {
  const MutexLock lock(mutex_);
  return names_;
}

}  // namespace starling::layer
