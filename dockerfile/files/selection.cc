#include "dockerfile/files/selection.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <span>

#include "base/unique_fd.h"
#include "dockerfile/files/root_walk.h"
#include "dockerfile/syntax/paths.h"

namespace starling::dockerfile::files {
namespace {

constexpr std::string_view kPatternCharacters = "*?[\\";
constexpr size_t kMaxDepth = 500;
/// More matches of one pattern are refused.
constexpr size_t kMaxSelected = 10'000'000;

std::string Join(std::string_view directory, std::string_view name) {
  return directory.empty() ? std::string(name) : fmt::format("{}/{}", directory, name);
}

bool Ignores(const syntax::IgnoreFile* file, const std::string& path) {
  return file != nullptr && !path.empty() && file->Ignores(path);
}

/// A directory that is ignored may still hold what is not.
bool IsWhollyIgnored(const syntax::IgnoreFile* file, const std::string& path, bool is_directory) {
  return Ignores(file, path) && !(is_directory && file->HasExceptions());
}

/// Whether a context has it: an ignored directory is there only for what it holds.
StatusOr<bool> IsInContext(const CopySource& source, int root, const std::string& path);

/// Matches a pattern component by component.
class PatternMatcher {
 public:
  PatternMatcher(const CopySource& source, int root, bool parents)
      : source_(source), root_(root), parents_(parents) {}

  Status Match(const std::string& directory, std::span<const std::string> left) {
    if (left.empty()) {
      return Add(directory);
    }
    const std::string& component = left.front();
    if (parents_ && component == "**") {
      return MatchAnyDepth(directory, left);
    }
    if (component.find_first_of(kPatternCharacters) == std::string::npos) {
      return Match(Join(directory, component), left.subspan(1));
    }
    RETURN_IF_ERROR(syntax::CheckGlob(component));
    ASSIGN_OR_RETURN(const std::vector<std::string> names, List(directory));
    for (const std::string& name : names) {
      if (syntax::MatchesGlob(component, name)) {
        RETURN_IF_ERROR(Match(Join(directory, name), left.subspan(1)));
      }
    }
    return OkStatus();
  }

  std::vector<std::string> Take() {
    std::sort(found_.begin(), found_.end());
    found_.erase(std::unique(found_.begin(), found_.end()), found_.end());
    return std::move(found_);
  }

 private:
  Status MatchAnyDepth(const std::string& directory, std::span<const std::string> left) {
    RETURN_IF_ERROR(Match(directory, left.subspan(1)));
    ASSIGN_OR_RETURN(const std::vector<std::string> names, List(directory));
    for (const std::string& name : names) {
      const std::string path = Join(directory, name);
      // Links are not followed here: they could lead around in circles.
      if (OpenWithoutLinks(root_, path, O_PATH | O_DIRECTORY | O_NOFOLLOW).ok()) {
        RETURN_IF_ERROR(Match(path, left));
      }
    }
    return OkStatus();
  }

  /// The names in a directory; none when it is none.
  StatusOr<std::vector<std::string>> List(const std::string& directory) const {
    const auto opened = OpenInRoot(root_, directory, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
    if (!opened.ok()) {
      return std::vector<std::string>();
    }
    return NamesIn(opened->get());
  }

  Status Add(const std::string& path) {
    ASSIGN_OR_RETURN(const bool is_there, IsInContext(source_, root_, path));
    if (!is_there) {
      return OkStatus();
    }
    if (found_.size() == kMaxSelected) {
      return MakeError(StatusCode::kResourceExhausted,
                       fmt::format("{} matches more than {} files", source_.path, kMaxSelected));
    }
    found_.push_back(path);
    return OkStatus();
  }

  const CopySource& source_;
  const int root_;
  const bool parents_;
  std::vector<std::string> found_;
};

/// The way through one selected directory.
class Walk {
 public:
  Walk(const CopySource& source, const std::string& selected, const syntax::IgnoreFile* exclude,
       EntryVisitor& visitor)
      : source_(source), selected_(selected), exclude_(exclude), visitor_(visitor) {}

  Status Directory(const UniqueFd& directory, const struct stat& attributes) {
    pending_.push_back(
        {.directory = directory.get(), .name = ".", .path = "", .attributes = attributes});
    // What was asked for is there even when it is empty, but not when it is ignored.
    if (!Ignores(source_.ignore_file, selected_)) {
      RETURN_IF_ERROR(EnterPending());
    }
    RETURN_IF_ERROR(Children(directory, "", 0));
    return Leave();
  }

 private:
  Status EnterPending() {
    for (const Entry& entry : pending_) {
      RETURN_IF_ERROR(visitor_.EnterDirectory(entry));
    }
    pending_.clear();
    return OkStatus();
  }
  Status Leave() {
    if (!pending_.empty()) {
      pending_.pop_back();  // nothing in it was included
      return OkStatus();
    }
    return visitor_.LeaveDirectory();
  }

