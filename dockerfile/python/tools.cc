#include "dockerfile/python/tools.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <set>
#include <vector>

#include "base/file_system.h"
#include "base/unique_fd.h"
#include "dockerfile/files/archive.h"
#include "dockerfile/python/sums.h"

namespace starling::dockerfile::python {
namespace {

constexpr uint64_t kMaxProgramBytes = uint64_t{512} << 20;
constexpr size_t kMaxVersionBytes = 32;
/// A zip's times have no zone; the same program is to be the same layer everywhere.
constexpr time_t kProgramTime = 315532800;  // 1980-01-01

/// Those of micromamba are published beside its files, as FILE.sha256.
constexpr std::string_view kBuiltIn = R"(
2c45530751517d6c3bbc69a19473f6effe47cce047bede01ffd8af7ea7b36b25  fe/fe/794884de0efd3ac77a427cab21aa72c0483e100c55a42cd5cbb02c141b84/uv-0.13.9-py3-none-musllinux_1_1_x86_64.whl
5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe  57/15/94b6cd62ac3ff6550288328e8035288875197cbc183f51554b266a69877b/uv-0.13.9-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl
9689782d863c05a1bf5d2d371ba527104e7a4eb4310c1637d8653b751aed9c82  2.8.1-0/micromamba-linux-64
e5ba23b5945aa49dfd11022e592a510d2686a8feee810e00140b73c9fdf0ba2a  2.8.1-0/micromamba-linux-aarch64
)";

struct Processor {
  std::string_view wheel_name;
  std::string_view micromamba_name;
  std::string_view architecture;
};
constexpr std::array kProcessors = {Processor{"x86_64", "64", "amd64"},
                                    Processor{"aarch64", "aarch64", "arm64"}};

/// The numbers of "0.13.9" or "2.8.1-0"; nothing for a preview.
std::vector<int> NumbersOf(std::string_view version) {
  std::vector<int> numbers;
  const char* at = version.data();
  const char* const end = at + version.size();
  while (true) {
    int number = 0;
    const auto [after, error] = std::from_chars(at, end, number);
    if (error != std::errc() || number < 0) {
      return {};
    }
    numbers.push_back(number);
    if (after == end) {
      return numbers;
    }
    if (*after != '.' && *after != '-') {
      return {};
    }
    at = after + 1;
  }
}

bool IsVersion(std::string_view version) {
  return version.size() <= kMaxVersionBytes && !NumbersOf(version).empty();
}

std::optional<ToolRelease> ParseUvWheel(std::string_view file) {
  constexpr std::string_view kBegin = "uv-";
  constexpr std::string_view kTags = "-py3-none-";
  constexpr std::string_view kEnd = ".whl";
  const size_t tags = file.find(kTags);
  if (!file.starts_with(kBegin) || !file.ends_with(kEnd) || tags == std::string_view::npos) {
    return std::nullopt;
  }
  ToolRelease release{.tool = Tool::kUv,
                      .version = std::string(file.substr(kBegin.size(), tags - kBegin.size())),
                      .architecture = {},
                      .released = {}};
  // What runs with musl of any version is linked with nothing.
  const std::string_view platforms = file.substr(tags + kTags.size());
  const size_t musl = platforms.find("musllinux_");
  if (musl == std::string_view::npos || !IsVersion(release.version) ||
      release.version.find('-') != std::string::npos) {
    return std::nullopt;
  }
  const std::string_view platform = platforms.substr(musl, platforms.find('.', musl) - musl);
  for (const Processor& processor : kProcessors) {
    if (platform.ends_with(fmt::format("_{}", processor.wheel_name))) {
      release.architecture = processor.architecture;
      return release;
    }
  }
  return std::nullopt;
}

std::optional<ToolRelease> ParseMicromamba(std::string_view directory, std::string_view file) {
  const std::string_view version = directory.substr(directory.rfind('/') + 1);
  for (const Processor& processor : kProcessors) {
    if (file == fmt::format("micromamba-linux-{}", processor.micromamba_name) &&
        IsVersion(version)) {
      return ToolRelease{.tool = Tool::kMicromamba,
                         .version = std::string(version),
                         .architecture = std::string(processor.architecture),
                         .released = {}};
    }
  }
  return std::nullopt;
}

bool IsOfVersion(const ToolRelease& release, const std::string& version) {
  return version == "latest" || release.version == version ||
         release.version.starts_with(version + "-");
}

/// Elsewhere than in a table.
std::string OtherPlaceOf(Tool tool, const std::string& version) {
  return tool == Tool::kUv ? "docker-image://ghcr.io/astral-sh/uv:" + version : "DIRECTORY";
}

}  // namespace

