/// .dockerignore: which paths of a build context do not belong to it.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace starling::dockerfile::syntax {

inline constexpr size_t kMaxIgnoreFileBytes = size_t{1} << 20U;
inline constexpr size_t kMaxIgnorePatterns = 10000;

/// One line of the file that says something.
struct IgnorePattern {
  /// Cleaned, without a slash in front; `!` in front of what is included again.
  std::string text;
  /// From 1; 0 for one that came from no file.
  int line = 0;
};

/// The patterns of an ignore file in order. A `#` in the first column begins a comment; a byte
/// order mark is dropped.
std::vector<IgnorePattern> ReadIgnorePatterns(std::string_view text);

/// Decides by the rules of Docker's ignore files: the last pattern that matches a path or one of
/// the directories above it counts. `*` and `?` stop at slashes, `**` does not.
/// Threads: safe, once made.
class IgnoreFile {
 public:
  /// Errors: kInvalidArgument for a pattern that is none (it names the line), kResourceExhausted
  /// for too many bytes or patterns.
  static StatusOr<IgnoreFile> Parse(std::string_view text);
  static StatusOr<IgnoreFile> FromPatterns(std::span<const IgnorePattern> patterns);

  IgnoreFile(IgnoreFile&&) noexcept;
  IgnoreFile& operator=(IgnoreFile&&) noexcept;
  ~IgnoreFile();

  struct Decision {
    bool ignored = false;
    /// The pattern that decided; null when none matches. Borrowed from the IgnoreFile.
    const IgnorePattern* pattern = nullptr;
    /// What it matched: the path itself, or a directory above it.
    std::string matched_path;
  };
  /// Whether `path`, relative to the context's root, is ignored, and why.
  Decision Explain(std::string_view path) const;
  bool Ignores(std::string_view path) const { return Explain(path).ignored; }
  /// Whether some pattern includes again what others ignore: an ignored directory may hold files.
  bool HasExceptions() const;
  /// Whether no file at all is left, whatever the context holds.
  bool IgnoresEverything() const;

 private:
  class Rule;
  IgnoreFile();
  std::vector<Rule> rules_;
};

}  // namespace starling::dockerfile::syntax
