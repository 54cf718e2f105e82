#include "dockerfile/build/provenance.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/text.h"
#include "base/timestamp.h"
#include "dockerfile/plan/print.h"
#include "dockerfile/syntax/variables.h"
#include "oci/json_fields.h"
#include "oci/reference.h"

namespace starling::dockerfile::build {
namespace {

using oci::Json;

constexpr const char* kStatementType = "https://in-toto.io/Statement/v0.1";
constexpr const char* kInTotoType = "application/vnd.in-toto+json";
constexpr const char* kPredicateTypeAnnotation = "in-toto.io/predicate-type";
constexpr size_t kSha256HexDigits = 64;
constexpr uint64_t kMaxGraphBytes = uint64_t{1} << 30;

/// A package URL. Source: github.com/package-url/purl-spec, types docker and oci.
std::string PackageUrl(const std::string& name, const oci::Platform& platform,
                       const std::optional<oci::Digest>& digest) {
  std::string url;
  if (const auto reference = oci::Reference::Parse(name); reference.ok()) {
    std::string repository = reference->repository();
    if (reference->domain() != "docker.io") {
      repository = reference->domain() + "/" + repository;
    } else if (repository.starts_with("library/")) {
      repository.erase(0, std::string_view("library/").size());
    }
    url = "pkg:docker/" + repository;
    if (!reference->tag().empty()) {
      url += "@" + PercentEncode(reference->tag());
    }
  } else {
    // Of a layout: "oci:DIRECTORY:TAG". The directory is this machine's own affair.
    const std::string place = name.substr(0, name.rfind(':'));
    url = "pkg:oci/" + PercentEncode(place.substr(place.find_last_of(":/") + 1));
  }
  url += "?";
  if (digest) {
    url += "digest=" + digest->ToString() + "&";
  }
  return url + "platform=" + PercentEncode(platform.ToString());
}

Json JsonOf(const Material& material) {
  return {{"uri", material.uri}, {"digest", {{material.algorithm, material.digest}}}};
}

/// What is asked of all who build it.
Json RequestOf(const BuildStory& story, const plan::Graph& graph,
               const std::vector<plan::NodeId>& needed) {
  Json request = {{"frontend", "dockerfile"}, {"platform", story.platform.ToString()}};
  if (!story.target.empty()) {
    request["target"] = story.target;
  }
  std::set<std::string> locals;
  std::set<std::string> secrets;
  std::set<std::string> agents;
  for (const plan::NodeId node : needed) {
    const plan::Operation& operation = graph.nodes[node].operation;
    if (const auto* context = std::get_if<plan::ContextSource>(&operation)) {
      locals.insert(context->name.empty() ? "context" : context->name);
    } else if (const auto* run = std::get_if<plan::Run>(&operation)) {
      for (const plan::RunMount& mount : run->mounts) {
        if (mount.type == syntax::MountType::kSecret) {
          secrets.insert(mount.id);
        } else if (mount.type == syntax::MountType::kSsh) {
          agents.insert(mount.id);
        }
      }
    }
  }
  request["locals"] = locals;
  if (story.mode == ProvenanceMode::kMin) {
    return request;
  }
  Json arguments = Json::object();
  for (const auto& [name, value] : story.build_arguments) {
    if (!syntax::IsProxyArgument(name)) {
      arguments["build-arg:" + name] = value;
    }
  }
  for (const auto& [name, value] : story.labels) {
    arguments["label:" + name] = value;
  }
  request["args"] = std::move(arguments);
  request["secrets"] = secrets;
  request["ssh"] = agents;
  return request;
}

/// Every text in `json` without credentials.
void RemoveCredentials(Json& json) {
  if (json.is_string()) {
    json = WithoutCredentials(json.get_ref<const std::string&>());
  } else if (json.is_structured()) {
    for (Json& inner : json) {
      RemoveCredentials(inner);
    }
  }
}

bool ReachesNetwork(const plan::Operation& operation) {
  const auto* run = std::get_if<plan::Run>(&operation);
  return run != nullptr && run->network != syntax::Network::kNone;
}

}  // namespace

Material MaterialOfCommit(const std::string& uri, const std::string& commit) {
  return {.uri = uri,
          .algorithm = commit.size() == kSha256HexDigits ? "sha256" : "sha1",
          .digest = commit};
}

Material MaterialOfDownload(const std::string& url, const oci::Digest& digest) {
  return {
      .uri = url.substr(0, url.find_first_of("?#")), .algorithm = "sha256", .digest = digest.Hex()};
}

std::string WithoutCredentials(std::string_view text) {
  constexpr std::string_view kScheme = "://";
  std::string result;
  for (size_t at = text.find(kScheme); at != std::string_view::npos; at = text.find(kScheme)) {
    const size_t begin = at + kScheme.size();
    result += text.substr(0, begin);
    text.remove_prefix(begin);
    // A password may hold an unescaped '@': the last one counts.
    const size_t end = std::min(text.find_first_of("/?#\\ \t\r\n\"'`<>"), text.size());
    const size_t user_end = text.substr(0, end).rfind('@');
    if (user_end != std::string_view::npos) {
      result += "xxxxx";
      text.remove_prefix(user_end);
    }
  }
  return result += text;
}

std::vector<Material> MaterialsOf(const plan::Graph& graph, plan::NodeId root,
                                  const std::map<plan::NodeId, Material>& fetched) {
  std::vector<Material> materials;
  const auto add = [&materials](Material material) {
    if (std::ranges::find(materials, material) == materials.end()) {
      materials.push_back(std::move(material));
    }
  };
  for (const plan::NodeId node : plan::NeededBy(graph, root)) {
    if (const auto* image = std::get_if<plan::ImageSource>(&graph.nodes[node].operation)) {
      add({.uri = PackageUrl(image->reference, image->platform, image->manifest),
           .algorithm = "sha256",
           .digest = image->manifest.Hex()});
    } else if (const auto found = fetched.find(node); found != fetched.end()) {
      add(found->second);
    }
  }
  return materials;
}

std::string ProvenanceOf(const BuildStory& story, const plan::Graph& graph, plan::NodeId root) {
  const std::vector<plan::NodeId> needed = plan::NeededBy(graph, root);
  Json source = {{"path", story.file_name}};
  Json dependencies = Json::array();
  if (story.context) {
    source = JsonOf(*story.context);
    source["path"] = story.file_name;
    dependencies.push_back(JsonOf(*story.context));
  }
  for (const Material& material : story.materials) {
    dependencies.push_back(JsonOf(material));
  }
  Json internal = {{"builderPlatform", oci::Platform::Host().ToString()}};
  const bool is_complete = story.mode == ProvenanceMode::kMax;
  if (is_complete) {
    // Of this program, so that it can be read.
    auto steps =
        oci::ParseJsonObject(AsBytes(plan::GraphJson(graph, root)), kMaxGraphBytes, "graph");
    internal["buildConfig"] = {{"dockerfile", story.dockerfile},
                               {"graph", steps.ok() ? *std::move(steps) : Json()}};
  }
  const auto is = [&](const auto& property) {
    return std::ranges::any_of(
        needed, [&](plan::NodeId node) { return property(graph.nodes[node].operation); });
  };
  const bool is_local = is([&](const plan::Operation& operation) {
    const auto* context = std::get_if<plan::ContextSource>(&operation);
    return context != nullptr && !(context->name.empty() && story.context);
  });
  Json metadata = Json::object();
  if (!story.invocation_id.empty()) {
    metadata["invocationId"] = story.invocation_id;
  }
  if (story.time) {
    metadata["startedOn"] = TimestampText(story.time->first);
    metadata["finishedOn"] = TimestampText(story.time->second);
  }
  metadata["starling_hermetic"] = !is(ReachesNetwork);
  metadata["starling_completeness"] = {{"request", is_complete},
                                       {"resolvedDependencies", !is_local && !is(ReachesNetwork)}};
  Json predicate = {
      {"buildDefinition",
       {{"buildType", kBuildType},
        {"externalParameters",
         {{"configSource", std::move(source)}, {"request", RequestOf(story, graph, needed)}}},
        {"internalParameters", std::move(internal)},
        {"resolvedDependencies", std::move(dependencies)}}},
      {"runDetails", {{"builder", {{"id", story.builder_id}}}, {"metadata", std::move(metadata)}}}};
  RemoveCredentials(predicate);
  return oci::WriteJson(predicate);
}

Attestation Attest(const BuiltImage& image, const std::vector<std::string>& names,
                   const std::string& predicate) {
  const oci::Digest& digest = image.manifest.digest;
  oci::Platform platform = oci::Platform::Host();
  if (const auto config = oci::ImageConfig::Parse(AsBytes(image.config)); config.ok()) {
    platform = config->platform();
  }
  Json subjects = Json::array();
  for (const std::string& name : names) {
    subjects.push_back(
        {{"name", PackageUrl(name, platform, {})}, {"digest", {{"sha256", digest.Hex()}}}});
  }
  if (subjects.empty()) {
    subjects.push_back({{"name", "_"}, {"digest", {{"sha256", digest.Hex()}}}});
  }
  Attestation attestation;
  attestation.statement = oci::WriteJson({{"_type", kStatementType},
                                          {"predicateType", kProvenanceType},
                                          {"subject", std::move(subjects)},
                                          {"predicate", Json::parse(predicate, nullptr, false)}});
  oci::Descriptor statement{.media_type = kInTotoType,
                            .digest = oci::Digest::Of(AsBytes(attestation.statement)),
                            .size_bytes = attestation.statement.size()};
  statement.annotations[kPredicateTypeAnnotation] = kProvenanceType;
  // For those who take it for an image.
  attestation.config = oci::WriteJson(
      {{"architecture", "unknown"},
       {"os", "unknown"},
       {"config", Json::object()},
       {"rootfs", {{"type", "layers"}, {"diff_ids", Json::array({statement.digest.ToString()})}}}});
  attestation.parsed.media_type = oci::media_type::kOciManifest;
  attestation.parsed.config = {.media_type = std::string(oci::media_type::kOciConfig),
                               .digest = oci::Digest::Of(AsBytes(attestation.config)),
                               .size_bytes = attestation.config.size()};
  attestation.parsed.layers = {std::move(statement)};
  attestation.manifest =
      oci::MakeRawManifest(attestation.parsed.media_type, attestation.parsed.ToJson());
  return attestation;
}

}  // namespace starling::dockerfile::build
