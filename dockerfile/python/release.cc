#include "dockerfile/python/release.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace starling::dockerfile::python {
namespace {

constexpr size_t kTagDigits = 8;
constexpr size_t kMaxNumberDigits = 4;

bool Skip(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) {
    return false;
  }
  text.remove_prefix(prefix.size());
  return true;
}

/// The number that `text` begins with, taken from it.
std::optional<int> TakeNumber(std::string_view& text) {
  int number = 0;
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  if (digits == 0 || digits > kMaxNumberDigits) {
    return std::nullopt;
  }
  std::from_chars(text.data(), text.data() + digits, number);
  text.remove_prefix(digits);
  return number;
}

/// What stands in front of `end`, taken from `text` with it.
std::optional<std::string_view> TakeUntil(std::string_view& text, std::string_view end) {
  const size_t found = text.find(end);
  if (found == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view taken = text.substr(0, found);
  text.remove_prefix(found + end.size());
  return taken;
}

struct Processor {
  std::string_view name;
  std::string_view architecture;
  CpuLevel cpu;
};
constexpr std::array kProcessors = {
    Processor{"x86_64", "amd64", 1},    Processor{"x86_64_v2", "amd64", 2},
    Processor{"x86_64_v3", "amd64", 3}, Processor{"x86_64_v4", "amd64", 4},
    Processor{"aarch64", "arm64", 1},
};

struct Flavour {
  std::string_view name;
  bool is_free_threaded;
  bool is_stripped;
};
/// Those whose install tree is what an image wants. Releases had free-threaded builds as full
/// archives alone at first.
constexpr std::array kFlavours = {
    Flavour{"install_only.tar.gz", false, false},
    Flavour{"install_only_stripped.tar.gz", false, true},
    Flavour{"freethreaded-install_only.tar.gz", true, false},
    Flavour{"freethreaded-install_only_stripped.tar.gz", true, true},
    Flavour{"freethreaded+pgo+lto-full.tar.zst", true, false},
    Flavour{"freethreaded+lto-full.tar.zst", true, false},
};

}  // namespace

std::string_view NameOf(Libc libc) { return libc == Libc::kGnu ? "gnu" : "musl"; }

std::string VersionOf(const Release& release) {
  return fmt::format("3.{}.{}{}", release.minor, release.micro,
                     release.is_free_threaded ? "t" : "");
}

std::optional<Release> ParseReleaseFile(std::string_view file) {
  Release release{.file = std::string(file)};
  if (!Skip(file, "cpython-3.")) {
    return std::nullopt;
  }
  const std::optional<int> minor = TakeNumber(file);
  if (!minor || !Skip(file, ".")) {
    return std::nullopt;
  }
  const std::optional<int> micro = TakeNumber(file);
  // A preview has its number behind: 3.15.0a1.
  if (!micro || !Skip(file, "+")) {
    return std::nullopt;
  }
  release.minor = *minor;
  release.micro = *micro;
  const auto tag = TakeUntil(file, "-");
  if (!tag || tag->size() != kTagDigits ||
      tag->find_first_not_of("0123456789") != std::string_view::npos) {
    return std::nullopt;
  }
  release.tag = *tag;
  const auto processor = TakeUntil(file, "-unknown-linux-");
  const auto* known = std::find_if(
      kProcessors.begin(), kProcessors.end(),
      [&](const Processor& candidate) { return processor && candidate.name == *processor; });
  if (known == kProcessors.end()) {
    return std::nullopt;
  }
  release.architecture = known->architecture;
  release.cpu = known->cpu;
  const auto libc = TakeUntil(file, "-");
  if (!libc || (*libc != "gnu" && *libc != "musl")) {
    return std::nullopt;
  }
  release.libc = *libc == "gnu" ? Libc::kGnu : Libc::kMusl;
  const auto* flavour =
      std::find_if(kFlavours.begin(), kFlavours.end(),
                   [&](const Flavour& candidate) { return candidate.name == file; });
  if (flavour == kFlavours.end()) {
    return std::nullopt;
  }
  release.is_free_threaded = flavour->is_free_threaded;
  release.is_stripped = flavour->is_stripped;
  return release;
}

StatusOr<VersionRequest> ParseVersionRequest(std::string_view text) {
  std::string_view left = text;
  VersionRequest request;
  const bool begins = Skip(left, "3.");
  const std::optional<int> minor = TakeNumber(left);
  bool fits = begins && minor.has_value();
  request.minor = minor.value_or(0);
  if (Skip(left, ".")) {
    request.micro = TakeNumber(left);
    fits = fits && request.micro.has_value();
  }
  request.is_free_threaded = Skip(left, "t");
  if (!fits || !left.empty()) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("\"{}\" is no version of Python: write a series (3.12), an exact "
                                 "one (3.12.4) or a free-threaded one (3.14t)",
                                 text));
  }
  return request;
}

}  // namespace starling::dockerfile::python
