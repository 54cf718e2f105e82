#include "layer/start_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

namespace starling::layer {
namespace {

/// One that is larger is something else.
constexpr uint64_t kMaxFileBytes = 8 << 20;
constexpr int kMaxLinks = 16;

/// In the order in which they are read. Sources: System V ABI and musl for the loaders' paths,
/// Debian's multiarch and the file systems of Fedora and Alpine for the others.
constexpr std::string_view kPaths[] = {
    "lib64/ld-linux-x86-64.so.2",
    "lib/ld-linux-aarch64.so.1",
    "lib/ld-musl-x86_64.so.1",
    "lib/ld-musl-aarch64.so.1",
    "etc/ld.so.cache",
    "lib/x86_64-linux-gnu/libc.so.6",
    "lib/aarch64-linux-gnu/libc.so.6",
    "lib64/libc.so.6",
    "lib/x86_64-linux-gnu/libm.so.6",
    "lib/aarch64-linux-gnu/libm.so.6",
    "lib64/libm.so.6",
    // Where a layer has what another one's symlink /lib leads to.
    "usr/lib64/ld-linux-x86-64.so.2",
    "usr/lib/ld-linux-aarch64.so.1",
    "usr/lib/x86_64-linux-gnu/libc.so.6",
    "usr/lib/aarch64-linux-gnu/libc.so.6",
    "usr/lib64/libc.so.6",
    "usr/lib/x86_64-linux-gnu/libm.so.6",
    "usr/lib/aarch64-linux-gnu/libm.so.6",
    "usr/lib64/libm.so.6",
};

/// Puts the parts of `path` in front of `rest`.
void Prepend(std::string_view path, std::deque<std::string>& rest) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    parts.emplace_back(path.substr(0, slash));
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  rest.insert(rest.begin(), parts.begin(), parts.end());
}

/// What `path` leads to, as seen by a process whose root is the layer's.
std::optional<erofs::Attributes> Find(const erofs::ImageReader& index, std::string_view path) {
  std::vector<erofs::Nid> at = {index.root()};  // and what is above
  std::deque<std::string> rest;
  Prepend(path, rest);
  int links = 0;
  while (!rest.empty()) {
    const std::string name = std::move(rest.front());
    rest.pop_front();
    if (name.empty() || name == ".") {
      continue;
    }
    if (name == "..") {
      at.resize(std::max<size_t>(at.size() - 1, 1));
      continue;
    }
    const auto next = index.Lookup(at.back(), name);
    const auto attributes = next.ok() ? index.Stat(*next) : next.status();
    if (!attributes.ok()) {
      return std::nullopt;
    }
    if (!S_ISLNK(attributes->mode)) {
      at.push_back(*next);
      continue;
    }
    const auto target = index.ReadLink(*next);
    if (!target.ok() || ++links > kMaxLinks) {
      return std::nullopt;
    }
    if (target->starts_with('/')) {
      at.resize(1);
    }
    Prepend(*target, rest);
  }
  const auto found = index.Stat(at.back());
  return found.ok() ? std::optional(*found) : std::nullopt;
}

}  // namespace

std::vector<DataRange> FindStartFiles(const erofs::ImageReader& index) {
  std::vector<DataRange> ranges;
  for (const std::string_view path : kPaths) {
    const auto file = Find(index, path);
    if (!file || !S_ISREG(file->mode) || file->size_bytes == 0 ||
        file->size_bytes > kMaxFileBytes) {
      continue;
    }
    const DataRange range{.data_address = file->data_address, .size_bytes = file->size_bytes};
    if (std::ranges::find(ranges, range) == ranges.end()) {
      ranges.push_back(range);
    }
  }
  return ranges;
}

}  // namespace starling::layer
