#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/status.h"
#include "dockerfile/python/release.h"

namespace starling::dockerfile::python {

/// The releases that are known, each with the digest that its file must have. Nothing else is ever
/// used.
class ReleaseTable {
 public:
  /// What Starling knows by itself.
  static ReleaseTable BuiltIn();

  /// Adds lines as sha256sum(1) writes them, such as the SHA256SUMS of a release: DIGEST, two
  /// blanks, FILE. Empty lines, those with a `#` in front, and files of other systems are passed
  /// over. Nothing is added after an error. Errors: kInvalidArgument with the line's number, also
  /// for a file that is known with another digest.
  Status Add(std::string_view sums);

  struct Wanted {
    std::string version;  // of ParseVersionRequest
    std::string architecture;
    CpuLevel cpu = kBaselineCpu;
    Libc libc = Libc::kGnu;
  };
  /// Whether a file can be had.
  using IsThere = std::function<bool(const Release&)>;
  /// The newest version that fits, of its builds the one for the highest level of `wanted.cpu` at
  /// most, of those the newest, without symbols rather than with them. Errors: kInvalidArgument for
  /// a version that is none; kNotFound says what there is instead.
  StatusOr<Release> Choose(const Wanted& wanted, const IsThere& is_there) const;

  size_t size() const { return releases_.size(); }

 private:
  Status NotFound(const Wanted& wanted, const VersionRequest& request,
                  const IsThere& is_there) const;

  std::map<std::string, Release, std::less<>> releases_;  // by file
};

}  // namespace starling::dockerfile::python
