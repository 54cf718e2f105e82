// BuildKit's tables for the parser, the shell's words, instructions and ignore files.
#include <gtest/gtest.h>

#include "base/text.h"
#include "dockerfile/syntax/characters.h"
#include "dockerfile/syntax/dockerfile.h"
#include "dockerfile/syntax/git_reference.h"
#include "dockerfile/syntax/ignore_file.h"
#include "dockerfile/syntax/instruction.h"
#include "dockerfile/syntax/json_strings.h"
#include "dockerfile/syntax/shell_words.h"
#include "dockerfile/syntax/statement.h"
#include "dockerfile/syntax/values.h"
#include "tests/support/acceptance.h"
#include "tests/support/statement_dump.h"

namespace starling::dockerfile::syntax {
namespace {

using nlohmann::json;
using testing::AcceptanceDirectory;
using testing::AcceptanceTable;
using testing::ReadJson;
using testing::ReadWhole;

std::string Differ(std::string_view got, std::string_view want) {
  return got == want ? "" : fmt::format("got  {}\nwant {}", got, want);
}

TEST(ParserAcceptance, Testfiles) {
  STARLING_NEED_ACCEPTANCE("dockerfile/parser/testfiles")
  AcceptanceTable table("parser/testfiles", {});
  for (const auto& entry :
       std::filesystem::directory_iterator(AcceptanceDirectory() / "dockerfile/parser/testfiles")) {
    const Statements parsed = ParseStatements(ReadWhole(entry.path() / "Dockerfile"));
    const std::string got = parsed.problem ? parsed.problem->message : testing::Dump(parsed) + "\n";
    table.Row(entry.path().filename(), Differ(got, ReadWhole(entry.path() / "result")));
  }
}

TEST(ParserAcceptance, NegativeTestfiles) {
  STARLING_NEED_ACCEPTANCE("dockerfile/parser/testfiles-negative")
  AcceptanceTable table("parser/testfiles-negative", {});
  for (const auto& entry : std::filesystem::directory_iterator(
           AcceptanceDirectory() / "dockerfile/parser/testfiles-negative")) {
    const Statements parsed = ParseStatements(ReadWhole(entry.path() / "Dockerfile"));
    table.Row(entry.path().filename(), parsed.problem ? "" : testing::Dump(parsed));
  }
}

TEST(ParserAcceptance, LineNumbers) {
  STARLING_NEED_ACCEPTANCE("dockerfile/parser/line_numbers.json")
  const auto directory = AcceptanceDirectory() / "dockerfile/parser";
  const json lines = ReadJson(directory / "line_numbers.json");
  const Statements parsed =
      ParseStatements(ReadWhole(directory / lines["file"].get<std::string>()));
  json got = json::array();
  for (const Statement& statement : parsed.statements) {
    got.push_back(testing::Lines(statement));
  }
  EXPECT_EQ(got, lines["children"]);
}

TEST(ParserAcceptance, JsonArrays) {
  STARLING_NEED_ACCEPTANCE("dockerfile/parser/json_arrays.json")
  const json arrays = ReadJson(AcceptanceDirectory() / "dockerfile/parser/json_arrays.json");
  AcceptanceTable table("parser/json_arrays.json", {});
  for (const auto& [text, want] : arrays["valid"].items()) {
    const auto got = ParseJsonStrings(text);
    table.Row(text, got.ok() && *got ? Differ(json(**got).dump(), want.dump()) : "refused");
  }
  for (const auto& text : arrays["invalid_not_strings"]) {
    table.Row(text, ParseJsonStrings(text.get<std::string>()).ok() ? "accepted" : "");
  }
}

TEST(ParserAcceptance, Corpus) {
  STARLING_NEED_ACCEPTANCE("dockerfile/parser/ast_corpus.json")
  const std::string unknown = "an unknown instruction keeps its arguments until it is refused";
  AcceptanceTable table("parser/ast_corpus.json",
                        {{"96", unknown}, {"97", unknown}, {"326", unknown}, {"370", unknown}});
  int row = 0;
  for (const json& c : ReadJson(AcceptanceDirectory() / "dockerfile/parser/ast_corpus.json")) {
    const std::string name = std::to_string(row++);
    const Statements parsed = ParseStatements(c["dockerfile"].get<std::string>());
    if (c.contains("error")) {
      table.Row(name, parsed.problem ? "" : "accepted: " + c["error"].get<std::string>());
      continue;
    }
    if (parsed.problem) {
      table.Row(name, "refused: " + parsed.problem->message);
      continue;
    }
    std::string difference = Differ(testing::Dump(parsed), c["dump"].get<std::string>());
    for (size_t i = 0; difference.empty() && i < c["nodes"].size(); ++i) {
      difference = Differ(testing::NodeOf(parsed.statements[i]).dump(), c["nodes"][i].dump());
    }
    table.Row(name, difference.empty() ? "" : c["dockerfile"].get<std::string>() + difference);
  }
}

std::vector<std::string> TableLines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    lines.push_back(line);
  }
  return lines;
}

