#include "doctor/examine.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "doctor/checks.h"

namespace starling::doctor {
namespace {

constexpr int kExitWarnings = 3;
constexpr int kExitErrors = 4;

std::string_view NameOf(Severity severity) {
  switch (severity) {
    case Severity::kNote:
      return "note";
    case Severity::kWarning:
      return "warning";
    case Severity::kError:
      return "error";
  }
  return "";
}

std::string PlaceOf(const Step& step, const setup::LineEdit& edit) {
  if (edit.removed == 1) {
    return fmt::format("instead of line {} of {}", edit.line, step.file);
  }
  if (edit.removed > 1) {
    return fmt::format("instead of lines {} to {} of {}", edit.line, edit.line + edit.removed - 1,
                       step.file);
  }
  if (step.lines == 0) {
    return fmt::format("in the new file {}", step.file);
  }
  if (edit.line > step.lines) {
    return fmt::format("at the end of {}", step.file);
  }
  return fmt::format("in front of line {} of {}", edit.line, step.file);
}

nlohmann::ordered_json ToJson(const Step& step) {
  if (!step.command.empty()) {
    return {{"run", step.command}};
  }
  if (!step.advice.empty()) {
    return {{"advice", step.advice}};
  }
  nlohmann::ordered_json edits = nlohmann::ordered_json::array();
  for (const setup::LineEdit& edit : step.edits) {
    edits.push_back({{"line", edit.line}, {"remove", edit.removed}, {"add", edit.added}});
  }
  return {{"file", step.file}, {"edits", std::move(edits)}};
}

}  // namespace

const std::vector<Check>& Checks() {
  static const std::vector<Check> checks = {
      {"privileges", CheckPrivileges},
      {"kernel version", CheckKernelVersion},
      {"FUSE", CheckFuse},
      {"FUSE timeouts", CheckFuseTimeouts},
      {"overlayfs", CheckOverlay},
      {"EROFS", CheckErofs},
      {"starlingd's configuration", CheckSettings},
      {"starlingd's root", CheckRoot},
      {"starlingd's socket", CheckSocketPath},
      {"starlingd's unit", CheckUnit},
      {"disk", CheckVolume},
      {"room on the disk", CheckSpace},
      {"shared blocks", CheckSharing},
      {"starlingd answers", CheckStarlingdAnswers},
      {"permissions", CheckPermissions},
      {"credentials", CheckSecrets},
      {"hosts.toml", CheckHostsFiles},
      {"containerd's configuration", CheckContainerdFile},
      {"containerd answers", CheckContainerdAnswers},
      {"proxy plugin", CheckPlugin},
      {"snapshot annotations", CheckAnnotations},
      {"unpack_config", CheckUnpacking},
      {"disabled plugins", CheckDisabledPlugins},
      {"mapped IDs", CheckMappedIds},
      {"proxy plugin is loaded", CheckPluginLoaded},
      {"mount namespace", CheckMountNamespace},
      {"CRI", CheckCri},
      {"mirrors of the CRI", CheckCriMirrors},
      {"image service of the CRI", CheckCriBackend},
      {"nerdctl", CheckNerdctl},
      {"k3s", CheckK3s},
      {"image", CheckImage},
  };
  return checks;
}

Findings Examine(const Host& host) {
  Findings findings;
  for (const Check& check : Checks()) {
    for (Finding& found : check.run(host)) {
      findings.push_back(std::move(found));
    }
  }
  return findings;
}

std::string AsText(const Findings& findings, bool with_notes) {
  std::string text;
  size_t shown = 0;
  for (const Finding& finding : findings) {
    if (finding.severity == Severity::kNote && !with_notes) {
      continue;
    }
    ++shown;
    text += fmt::format("{} {}: {}\n  why: {}\n", NameOf(finding.severity), finding.check,
                        Shown(finding.what), Shown(finding.why));
    text += finding.cure.empty() ? "" : "  cure:\n";
    for (const Step& step : finding.cure) {
      text += AsText(step);
    }
    text += '\n';
  }
  const size_t notes = findings.size() - shown;
  text += shown == 0 ? fmt::format("{} checks, nothing found", Checks().size())
                     : fmt::format("{} checks, {} found", Checks().size(), shown);
  text += notes == 0 ? "\n" : fmt::format(" ({} with --notes)\n", notes);
  return text;
}

std::string Shown(std::string_view text) {
  std::string shown;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    shown += byte == '\t' || (byte >= 0x20 && byte != 0x7f) ? c : '?';
  }
  return shown;
}

std::string AsText(const Step& step) {
  std::string text;
  if (!step.command.empty()) {
    text += fmt::format("    run: {}\n", Shown(step.command));
  }
  if (!step.advice.empty()) {
    text += fmt::format("    {}\n", Shown(step.advice));
  }
  std::string place;
  for (const setup::LineEdit& edit : step.edits) {
    if (const std::string next = PlaceOf(step, edit); next != place) {
      text += fmt::format("    {}:\n", Shown(next));
      place = next;
    }
    for (const std::string& line : edit.added) {
      text += line.empty() ? "\n" : fmt::format("      {}\n", Shown(line));
    }
  }
  return text;
}

std::string AsJson(const Findings& findings) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Finding& finding : findings) {
    nlohmann::ordered_json cure = nlohmann::ordered_json::array();
    for (const Step& step : finding.cure) {
      cure.push_back(ToJson(step));
    }
    list.push_back({{"check", finding.check},
                    {"severity", NameOf(finding.severity)},
                    {"what", finding.what},
                    {"why", finding.why},
                    {"cure", std::move(cure)}});
  }
  const nlohmann::ordered_json json = {{"checks", Checks().size()}, {"findings", std::move(list)}};
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

int ExitCodeOf(const Findings& findings) {
  Severity worst = Severity::kNote;
  for (const Finding& finding : findings) {
    worst = std::max(worst, finding.severity);
  }
  return worst == Severity::kError ? kExitErrors : worst == Severity::kWarning ? kExitWarnings : 0;
}

}  // namespace starling::doctor
