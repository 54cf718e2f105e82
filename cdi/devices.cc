#include "cdi/devices.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/file_system.h"
#include "base/log.h"

namespace starling::cdi {
namespace {

constexpr const char* kClassAnnotation = "org.mobyproject.buildkit.device.class";

std::vector<std::filesystem::path> FilesIn(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (std::filesystem::directory_iterator at(directory, error), end; !error && at != end;
       at.increment(error)) {
    const std::filesystem::path extension = at->path().extension();
    if (extension == ".json" || extension == ".yaml") {
      files.push_back(at->path());
    }
  }
  std::ranges::sort(files);
  return files;
}

StatusOr<Spec> ReadSpec(const std::filesystem::path& file) {
  ASSIGN_OR_RETURN(const Bytes text, ReadFile(RealFileSystem(), file, kMaxSpecBytes));
  return ParseSpec(AsText(text));
}

}  // namespace

Devices Devices::Read(const std::vector<std::filesystem::path>& directories) {
  Devices devices;
  for (size_t number = 0; number < directories.size(); ++number) {
    for (const std::filesystem::path& file : FilesIn(directories[number])) {
      StatusOr<Spec> spec = ReadSpec(file);
      if (spec.ok()) {
        devices.Add(*std::move(spec), number, file);
      } else {
        log::Warning("a description of devices is not used",
                     {{"file", file.native()}, {"error", Describe(spec.status())}});
      }
    }
  }
  return devices;
}

void Devices::Add(Spec spec, size_t directory, const std::filesystem::path& file) {
  for (size_t device = 0; device < spec.devices.size(); ++device) {
    const std::string name = spec.kind + "=" + spec.devices[device].name;
    const Entry entry{.spec = specs_.size(), .device = device, .directory = directory};
    const auto [former, is_new] = devices_.try_emplace(name, entry);
    if (is_new) {
      continue;
    }
    if (former->second.directory != directory) {
      former->second = entry;
    } else {
      log::Warning("a device is described twice", {{"device", name}, {"file", file.native()}});
      former->second.spec.reset();
    }
  }
  specs_.push_back(std::move(spec));
}

Devices::Found Devices::FoundOf(const std::string& name, const Entry& entry) const {
  const Spec& spec = specs_[*entry.spec];
  Found found{.name = name, .annotations = spec.devices[entry.device].annotations};
  found.annotations.insert(spec.annotations.begin(), spec.annotations.end());
  return found;
}

StatusOr<std::vector<Devices::Found>> Devices::Find(std::string_view name) const {
  const size_t equals = name.find('=');
  const std::string_view kind = name.substr(0, equals);
  const std::string_view device =
      equals == std::string_view::npos ? std::string_view() : name.substr(equals + 1);
  if (!IsKind(kind) || (!device.empty() && device != "*" && !IsDeviceName(device))) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("'{}' is not VENDOR/CLASS=NAME", name));
  }
  std::vector<Found> of_kind;
  const std::string prefix = std::string(kind) + "=";
  for (auto at = devices_.lower_bound(prefix);
       at != devices_.end() && at->first.starts_with(prefix); ++at) {
    if (at->second.spec) {
      of_kind.push_back(FoundOf(at->first, at->second));
    }
  }
  if (device == "*") {
    return of_kind;
  }
  if (device.empty()) {
    of_kind.resize(std::min<size_t>(of_kind.size(), 1));
    return of_kind;
  }
  const auto keep = [&of_kind](const auto& fits) {
    std::vector<Found> kept;
    std::ranges::copy_if(of_kind, std::back_inserter(kept), fits);
    return kept;
  };
  std::vector<Found> named = keep([&](const Found& found) { return found.name == name; });
  if (named.empty()) {
    named = keep([&](const Found& found) {
      const auto device_class = found.annotations.find(kClassAnnotation);
      return device_class != found.annotations.end() && device_class->second == device;
    });
  }
  return named;
}

StatusOr<Edits> Devices::EditsFor(const std::vector<std::string>& names) const {
  Edits edits;
  std::set<size_t> specs;
  std::set<std::string> seen;
  for (const std::string& name : names) {
    const auto entry = devices_.find(name);
    if (entry == devices_.end() || !entry->second.spec) {
      return MakeError(StatusCode::kNotFound, fmt::format("there is no device {}", name));
    }
    if (!seen.insert(name).second) {
      continue;
    }
    const Spec& spec = specs_[*entry->second.spec];
    if (specs.insert(*entry->second.spec).second) {
      edits.Append(spec.edits);
    }
    edits.Append(spec.devices[entry->second.device].edits);
  }
  return edits;
}

}  // namespace starling::cdi