TEST(ShellAcceptance, Variables) {
  STARLING_NEED_ACCEPTANCE("dockerfile/shell/envVarTest")
  const std::map<std::string, std::string, std::less<>> environment = {
      {"PWD", "/home"}, {"SHELL", "bash"}, {"KOREAN", "한국어"}, {"NULL", ""}};
  const Lookup lookup = [&](std::string_view name) -> std::optional<std::string> {
    const auto found = environment.find(name);
    return found == environment.end() ? std::nullopt : std::optional(found->second);
  };
  AcceptanceTable table("shell/envVarTest", {});
  for (const std::string& line :
       TableLines(ReadWhole(AcceptanceDirectory() / "dockerfile/shell/envVarTest"))) {
    const size_t first = line.find('|');
    if (line.empty() || line.starts_with('#') || line[0] == 'W') {
      continue;
    }
    const size_t second = line.find('|', first + 1);
    const std::string source(
        TrimSpace(std::string_view(line).substr(first + 1, second - first - 1)));
    const std::string want(TrimSpace(std::string_view(line).substr(second + 1)));
    const auto got = Expand(source, lookup);
    table.Row(line, Differ(got.ok() ? std::string(TrimSpace(got->text)) : "error", want));
  }
}

TEST(ShellAcceptance, Words) {
  STARLING_NEED_ACCEPTANCE("dockerfile/shell/wordsTest")
  std::map<std::string, std::string, std::less<>> environment;
  const Lookup lookup = [&](std::string_view name) -> std::optional<std::string> {
    const auto found = environment.find(name);
    return found == environment.end() ? std::nullopt : std::optional(found->second);
  };
  AcceptanceTable table("shell/wordsTest", {});
  for (const std::string& line :
       TableLines(ReadWhole(AcceptanceDirectory() / "dockerfile/shell/wordsTest"))) {
    if (line.starts_with('#') || line.empty()) {
      continue;
    }
    if (line.starts_with("ENV ")) {
      const size_t equals = line.find('=');
      environment[line.substr(4, equals - 4)] = line.substr(equals + 1);
      continue;
    }
    const size_t bar = line.find('|');
    const auto got = Expand(std::string_view(line).substr(0, bar - 1), lookup);
    std::string words;
    for (const std::string& word : got.ok() ? got->words : std::vector<std::string>{"error"}) {
      words += (words.empty() ? "" : ",") + word;
    }
    table.Row(line, Differ(words, TrimSpaceLeft(line.substr(bar + 1))));
  }
}

TEST(ShellAcceptance, Matches) {
  STARLING_NEED_ACCEPTANCE("dockerfile/shell/expand_matches.json")
  AcceptanceTable table("shell/expand_matches.json", {});
  for (const json& c : ReadJson(AcceptanceDirectory() / "dockerfile/shell/expand_matches.json")) {
    const Lookup lookup = [&](std::string_view name) -> std::optional<std::string> {
      const auto found = c["envs"].find(name);
      return found == c["envs"].end() ? std::nullopt : std::optional(found->get<std::string>());
    };
    const auto got = Expand(c["input"].get<std::string>(), lookup);
    if (c.value("expectedErr", false) || !got.ok()) {
      table.Row(c.dump(), got.ok() != c.value("expectedErr", false) ? ""
                          : got.ok()                                ? "accepted"
                                     : std::string(MessageOf(got.status())));
      continue;
    }
    json result = {{"text", got->text}, {"matches", got->matched}, {"unmatched", got->unmatched}};
    json want = {{"text", c["expected"]}, {"matches", c["matches"]}, {"unmatched", c["unmatched"]}};
    table.Row(c.dump(), Differ(result.dump(), want.dump()));
  }
}

