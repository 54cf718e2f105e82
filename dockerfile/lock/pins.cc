#include "dockerfile/lock/pins.h"

#include <algorithm>
#include <vector>

namespace starling::dockerfile::lock {
namespace {

template <typename Value>
std::optional<Value> Find(const std::map<std::string, Value>& entries, const std::string& name) {
  const auto found = entries.find(name);
  return found == entries.end() ? std::nullopt : std::optional(found->second);
}

/// Whoever may read the lock is not to read them.
std::string WithoutUser(const std::string& url) {
  const size_t scheme = url.find("://");
  const size_t begin = scheme == std::string::npos ? 0 : scheme + 3;
  const size_t end = std::min(url.find_first_of("/?#", begin), url.size());
  const size_t at = url.rfind('@', end);
  if (scheme == std::string::npos || at == std::string::npos || at < begin) {
    return url;
  }
  return url.substr(0, begin) + url.substr(at + 1);
}

}  // namespace

std::string Pins::NameOf(const syntax::GitReference& reference) {
  return fmt::format("{}#{}", WithoutUser(reference.remote),
                     reference.ref.empty() ? "HEAD" : reference.ref);
}

std::string Pins::NameOf(const plan::HttpSource& source) { return WithoutUser(source.url); }

Status Pins::Missing(const std::string& what) const {
  return MakeError(StatusCode::kFailedPrecondition,
                   fmt::format("{} is not in {}; build once with --lock and without --locked to "
                               "write it again",
                               what, name_));
}

Status Pins::Differs(const std::string& what, const std::string& locked,
                     const std::string& got) const {
  return MakeError(StatusCode::kFailedPrecondition,
                   fmt::format("{} is {}, and {} says {}", what, got, name_, locked));
}

template <typename Value>
StatusOr<std::optional<Value>> Pins::Look(const std::map<std::string, Value> Lock::* entries,
                                          const std::string& key, const std::string& what) const {
  if (!lock_) {
    return std::nullopt;
  }
  std::optional<Value> found = Find((*lock_).*entries, key);
  if (!found) {
    return Missing(what);
  }
  return found;
}

StatusOr<std::optional<oci::Digest>> Pins::Image(const std::string& reference) const {
  return Look<oci::Digest>(&Lock::images, reference, "the image " + reference);
}

StatusOr<std::optional<LockedFile>> Pins::Python(const std::string& wanted) const {
  return Look<LockedFile>(&Lock::pythons, wanted, "Python " + wanted);
}

StatusOr<std::optional<LockedFile>> Pins::Tool(const std::string& wanted) const {
  return Look<LockedFile>(&Lock::tools, wanted, wanted);
}

StatusOr<std::optional<std::vector<std::string>>> Pins::Packages(const std::string& install) const {
  return Look<std::vector<std::string>>(&Lock::packages, install,
                                        fmt::format("what \"{}\" installs", install));
}

Status Pins::Pin(plan::HttpSource& source) const {
  if (!lock_) {
    return OkStatus();
  }
  const std::string name = NameOf(source);
  const std::optional<oci::Digest> digest = Find(lock_->downloads, name);
  if (source.checksum) {
    return digest && *digest != *source.checksum
               ? Differs("the checksum of " + name, digest->ToString(), source.checksum->ToString())
               : OkStatus();
  }
  if (!digest) {
    return Missing(name);
  }
  source.checksum = digest;
  return OkStatus();
}

Status Pins::Pin(syntax::GitReference& reference) const {
  if (!lock_) {
    return OkStatus();
  }
  const std::string name = NameOf(reference);
  const std::optional<std::string> commit = Find(lock_->repositories, name);
  const std::string& named =
      syntax::IsWholeCommit(reference.ref) ? reference.ref : reference.checksum;
  if (commit && !commit->starts_with(named)) {
    return Differs("the commit of " + name, *commit, named);
  }
  if (syntax::IsWholeCommit(reference.ref) || syntax::IsWholeCommit(reference.checksum)) {
    return OkStatus();
  }
  if (!commit) {
    return Missing("the repository " + name);
  }
  reference.ref = *commit;
  reference.checksum = *commit;
  return OkStatus();
}

Status Pins::PinSources(plan::Graph& graph) const {
  std::vector<std::string> problems;
  for (plan::Node& node : graph.nodes) {
    Status pinned = OkStatus();
    if (auto* http = std::get_if<plan::HttpSource>(&node.operation)) {
      pinned = Pin(*http);
    } else if (auto* git = std::get_if<plan::GitSource>(&node.operation)) {
      pinned = Pin(git->reference);
    }
    if (!pinned.ok()) {
      problems.emplace_back(MessageOf(pinned));
    }
  }
  return problems.empty() ? OkStatus()
                          : MakeError(StatusCode::kFailedPrecondition,
                                      fmt::format("{}", fmt::join(problems, "; ")));
}

Status Pins::NoteImage(const std::string& reference, const oci::Digest& digest) {
  if (lock_) {
    const std::optional<oci::Digest> locked = Find(lock_->images, reference);
    if (locked && *locked != digest) {
      return Differs("the image " + reference, locked->ToString(), digest.ToString());
    }
  }
  used_.images.insert_or_assign(reference, digest);
  return OkStatus();
}

void Pins::NotePython(const std::string& wanted, LockedFile python) {
  used_.pythons.insert_or_assign(wanted, std::move(python));
}

void Pins::NoteTool(const std::string& wanted, LockedFile tool) {
  used_.tools.insert_or_assign(wanted, std::move(tool));
}

void Pins::NotePackages(const std::string& install, std::vector<std::string> lines) {
  used_.packages.insert_or_assign(install, std::move(lines));
}

void Pins::NoteDownload(const std::string& url, const oci::Digest& digest) {
  used_.downloads.insert_or_assign(WithoutUser(url), digest);
}

void Pins::NoteRepository(const std::string& name, const std::string& commit) {
  used_.repositories.insert_or_assign(name, commit);
}

}  // namespace starling::dockerfile::lock
