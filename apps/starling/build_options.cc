#include "apps/starling/build_options.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "base/file_system.h"
#include "base/text.h"
#include "dockerfile/syntax/suggest.h"
#include "dockerfile/syntax/values.h"

namespace starling::cli {
namespace {

namespace syntax = dockerfile::syntax;

/// As large as a secret may be: Docker's limit.
constexpr uint64_t kMaxSecretBytes = 500 << 10;

/// KEY=VALUE between commas; a quoted field may hold some.
StatusOr<std::vector<std::pair<std::string, std::string>>> ParseFields(std::string_view option,
                                                                       std::string_view text) {
  std::vector<std::pair<std::string, std::string>> fields;
  while (!text.empty()) {
    std::string field;
    if (text.starts_with('"')) {
      const size_t end = text.find('"', 1);
      if (end == std::string_view::npos) {
        return MakeError(StatusCode::kInvalidArgument,
                         fmt::format("--{}: a quote is not closed", option));
      }
      field = text.substr(1, end - 1);
      text.remove_prefix(end + 1);
    } else {
      const size_t end = std::min(text.find(','), text.size());
      field = text.substr(0, end);
      text.remove_prefix(end);
    }
    text.remove_prefix(text.empty() ? 0 : 1);
    const size_t equals = field.find('=');
    if (equals == std::string::npos) {
      return MakeError(StatusCode::kInvalidArgument,
                       fmt::format("--{}: '{}' is not KEY=VALUE", option, field));
    }
    fields.emplace_back(LowerCase(field.substr(0, equals)), field.substr(equals + 1));
  }
  return fields;
}

Status UnknownKey(std::string_view option, const std::string& key,
                  std::vector<std::string_view> known) {
  return MakeError(StatusCode::kInvalidArgument,
                   fmt::format("--{}: '{}' is not known{}", option, key,
                               syntax::DidYouMean(syntax::Suggest(key, known))));
}

StatusOr<int> ParseLevel(const std::string& text) {
  int level = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), level);
  if (error != std::errc() || end != text.data() + text.size()) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("--output: compression-level={} is no number", text));
  }
  return level;
}

Status SetType(const std::string& value, BuildOutput& output) {
  if (value == "image" || value == "registry") {
    output.type = BuildOutput::Type::kImage;
    output.push = output.push || value == "registry";
  } else if (value == "oci") {
    output.type = BuildOutput::Type::kOci;
  } else if (value == "docker") {
    // docker load reads layouts; its own older format would lose the layers' indexes.
    output.type = BuildOutput::Type::kOci;
  } else if (value == "local") {
    output.type = BuildOutput::Type::kLocal;
  } else if (value == "tar") {
    output.type = BuildOutput::Type::kTar;
  } else {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("--output: type={} is not one of image, registry, oci, docker, "
                                 "local, tar",
                                 value));
  }
  return OkStatus();
}

Status SetField(const std::string& key, const std::string& value, BuildOutput& output) {
  constexpr std::string_view kAnnotation = "annotation.";
  if (key == "type") {
    return SetType(value, output);
  }
  if (key == "name") {
    output.names.push_back(value);
  } else if (key == "dest") {
    output.destination = value;
  } else if (key == "push") {
    ASSIGN_OR_RETURN(output.push, syntax::ParseBool(value));
  } else if (key == "tar") {
    ASSIGN_OR_RETURN(const bool tar, syntax::ParseBool(value));
    output.as_directory = !tar;
  } else if (key == "compression") {
    ASSIGN_OR_RETURN(output.compression, dockerfile::build::ParseCompression(value));
  } else if (key == "compression-level") {
    ASSIGN_OR_RETURN(output.compression_level, ParseLevel(value));
  } else if (key == "oci-mediatypes") {
    ASSIGN_OR_RETURN(output.oci_media_types, syntax::ParseBool(value));
  } else if (key == "force-compression") {
    ASSIGN_OR_RETURN(output.force_compression, syntax::ParseBool(value));
  } else if (key.starts_with(kAnnotation)) {
    output.annotations[key.substr(kAnnotation.size())] = value;
  } else {
    return UnknownKey("output", key,
                      {"type", "name", "dest", "push", "tar", "compression", "compression-level",
                       "oci-mediatypes", "force-compression"});
  }
  return OkStatus();
}

}  // namespace

StatusOr<BuildOutput> ParseOutput(std::string_view text) {
  BuildOutput output;
  if (text.find('=') == std::string_view::npos) {
    output.type = text == kStandardStream ? BuildOutput::Type::kTar : BuildOutput::Type::kLocal;
    output.destination = text;
    return output;
  }
  ASSIGN_OR_RETURN(const auto fields, ParseFields("output", text));
  for (const auto& [key, value] : fields) {
    RETURN_IF_ERROR(SetField(key, value, output));
  }
  if (output.type != BuildOutput::Type::kImage && output.destination.empty()) {
    return MakeError(StatusCode::kInvalidArgument, "--output: dest=PATH is missing");
  }
  return output;
}