TEST(IgnoreFileAcceptance, Matches) {
  STARLING_NEED_ACCEPTANCE("dockerfile/dockerignore/matches_or_parent.json")
  AcceptanceTable table("dockerignore/matches_or_parent.json", {});
  for (const json& c :
       ReadJson(AcceptanceDirectory() / "dockerfile/dockerignore/matches_or_parent.json")) {
    std::vector<IgnorePattern> patterns;
    for (const auto& pattern : c["patterns"]) {
      patterns.push_back({pattern, 0});
    }
    const auto file = IgnoreFile::FromPatterns(patterns);
    const std::string got = !file.ok()                                    ? "error"
                            : file->Ignores(c["text"].get<std::string>()) ? "true"
                                                                          : "false";
    table.Row(c.dump(), Differ(got, c.contains("excluded") ? c["excluded"].dump() : "error"));
  }
}

TEST(IgnoreFileAcceptance, Patterns) {
  STARLING_NEED_ACCEPTANCE("dockerfile/dockerignore/ignorefile.json")
  AcceptanceTable table("dockerignore/ignorefile.json", {});
  for (const json& c :
       ReadJson(AcceptanceDirectory() / "dockerfile/dockerignore/ignorefile.json")) {
    json got = json::array();
    for (const IgnorePattern& pattern : ReadIgnorePatterns(c["content"].get<std::string>())) {
      got.push_back(pattern.text);
    }
    table.Row(c.dump(), Differ(got.dump(), c["patterns"].dump()));
  }
}

json InstructionTable(std::string_view name) {
  return ReadJson(AcceptanceDirectory() / "dockerfile/instructions" / name);
}

TEST(InstructionAcceptance, Errors) {
  STARLING_NEED_ACCEPTANCE("dockerfile/instructions/errors.json")
  AcceptanceTable table("instructions/errors.json", {});
  for (const json& c : InstructionTable("errors.json")) {
    const Statements parsed = ParseStatements(c["dockerfile"].get<std::string>());
    const bool refused = parsed.problem || !ParseInstruction(parsed.statements.front()).ok();
    table.Row(c["name"], refused ? "" : "accepted");
  }
}

TEST(InstructionAcceptance, CopyHeredocs) {
  STARLING_NEED_ACCEPTANCE("dockerfile/instructions/heredoc_copy.json")
  AcceptanceTable table("instructions/heredoc_copy.json", {});
  for (const json& c : InstructionTable("heredoc_copy.json")) {
    const Statements parsed = ParseStatements(c["dockerfile"].get<std::string>());
    const auto instruction = ParseInstruction(parsed.statements.front());
    ASSERT_TRUE(instruction.ok()) << c;
    const auto& transfer = std::get<Copy>(instruction->value).transfer;
    json got = {{"DestPath", transfer.destination.value}};
    for (const Text& source : transfer.sources) {
      got["SourcePaths"].push_back(source.value);
    }
    for (const auto& file : transfer.files) {
      got["SourceContents"].push_back(
          {{"Data", file.content}, {"Expand", file.expand}, {"Path", file.name}});
    }
    table.Row(c["dockerfile"], Differ(got.dump(), c["sourcesAndDest"].dump()));
  }
}

