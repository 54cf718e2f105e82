#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/starling/commands.h"
#include "base/file_system.h"
#include "base/io.h"
#include "dockerfile/syntax/excerpt.h"
#include "dockerfile/syntax/lint.h"
#include "dockerfile/syntax/suggest.h"

namespace starling::cli {
namespace {

namespace syntax = dockerfile::syntax;

constexpr int kWarnings = 3;
constexpr int kCannotBeBuilt = 4;
constexpr std::string_view kStandardInput = "-";

struct Arguments {
  std::string path;
  std::vector<std::string> build_arguments;
  std::string target;
  std::string platform;
  bool check = false;
  bool json = false;
};

/// What is looked at.
struct Input {
  std::string name;
  std::string text;
  std::optional<syntax::IgnoreFile> ignore_file;
};

StatusOr<Input> ReadInput(const std::string& path) {
  Input input;
  if (path == kStandardInput) {
    input.name = "stdin";
    FdSource source(STDIN_FILENO);
    ASSIGN_OR_RETURN(const Bytes bytes, ReadAll(source, syntax::kMaxDockerfileBytes));
    input.text = AsText(bytes);
    return input;
  }
  std::filesystem::path file = path;
  std::error_code error;
  if (std::filesystem::is_directory(file, error)) {
    file /= "Dockerfile";
  }
  input.name = file.string();
  ASSIGN_OR_RETURN(const Bytes bytes,
                   ReadFile(RealFileSystem(), file, syntax::kMaxDockerfileBytes));
  input.text = AsText(bytes);
  // The file's own ignore file goes before the context's.
  for (const std::filesystem::path& ignore :
       {std::filesystem::path(file.string() + ".dockerignore"),
        file.parent_path() / ".dockerignore"}) {
    auto ignored = ReadFile(RealFileSystem(), ignore, syntax::kMaxIgnoreFileBytes);
    if (!ignored.ok() && ignored.status().code() == StatusCode::kNotFound) {
      continue;
    }
    RETURN_IF_ERROR(ignored.status());
    auto parsed = syntax::IgnoreFile::Parse(AsText(*ignored));
    if (!parsed.ok()) {
      return Annotate(parsed.status(), ignore.string());
    }
    input.ignore_file = *std::move(parsed);
    break;
  }
  return input;
}

StatusOr<syntax::LintSettings> SettingsOf(const Arguments& arguments, const Input& input) {
  syntax::LintSettings settings;
  for (const std::string& argument : arguments.build_arguments) {
    const size_t equals = argument.find('=');
    const std::string name = argument.substr(0, equals);
    if (equals != std::string::npos) {
      settings.build.arguments[name] = argument.substr(equals + 1);
    } else if (const char* value = std::getenv(name.c_str()); value != nullptr) {
      settings.build.arguments[name] = value;
    }
  }
  settings.build.target = arguments.target;
  if (!arguments.platform.empty()) {
    ASSIGN_OR_RETURN(settings.build.target_platform, oci::Platform::Parse(arguments.platform));
  }
  settings.ignore_file = input.ignore_file ? &*input.ignore_file : nullptr;
  return settings;
}

std::string Place(const std::string& name, const syntax::Range& range) {
  return range.begin.line == 0
             ? name
             : fmt::format("{}:{}:{}", name, range.begin.line, range.begin.column);
}

void Print(const Input& input, const syntax::LintReport& report) {
  for (const syntax::LintWarning& warning : report.warnings) {
    std::printf("%s: %s: %s: %s\n%s      = %s\n\n", Place(input.name, warning.range).c_str(),
                report.warnings_are_errors ? "error" : "warning",
                std::string(NameOf(warning.rule)).c_str(), warning.detail.c_str(),
                syntax::Excerpt(input.text, warning.range).c_str(),
                std::string(ExplanationOf(warning.rule)).c_str());
  }
  if (report.problem) {
    const std::string& suggestion = report.problem->suggestion;
    std::printf("%s: error: %s%s\n%s\n", Place(input.name, report.problem->range).c_str(),
                report.problem->message.c_str(), syntax::DidYouMean(suggestion).c_str(),
                syntax::Excerpt(input.text, report.problem->range).c_str());
  }
  std::printf("%s: %zu warning%s, %s\n", input.name.c_str(), report.warnings.size(),
              report.warnings.size() == 1 ? "" : "s",
              report.problem ? "cannot be built" : "no error");
}

nlohmann::ordered_json PlaceJson(const syntax::Range& range) {
  return {{"line", range.begin.line},
          {"column", range.begin.column},
          {"endLine", range.end.line},
          {"endColumn", range.end.column}};
}

void PrintJson(const Input& input, const syntax::LintReport& report) {
  nlohmann::ordered_json document = {{"file", input.name},
                                     {"warnings", nlohmann::ordered_json::array()},
                                     {"warningsAreErrors", report.warnings_are_errors},
                                     {"error", nullptr}};
  for (const syntax::LintWarning& warning : report.warnings) {
    document["warnings"].push_back({{"rule", NameOf(warning.rule)},
                                    {"detail", warning.detail},
                                    {"explanation", ExplanationOf(warning.rule)},
                                    {"range", PlaceJson(warning.range)}});
  }
  if (report.problem) {
    document["error"] = {{"message", report.problem->message},
                         {"suggestion", report.problem->suggestion},
                         {"range", PlaceJson(report.problem->range)}};
  }
  std::printf("%s\n",
              document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

Status Check(const Arguments& arguments, int& exit_code) {
  ASSIGN_OR_RETURN(const Input input, ReadInput(arguments.path));
  ASSIGN_OR_RETURN(const syntax::LintSettings settings, SettingsOf(arguments, input));
  const syntax::LintReport report = Lint(syntax::ParseDockerfile(input.text), settings);
  if (arguments.json) {
    PrintJson(input, report);
  } else {
    Print(input, report);
  }
  if (report.problem || (report.warnings_are_errors && !report.warnings.empty())) {
    exit_code = kCannotBeBuilt;
  } else if (!report.warnings.empty()) {
    exit_code = kWarnings;
  }
  return OkStatus();
}

}  // namespace

void AddBuild(CLI::App& app, Run& chosen, int& exit_code) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App& command = *app.add_subcommand(
      "build", "Check a Dockerfile: what cannot be built, and what is better done otherwise");
  command
      .add_option("PATH", arguments->path,
                  "A Dockerfile, a directory with one, or - for standard input")
      ->required();
  command
      .add_flag("--check", arguments->check,
                "Look through the Dockerfile and build nothing; all that this command does")
      ->required();
  command.add_flag("--json", arguments->json, "Print JSON");
  command.add_option("--build-arg", arguments->build_arguments,
                     "NAME=VALUE of an ARG; NAME alone takes the environment's value");
  command.add_option("--target", arguments->target, "The stage to look at, instead of the last");
  command.add_option("--platform", arguments->platform,
                     "What the image is for, such as linux/arm64");
  command.footer(
      "Exit codes: 0 nothing found, 1 the file could not be read, 3 warnings, 4 it cannot be "
      "built\n(or its `# check=error=true` makes warnings errors).\n"
      "Example: starling build --check --build-arg VERSION=1.2 .");
  command.callback([arguments, &chosen, &exit_code] {
    chosen = [arguments, &exit_code] { return Check(*arguments, exit_code); };
  });
}

}  // namespace starling::cli
