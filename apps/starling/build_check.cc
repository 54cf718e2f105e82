#include "apps/starling/build_check.h"

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "apps/starling/build_options.h"
#include "base/file_system.h"
#include "base/io.h"
#include "dockerfile/syntax/excerpt.h"
#include "dockerfile/syntax/lint.h"
#include "dockerfile/syntax/suggest.h"

namespace starling::cli {
namespace {

namespace syntax = dockerfile::syntax;

/// What is looked at.
struct Input {
  std::string name;
  std::string text;
  std::optional<syntax::IgnoreFile> ignore_file;
};

StatusOr<Input> ReadInput(const std::string& path) {
  Input input;
  if (path == kStandardStream) {
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

StatusOr<syntax::LintSettings> SettingsOf(const CheckArguments& arguments, const Input& input) {
  syntax::LintSettings settings;
  for (const std::string& argument : arguments.build_arguments) {
    if (auto variable = ParseVariable(argument)) {
      settings.build.arguments.insert_or_assign(variable->first, variable->second);
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
    std::printf("%s\n", ProblemText(input.name, input.text, *report.problem).c_str());
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

}  // namespace

std::string ProblemText(const std::string& name, std::string_view text,
                        const syntax::Problem& problem) {
  return fmt::format("{}: error: {}{}\n{}", Place(name, problem.range), problem.message,
                     syntax::DidYouMean(problem.suggestion), syntax::Excerpt(text, problem.range));
}

Status CheckDockerfile(const CheckArguments& arguments, int& exit_code) {
  ASSIGN_OR_RETURN(const Input input, ReadInput(arguments.path));
  ASSIGN_OR_RETURN(const syntax::LintSettings settings, SettingsOf(arguments, input));
  const syntax::LintReport report = Lint(syntax::ParseDockerfile(input.text), settings);
  if (arguments.json) {
    PrintJson(input, report);
  } else {
    Print(input, report);
  }
  if (report.problem || (report.warnings_are_errors && !report.warnings.empty())) {
    exit_code = kExitCannotBeBuilt;
  } else if (!report.warnings.empty()) {
    exit_code = kExitWarnings;
  }
  return OkStatus();
}

}  // namespace starling::cli
