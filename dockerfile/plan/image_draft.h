#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "dockerfile/syntax/variables.h"
#include "oci/digest.h"
#include "oci/platform.h"

namespace starling::dockerfile::plan {

/// What a container checks of itself. Source: Docker's image specification, "Healthcheck".
struct HealthCheck {
  std::vector<std::string> test;  // "NONE", "CMD" and words, "CMD-SHELL" and a text
  std::chrono::nanoseconds interval{0};
  std::chrono::nanoseconds timeout{0};
  std::chrono::nanoseconds start_period{0};
  std::chrono::nanoseconds start_interval{0};
  int retries = 0;
};

/// One line of an image's history that this build adds.
struct HistoryEntry {
  std::string created_by;
  bool is_empty_layer = false;
};

/// The configuration of an image to be: all that is known before its layers are. What a base says
/// and is not named here stays as it is.
struct ImageDraft {
  oci::Platform platform;
  std::vector<syntax::Variable> environment;
  std::vector<std::string> command;
  std::vector<std::string> entrypoint;
  /// The text of a command stands in one word, which Docker on Windows needs to know.
  bool args_escaped = false;
  std::vector<std::string> shell;
  std::vector<std::string> on_build;
  std::map<std::string, std::string> labels;
  std::set<std::string> exposed_ports;
  std::set<std::string> volumes;
  std::string user;
  std::string working_directory;
  std::string stop_signal;
  std::optional<HealthCheck> health_check;
  std::string author;
  std::vector<HistoryEntry> history;
  /// The base's document; empty for scratch.
  std::string document;

  static ImageDraft Scratch(const oci::Platform& platform);
  /// From an image's configuration, untrusted JSON. Errors: kDataLoss, kResourceExhausted.
  static StatusOr<ImageDraft> FromBase(std::string document);

  void SetVariable(const std::string& name, const std::string& value);
  /// What shell forms begin with.
  std::vector<std::string> ShellOrDefault() const;
};

/// The image's configuration as JSON, canonical for us. `diff_ids` are all of the image's layers,
/// bottom first; `created` is the time of the image and of its new history entries, none of them
/// has one without it.
std::string ConfigJson(const ImageDraft& image, std::span<const oci::Digest> diff_ids,
                       std::optional<std::chrono::sys_seconds> created);

}  // namespace starling::dockerfile::plan
