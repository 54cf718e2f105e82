#include "layer/unlikely_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace starling::layer {
namespace {

using estargz::Child;
using estargz::Inode;
using estargz::LayerTree;

constexpr std::string_view kTestDirectories[] = {"test", "tests"};
constexpr std::string_view kShared = "share";
constexpr std::string_view kSharedDocumentation[] = {
    "bug", "doc", "doc-base", "gtk-doc", "help", "info", "lintian", "locale", "man"};
/// What package managers keep for their next run, by its path in the layer.
constexpr std::string_view kPackageCaches[] = {
    "var/cache/apk",    "var/cache/apt", "var/cache/dnf",  "var/cache/libdnf5",
    "var/cache/pacman", "var/cache/yum", "var/cache/zypp", "var/lib/apt/lists"};
constexpr std::string_view kUserCache = ".cache";
constexpr std::string_view kUsersPackages = "pip";
constexpr std::string_view kForCompilers[] = {".a",  ".d.ts", ".h",   ".hh",    ".hpp",
                                              ".la", ".pxd",  ".pyi", ".js.map"};
constexpr std::string_view kCache = "__pycache__";
constexpr std::string_view kSource = ".py";
constexpr std::string_view kCompiled = ".pyc";
constexpr std::string_view kOptimised = "opt-";

bool EndsWithOneOf(std::string_view name, std::span<const std::string_view> ends) {
  return std::ranges::any_of(ends, [name](std::string_view end) { return name.ends_with(end); });
}

/// The name without what follows its last dot; empty when there is none.
std::string_view Stem(std::string_view name) {
  const size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : name.substr(0, dot);
}

/// A directory that is still to be looked at.
struct Directory {
  uint32_t inode = LayerTree::kRoot;
  bool is_unlikely = false;  // and all that is below it
  bool is_shared = false;
  bool is_cache = false;
  bool is_user_cache = false;
  std::string path;  // while a cache of packages may be there or below
};

class Search {
 public:
  explicit Search(const LayerTree& tree)
      : inodes_(tree.inodes()), has_likely_name_(inodes_.size()), has_name_(inodes_.size()) {}

  std::vector<bool> Run() {
    std::vector<Directory> waiting = {{}};
    while (!waiting.empty()) {
      const Directory directory = waiting.back();
      waiting.pop_back();
      const std::set<std::string_view> compiled = CompiledIn(directory);
      for (const Child& child : inodes_[directory.inode].children) {
        if (S_ISDIR(inodes_[child.inode].mode)) {
          waiting.push_back(Below(directory, child));
          continue;
        }
        has_name_[child.inode] = true;
        if (!directory.is_unlikely && !IsUnlikely(child.name, compiled)) {
          has_likely_name_[child.inode] = true;
        }
      }
    }
    std::vector<bool> unlikely(inodes_.size());
    for (size_t inode = 0; inode < inodes_.size(); ++inode) {
      unlikely[inode] = has_name_[inode] && !has_likely_name_[inode];
    }
    return unlikely;
  }

 private:
  static Directory Below(const Directory& parent, const Child& child) {
    std::string path;
    if (parent.inode == LayerTree::kRoot) {
      path = child.name;
    } else if (!parent.path.empty()) {
      path = parent.path + "/" + std::string(child.name);
    }
    if (std::ranges::none_of(kPackageCaches,
                             [&](std::string_view cache) { return cache.starts_with(path); })) {
      path.clear();
    }
    const bool is_package_cache = std::ranges::count(kPackageCaches, path) > 0 ||
                                  (parent.is_user_cache && child.name == kUsersPackages);
    return {.inode = child.inode,
            .is_unlikely =
                parent.is_unlikely || is_package_cache ||
                std::ranges::count(kTestDirectories, child.name) > 0 ||
                (parent.is_shared && std::ranges::count(kSharedDocumentation, child.name) > 0),
            .is_shared = child.name == kShared,
            .is_cache = child.name == kCache,
            .is_user_cache = child.name == kUserCache,
            .path = std::move(path)};
  }

  /// Beside which names another one is read: in a cache X.TAG, else X, of each X.TAG.pyc.
  std::set<std::string_view> CompiledIn(const Directory& directory) const {
    std::set<std::string_view> compiled;
    const std::vector<Child>& children = inodes_[directory.inode].children;
    if (directory.is_cache) {
      for (const Child& child : children) {
        if (child.name.ends_with(kCompiled)) {
          compiled.insert(Stem(child.name));
        }
      }
      return compiled;
    }
    const auto cache = std::ranges::lower_bound(children, kCache, {}, &Child::name);
    if (cache == children.end() || cache->name != kCache) {
      return compiled;
    }
    for (const Child& child : inodes_[cache->inode].children) {
      const std::string_view with_tag = Stem(child.name);
      const std::string_view module = Stem(with_tag);
      if (child.name.ends_with(kCompiled) && !module.empty() &&
          !with_tag.substr(module.size() + 1).starts_with(kOptimised)) {
        compiled.insert(module);
      }
    }
    return compiled;
  }

  static bool IsUnlikely(std::string_view name, const std::set<std::string_view>& compiled) {
    if (name.ends_with(kSource)) {
      return compiled.contains(Stem(name));
    }
    if (name.ends_with(kCompiled)) {
      const std::string_view with_level = Stem(name);
      const std::string_view with_tag = Stem(with_level);
      return with_level.substr(with_tag.size()).starts_with("." + std::string(kOptimised)) &&
             compiled.contains(with_tag);
    }
    return EndsWithOneOf(name, kForCompilers);
  }

  const std::vector<Inode>& inodes_;
  std::vector<bool> has_likely_name_;
  std::vector<bool> has_name_;
};

}  // namespace

std::vector<bool> FindUnlikelyFiles(const LayerTree& tree) { return Search(tree).Run(); }

}  // namespace starling::layer
