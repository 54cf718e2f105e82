// BuildKit's tables for lint.
#include "dockerfile/syntax/lint.h"

#include <gtest/gtest.h>

#include "tests/support/acceptance.h"

namespace starling::dockerfile::syntax {
namespace {

using nlohmann::json;
using testing::AcceptanceDirectory;
using testing::AcceptanceTable;
using testing::ReadJson;

/// Rule, detail and line of each warning, in order.
std::set<std::string> Warnings(const LintReport& report) {
  std::set<std::string> lines;
  for (const LintWarning& warning : report.warnings) {
    lines.insert(
        fmt::format("{}:{}: {}", warning.range.begin.line, NameOf(warning.rule), warning.detail));
  }
  return lines;
}

std::string Differ(const std::set<std::string>& got, const std::set<std::string>& want) {
  return got == want ? ""
                     : fmt::format("got  {}\nwant {}", fmt::join(got, "\n     "),
                                   fmt::join(want, "\n     "));
}

TEST(LintAcceptance, Cases) {
  STARLING_NEED_ACCEPTANCE("dockerfile/lint/cases.json")
  AcceptanceTable table("lint/cases.json", {});
  int row = 0;
  for (const json& c : ReadJson(AcceptanceDirectory() / "dockerfile/lint/cases.json")) {
    const std::string name = fmt::format("{}#{}", c["test"].get<std::string>(), row++);
    LintSettings settings;
    std::optional<IgnoreFile> ignore_file;
    if (c.contains("dockerignore")) {
      ignore_file = *IgnoreFile::Parse(c["dockerignore"].get<std::string>());
      settings.ignore_file = &*ignore_file;
    }
    const json attributes = c.value("frontend_attrs", json::object());
    for (const auto& [key, value] : attributes.items()) {
      const std::string argument = key.substr(key.find(':') + 1);
      if (argument == "BUILDKIT_DOCKERFILE_CHECK") {
        settings.options = *ParseCheckOptions({value, {}});
      } else {
        settings.build.arguments[argument] = value;
      }
    }
    const Dockerfile dockerfile = ParseDockerfile(c["dockerfile"].get<std::string>());
    const LintReport report = Lint(dockerfile, settings);
    const bool refused = report.problem || (report.warnings_are_errors && !report.warnings.empty());
    if (refused != c.contains("BuildErr")) {
      table.Row(name, report.problem ? report.problem->message : "accepted");
      continue;
    }
    if (report.problem && report.problem->range.begin.line != c["BuildErrLocation"]) {
      table.Row(name, fmt::format("the problem is in line {}", report.problem->range.begin.line));
      continue;
    }
    std::set<std::string> want;
    bool exact = true;
    for (const json& warning : c["warnings"]) {
      exact = exact && warning.contains("detail") && warning["detail"].is_string();
      if (exact) {
        want.insert(fmt::format("{}:{}: {}", warning["line"].get<int>(),
                                warning["rulename"].get<std::string>(),
                                warning["detail"].get<std::string>()));
      }
    }
    // Some rows only say how many there are.
    table.Row(name, exact ? Differ(Warnings(report), want)
                    : report.warnings.size() == c["warnings"].size() ? ""
                                                                     : "another number");
  }
}

TEST(LintAcceptance, UpstreamDockerfiles) {
  STARLING_NEED_ACCEPTANCE("dockerfile/upstream_dockerfiles_config.json")
  const std::string epoch = "SOURCE_DATE_EPOCH means something to a build, not to the language";
  AcceptanceTable table(
      "upstream_dockerfiles_config.json, lint",
      {{"testDockerfileCopyFromArgs#0", "--from is expanded, so its variable is missed as well"},
       {"testMountFromError#0", "variables in from= are expanded here"},
       {"testDeviceRunEnv#0", "--device needs no frontend of its own"},
       {"testSourceDateEpochDockerfileDefaultInvalid#0", epoch},
       {"testSourceDateEpochStageInvalid#0", epoch},
       {"testSourceDateEpochNamedContextHTTPLastModified#0", epoch},
       {"testSourceDateEpochNamedContextHTTPArchive#0", epoch}});
  for (const json& c :
       ReadJson(AcceptanceDirectory() / "dockerfile/upstream_dockerfiles_config.json")) {
    const Dockerfile dockerfile = ParseDockerfile(c["dockerfile"].get<std::string>());
    const LintReport report = Lint(dockerfile, {});
    const bool refused = report.problem || (report.warnings_are_errors && !report.warnings.empty());
    if (refused != c.contains("error")) {
      table.Row(c["name"], report.problem ? report.problem->message
                                          : "accepted: " + c["error"].get<std::string>());
      continue;
    }
    std::set<std::string> want;
    for (const json& warning : c.value("warnings", json::array())) {
      want.insert(fmt::format("{}:{}: {}", warning["lines"][0].get<int>(),
                              warning["rule"].get<std::string>(),
                              warning["msg"].get<std::string>()));
    }
    table.Row(c["name"], Differ(Warnings(report), want));
  }
}

}  // namespace
}  // namespace starling::dockerfile::syntax
