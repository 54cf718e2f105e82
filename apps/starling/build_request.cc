#include "apps/starling/build_request.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "apps/starling/build_host.h"
#include "dockerfile/context/local_context.h"
#include "dockerfile/syntax/values.h"

namespace starling::cli {
namespace {

namespace build = dockerfile::build;
namespace context = dockerfile::context;
namespace plan = dockerfile::plan;
namespace syntax = dockerfile::syntax;

constexpr std::string_view kDeviceEntitlement = "device=";

Status ReadRunSettings(const BuildArguments& arguments, build::RunSettings& run) {
  for (const std::string& text : arguments.secrets) {
    ASSIGN_OR_RETURN(auto secret, ReadSecret(text));
    run.secrets.insert(std::move(secret));
  }
  for (const std::string& text : arguments.ssh) {
    ASSIGN_OR_RETURN(auto agent, ParseSsh(text));
    run.ssh_sockets.insert(std::move(agent));
  }
  for (const std::string& host : arguments.hosts) {
    if (host.find_first_of(":=") == std::string::npos) {
      return MakeError(StatusCode::kInvalidArgument,
                       fmt::format("--add-host: '{}' is not NAME:ADDRESS", host));
    }
    run.extra_hosts.push_back(host);
  }
  for (const std::string& entitlement : arguments.allowed) {
    if (entitlement == "security.insecure") {
      run.allow_insecure = true;
    } else if (entitlement == "device") {
      run.allow_all_devices = true;
    } else if (entitlement.starts_with(kDeviceEntitlement)) {
      run.allowed_devices.insert(entitlement.substr(kDeviceEntitlement.size()));
    } else if (entitlement != "network.host") {
      return MakeError(
          StatusCode::kInvalidArgument,
          fmt::format("--allow: '{}' is not one of network.host, security.insecure, device, "
                      "device=NAME",
                      entitlement));
    }
  }
  if (!arguments.device_directories.empty()) {
    run.device_directories = arguments.device_directories;
  }
  for (const std::string& text : arguments.ulimits) {
    ASSIGN_OR_RETURN(runc::ProcessLimit limit, ParseUlimit(text));
    run.limits.push_back(std::move(limit));
  }
  if (!arguments.shm_size.empty()) {
    ASSIGN_OR_RETURN(run.shm_bytes, syntax::ParseSize(arguments.shm_size));
  }
  if (!arguments.memory.empty()) {
    ASSIGN_OR_RETURN(run.resources.memory_bytes, syntax::ParseSize(arguments.memory));
  }
  if (arguments.cpus > 0) {
    run.resources.cpus = arguments.cpus;
  }
  run.cgroup_parent = arguments.cgroup_parent;
  if (!arguments.ca_bundle.empty()) {
    run.ca_bundle = arguments.ca_bundle;
  }
  return OkStatus();
}

Status ReadOutputs(const BuildArguments& arguments, BuildRequest& request) {
  for (const std::string& text : arguments.outputs) {
    ASSIGN_OR_RETURN(BuildOutput output, ParseOutput(text));
    request.outputs.push_back(std::move(output));
  }
  if (request.outputs.empty()) {
    request.outputs.emplace_back();
  }
  build::LayerFormat& format = request.build.format;
  format.threads = std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN));
  if (!arguments.compression.empty()) {
    ASSIGN_OR_RETURN(format.compression, build::ParseCompression(arguments.compression));
  }
  for (BuildOutput& output : request.outputs) {
    if (output.type == BuildOutput::Type::kImage) {
      output.names.insert(output.names.end(), arguments.tags.begin(), arguments.tags.end());
      output.push = output.push || arguments.push;
      if (output.push && output.names.empty()) {
        return MakeError(StatusCode::kInvalidArgument, "--push: name the image with -t");
      }
    }
    if (output.compression) {
      format.compression = *output.compression;
    }
    if (output.compression_level) {
      format.level = output.compression_level;
    }
    request.docker_media_types =
        request.docker_media_types || !output.oci_media_types.value_or(true);
    request.force_compression = request.force_compression || output.force_compression;
    request.annotations.insert(output.annotations.begin(), output.annotations.end());
  }
  if (!arguments.provenance.empty()) {
    ASSIGN_OR_RETURN(request.provenance, ParseProvenance(arguments.provenance));
  }
  for (const std::string& text : arguments.attestations) {
    ASSIGN_OR_RETURN(request.provenance, ParseAttest(text));
  }
  if (request.provenance && request.docker_media_types) {
    return MakeError(StatusCode::kInvalidArgument,
                     "--provenance: Docker's media types have none for it; leave "
                     "oci-mediatypes=false out");
  }
  if (request.provenance && std::ranges::none_of(request.outputs, [](const BuildOutput& output) {
        return output.type == BuildOutput::Type::kImage || output.type == BuildOutput::Type::kOci;
      })) {
    return MakeError(StatusCode::kInvalidArgument,
                     "--provenance: it is attached to an image, which no --output is");
  }
  for (const std::string& text : arguments.annotations) {
    ASSIGN_OR_RETURN(auto annotation, ParsePair("annotation", text));
    request.annotations.insert_or_assign(annotation.first, annotation.second);
  }
  return OkStatus();
}

}  // namespace