  Status Children(const UniqueFd& directory, const std::string& path, size_t depth) {
    if (depth == kMaxDepth) {
      return MakeError(StatusCode::kResourceExhausted,
                       fmt::format("{}: deeper than {} directories", path, kMaxDepth));
    }
    ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(directory.get()));
    for (const std::string& name : names) {
      Entry entry{.directory = directory.get(), .name = name, .path = Join(path, name)};
      if (::fstatat(directory.get(), name.c_str(), &entry.attributes, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT) {
          continue;
        }
        return ErrnoError(errno, entry.path);
      }
      const bool is_directory = S_ISDIR(entry.attributes.st_mode);
      const std::string in_root = Join(selected_, entry.path);
      if (IsWhollyIgnored(source_.ignore_file, in_root, is_directory) ||
          IsWhollyIgnored(exclude_, entry.path, is_directory)) {
        continue;
      }
      if (!is_directory) {
        RETURN_IF_ERROR(EnterPending());
        RETURN_IF_ERROR(visitor_.VisitFile(entry));
        continue;
      }
      UniqueFd child(
          ::openat(directory.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!child.valid()) {
        return ErrnoError(errno, entry.path);
      }
      const bool is_included =
          !Ignores(source_.ignore_file, in_root) && !Ignores(exclude_, entry.path);
      pending_.push_back(entry);
      if (is_included) {
        RETURN_IF_ERROR(EnterPending());
      }
      RETURN_IF_ERROR(Children(child, entry.path, depth + 1));
      RETURN_IF_ERROR(Leave());
    }
    return OkStatus();
  }

  const CopySource& source_;
  const std::string& selected_;
  const syntax::IgnoreFile* const exclude_;
  EntryVisitor& visitor_;
  std::vector<Entry> pending_;  // directories that nothing was found in yet
};

/// Ends a walk at the first thing that is found.
class FindAnything : public EntryVisitor {
 public:
  Status EnterDirectory(const Entry& /*entry*/) override { return Found(); }
  Status LeaveDirectory() override { return OkStatus(); }
  Status VisitFile(const Entry& /*entry*/) override { return Found(); }
  bool has_found() const { return has_found_; }

 private:
  Status Found() {
    has_found_ = true;
    return MakeError(StatusCode::kCancelled, "found");
  }
  bool has_found_ = false;
};

StatusOr<bool> IsInContext(const CopySource& source, int root, const std::string& path) {
  const auto found = OpenInRoot(root, path, O_PATH);
  struct stat attributes{};
  if (!found.ok() || ::fstat(found->get(), &attributes) != 0) {
    return false;
  }
  if (!Ignores(source.ignore_file, path)) {
    return true;
  }
  if (IsWhollyIgnored(source.ignore_file, path, S_ISDIR(attributes.st_mode))) {
    return false;
  }
  FindAnything anything;
  const Status visited = Visit(source, path, nullptr, anything);
  if (!visited.ok() && !anything.has_found()) {
    return visited;
  }
  return anything.has_found();
}

}  // namespace

StatusOr<std::vector<std::string>> Select(const CopySource& source, bool parents) {
  ASSIGN_OR_RETURN(const UniqueFd root, OpenRoot(source.root));
  const std::vector<std::string> parts = PartsOf(source.path);
  std::string literal;
  for (const std::string& part : parts) {
    literal = Join(literal, part);
  }
  if (source.is_pattern) {
    PatternMatcher matcher(source, root.get(), parents);
    RETURN_IF_ERROR(matcher.Match("", parts));
    return matcher.Take();
  }
  ASSIGN_OR_RETURN(const bool is_there, IsInContext(source, root.get(), literal));
  if (!is_there) {
    const bool is_ignored =
        source.ignore_file != nullptr && OpenInRoot(root.get(), literal, O_PATH).ok();
    return MakeError(StatusCode::kNotFound,
                     is_ignored ? fmt::format("/{}: excluded by the context's ignore file", literal)
                                : fmt::format("/{}: not found", literal));
  }
  return std::vector<std::string>{literal};
}

StatusOr<std::unique_ptr<const syntax::IgnoreFile>> ParseExcludes(
    const std::vector<std::string>& patterns) {
  if (patterns.empty()) {
    return std::unique_ptr<const syntax::IgnoreFile>();
  }
  std::vector<syntax::IgnorePattern> rules;
  rules.reserve(patterns.size());
  for (const std::string& pattern : patterns) {
    rules.push_back({.text = pattern, .line = 0});
  }
  ASSIGN_OR_RETURN(syntax::IgnoreFile file, syntax::IgnoreFile::FromPatterns(rules));
  return std::make_unique<const syntax::IgnoreFile>(std::move(file));
}

Status Visit(const CopySource& source, const std::string& path, const syntax::IgnoreFile* exclude,
             EntryVisitor& visitor) {
  ASSIGN_OR_RETURN(const UniqueFd root, OpenRoot(source.root));
  ASSIGN_OR_RETURN(const UniqueFd found, OpenInRoot(root.get(), path, O_PATH));
  Entry entry{.name = "."};
  if (::fstat(found.get(), &entry.attributes) != 0) {
    return ErrnoError(errno, path);
  }
  if (S_ISDIR(entry.attributes.st_mode)) {
    ASSIGN_OR_RETURN(const UniqueFd directory,
                     OpenInRoot(found.get(), ".", O_RDONLY | O_DIRECTORY));
    return Walk(source, path, exclude, visitor).Directory(directory, entry.attributes);
  }
  const std::string name = path.substr(path.rfind('/') + 1);
  if (Ignores(exclude, name)) {
    return OkStatus();
  }
  // A link may have led elsewhere: the file is the one that is open, whatever lies at its path.
  entry.directory = found.get();
  entry.name = "";
  return visitor.VisitFile(entry);
}

}  // namespace starling::dockerfile::files
