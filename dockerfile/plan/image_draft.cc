#include "dockerfile/plan/image_draft.h"

#include <fmt/chrono.h>

#include <algorithm>
#include <initializer_list>

#include "oci/image_config.h"
#include "oci/json_fields.h"

namespace starling::dockerfile::plan {
namespace {

using oci::Json;

constexpr const char* kComment = "buildkit.dockerfile.v0";
constexpr const char* kDefaultShell[] = {"/bin/sh", "-c"};
/// More entries than any configuration of the size that is read can have with any meaning.
constexpr size_t kMaxEntries = 10000;

StatusOr<std::vector<std::string>> NamesField(const Json& object, const char* key) {
  std::vector<std::string> names;
  const Json* set = oci::FindField(object, key);
  if (set == nullptr) {
    return names;
  }
  if (!set->is_object() || set->size() > kMaxEntries) {
    return MakeError(StatusCode::kDataLoss, fmt::format("\"{}\" is no set of names", key));
  }
  for (const auto& [name, value] : set->items()) {
    names.push_back(name);
  }
  return names;
}

StatusOr<std::map<std::string, std::string>> LabelsField(const Json& object) {
  std::map<std::string, std::string> labels;
  const Json* found = oci::FindField(object, "Labels");
  if (found == nullptr) {
    return labels;
  }
  if (!found->is_object() || found->size() > kMaxEntries) {
    return MakeError(StatusCode::kDataLoss, "\"Labels\" is no object");
  }
  for (const auto& [name, value] : found->items()) {
    if (!value.is_string()) {
      return MakeError(StatusCode::kDataLoss, fmt::format("label \"{}\" is no text", name));
    }
    labels[name] = value.get<std::string>();
  }
  return labels;
}

Status ReadConfig(const Json& config, ImageDraft& draft) {
  ASSIGN_OR_RETURN(const std::vector<std::string> environment, oci::TextListField(config, "Env"));
  for (const std::string& variable : environment) {
    const size_t equals = variable.find('=');
    draft.SetVariable(variable.substr(0, equals),
                      equals == std::string::npos ? "" : variable.substr(equals + 1));
  }
  ASSIGN_OR_RETURN(draft.command, oci::TextListField(config, "Cmd"));
  ASSIGN_OR_RETURN(draft.entrypoint, oci::TextListField(config, "Entrypoint"));
  ASSIGN_OR_RETURN(draft.shell, oci::TextListField(config, "Shell"));
  ASSIGN_OR_RETURN(draft.on_build, oci::TextListField(config, "OnBuild"));
  ASSIGN_OR_RETURN(draft.user, oci::TextField(config, "User"));
  ASSIGN_OR_RETURN(draft.working_directory, oci::TextField(config, "WorkingDir"));
  ASSIGN_OR_RETURN(draft.stop_signal, oci::TextField(config, "StopSignal"));
  ASSIGN_OR_RETURN(draft.labels, LabelsField(config));
  ASSIGN_OR_RETURN(const std::vector<std::string> ports, NamesField(config, "ExposedPorts"));
  draft.exposed_ports = {ports.begin(), ports.end()};
  ASSIGN_OR_RETURN(const std::vector<std::string> volumes, NamesField(config, "Volumes"));
  draft.volumes = {volumes.begin(), volumes.end()};
  const Json* escaped = oci::FindField(config, "ArgsEscaped");
  draft.args_escaped = escaped != nullptr && escaped->is_boolean() && escaped->get<bool>();
  return OkStatus();
}

/// Sets or removes a member, which keeps its place.
void Put(Json& object, const char* key, Json value) {
  if (value.empty()) {
    object.erase(key);
  } else {
    object[key] = std::move(value);
  }
}

void PutText(Json& object, const char* key, const std::string& value) {
  if (value.empty()) {
    object.erase(key);
  } else {
    object[key] = value;
  }
}

Json NamesJson(const std::set<std::string>& names) {
  Json object = Json::object();
  for (const std::string& name : names) {
    object[name] = Json::object();
  }
  return object;
}

Json HealthJson(const HealthCheck& check) {
  Json object = {{"Test", check.test}};
  for (const auto& [key, value] :
       {std::pair("Interval", check.interval), std::pair("Timeout", check.timeout),
        std::pair("StartPeriod", check.start_period),
        std::pair("StartInterval", check.start_interval)}) {
    if (value.count() != 0) {
      object[key] = value.count();
    }
  }
  if (check.retries != 0) {
    object["Retries"] = check.retries;
  }
  return object;
}

}  // namespace

ImageDraft ImageDraft::Scratch(const oci::Platform& platform) {
  ImageDraft draft;
  draft.platform = platform;
  draft.working_directory = "/";
  draft.SetVariable("PATH", std::string(syntax::kDefaultPath));
  return draft;
}

StatusOr<ImageDraft> ImageDraft::FromBase(std::string document) {
  ASSIGN_OR_RETURN(const Json json, oci::ParseJsonObject(AsBytes(document), oci::kMaxConfigBytes,
                                                         "configuration of the image"));
  ImageDraft draft;
  ASSIGN_OR_RETURN(draft.platform.os, oci::TextField(json, "os"));
  ASSIGN_OR_RETURN(draft.platform.architecture, oci::TextField(json, "architecture"));
  ASSIGN_OR_RETURN(draft.platform.variant, oci::TextField(json, "variant"));
  ASSIGN_OR_RETURN(draft.platform.os_version, oci::TextField(json, "os.version"));
  ASSIGN_OR_RETURN(draft.author, oci::TextField(json, "author"));
  if (const Json* config = oci::FindField(json, "config"); config != nullptr) {
    if (!config->is_object()) {
      return MakeError(StatusCode::kDataLoss,
                       "configuration of the image: \"config\" is no object");
    }
    RETURN_IF_ERROR(Annotate(ReadConfig(*config, draft), "configuration of the image"));
  }
  const bool has_path =
      std::any_of(draft.environment.begin(), draft.environment.end(),
                  [](const syntax::Variable& variable) { return variable.name == "PATH"; });
  if (!has_path) {
    draft.SetVariable("PATH", std::string(syntax::kDefaultPath));
  }
  draft.document = std::move(document);
  return draft;
}

void ImageDraft::SetVariable(const std::string& name, const std::string& value) {
  for (syntax::Variable& variable : environment) {
    if (variable.name == name) {
      variable.value = value;
      return;
    }
  }
  environment.push_back({name, value});
}

std::vector<std::string> ImageDraft::ShellOrDefault() const {
  return shell.empty()
             ? std::vector<std::string>(std::begin(kDefaultShell), std::end(kDefaultShell))
             : shell;
}

std::string ConfigJson(const ImageDraft& image, std::span<const oci::Digest> diff_ids,
                       std::optional<std::chrono::sys_seconds> created) {
  // What FromBase has read once is read again without an error.
  Json json = image.document.empty()
                  ? Json::object()
                  : *oci::ParseJsonObject(AsBytes(image.document), oci::kMaxConfigBytes, "base");
  const std::string time = created ? fmt::format("{:%FT%TZ}", *created) : "";
  json["architecture"] = image.platform.architecture;
  json["os"] = image.platform.os;
  PutText(json, "variant", image.platform.variant);
  PutText(json, "os.version", image.platform.os_version);
  PutText(json, "author", image.author);
  PutText(json, "created", time);

  Json& config = json["config"];
  if (!config.is_object()) {
    config = Json::object();
  }
  Json environment = Json::array();
  for (const syntax::Variable& variable : image.environment) {
    environment.push_back(variable.name + "=" + variable.value);
  }
  PutText(config, "User", image.user);
  Put(config, "ExposedPorts", NamesJson(image.exposed_ports));
  Put(config, "Env", std::move(environment));
  Put(config, "Entrypoint", image.entrypoint);
  Put(config, "Cmd", image.command);
  Put(config, "Volumes", NamesJson(image.volumes));
  PutText(config, "WorkingDir", image.working_directory);
  Put(config, "Labels", image.labels);
  Put(config, "OnBuild", image.on_build);
  Put(config, "Shell", image.shell);
  PutText(config, "StopSignal", image.stop_signal);
  if (image.health_check) {
    config["Healthcheck"] = HealthJson(*image.health_check);
  }
  if (image.args_escaped) {
    config["ArgsEscaped"] = true;
  } else {
    config.erase("ArgsEscaped");
  }

  Json layers = Json::array();
  for (const oci::Digest& diff_id : diff_ids) {
    layers.push_back(diff_id.ToString());
  }
  json["rootfs"] = {{"type", "layers"}, {"diff_ids", std::move(layers)}};
  Json& history = json["history"];
  if (!history.is_array()) {
    history = Json::array();
  }
  for (const HistoryEntry& entry : image.history) {
    Json line = Json::object();
    PutText(line, "created", time);
    line["created_by"] = entry.created_by;
    line["comment"] = kComment;
    if (entry.is_empty_layer) {
      line["empty_layer"] = true;
    }
    history.push_back(std::move(line));
  }
  // Identifiers of images from before there were digests say nothing about this one.
  for (const char* former : {"id", "parent", "container", "container_config", "docker_version",
                             "parent_id", "throwaway"}) {
    json.erase(former);
  }
  return oci::WriteJson(json);
}

}  // namespace starling::dockerfile::plan
