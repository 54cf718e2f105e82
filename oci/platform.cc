#include "oci/platform.h"

#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/text.h"

namespace starling::oci {
namespace {

constexpr std::string_view kKnownSystems[] = {
    "aix",  "android", "darwin",  "dragonfly", "freebsd", "illumos", "ios",     "js", "linux",
    "nacl", "netbsd",  "openbsd", "plan9",     "solaris", "wasi",    "windows", "zos"};
constexpr std::string_view kKnownArchitectures[] = {
    "386",      "amd64",  "arm",   "arm64",   "loong64", "mips",  "mips64",
    "mips64le", "mipsle", "ppc64", "ppc64le", "riscv64", "s390x", "wasm"};

template <size_t kSize>
bool Contains(const std::string_view (&known)[kSize], std::string_view name) {
  return std::find(std::begin(known), std::end(known), name) != std::end(known);
}

std::string NormalSystem(std::string_view os) {
  std::string lower = LowerCase(os);
  return lower == "macos" ? "darwin" : lower;
}

/// Source: github.com/containerd/platforms, the rules for names of processors.
void NormalizeProcessor(std::string& architecture, std::string& variant) {
  architecture = LowerCase(architecture);
  variant = LowerCase(variant);
  if (architecture == "i386" || architecture == "i686" || architecture == "x86") {
    architecture = "386";
    variant.clear();
  } else if (architecture == "x86_64" || architecture == "x86-64" || architecture == "amd64") {
    architecture = "amd64";
    if (variant == "v1") {
      variant.clear();
    }
  } else if (architecture == "aarch64" || architecture == "arm64") {
    architecture = "arm64";
    if (variant == "8" || variant == "v8" || variant == "v8.0") {
      variant.clear();
    } else if (variant == "9" || variant == "9.0" || variant == "v9.0") {
      variant = "v9";
    }
  } else if (architecture == "armhf") {
    architecture = "arm";
    variant = "v7";
  } else if (architecture == "armel") {
    architecture = "arm";
    variant = "v6";
  } else if (architecture == "arm") {
    if (variant.empty() || variant == "7") {
      variant = "v7";
    } else if (variant == "5" || variant == "6" || variant == "8") {
      variant.insert(0, "v");
    }
  }
}

/// The generation in "v7" or "v8.2", `fallback` when there is none.
int Generation(std::string_view variant, int fallback) {
  if (variant.size() < 2 || variant[0] != 'v' || variant[1] < '1' || variant[1] > '9') {
    return fallback;
  }
  return variant[1] - '0';
}

// Scores. Within one architecture a nearer generation is better; an emulated one is worse than any.
constexpr int kExact = 100;
constexpr int kSameArchitecture = 50;
constexpr int kOlderArchitecture = 10;

int ProcessorScore(const Platform& wanted, const Platform& offered) {
  if (wanted.architecture == offered.architecture && wanted.variant == offered.variant) {
    return kExact;
  }
  if (wanted.architecture == "amd64" && offered.architecture == "amd64") {
    const int offered_generation = Generation(offered.variant, 1);
    return offered_generation <= Generation(wanted.variant, 1)
               ? kSameArchitecture + offered_generation
               : 0;
  }
  if (wanted.architecture == "amd64" && offered.architecture == "386") {
    return kOlderArchitecture;
  }
  if (wanted.architecture == "arm64" && offered.architecture == "arm64") {
    const int offered_generation = Generation(offered.variant, 8);
    return offered_generation < Generation(wanted.variant, 8) ||
                   (offered.variant.empty() && !wanted.variant.empty())
               ? kSameArchitecture + offered_generation
               : 0;
  }
  if (offered.architecture == "arm") {
    const int offered_generation = Generation(offered.variant, 7);
    if (wanted.architecture == "arm64" && offered_generation <= 8) {
      return kOlderArchitecture + offered_generation;
    }
    if (wanted.architecture == "arm" && offered_generation <= Generation(wanted.variant, 7)) {
      return kSameArchitecture + offered_generation;
    }
  }
  return 0;
}

bool IsComponent(std::string_view part) {
  return !part.empty() && std::all_of(part.begin(), part.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
  });
}

}  // namespace

StatusOr<Platform> Platform::Parse(std::string_view text) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('/', begin), text.size());
    parts.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  if (parts.size() > 3 || !std::all_of(parts.begin(), parts.end(), IsComponent)) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("\"{}\" is not a platform such as linux/amd64 or linux/arm/v7",
                                 text.substr(0, 100)));
  }
  const Platform host = Host();
  if (parts.size() > 1) {
    return Platform{.os = parts[0],
                    .architecture = parts[1],
                    .variant = parts.size() > 2 ? parts[2] : std::string()}
        .Normalized();
  }
  const Platform as_processor = Platform{.os = host.os, .architecture = parts[0]}.Normalized();
  if (Contains(kKnownArchitectures, as_processor.architecture)) {
    return as_processor;
  }
  if (const std::string os = NormalSystem(parts[0]); Contains(kKnownSystems, os)) {
    return Platform{.os = os, .architecture = host.architecture, .variant = host.variant};
  }
  return MakeError(StatusCode::kInvalidArgument,
                   fmt::format("\"{}\" is neither an operating system nor a processor that is "
                               "known; write both, as in linux/{}",
                               text.substr(0, 100), host.architecture));
}

Platform Platform::Host() {
  utsname names{};
  ::uname(&names);
  const std::string_view machine = names.machine;
  Platform host{.os = "linux", .architecture = std::string(machine)};
  if (machine.starts_with("armv") && machine.size() > 4) {
    host.architecture = "arm";
    host.variant = fmt::format("v{}", machine[4]);
  }
  return host.Normalized();
}

Platform Platform::Normalized() const {
  Platform normal = *this;
  normal.os = NormalSystem(os);
  NormalizeProcessor(normal.architecture, normal.variant);
  return normal;
}

std::string Platform::ToString() const {
  std::string text = os + "/" + architecture;
  if (!variant.empty()) {
    text += "/" + variant;
  }
  return text;
}

int MatchScore(const Platform& wanted, const Platform& offered) {
  const Platform normal_wanted = wanted.Normalized();
  const Platform normal_offered = offered.Normalized();
  if (normal_offered.os == "unknown" || normal_wanted.os != normal_offered.os) {
    return 0;
  }
  // Only Windows images depend on the version of their system.
  if (normal_wanted.os == "windows" && !wanted.os_version.empty() && !offered.os_version.empty() &&
      wanted.os_version != offered.os_version) {
    return 0;
  }
  return ProcessorScore(normal_wanted, normal_offered);
}

}  // namespace starling::oci