StatusOr<BuildRequest> ReadBuildRequest(const BuildArguments& arguments) {
  BuildRequest request;
  plan::PlanSettings& planned = request.plan;
  for (const std::string& text : arguments.build_arguments) {
    if (auto variable = ParseVariable(text)) {
      planned.build.arguments.insert_or_assign(variable->first, variable->second);
    }
  }
  planned.build.target = arguments.target;
  planned.no_cache = arguments.no_cache;
  planned.no_cache_stages = {arguments.no_cache_stages.begin(), arguments.no_cache_stages.end()};
  if (arguments.network == "none") {
    planned.network = syntax::Network::kNone;
  } else if (arguments.network != "default" && arguments.network != "host") {
    return MakeError(
        StatusCode::kInvalidArgument,
        fmt::format("--network: '{}' is not one of default, host, none", arguments.network));
  }
  for (const std::string& text : arguments.labels) {
    ASSIGN_OR_RETURN(auto label, ParsePair("label", text));
    planned.labels.insert_or_assign(label.first, label.second);
  }
  build::BuildSettings& built = request.build;
  for (const std::string& text : arguments.contexts) {
    ASSIGN_OR_RETURN(auto named, ParsePair("build-context", text));
    planned.named_contexts.insert_or_assign(named.first, named.second);
    std::error_code error;
    if (std::filesystem::is_directory(named.second, error)) {
      ASSIGN_OR_RETURN(const context::LocalContext local, context::OpenDirectory(named.second, ""));
      built.contexts[named.first] = {.directory = local.directory,
                                     .ignore_file = local.ignore_file};
    }
  }
  for (const std::string& text : arguments.platforms) {
    for (std::string_view left = text; !left.empty();) {
      const size_t comma = std::min(left.find(','), left.size());
      ASSIGN_OR_RETURN(oci::Platform platform, oci::Platform::Parse(left.substr(0, comma)));
      if (std::ranges::find(request.platforms, platform) == request.platforms.end()) {
        request.platforms.push_back(std::move(platform));
      }
      left.remove_prefix(std::min(comma + 1, left.size()));
    }
  }
  if (request.platforms.empty()) {
    request.platforms.push_back(oci::Platform::Host());
  }
  for (const std::string& written : arguments.cache_to) {
    ASSIGN_OR_RETURN(BuildCache cache, ParseCacheTo(written));
    request.cache_to.push_back(std::move(cache));
  }
  for (const std::string& written : arguments.cache_from) {
    ASSIGN_OR_RETURN(BuildCache cache, ParseCacheFrom(written));
    request.cache_from.push_back(std::move(cache));
  }
  RETURN_IF_ERROR(ReadRunSettings(arguments, built.run));
  RETURN_IF_ERROR(ReadOutputs(arguments, request));
  built.snapshotter = arguments.snapshotter;
  built.steps_at_once = arguments.parallel;
  built.state_directory = arguments.state_directory;
  built.work_directory = kBuildWorkDirectory;
  return request;
}

StatusOr<std::optional<int64_t>> SourceDateEpoch(const syntax::BuildSettings& settings) {
  const auto argument = settings.arguments.find("SOURCE_DATE_EPOCH");
  const char* from_environment = std::getenv("SOURCE_DATE_EPOCH");
  const std::string text = argument != settings.arguments.end() ? argument->second
                           : from_environment != nullptr        ? from_environment
                                                                : "";
  if (text.empty()) {
    return std::optional<int64_t>();
  }
  char* end = nullptr;
  const int64_t seconds = std::strtoll(text.c_str(), &end, 10);
  if (*end != '\0' || seconds < 0) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("SOURCE_DATE_EPOCH={} is no number of seconds", text));
  }
  return std::optional(seconds);
}

}  // namespace starling::cli
