/// What an image was made of and how, as SLSA's provenance says it, and its place beside the image.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "dockerfile/build/image_writer.h"
#include "dockerfile/plan/graph.h"
#include "dockerfile/syntax/variables.h"

namespace starling::dockerfile::build {

inline constexpr std::string_view kProvenanceType = "https://slsa.dev/provenance/v1";
/// What gives `buildDefinition` its form.
inline constexpr std::string_view kBuildType = "https://starling.dev/build/v1";

enum class ProvenanceMode {
  kMin,  // where all came from
  kMax,  // and what was asked and done: arguments, names of secrets, the Dockerfile, its steps
};

/// Something from outside that a build has used.
struct Material {
  std::string uri;
  std::string algorithm;  // of the digest: "sha256", or "sha1" of a commit
  std::string digest;     // in hexadecimal digits

  friend bool operator==(const Material&, const Material&) = default;
};

/// A commit of the repository `uri`.
Material MaterialOfCommit(const std::string& uri, const std::string& commit);
/// Named without the URL's query, which may be a password for one download.
Material MaterialOfDownload(const std::string& url, const oci::Digest& digest);

/// All that is told of a build.
struct BuildStory {
  ProvenanceMode mode = ProvenanceMode::kMin;
  /// Who builds: a URL, or empty.
  std::string builder_id;
  /// Absent for a context of this machine.
  std::optional<Material> context;
  std::string file_name;  // of the Dockerfile
  std::string dockerfile;
  std::string target;
  syntax::BuildArguments build_arguments;
  std::map<std::string, std::string> labels;
  oci::Platform platform;
  std::vector<Material> materials;
  /// Both or none: what differs between two builds of the same.
  std::string invocation_id;
  std::optional<std::pair<std::chrono::sys_seconds, std::chrono::sys_seconds>> time;
};

/// The images that `root` needs, and what `fetched` knows of its downloads and repositories, each
/// once.
std::vector<Material> MaterialsOf(const plan::Graph& graph, plan::NodeId root,
                                  const std::map<plan::NodeId, Material>& fetched);

/// The predicate of type kProvenanceType, as JSON. Pure. Holds no value of a secret, since the
/// graph has none, and no credentials of URLs or proxies, wherever they stand.
std::string ProvenanceOf(const BuildStory& story, const plan::Graph& graph, plan::NodeId root);

/// `text` without the user and password of each URL in it.
std::string WithoutCredentials(std::string_view text);

/// An image's attestation with this predicate, as BuildKit attaches it. `names` are the image's.
/// Source: BuildKit, docs/attestations/attestation-storage.md.
Attestation Attest(const BuiltImage& image, const std::vector<std::string>& names,
                   const std::string& predicate);

}  // namespace starling::dockerfile::build
