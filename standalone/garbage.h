/// What nobody holds any more, pure: the rules of containerd's collector for what builds make.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

namespace starling::standalone {

/// All that there is, and who holds what. Digests and names are text that is only compared.
struct Holdings {
  struct Content {
    std::string digest;
    std::map<std::string, std::string> labels;
    bool is_deleted = false;  // stays as long as somebody else holds it, but is no root
  };
  struct Snapshot {
    std::string name;    // or the key of an active one
    std::string parent;  // may be empty
  };
  std::vector<Content> contents;
  std::vector<Snapshot> snapshots;
  /// Of live leases.
  std::set<std::string> held_contents;
  std::set<std::string> held_snapshots;
  /// What images stand for.
  std::set<std::string> image_targets;
};

struct Garbage {
  std::vector<std::string> contents;
  std::vector<std::string> snapshots;  // children before their parents
};

/// Roots are what is held, images, and content with the label "containerd.io/gc.root". From there
/// on count the labels "containerd.io/gc.ref.content*" and "containerd.io/gc.ref.snapshot.*" of
/// content, and the parents of snapshots. Whatever is named and not there is passed over; a circle
/// is no end of it. Source: containerd, core/metadata/gc.go.
Garbage FindGarbage(const Holdings& holdings);

}  // namespace starling::standalone
