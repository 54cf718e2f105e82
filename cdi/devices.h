#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "cdi/spec.h"

namespace starling::cdi {

/// The devices that the files of some directories describe. Immutable.
class Devices {
 public:
  /// Reads all *.json and *.yaml there. Of devices with one name, that of the later directory
  /// counts; two in one directory are none. A directory that is not there is empty; a file that
  /// cannot be used is logged.
  static Devices Read(const std::vector<std::filesystem::path>& directories);

  struct Found {
    std::string name;  // "vendor.com/class=name"
    Annotations annotations;
  };
  /// What `name` stands for: "KIND=NAME" is that device, or else those whose annotation
  /// "org.mobyproject.buildkit.device.class" is NAME; "KIND=*" are all of the kind, "KIND" its
  /// first. None: nothing. kInvalidArgument for a text of another form.
  /// Source: BuildKit, solver/llbsolver/cdidevices.
  StatusOr<std::vector<Found>> Find(std::string_view name) const;

  /// What a container needs for all of `names`, each once: edits of a file, then of its device.
  /// kNotFound names one that there is not.
  StatusOr<Edits> EditsFor(const std::vector<std::string>& names) const;

 private:
  struct Entry {
    std::optional<size_t> spec;  // none: of two
    size_t device = 0;
    size_t directory = 0;
  };
  void Add(Spec spec, size_t directory, const std::filesystem::path& file);
  Found FoundOf(const std::string& name, const Entry& entry) const;

  std::vector<Spec> specs_;
  std::map<std::string, Entry, std::less<>> devices_;  // by full name
};

}  // namespace starling::cdi
