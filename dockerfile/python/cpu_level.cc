#include "dockerfile/python/cpu_level.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <set>
#include <vector>

#include "base/file_system.h"
#include "base/io.h"
#include "base/text.h"
#include "base/unique_fd.h"

namespace starling::dockerfile::python {
namespace {

constexpr uint64_t kMaxCpuInfoBytes = 64 << 20;  // a machine may have thousands of processors

/// What each level has beyond the one below it, by the kernel's names: pni is SSE3, abm LZCNT.
const std::array<std::vector<std::string_view>, kHighestCpu - kBaselineCpu> kLevels = {{
    {"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"},
    {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"},
    {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
}};

CpuLevel LevelOfFlags(std::string_view flags) {
  std::set<std::string_view> has;
  while (!flags.empty()) {
    const size_t end = std::min(flags.find(' '), flags.size());
    has.insert(flags.substr(0, end));
    flags.remove_prefix(std::min(end + 1, flags.size()));
  }
  CpuLevel level = kBaselineCpu;
  for (const auto& more : kLevels) {
    if (!std::all_of(more.begin(), more.end(),
                     [&](std::string_view flag) { return has.contains(flag); })) {
      break;
    }
    ++level;
  }
  return level;
}

}  // namespace

CpuLevel CpuLevelOf(std::string_view text) {
  std::optional<CpuLevel> lowest;
  std::string_view known;  // most processors are alike
  while (!text.empty()) {
    const std::string_view line = TakeLine(text);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || TrimSpace(line.substr(0, colon)) != "flags" ||
        line == known) {
      continue;
    }
    known = line;
    const CpuLevel level = LevelOfFlags(TrimSpace(line.substr(colon + 1)));
    lowest = std::min(lowest.value_or(level), level);
  }
  return lowest.value_or(kBaselineCpu);
}

StatusOr<CpuLevel> HostCpuLevel() {
  ASSIGN_OR_RETURN(const UniqueFd file, RealFileSystem().Open("/proc/cpuinfo", O_RDONLY, 0));
  FdSource source(file.get());
  ASSIGN_OR_RETURN(const Bytes text, ReadAll(source, kMaxCpuInfoBytes));
  return CpuLevelOf(AsText(text));
}

StatusOr<CpuLevel> ParseCpuLevel(std::string_view text, std::optional<CpuLevel> host) {
  if (text == "baseline") {
    return kBaselineCpu;
  }
  if (text == "native") {
    return host.value_or(kBaselineCpu);
  }
  if (text.size() != 2 || text[0] != 'v' || text[1] < '0' + kBaselineCpu ||
      text[1] > '0' + kHighestCpu) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("'{}' is not one of baseline, v1, v2, v3, v4, native", text));
  }
  const CpuLevel level = text[1] - '0';
  if (host && level > *host) {
    return MakeError(
        StatusCode::kFailedPrecondition,
        fmt::format("this machine's processor cannot run {}, only v{}; take native, or "
                    "build on another machine",
                    text, *host));
  }
  return level;
}

}  // namespace starling::dockerfile::python
