#include "oci/image_config.h"

#include "oci/json_fields.h"
#include "oci/manifest.h"

namespace starling::oci {
namespace {

Status Malformed(std::string_view problem) { return MakeError(StatusCode::kDataLoss, problem); }

StatusOr<std::vector<Digest>> ParseDiffIds(const Json& document) {
  const Json* rootfs = FindField(document, "rootfs");
  const Json* list = rootfs == nullptr ? nullptr : FindField(*rootfs, "diff_ids");
  std::vector<Digest> diff_ids;
  // Docker writes null for an image without layers.
  if (rootfs != nullptr && rootfs->is_object() && list == nullptr) {
    return diff_ids;
  }
  if (list == nullptr || !list->is_array()) {
    return Malformed("\"rootfs.diff_ids\" is missing or not a list");
  }
  if (list->size() > kMaxLayers) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("{} layers, at most {} are accepted", list->size(), kMaxLayers));
  }
  for (const Json& item : *list) {
    if (!item.is_string()) {
      return Malformed("\"rootfs.diff_ids\" holds something that is no digest");
    }
    auto digest = Digest::Parse(item.get<std::string>());
    if (!digest.ok()) {
      return Malformed(fmt::format("rootfs.diff_ids: {}", MessageOf(digest.status())));
    }
    diff_ids.push_back(*digest);
  }
  return diff_ids;
}

StatusOr<Platform> ParsePlatform(const Json& document) {
  Platform platform;
  ASSIGN_OR_RETURN(platform.os, TextField(document, "os"));
  ASSIGN_OR_RETURN(platform.architecture, TextField(document, "architecture"));
  ASSIGN_OR_RETURN(platform.variant, TextField(document, "variant"));
  ASSIGN_OR_RETURN(platform.os_version, TextField(document, "os.version"));
  return platform.Normalized();
}

}  // namespace

StatusOr<ImageConfig> ImageConfig::Parse(ByteSpan json) {
  constexpr std::string_view kWhat = "image configuration";
  ASSIGN_OR_RETURN(const Json document, ParseJsonObject(json, kMaxConfigBytes, kWhat));
  ImageConfig config;
  const auto fill = [&]() -> Status {
    ASSIGN_OR_RETURN(config.diff_ids_, ParseDiffIds(document));
    ASSIGN_OR_RETURN(config.platform_, ParsePlatform(document));
    const Json* run = FindField(document, "config");
    if (run == nullptr) {
      return OkStatus();
    }
    ASSIGN_OR_RETURN(config.environment_, TextListField(*run, "Env"));
    ASSIGN_OR_RETURN(config.command_, TextListField(*run, "Entrypoint"));
    ASSIGN_OR_RETURN(const std::vector<std::string> arguments, TextListField(*run, "Cmd"));
    config.command_.insert(config.command_.end(), arguments.begin(), arguments.end());
    ASSIGN_OR_RETURN(config.working_directory_, TextField(*run, "WorkingDir"));
    return OkStatus();
  };
  RETURN_IF_ERROR(Annotate(fill(), kWhat));
  config.document_ = AsText(json);
  return config;
}

std::string ImageConfig::WithDiffIds(const std::vector<Digest>& diff_ids) const {
  // Parsed once already; not kept parsed because this is the only use.
  Json document = Json::parse(document_, nullptr, /*allow_exceptions=*/false);
  Json list = Json::array();
  for (const Digest& digest : diff_ids) {
    list.push_back(digest.ToString());
  }
  document["rootfs"]["diff_ids"] = std::move(list);
  return WriteJson(document);
}

std::vector<Digest> ChainIds(const std::vector<Digest>& diff_ids) {
  std::vector<Digest> chain;
  chain.reserve(diff_ids.size());
  for (const Digest& diff_id : diff_ids) {
    chain.push_back(chain.empty()
                        ? diff_id
                        : Digest::Of(AsBytes(chain.back().ToString() + " " + diff_id.ToString())));
  }
  return chain;
}

}  // namespace starling::oci