namespace {

/// What both ends of a cache say; `directory_key` is dest or src.
StatusOr<BuildCache> ParseCache(std::string_view option, std::string_view text,
                                std::string_view directory_key) {
  BuildCache cache;
  if (text.find('=') == std::string_view::npos) {
    cache.image = text;
    return cache;
  }
  const bool is_export = directory_key == "dest";
  std::string type;
  std::string reference;
  std::string directory;
  std::string tag = "latest";
  ASSIGN_OR_RETURN(const auto fields, ParseFields(option, text));
  for (const auto& [key, value] : fields) {
    if (key == "type") {
      type = value;
    } else if (key == "ref") {
      reference = value;
    } else if (key == directory_key) {
      directory = value;
    } else if (key == "tag") {
      tag = value;
    } else if (is_export && key == "mode") {
      if (value != "min" && value != "max") {
        return MakeError(StatusCode::kInvalidArgument,
                         fmt::format("--{}: mode={} is not one of min, max", option, value));
      }
      cache.all_stages = value == "max";
    } else if (is_export && key == "mounts") {
      ASSIGN_OR_RETURN(cache.mounts, syntax::ParseBool(value));
    } else if (is_export && key == "ignore-error") {
      ASSIGN_OR_RETURN(cache.may_fail, syntax::ParseBool(value));
    } else if (is_export && (key == "oci-mediatypes" || key == "image-manifest")) {
      // What these ask of other builders is so here: a cache is images in OCI's types.
      ASSIGN_OR_RETURN(const bool is_so, syntax::ParseBool(value));
      if (!is_so) {
        return MakeError(
            StatusCode::kInvalidArgument,
            fmt::format("--{}: {}=false cannot be: a cache is images in OCI's types", option, key));
      }
    } else {
      return UnknownKey(option, key,
                        {"type", "ref", "mode", "mounts", "src", "dest", "tag", "ignore-error"});
    }
  }
  if (type == "registry" || type.empty()) {
    cache.image = reference;
  } else if (type == "local") {
    cache.type = BuildCache::Type::kLocal;
    cache.image = directory.empty() ? "" : fmt::format("oci:{}:{}", directory, tag);
  } else if (type == "inline" && is_export) {
    if (cache.mounts) {
      return MakeError(
          StatusCode::kInvalidArgument,
          fmt::format("--{}: an image holds no cache mounts inline; give mounts=true to "
                      "type=registry or type=local",
                      option));
    }
    cache.type = BuildCache::Type::kInline;
    return cache;
  } else {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("--{}: type={} is not one of registry, local{}", option, type,
                                 is_export ? ", inline"
                                           : "; what an image holds inline is "
                                             "type=registry,ref=IMAGE"));
  }
  if (cache.image.empty()) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("--{}: {}=.. is missing", option,
                                 cache.type == BuildCache::Type::kLocal ? directory_key : "ref"));
  }
  return cache;
}

}  // namespace

StatusOr<BuildCache> ParseCacheTo(std::string_view text) {
  return ParseCache("cache-to", text, "dest");
}

StatusOr<BuildCache> ParseCacheFrom(std::string_view text) {
  return ParseCache("cache-from", text, "src");
}

namespace {

StatusOr<std::optional<ProvenanceOptions>> ProvenanceIn(
    std::string_view option, const std::vector<std::pair<std::string, std::string>>& fields) {
  ProvenanceOptions provenance;
  bool is_disabled = false;
  for (const auto& [key, value] : fields) {
    if (key == "mode") {
      if (value != "min" && value != "max") {
        return MakeError(StatusCode::kInvalidArgument,
                         fmt::format("--{}: mode={} is not one of min, max", option, value));
      }
      provenance.mode = value == "max" ? dockerfile::build::ProvenanceMode::kMax
                                       : dockerfile::build::ProvenanceMode::kMin;
    } else if (key == "builder-id") {
      provenance.builder_id = value;
    } else if (key == "version") {
      if (value != "v1") {
        return MakeError(StatusCode::kInvalidArgument,
                         fmt::format("--{}: version={} is not v1", option, value));
      }
    } else if (key == "disabled") {
      ASSIGN_OR_RETURN(is_disabled, syntax::ParseBool(value));
    } else if (key != "type") {
      return UnknownKey(option, key, {"type", "mode", "builder-id", "version", "disabled"});
    }
  }
  return is_disabled ? std::nullopt : std::optional(std::move(provenance));
}

}  // namespace

