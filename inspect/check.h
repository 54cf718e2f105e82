/// What becomes of an image on this machine, and what would make it better.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "inspect/inspect.h"
#include "layer/access_profile.h"
#include "layer/fetch_decision.h"

namespace starling::inspect {

/// A seek index of a plain gzip layer that this machine keeps.
struct KeptIndex {
  oci::Digest digest;       // by which the layer is known, as others by their TOC
  uint64_t data_bytes = 0;  // of the layer's data device
};

/// What decides besides the image itself.
struct Circumstances {
  layer::FetchPreference preference = layer::FetchPreference::kAuto;
  /// Who fetches layers that cannot be lazy: starlingd, or else containerd.
  bool takes_plain_layers = true;
  /// The seek index of a layer that was fetched as a whole is kept for the next time.
  bool keeps_gzip_indexes = true;
  std::map<oci::Digest, KeptIndex> kept_indexes;  // by layer
  /// Of the image, that this machine keeps.
  std::optional<layer::AccessProfile> profile;

  /// What is attached to the image in its registry. Nothing: that was not found out, because it is
  /// in no registry or the registry did not say.
  struct Attached {
    bool profile = false;
    std::set<oci::Digest> indexed_layers;
    bool is_trusted = false;  // the indexes, by starlingd without being told
  };
  std::optional<Attached> attached;
};

/// How a layer is brought when a container is started.
enum class Treatment {
  kLazy,         // by its table of contents
  kLazyByIndex,  // by a seek index that this machine keeps
  kWhole,        // by starlingd, before the container starts
  kLeft,         // by containerd, before the container starts
  kImpossible,   // not at all
};
/// "lazy", "index", "whole", "containerd" or "none".
std::string_view NameOf(Treatment treatment);

struct LayerVerdict {
  Treatment treatment = Treatment::kLazy;
  /// Of one that is lazy: what is fetched of it while the container runs.
  layer::FetchMode mode = layer::FetchMode::kLazy;
  std::string reason;

  bool is_lazy() const {
    return treatment == Treatment::kLazy || treatment == Treatment::kLazyByIndex;
  }
};

/// Something that would make the image start sooner, or be read with less.
struct Advice {
  std::string_view id;                           // never changes its meaning
  std::string text;                              // with its numbers
  std::map<std::string_view, uint64_t> numbers;  // the same for programs
  std::vector<std::string> commands;             // one of them cures it; perhaps none does
};

struct CheckReport {
  ImageReport image;
  std::vector<LayerVerdict> verdicts;  // one for each layer
  std::vector<Advice> advice;          // what matters most first

  size_t lazy_layers() const;
  /// Stored bytes that have come before a container starts.
  uint64_t ahead_bytes() const;
};

/// Judges what InspectImage found. `name` is the image's in the commands of the advice. Depends on
/// its arguments alone; the link to the registry is taken for an ordinary one.
CheckReport Check(ImageReport image, const Circumstances& circumstances, const std::string& name);

}  // namespace starling::inspect
