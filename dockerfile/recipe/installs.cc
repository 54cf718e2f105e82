#include "dockerfile/recipe/installs.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "oci/json_fields.h"

namespace starling::dockerfile::recipe {
namespace {

using oci::Json;

/// Of options of pip's that say where packages come from, and which of their files may be taken.
constexpr std::array<std::string_view, 10> kIndexOptions = {"-i",           "-f",
                                                            "--index-url",  "--extra-index-url",
                                                            "--find-links", "--no-index",
                                                            "--no-binary",  "--only-binary",
                                                            "--pre",        "--trusted-host"};

/// What a package is called, or its version: nothing that a shell or a file of requirements would
/// take for more.
bool IsPlain(std::string_view text) {
  return !text.empty() && text.front() != '-' &&
         text.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
             ".+-_~:!") == std::string_view::npos;
}

bool IsSha256(std::string_view hex) {
  return oci::Digest::Parse(fmt::format("sha256:{}", hex)).ok();
}

Status NotUnderstood(std::string_view program, std::string_view what) {
  return MakeError(StatusCode::kDataLoss,
                   fmt::format("{} says what is not understood: {}", program, what.substr(0, 200)));
}

/// "Inst git [1:2.1] (1:2.39.5-0+deb12u2 Debian:12.8/stable [amd64]) []".
StatusOr<std::vector<std::string>> LinesOfApt(std::string_view simulated) {
  std::vector<std::string> lines;
  while (!simulated.empty()) {
    constexpr std::string_view kInstalls = "Inst ";
    const std::string_view line = TakeLine(simulated);
    if (!line.starts_with(kInstalls)) {
      continue;
    }
    const std::string_view left = line.substr(kInstalls.size());
    const std::string_view name = left.substr(0, left.find(' '));
    const size_t open = left.find('(');
    const std::string_view version = open == std::string_view::npos
                                         ? ""
                                         : left.substr(open + 1, left.find(' ', open) - open - 1);
    if (!IsPlain(name) || !IsPlain(version)) {
      return NotUnderstood("apt-get", line);
    }
    lines.push_back(fmt::format("{}={}", name, version));
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

std::string TextOf(const Json& object, const char* name) {
  const auto found = object.is_object() ? object.find(name) : object.end();
  return object.is_object() && found != object.end() && found->is_string()
             ? found->get<std::string>()
             : "";
}

const Json& MemberOf(const Json& object, const char* name) {
  static const Json nothing;
  if (!object.is_object()) {
    return nothing;
  }
  const auto found = object.find(name);
  return found == object.end() ? nothing : *found;
}

/// The installation report of `pip install --report`.
/// Source: https://pip.pypa.io/en/stable/reference/installation-report/
StatusOr<std::vector<std::string>> LinesOfPip(std::string_view report) {
  const auto document = oci::ParseJsonObject(AsBytes(report), kMaxResolvedBytes, "pip");
  if (!document.ok()) {
    return NotUnderstood("pip", report);
  }
  const Json& installs = MemberOf(*document, "install");
  if (!installs.is_array()) {
    return NotUnderstood("pip", report);
  }
  std::vector<std::string> lines;
  for (const Json& install : installs) {
    const Json& metadata = MemberOf(install, "metadata");
    const Json& download = MemberOf(install, "download_info");
    const Json& archive = MemberOf(download, "archive_info");
    const std::string name = TextOf(metadata, "name");
    const std::string version = TextOf(metadata, "version");
    const std::string url = TextOf(download, "url");
    if (!IsPlain(name) || !IsPlain(version) || !IsOneWord(url)) {
      return NotUnderstood("pip", install.dump());
    }
    std::string hex = TextOf(MemberOf(archive, "hashes"), "sha256");
    if (constexpr std::string_view kOld = "sha256="; hex.empty()) {
      hex = TextOf(archive, "hash");
      hex = hex.starts_with(kOld) ? hex.substr(kOld.size()) : "";
    }
    if (!IsSha256(hex)) {
      return MakeError(StatusCode::kFailedPrecondition,
                       fmt::format("{} comes from {}, which has no SHA-256; a package that is "
                                   "locked comes from an index, or is an archive",
                                   name, url));
    }
    const Json& direct = MemberOf(install, "is_direct");
    lines.push_back(direct.is_boolean() && direct.get<bool>()
                        ? fmt::format("{} @ {} --hash=sha256:{}", name, url, hex)
                        : fmt::format("{}=={} --hash=sha256:{}", name, version, hex));
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

/// What `uv pip compile --generate-hashes` has written: "name==1.0 \", "    --hash=sha256:.. \".
StatusOr<std::vector<std::string>> LinesOfUv(std::string_view compiled, std::string_view plan) {
  size_t wanted = 0;
  while (!plan.empty()) {
    constexpr std::string_view kInstalls = " + ";
    std::string_view line = TakeLine(plan);
    if (!line.starts_with(kInstalls)) {
      continue;
    }
    line.remove_prefix(kInstalls.size());
    if (const size_t from = line.find(" (from "); from != std::string_view::npos) {
      return MakeError(StatusCode::kFailedPrecondition,
                       fmt::format("{} comes from {} a package that is locked by uv comes from an "
                                   "index",
                                   line.substr(0, from), line.substr(from + 7)));
    }
    ++wanted;
  }
  std::vector<std::string> lines;
  while (!compiled.empty()) {
    constexpr std::string_view kHash = "--hash=sha256:";
    std::string_view line = TrimSpace(TakeLine(compiled));
    if (line.ends_with('\\')) {
      line = TrimSpace(line.substr(0, line.size() - 1));
    }
    if (line.empty() || line.starts_with('#')) {
      continue;
    }
    if (line.starts_with(kHash)) {
      if (lines.empty() || !IsSha256(line.substr(kHash.size()))) {
        return NotUnderstood("uv", line);
      }
      lines.back() += fmt::format(" {}", line);
    } else if (const size_t equals = line.find("=="); equals != std::string_view::npos &&
                                                      IsPlain(line.substr(0, equals)) &&
                                                      IsPlain(line.substr(equals + 2))) {
      lines.emplace_back(line);
    } else if (!line.starts_with('-')) {
      return NotUnderstood("uv", line);
    }
  }
  for (const std::string& line : lines) {
    if (line.find(" --hash=") == std::string::npos) {
      return MakeError(StatusCode::kFailedPrecondition,
                       fmt::format("the index has no SHA-256 of {}", line));
    }
  }
  if (lines.size() != wanted) {
    return NotUnderstood(
        "uv", fmt::format("{} packages are installed, and {} have digests", wanted, lines.size()));
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

}  // namespace

StatusOr<std::vector<std::string>> LinesOfResolved(Install::Kind kind, std::string_view resolved,
                                                   std::string_view plan) {
  switch (kind) {
    case Install::Kind::kApt:
      return LinesOfApt(resolved);
    case Install::Kind::kPip:
      return LinesOfPip(resolved);
    case Install::Kind::kUv:
      return LinesOfUv(resolved, plan);
  }
  return MakeError(StatusCode::kInternal, "no such install");
}

StatusOr<std::vector<std::string>> IndexLinesOf(std::string_view requirements) {
  std::vector<std::string> lines;
  while (!requirements.empty()) {
    std::string_view line = TakeLine(requirements);
    line = TrimSpace(line.substr(0, line.find(" #")));
    const std::string_view option = line.substr(0, line.find_first_of(" ="));
    if (std::find(kIndexOptions.begin(), kIndexOptions.end(), option) == kIndexOptions.end()) {
      continue;
    }
    const size_t scheme = line.find("://");
    const size_t at = scheme == std::string_view::npos ? scheme : line.find('@', scheme);
    const size_t colon = scheme == std::string_view::npos ? scheme : line.find(':', scheme + 3);
    // A variable is put in by pip itself.
    if (at != std::string_view::npos && colon < at &&
        line.substr(colon + 1, at - colon - 1).find("${") == std::string_view::npos &&
        line.find('/', scheme + 3) > at) {
      return MakeError(StatusCode::kInvalidArgument,
                       fmt::format("\"{}\" of a file of requirements has a password, which a lock "
                                   "must not have; write ${{VARIABLE}}, and give it as a secret",
                                   option));
    }
    lines.emplace_back(line);
  }
  return lines;
}

}  // namespace starling::dockerfile::recipe
