#include "transport/image_name.h"

#include "oci/reference.h"

namespace starling::transport {
namespace {

struct Prefix {
  std::string_view text;
  Kind kind;
};

// Of those that name files. Source: containers-transports(5).
constexpr Prefix kFilePrefixes[] = {
    {"oci:", Kind::kOciLayout},
    {"oci-archive:", Kind::kOciArchive},
    {"docker-archive:", Kind::kDockerArchive},
};
constexpr std::string_view kRegistryPrefix = "docker://";
// Known to skopeo, so no one means an image of that name.
constexpr std::string_view kUnsupportedPrefixes[] = {
    "dir:", "docker-daemon:", "containers-storage:", "ostree:", "sif:"};

StatusOr<ImageName> ParseFileName(const Prefix& prefix, std::string_view text) {
  const std::string_view rest = text.substr(prefix.text.size());
  // As in skopeo, the first colon ends the path: paths with a colon cannot be named.
  const size_t colon = rest.find(':');
  ImageName name{.kind = prefix.kind, .path = std::string(rest.substr(0, colon))};
  if (name.path.empty()) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("\"{}\" names no path ({}PATH)", text, prefix.text));
  }
  if (colon != std::string_view::npos) {
    name.reference = rest.substr(colon + 1);
    if (name.reference.empty()) {
      return MakeError(StatusCode::kInvalidArgument,
                       fmt::format("\"{}\" ends in a colon; leave it away or name a tag", text));
    }
  }
  if (name.kind == Kind::kDockerArchive && !name.reference.empty()) {
    RETURN_IF_ERROR(oci::Reference::Parse(name.reference).status());
  }
  return name;
}

}  // namespace

StatusOr<ImageName> ImageName::Parse(std::string_view text) {
  for (const Prefix& prefix : kFilePrefixes) {
    if (text.starts_with(prefix.text)) {
      return ParseFileName(prefix, text);
    }
  }
  for (const std::string_view prefix : kUnsupportedPrefixes) {
    if (text.starts_with(prefix)) {
      return MakeError(StatusCode::kUnimplemented,
                       fmt::format("images in \"{}\" are not supported; use docker://, oci:, "
                                   "oci-archive: or docker-archive:",
                                   prefix));
    }
  }
  if (text.starts_with(kRegistryPrefix)) {
    text.remove_prefix(kRegistryPrefix.size());
  }
  RETURN_IF_ERROR(oci::Reference::Parse(text).status());
  return ImageName{.kind = Kind::kRegistry, .reference = std::string(text)};
}

std::string ImageName::ToString() const {
  if (kind == Kind::kRegistry) {
    return std::string(kRegistryPrefix) + reference;
  }
  std::string text;
  for (const Prefix& prefix : kFilePrefixes) {
    if (prefix.kind == kind) {
      text = prefix.text;
    }
  }
  text += path.string();
  if (!reference.empty()) {
    text += ":" + reference;
  }
  return text;
}

}  // namespace starling::transport
