#include "layer/named_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <variant>

namespace starling::layer {
namespace {

/// Those that symlinks led to are among them.
constexpr size_t kMaxNames = 256;
constexpr int kMaxLinks = 16;
/// Deeper ones, to which a symlink to itself leads, are no files of programs.
constexpr ptrdiff_t kMaxDepth = 32;

/// As a process sees it whose root is the image's: nothing is above that.
std::string Normalized(std::string_view path) {
  return (std::filesystem::path("/") / path).lexically_normal().relative_path().string();
}

/// What is found at a name: a file, or where it lies instead.
using Found = std::variant<std::monostate, erofs::Attributes, std::string>;

Found Find(const erofs::ImageReader& index, const std::string& name) {
  const std::filesystem::path path(name);
  erofs::Nid at = index.root();
  std::filesystem::path above;
  for (auto part = path.begin(); part != path.end(); ++part) {
    const auto next = index.Lookup(at, part->string());
    const auto attributes = next.ok() ? index.Stat(*next) : next.status();
    if (!attributes.ok()) {
      return {};
    }
    if (S_ISLNK(attributes->mode)) {
      const auto target = index.ReadLink(*next);
      if (!target.ok()) {
        return {};
      }
      std::filesystem::path elsewhere = above / *target;  // *target alone, if it is absolute
      for (auto rest = std::next(part); rest != path.end(); ++rest) {
        elsewhere /= *rest;
      }
      return elsewhere.string();
    }
    if (std::next(part) == path.end()) {
      return *attributes;
    }
    at = *next;
    above /= *part;
  }
  return {};
}

}  // namespace

NamedFiles::NamedFiles(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    Add(path);
  }
}

/// The name by which `path` is looked for; none when it is one too many, or too deep.
std::optional<std::string> NamedFiles::Add(std::string_view path) {
  std::string name = Normalized(path);
  if (known_.contains(name)) {
    return name;
  }
  if (names_.size() == kMaxNames || std::ranges::count(name, '/') >= kMaxDepth) {
    return std::nullopt;
  }
  known_.insert(name);
  names_.push_back(name);
  return name;
}

std::vector<DataRange> NamedFiles::FindIn(const erofs::ImageReader& index) {
  std::vector<DataRange> ranges;
  // What is added meanwhile has been followed.
  for (size_t i = 0, count = names_.size(); i < count; ++i) {
    std::optional<std::string> name = names_[i];
    for (int links = 0; name && links <= kMaxLinks; ++links) {
      const Found found = Find(index, *name);
      if (const auto* target = std::get_if<std::string>(&found)) {
        name = Add(*target);
        continue;
      }
      const auto* file = std::get_if<erofs::Attributes>(&found);
      if (file != nullptr && S_ISREG(file->mode) && file->size_bytes > 0) {
        const DataRange range{.data_address = file->data_address,
                              .size_bytes = std::min(file->size_bytes, kMaxFileBytes)};
        if (std::ranges::find(ranges, range) == ranges.end()) {
          ranges.push_back(range);
        }
      }
      break;
    }
  }
  return ranges;
}

}  // namespace starling::layer
