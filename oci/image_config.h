#pragma once

#include <string>
#include <vector>

#include "oci/digest.h"
#include "oci/platform.h"

namespace starling::oci {

inline constexpr uint64_t kMaxConfigBytes = 8 << 20;

/// The parts of an image configuration that decide how its layers stack. The rest of the document
/// is kept as it came, so that rewriting one field loses nothing.
class ImageConfig {
 public:
  static StatusOr<ImageConfig> Parse(ByteSpan json);

  const std::vector<Digest>& diff_ids() const { return diff_ids_; }  // bottom first
  const Platform& platform() const { return platform_; }
  /// config.Env, config.Entrypoint + config.Cmd, config.WorkingDir.
  const std::vector<std::string>& environment() const { return environment_; }
  const std::vector<std::string>& command() const { return command_; }
  const std::string& working_directory() const { return working_directory_; }

  /// The document with other rootfs.diff_ids, everything else unchanged.
  std::string WithDiffIds(const std::vector<Digest>& diff_ids) const;

 private:
  std::string document_;
  std::vector<Digest> diff_ids_;
  Platform platform_;
  std::vector<std::string> environment_;
  std::vector<std::string> command_;
  std::string working_directory_;
};

/// chain[i] names the stack of layers 0..i. Source: OCI image specification, "Layer ChainID".
std::vector<Digest> ChainIds(const std::vector<Digest>& diff_ids);

}  // namespace starling::oci
