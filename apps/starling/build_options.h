/// What the options of `starling build` say, in types.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "dockerfile/build/layer_format.h"
#include "dockerfile/build/provenance.h"
#include "runc/container_spec.h"

namespace starling::cli {

/// In place of a file's name: standard input or output.
inline constexpr std::string_view kStandardStream = "-";

/// One --output.
struct BuildOutput {
  enum class Type { kImage, kOci, kLocal, kTar };
  Type type = Type::kImage;
  std::vector<std::string> names;  // of an image
  std::string destination;         // a file, a directory, or "-"
  bool push = false;
  bool as_directory = false;  // of OCI layouts
  std::optional<dockerfile::build::Compression> compression;
  std::optional<int> compression_level;
  bool force_compression = false;  // of layers of bases, too
  std::optional<bool> oci_media_types;
  std::map<std::string, std::string> annotations;
};

/// "type=image,name=REFERENCE,push=true,compression=estargz", or a directory's path, or "-" for a
/// tar on standard output. Errors: kInvalidArgument names the key.
StatusOr<BuildOutput> ParseOutput(std::string_view text);

/// One --cache-to or --cache-from.
struct BuildCache {
  enum class Type { kRegistry, kLocal, kInline };
  Type type = Type::kRegistry;
  std::string image;  // as toolboxes open it; empty for kInline
  bool all_stages = false;
  /// What RUN --mount=type=cache has left, too.
  bool mounts = false;
  bool may_fail = false;
};

/// "REFERENCE", "type=registry,ref=REFERENCE[,mode=min|max][,mounts=true]",
/// "type=local,dest=DIRECTORY[,tag=TAG][,mode=..]" or "type=inline". Errors: kInvalidArgument names
/// the key.
StatusOr<BuildCache> ParseCacheTo(std::string_view text);
/// "REFERENCE", "type=registry,ref=REFERENCE" or "type=local,src=DIRECTORY[,tag=TAG]".
StatusOr<BuildCache> ParseCacheFrom(std::string_view text);

/// --provenance.
struct ProvenanceOptions {
  dockerfile::build::ProvenanceMode mode = dockerfile::build::ProvenanceMode::kMin;
  std::string builder_id;
};

/// "true", "false", "mode=min|max" or "mode=..,builder-id=URL"; nothing when there is to be none.
StatusOr<std::optional<ProvenanceOptions>> ParseProvenance(std::string_view text);
/// "type=provenance[,mode=min|max][,builder-id=URL][,disabled=true]".
StatusOr<std::optional<ProvenanceOptions>> ParseAttest(std::string_view text);

/// "id=NAME[,src=FILE|,env=VARIABLE]": the name and the secret itself.
StatusOr<std::pair<std::string, std::string>> ReadSecret(std::string_view text);

/// "default", "NAME" or "NAME=SOCKET": the name and the agent's socket.
StatusOr<std::pair<std::string, std::string>> ParseSsh(std::string_view text);

/// "NAME=VALUE"; NAME alone takes the environment's value, and is left out when that has none.
std::optional<std::pair<std::string, std::string>> ParseVariable(std::string_view text);

/// "NAME=VALUE" in all other options. Errors: kInvalidArgument, which names the option.
StatusOr<std::pair<std::string, std::string>> ParsePair(std::string_view option,
                                                        std::string_view text);

/// "nofile=1024:4096".
StatusOr<runc::ProcessLimit> ParseUlimit(std::string_view text);

}  // namespace starling::cli