std::string_view NameOf(Tool tool) { return tool == Tool::kUv ? "uv" : "micromamba"; }

std::string_view ReleasesOf(Tool tool) {
  return tool == Tool::kUv ? "https://files.pythonhosted.org/packages"
                           : "https://github.com/mamba-org/micromamba-releases/releases/download";
}

std::optional<ToolRelease> ParseToolFile(std::string_view path) {
  const size_t slash = path.rfind('/');
  const std::string_view directory = slash == std::string_view::npos ? "" : path.substr(0, slash);
  const std::string_view file = slash == std::string_view::npos ? path : path.substr(slash + 1);
  std::optional<ToolRelease> release = ParseUvWheel(file);
  if (!release) {
    release = ParseMicromamba(directory, file);
  }
  if (release) {
    release->released.file = file;
    release->released.directory = directory;
  }
  return release;
}

ToolTable ToolTable::BuiltIn() {
  ToolTable table;
  // A test holds the text to its form.
  table.Add(kBuiltIn).IgnoreError();
  return table;
}

Status ToolTable::Add(std::string_view sums) {
  std::map<std::string, ToolRelease, std::less<>> added = releases_;
  RETURN_IF_ERROR(ReadSums(sums, [&](const oci::Digest& digest, std::string_view path) {
    std::optional<ToolRelease> release = ParseToolFile(path);
    if (!release) {
      return OkStatus();
    }
    release->released.digest = digest;
    const std::string& file = release->released.file;
    const std::string name =
        release->tool == Tool::kUv ? file : fmt::format("{}/{}", release->version, file);
    const auto [known, is_new] = added.try_emplace(name, *release);
    if (!is_new && known->second.released.digest != digest) {
      return MakeError(StatusCode::kInvalidArgument,
                       fmt::format("{} is known with another digest: {}", name,
                                   known->second.released.digest.Hex()));
    }
    return OkStatus();
  }));
  releases_ = std::move(added);
  return OkStatus();
}

StatusOr<ToolRelease> ToolTable::Choose(Tool tool, const std::string& version,
                                        const std::string& architecture) const {
  const ToolRelease* best = nullptr;
  std::set<std::string> known;
  for (const auto& [name, release] : releases_) {
    if (release.tool != tool || release.architecture != architecture) {
      continue;
    }
    known.insert(release.version);
    if (IsOfVersion(release, version) &&
        (best == nullptr || NumbersOf(release.version) > NumbersOf(best->version))) {
      best = &release;
    }
  }
  if (best == nullptr) {
    return MakeError(StatusCode::kNotFound,
                     fmt::format("{0} {1} for {2}: known are {3}; add the digest of its file by "
                                 "--python-table, or name another place of it: --build-context "
                                 "{0}-{1}={4}",
                                 NameOf(tool), version, architecture,
                                 known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", ")),
                                 OtherPlaceOf(tool, version)));
  }
  return *best;
}

StatusOr<std::filesystem::path> ToolStore::Provide(const ToolRelease& release,
                                                   const ReleaseSource& source,
                                                   const std::filesystem::path& scratch,
                                                   const OnFetch& on_fetch,
                                                   const std::stop_token& stop) const {
  const auto make = [&](const std::filesystem::path& file,
                        const std::filesystem::path& ready) -> Status {
    const std::filesystem::path program = ready / NameOf(release.tool);
    if (release.tool == Tool::kMicromamba) {
      RETURN_IF_ERROR(RealFileSystem().Rename(file, program));
    } else {
      ASSIGN_OR_RETURN(const UniqueFd from, RealFileSystem().Open(file, O_RDONLY, 0));
      ASSIGN_OR_RETURN(const UniqueFd to,
                       RealFileSystem().Open(program, O_WRONLY | O_CREAT | O_EXCL, 0755));
      RETURN_IF_ERROR(files::ExtractFromZip(from.get(),
                                            fmt::format("uv-{}.data/scripts/uv", release.version),
                                            to.get(), kMaxProgramBytes, stop));
    }
    ASSIGN_OR_RETURN(const UniqueFd opened, RealFileSystem().Open(program, O_RDONLY, 0));
    const std::array<struct timespec, 2> times = {{{kProgramTime, 0}, {kProgramTime, 0}}};
    if (::fchmod(opened.get(), 0755) != 0 || ::futimens(opened.get(), times.data()) != 0) {
      return ErrnoError(errno, program.native());
    }
    return OkStatus();
  };
  return KeepReleased(directory_ / release.released.digest.Hex(), release.released, source, scratch,
                      on_fetch, make, stop);
}

}  // namespace starling::dockerfile::python
