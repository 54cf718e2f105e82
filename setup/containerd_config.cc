#include "setup/containerd_config.h"

#include <glob.h>

#include <algorithm>
#include <deque>
#include <set>

#include "base/file_system.h"
#include "base/toml.h"
#include "setup/kept_file.h"

namespace starling::setup {
namespace {

constexpr size_t kMaxFiles = 64;

/// The files below `root` that an import names, in their order; `parent` is the importing file.
std::vector<std::string> FilesOf(const std::filesystem::path& root, const std::string& parent,
                                 const std::string& import) {
  std::filesystem::path path = std::filesystem::path(import).lexically_normal();
  if (path.is_relative()) {
    path = std::filesystem::path(parent).parent_path() / path;
  }
  if (path.native().find('*') == std::string::npos) {
    return {path.native()};
  }
  std::vector<std::string> found;
  glob_t matches{};
  const std::string pattern = (root / path.relative_path()).native();
  if (::glob(pattern.c_str(), GLOB_NOSORT, nullptr, &matches) == 0) {
    for (size_t i = 0; i < std::min(matches.gl_pathc, kMaxFiles); ++i) {
      found.push_back("/" +
                      std::filesystem::path(matches.gl_pathv[i]).lexically_relative(root).native());
    }
  }
  ::globfree(&matches);
  std::ranges::sort(found);
  return found;
}

}  // namespace

struct ContainerdConfig::File {
  std::string path;
  bool exists = false;
  std::string text;
  toml::table root;

  const toml::node* At(const TomlPath& wanted) const {
    const toml::node* node = &root;
    for (const std::string& name : wanted) {
      const toml::table* const table = node->as_table();
      node = table == nullptr ? nullptr : table->get(name);
      if (node == nullptr) {
        return nullptr;
      }
    }
    return node;
  }
};

ContainerdConfig::ContainerdConfig() = default;
ContainerdConfig::ContainerdConfig(ContainerdConfig&&) noexcept = default;
ContainerdConfig& ContainerdConfig::operator=(ContainerdConfig&&) noexcept = default;
ContainerdConfig::~ContainerdConfig() = default;

StatusOr<ContainerdConfig> ContainerdConfig::Load(const std::filesystem::path& root,
                                                  const std::string& path) {
  ContainerdConfig config;
  std::deque<std::string> pending = {path};
  std::set<std::string> seen;
  while (!pending.empty()) {
    const std::string next = pending.front();
    pending.pop_front();
    if (!seen.insert(next).second) {
      continue;
    }
    if (seen.size() > kMaxFiles) {
      return MakeError(StatusCode::kResourceExhausted,
                       fmt::format("{} imports more than {} files", path, kMaxFiles));
    }
    auto file = std::make_unique<File>();
    file->path = next;
    const StatusOr<Bytes> bytes = ReadFile(
        RealFileSystem(), root / std::filesystem::path(next).relative_path(), kMaxConfigBytes);
    if (bytes.ok()) {
      file->exists = true;
      file->text = AsText(*bytes);
    } else if (bytes.status().code() != StatusCode::kNotFound || !config.files_.empty()) {
      return Annotate(bytes.status(), next);
    }
    ASSIGN_OR_RETURN(file->root, ParseToml(file->text, next));
    if (const toml::array* const imports = file->root["imports"].as_array()) {
      for (const toml::node& import : *imports) {
        if (import.is_string()) {
          for (std::string& found : FilesOf(root, next, import.as_string()->get())) {
            pending.push_back(std::move(found));
          }
        }
      }
    }
    config.files_.push_back(std::move(file));
  }
  return config;
}

const std::string& ContainerdConfig::path() const { return files_.front()->path; }

std::vector<std::string> ContainerdConfig::Paths() const {
  std::vector<std::string> paths;
  paths.reserve(files_.size());
  for (const auto& file : files_) {
    paths.push_back(file->path);
  }
  return paths;
}

bool ContainerdConfig::exists() const { return files_.front()->exists; }

bool ContainerdConfig::says_version() const { return files_.front()->root["version"].is_integer(); }

int ContainerdConfig::version() const {
  if (!exists()) {
    return 0;
  }
  const int64_t version = files_.front()->root["version"].value_or(int64_t{1});
  return static_cast<int>(std::clamp<int64_t>(version, 1, 1000));
}

bool ContainerdConfig::HasTable(const TomlPath& path) const {
  return std::ranges::any_of(files_, [&path](const auto& file) {
    const toml::node* const node = file->At(path);
    return node != nullptr && node->is_table() && !node->as_table()->empty();
  });
}

std::string ContainerdConfig::Text(const TomlPath& path) const {
  std::string text;
  for (const auto& file : files_) {
    const toml::node* const node = file->At(path);
    if (node != nullptr && node->is_string()) {
      text = node->as_string()->get();
    }
  }
  return text;
}

std::vector<std::string> ContainerdConfig::Texts(const TomlPath& path) const {
  std::vector<std::string> texts;
  for (const auto& file : files_) {
    const toml::node* const node = file->At(path);
    if (node != nullptr && node->is_array()) {
      for (const toml::node& item : *node->as_array()) {
        if (item.is_string()) {
          texts.push_back(item.as_string()->get());
        }
      }
    }
  }
  return texts;
}

std::vector<std::string> ContainerdConfig::Names(const TomlPath& path) const {
  std::set<std::string> names;
  for (const auto& file : files_) {
    const toml::node* const node = file->At(path);
    if (node != nullptr && node->is_table()) {
      for (const auto& [name, value] : *node->as_table()) {
        if (value.is_table()) {
          names.emplace(name.str());
        }
      }
    }
  }
  return {names.begin(), names.end()};
}

StatusOr<std::vector<FilePlan>> ContainerdConfig::Plan(const Wanted& wanted,
                                                       std::string_view comment) const {
  // The last file that has the key, or the section that it belongs to, is the one that counts.
  const auto place_of = [this](const TomlPath& path) {
    // Tables of plugins outside replace one another as a whole.
    const size_t longest =
        path.front() == "proxy_plugins" ? std::min<size_t>(2, path.size()) : path.size();
    for (size_t length = longest; length >= std::min<size_t>(2, path.size()); --length) {
      const TomlPath part(path.begin(), path.begin() + static_cast<long>(length));
      for (size_t i = files_.size(); i-- > 0;) {
        if (files_[i]->At(part) != nullptr) {
          return i;
        }
      }
    }
    return size_t{0};
  };
  std::vector<Wanted> by_file(files_.size());
  for (const WantedKey& key : wanted.keys) {
    TomlPath path = key.table;
    path.push_back(key.key);
    if (key.match == WantedKey::Match::kExcludes) {
      // Lists of all files are put together.
      for (Wanted& of_file : by_file) {
        of_file.keys.push_back(key);
      }
      continue;
    }
    by_file[place_of(path)].keys.push_back(key);
  }
  for (const WantedTables& list : wanted.lists) {
    by_file[place_of(list.list)].lists.push_back(list);
  }
  std::vector<FilePlan> plans;
  for (size_t i = 0; i < files_.size(); ++i) {
    ASSIGN_OR_RETURN(TomlPlan plan,
                     PlanToml(files_[i]->text, files_[i]->path, by_file[i], comment));
    if (!plan.empty()) {
      plans.push_back({.path = files_[i]->path,
                       .exists = files_[i]->exists,
                       .text = files_[i]->text,
                       .plan = std::move(plan)});
    }
  }
  return plans;
}

}  // namespace starling::setup