StatusOr<std::optional<ProvenanceOptions>> ParseProvenance(std::string_view text) {
  if (text.find('=') == std::string_view::npos) {
    ASSIGN_OR_RETURN(const bool is_wanted, syntax::ParseBool(text));
    return is_wanted ? std::optional(ProvenanceOptions()) : std::nullopt;
  }
  ASSIGN_OR_RETURN(const auto fields, ParseFields("provenance", text));
  return ProvenanceIn("provenance", fields);
}

StatusOr<std::optional<ProvenanceOptions>> ParseAttest(std::string_view text) {
  ASSIGN_OR_RETURN(const auto fields, ParseFields("attest", text));
  const auto type =
      std::ranges::find(fields, "type", [](const auto& field) { return field.first; });
  if (type == fields.end() || type->second != "provenance") {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("--attest: '{}' is not type=provenance, the only attestation that "
                                 "is made here",
                                 text));
  }
  return ProvenanceIn("attest", fields);
}

StatusOr<std::pair<std::string, std::string>> ReadSecret(std::string_view text) {
  ASSIGN_OR_RETURN(const auto fields, ParseFields("secret", text));
  std::string id;
  std::string file;
  std::string variable;
  std::string type;
  for (const auto& [key, value] : fields) {
    if (key == "id") {
      id = value;
    } else if (key == "src" || key == "source") {
      file = value;
    } else if (key == "env") {
      variable = value;
    } else if (key == "type") {
      type = value;
    } else {
      return UnknownKey("secret", key, {"id", "src", "env", "type"});
    }
  }
  if (id.empty()) {
    return MakeError(StatusCode::kInvalidArgument, "--secret: id=NAME is missing");
  }
  if (type == "env" && variable.empty()) {
    variable = file.empty() ? id : file;
    file.clear();
  }
  if (variable.empty() && file.empty()) {
    // As BuildKit's clients: the variable of this name, else the file.
    (std::getenv(id.c_str()) != nullptr ? variable : file) = id;
  }
  if (!variable.empty()) {
    const char* value = std::getenv(variable.c_str());
    if (value == nullptr) {
      return MakeError(StatusCode::kNotFound,
                       fmt::format("--secret {}: there is no variable {}", id, variable));
    }
    return std::pair<std::string, std::string>(id, value);
  }
  auto content = ReadFile(RealFileSystem(), file, kMaxSecretBytes);
  if (!content.ok()) {
    return Annotate(content.status(), fmt::format("--secret {}", id));
  }
  return std::pair<std::string, std::string>(id, std::string(AsText(*content)));
}

StatusOr<std::pair<std::string, std::string>> ParseSsh(std::string_view text) {
  const size_t equals = text.find('=');
  std::pair<std::string, std::string> agent(text.substr(0, equals), "");
  if (equals != std::string_view::npos) {
    agent.second = text.substr(equals + 1);
    return agent;
  }
  const char* socket = std::getenv("SSH_AUTH_SOCK");
  if (socket == nullptr || *socket == '\0') {
    return MakeError(StatusCode::kFailedPrecondition,
                     fmt::format("--ssh {}: SSH_AUTH_SOCK names no agent; start one, or say "
                                 "--ssh {}=SOCKET",
                                 text, text));
  }
  agent.second = socket;
  return agent;
}

std::optional<std::pair<std::string, std::string>> ParseVariable(std::string_view text) {
  const size_t equals = text.find('=');
  std::string name(text.substr(0, equals));
  if (equals != std::string_view::npos) {
    return std::pair(std::move(name), std::string(text.substr(equals + 1)));
  }
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt
                          : std::optional(std::pair(std::move(name), std::string(value)));
}

StatusOr<std::pair<std::string, std::string>> ParsePair(std::string_view option,
                                                        std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("--{}: '{}' is not NAME=VALUE", option, text));
  }
  return std::pair<std::string, std::string>(text.substr(0, equals), text.substr(equals + 1));
}

StatusOr<runc::ProcessLimit> ParseUlimit(std::string_view text) {
  ASSIGN_OR_RETURN(const auto pair, ParsePair("ulimit", text));
  runc::ProcessLimit limit{.type = "RLIMIT_"};
  for (const char c : pair.first) {
    limit.type += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  const size_t colon = pair.second.find(':');
  const auto parse = [&](std::string_view number, uint64_t& into) {
    if (number == "-1" || number == "unlimited") {
      into = UINT64_MAX;
      return true;
    }
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), into);
    return error == std::errc() && end == number.data() + number.size() && !number.empty();
  };
  const std::string_view value = pair.second;
  if (!parse(value.substr(0, colon), limit.soft) ||
      !parse(colon == std::string::npos ? value : value.substr(colon + 1), limit.hard)) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("--ulimit: '{}' is not NAME=SOFT[:HARD]", text));
  }
  return limit;
}

}  // namespace starling::cli
