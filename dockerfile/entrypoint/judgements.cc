#include "dockerfile/entrypoint/judgements.h"

#include <algorithm>
#include <array>

#include "base/file_system.h"
#include "oci/digest.h"

namespace starling::dockerfile::entrypoint {
namespace {

constexpr uint64_t kMaxRecordBytes = 64 << 10;
constexpr std::array kVerdicts = {Verdict::kDoes, Verdict::kDoesNot, Verdict::kCannotTell};

std::string KeyOf(const std::string& tree, const Start& start) {
  std::string text;
  const auto add = [&text](const std::string& part) {
    text += fmt::format("{}:{}\n", part.size(), part);
  };
  add(tree);
  add(start.search_path);
  add(start.working_directory);
  for (const std::string& word : start.entrypoint) {
    add(word);
  }
  return oci::Digest::Of(AsBytes(text)).Hex();
}

/// The first line, which is removed from `text`; nothing when there is none.
std::optional<std::string> TakeLine(std::string_view& text) {
  const size_t end = text.find('\n');
  if (end == std::string_view::npos) {
    return std::nullopt;
  }
  std::string line(text.substr(0, end));
  text.remove_prefix(end + 1);
  return line;
}

std::string OneLine(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

}  // namespace

std::optional<Judgement> Judgements::Find(const std::string& tree, const Start& start) const {
  const std::string key = KeyOf(tree, start);
  const auto bytes = ReadFile(RealFileSystem(), directory_ / key.substr(0, 2), kMaxRecordBytes);
  if (!bytes.ok()) {
    return std::nullopt;
  }
  std::string_view text = AsText(*bytes);
  const auto found_key = TakeLine(text);
  const auto verdict = TakeLine(text);
  auto file = TakeLine(text);
  auto reason = TakeLine(text);
  if (found_key != key || !verdict || !file || !reason || !text.empty()) {
    return std::nullopt;
  }
  const auto* known = std::find_if(kVerdicts.begin(), kVerdicts.end(), [&](Verdict candidate) {
    return NameOf(candidate) == *verdict;
  });
  if (known == kVerdicts.end()) {
    return std::nullopt;
  }
  return Judgement{.verdict = *known, .file = *std::move(file), .reason = *std::move(reason)};
}

Status Judgements::Remember(const std::string& tree, const Start& start,
                            const Judgement& judgement) const {
  RETURN_IF_ERROR(MakeDirectories(directory_, 0700));
  const std::string key = KeyOf(tree, start);
  const std::string text = fmt::format("{}\n{}\n{}\n{}\n", key, NameOf(judgement.verdict),
                                       OneLine(judgement.file), OneLine(judgement.reason));
  return WriteFileAtomically(RealFileSystem(), directory_ / key.substr(0, 2), AsBytes(text), 0600);
}

}  // namespace starling::dockerfile::entrypoint
