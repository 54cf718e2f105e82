/// Builds of Python by the project python-build-standalone, as the names of its releases' files
/// tell them.
#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "oci/digest.h"

namespace starling::dockerfile::python {

/// The C library that programs are linked with.
enum class Libc { kGnu, kMusl };
std::string_view NameOf(Libc libc);

/// A level of x86-64 instructions, 1 to 4; other processors have 1 alone. Source: System V psABI.
using CpuLevel = int;
inline constexpr CpuLevel kBaselineCpu = 1;
inline constexpr CpuLevel kHighestCpu = 4;

/// A file that is released somewhere, and what it must be.
struct ReleasedFile {
  std::string file;
  oci::Digest digest;
  /// The directory that has it; empty: that of all.
  std::string directory;
};

struct Release {
  std::string file;
  oci::Digest digest;
  /// The release that has the file: "20240415".
  std::string tag;
  int minor = 0;  // of Python 3
  int micro = 0;
  bool is_free_threaded = false;
  std::string architecture;  // as of oci::Platform
  CpuLevel cpu = kBaselineCpu;
  Libc libc = Libc::kGnu;
  bool is_stripped = false;

  ReleasedFile Released() const { return {.file = file, .digest = digest, .directory = tag}; }

  bool operator==(const Release&) const = default;
};

/// "3.14.2t".
std::string VersionOf(const Release& release);

/// What the name of a release's file says. Nothing for a file that is no Python for an image of
/// ours: other systems and processors, builds for debugging, previews, archives without their
/// install tree. The digest is left empty.
/// Source: python-build-standalone, docs/distributions.rst.
std::optional<Release> ParseReleaseFile(std::string_view file);

/// What is asked for: a series (3.12) or an exact version (3.12.4), with a `t` at the end for a
/// free-threaded one.
struct VersionRequest {
  int minor = 0;
  std::optional<int> micro;
  bool is_free_threaded = false;

  bool operator==(const VersionRequest&) const = default;
};

/// Errors: kInvalidArgument says what a version looks like.
StatusOr<VersionRequest> ParseVersionRequest(std::string_view text);

}  // namespace starling::dockerfile::python
