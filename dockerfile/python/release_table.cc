#include "dockerfile/python/release_table.h"

#include <set>
#include <tuple>

#include "dockerfile/python/built_in_releases.h"
#include "dockerfile/python/sums.h"

namespace starling::dockerfile::python {
namespace {

bool IsOfVersion(const Release& release, const VersionRequest& request) {
  return release.minor == request.minor && release.is_free_threaded == request.is_free_threaded &&
         (!request.micro || release.micro == *request.micro);
}

bool IsForMachine(const Release& release, const ReleaseTable::Wanted& wanted) {
  return release.architecture == wanted.architecture && release.libc == wanted.libc &&
         release.cpu <= wanted.cpu;
}

/// What is chosen of two that both fit.
auto Rank(const Release& release) {
  return std::tuple(release.micro, release.cpu, release.tag, release.is_stripped);
}

}  // namespace

ReleaseTable ReleaseTable::BuiltIn() {
  ReleaseTable table;
  // A test holds the text to its form.
  table.Add(BuiltInSums()).IgnoreError();
  return table;
}

Status ReleaseTable::Add(std::string_view sums) {
  std::map<std::string, Release, std::less<>> added = releases_;
  RETURN_IF_ERROR(ReadSums(sums, [&](const oci::Digest& digest, std::string_view file) {
    std::optional<Release> release = ParseReleaseFile(file);
    if (!release) {
      return OkStatus();
    }
    release->digest = digest;
    const auto [known, is_new] = added.try_emplace(release->file, *release);
    if (!is_new && known->second != *release) {
      return MakeError(
          StatusCode::kInvalidArgument,
          fmt::format("{} is known with another digest: {}", file, known->second.digest.Hex()));
    }
    return OkStatus();
  }));
  releases_ = std::move(added);
  return OkStatus();
}

StatusOr<Release> ReleaseTable::Choose(const Wanted& wanted, const IsThere& is_there) const {
  ASSIGN_OR_RETURN(const VersionRequest request, ParseVersionRequest(wanted.version));
  const Release* best = nullptr;
  for (const auto& [file, release] : releases_) {
    if (IsOfVersion(release, request) && IsForMachine(release, wanted) &&
        (best == nullptr || Rank(release) > Rank(*best)) && is_there(release)) {
      best = &release;
    }
  }
  if (best == nullptr) {
    return NotFound(wanted, request, is_there);
  }
  return *best;
}

Status ReleaseTable::NotFound(const Wanted& wanted, const VersionRequest& request,
                              const IsThere& is_there) const {
  std::set<std::string> machines;  // of this version
  std::set<std::pair<int, int>> versions;
  std::string missing;
  for (const auto& [file, release] : releases_) {
    if (IsOfVersion(release, request)) {
      machines.insert(fmt::format("{} {}", release.architecture, NameOf(release.libc)));
      if (IsForMachine(release, wanted) && !is_there(release)) {
        missing = file;
      }
    }
    if (IsForMachine(release, wanted) && release.is_free_threaded == request.is_free_threaded) {
      versions.emplace(release.minor, release.micro);
    }
  }
  const std::string asked =
      fmt::format("Python {} for {} {}", wanted.version, wanted.architecture, NameOf(wanted.libc));
  if (!missing.empty()) {
    return MakeError(StatusCode::kNotFound,
                     fmt::format("{}: the source has no file of it, such as {}", asked, missing));
  }
  if (!machines.empty()) {
    return MakeError(StatusCode::kNotFound, fmt::format("{}: this version is known for {} alone",
                                                        asked, fmt::join(machines, ", ")));
  }
  std::vector<std::string> known;
  known.reserve(versions.size());
  for (const auto& [minor, micro] : versions) {
    known.push_back(fmt::format("3.{}.{}{}", minor, micro, request.is_free_threaded ? "t" : ""));
  }
  return MakeError(StatusCode::kNotFound,
                   fmt::format("{}: known are {}", asked,
                               known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", "))));
}

}  // namespace starling::dockerfile::python
