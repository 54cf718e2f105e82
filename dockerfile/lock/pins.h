#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "dockerfile/lock/lock.h"
#include "dockerfile/plan/graph.h"

namespace starling::dockerfile::lock {

/// Notes what the names in a build stand for; with a lock, they stand for what it says, and a name
/// that it does not have is refused. What names its content itself (a digest, a checksum, a whole
/// commit) needs no lock, but must not differ from it. Threads: one at a time.
class Pins {
 public:
  Pins() = default;
  /// `name` is the lock's file, for messages.
  Pins(Lock lock, std::string name) : lock_(std::move(lock)), name_(std::move(name)) {}

  bool is_locked() const { return lock_.has_value(); }
  /// What the build has used so far.
  const Lock& used() const { return used_; }

  /// Each gives what the name is to stand for, or nothing where that is open. Errors:
  /// kFailedPrecondition for a name that is not in the lock, or that differs from it.
  StatusOr<std::optional<oci::Digest>> Image(const std::string& reference) const;
  StatusOr<std::optional<LockedFile>> Python(const std::string& wanted) const;
  StatusOr<std::optional<LockedFile>> Tool(const std::string& wanted) const;
  StatusOr<std::optional<std::vector<std::string>>> Packages(const std::string& install) const;
  /// Pins the downloads and repositories of a graph. All that is missing is named at once.
  Status PinSources(plan::Graph& graph) const;
  Status Pin(plan::HttpSource& source) const;
  Status Pin(syntax::GitReference& reference) const;

  /// An image that has another content than the lock says is kFailedPrecondition.
  Status NoteImage(const std::string& reference, const oci::Digest& digest);
  void NotePython(const std::string& wanted, LockedFile python);
  void NoteTool(const std::string& wanted, LockedFile tool);
  void NotePackages(const std::string& install, std::vector<std::string> lines);
  void NoteDownload(const std::string& url, const oci::Digest& digest);
  /// `reference` as it was before Pin.
  void NoteRepository(const std::string& name, const std::string& commit);

  /// "REMOTE#REF", without user and password.
  static std::string NameOf(const syntax::GitReference& reference);
  /// Without user and password.
  static std::string NameOf(const plan::HttpSource& source);

 private:
  /// What the lock has for `key`; `what` it is, for the error where it has none.
  template <typename Value>
  StatusOr<std::optional<Value>> Look(const std::map<std::string, Value> Lock::* entries,
                                      const std::string& key, const std::string& what) const;
  Status Missing(const std::string& what) const;
  Status Differs(const std::string& what, const std::string& locked, const std::string& got) const;

  std::optional<Lock> lock_;
  std::string name_;
  Lock used_;
};

}  // namespace starling::dockerfile::lock