TEST(InstructionAcceptance, RunHeredocs) {
  STARLING_NEED_ACCEPTANCE("dockerfile/instructions/heredoc_run.json")
  AcceptanceTable table("instructions/heredoc_run.json", {});
  for (const json& c : InstructionTable("heredoc_run.json")) {
    const Statements parsed = ParseStatements(c["dockerfile"].get<std::string>());
    const auto instruction = ParseInstruction(parsed.statements.front());
    ASSERT_TRUE(instruction.ok()) << c;
    const CommandLine& command = std::get<syntax::Run>(instruction->value).command;
    json got = {{"command", command.arguments},
                {"dockerfile", c["dockerfile"]},
                {"shell", !command.exec_form}};
    for (const Heredoc& heredoc : command.heredocs) {
      json file = {{"Data", heredoc.content}, {"Name", heredoc.name}};
      if (heredoc.cut_tabs) {
        file["Chomp"] = true;
      }
      got["files"].push_back(file);
    }
    table.Row(c["dockerfile"], Differ(got.dump(), c.dump()));
  }
}

TEST(InstructionAcceptance, Devices) {
  STARLING_NEED_ACCEPTANCE("dockerfile/instructions/device.json")
  AcceptanceTable table("instructions/device.json", {});
  for (const json& c : InstructionTable("device.json")) {
    const auto device = ParseDevice({c["input"], {}});
    const json got = device.ok() ? json({{"Name", device->name}, {"Required", device->required}})
                                 : json(nullptr);
    table.Row(c["input"], Differ(got.dump(), c["expected"].dump()));
  }
}

TEST(InstructionAcceptance, GitReferences) {
  STARLING_NEED_ACCEPTANCE("dockerfile/instructions/git_refs.json")
  AcceptanceTable table("instructions/git_refs.json", {});
  for (const json& c : InstructionTable("git_refs.json")) {
    const auto reference = ParseGitReference(c["ref"].get<std::string>());
    if (c.contains("err")) {
      table.Row(c["ref"], reference.ok() ? "accepted" : "");
      continue;
    }
    json got;
    if (reference.ok() && *reference) {
      const GitReference& git = **reference;
      got = {{"Remote", git.remote}, {"ShortName", git.short_name}};
      const auto add = [&](std::string_view key, const std::string& value) {
        if (!value.empty()) {
          got[std::string(key)] = value;
        }
      };
      add("Ref", git.ref);
      add("SubDir", git.subdirectory);
      add("Checksum", git.checksum);
      add("MTime", git.modified_time);
      for (const auto& [key, set] : {std::pair("UnencryptedTCP", git.plain_text),
                                     std::pair("IndistinguishableFromLocal", git.like_local_path),
                                     std::pair("FetchByCommit", git.fetch_by_commit)}) {
        if (set) {
          got[key] = true;
        }
      }
    }
    table.Row(c["ref"], Differ(got.dump(), c["expected"].dump()));
  }
}

TEST(InstructionAcceptance, Ports) {
  STARLING_NEED_ACCEPTANCE("dockerfile/instructions/expose_ipv6.json")
  AcceptanceTable table("instructions/expose", {});
  for (const json& c : InstructionTable("expose_ipv6.json")) {
    const auto port = ParsePort(c["spec"].get<std::string>());
    table.Row(c["name"], port.ok() ? Differ(fmt::format("{}/{}", port->first, port->protocol),
                                            c["expected"][0].get<std::string>())
                                   : "refused");
  }
  for (const json& c : InstructionTable("expose_empty.json")) {
    table.Row(c["name"], ParsePort(c["spec"].get<std::string>()).ok() ? "accepted" : "");
  }
}

/// Whether a Dockerfile is refused, for those of which only that is known.
TEST(DockerfileAcceptance, WhatBuildsIsRead) {
  STARLING_NEED_ACCEPTANCE("dockerfile/upstream_dockerfiles_config.json")
  AcceptanceTable table("upstream_dockerfiles_config.json, read",
                        {{"testMountFromError#0", "variables in from= are expanded here"}});
  for (const json& c :
       ReadJson(AcceptanceDirectory() / "dockerfile/upstream_dockerfiles_config.json")) {
    const Dockerfile dockerfile = ParseDockerfile(c["dockerfile"].get<std::string>());
    if (!c.contains("error")) {
      table.Row(c["name"], dockerfile.problem ? dockerfile.problem->message : "");
    } else if (c["error"].get<std::string>().starts_with("dockerfile parse error")) {
      table.Row(c["name"], dockerfile.problem ? "" : "accepted");
    }
  }
}

}  // namespace
}  // namespace starling::dockerfile::syntax
