#include "layer/command_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string_view>

namespace starling::layer {
namespace {

constexpr size_t kMaxWords = 12;
constexpr size_t kMaxDirectories = 12;
constexpr size_t kMaxNameBytes = 1024;
/// Where a program is looked for without PATH. Source: containerd and runc.
constexpr std::string_view kDefaultPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr std::string_view kShells[] = {"sh", "bash", "dash", "ash"};

std::vector<std::string> Split(std::string_view text, std::string_view separators, size_t limit) {
  std::vector<std::string> parts;
  while (parts.size() < limit) {
    const size_t begin = text.find_first_not_of(separators);
    if (begin == std::string_view::npos) {
      break;
    }
    text.remove_prefix(begin);
    const size_t size = std::min(text.find_first_of(separators), text.size());
    parts.emplace_back(text.substr(0, size));
    text.remove_prefix(size);
  }
  return parts;
}

bool IsShell(std::string_view program) {
  program.remove_prefix(program.rfind('/') + 1);
  return std::ranges::find(kShells, program) != std::end(kShells);
}

/// The command's, and of a shell's script those that may be names.
std::vector<std::string> WordsOf(std::span<const std::string> command) {
  std::vector<std::string> words(
      command.begin(),
      command.begin() + static_cast<ptrdiff_t>(std::min(command.size(), kMaxWords)));
  if (words.size() > 2 && IsShell(words[0]) && words[1].starts_with('-') &&
      words[1].ends_with('c')) {
    const std::vector<std::string> script = Split(words[2], " \t\n;&|(){}<>\"'`$", kMaxWords);
    words.resize(1);
    words.insert(words.end(), script.begin(), script.end());
  }
  return words;
}

std::string PathOf(const oci::ImageConfig& config) {
  static constexpr std::string_view kName = "PATH=";
  const auto found = std::ranges::find_if(
      config.environment(), [](const std::string& entry) { return entry.starts_with(kName); });
  return found == config.environment().end() ? std::string(kDefaultPath)
                                             : found->substr(kName.size());
}

}  // namespace

std::vector<std::string> NamesInCommand(const oci::ImageConfig& config) {
  std::vector<std::string> directories = Split(PathOf(config), ":", kMaxDirectories);
  directories.push_back(config.working_directory().empty() ? "/" : config.working_directory());
  std::vector<std::string> names;
  for (const std::string& word : WordsOf(config.command())) {
    if (word.empty() || word.starts_with('-') || word.size() > kMaxNameBytes) {
      continue;
    }
    if (word.starts_with('/')) {
      names.push_back(word);
    } else if (word.find('/') != std::string::npos) {
      names.push_back(fmt::format("{}/{}", directories.back(), word));
    } else {
      for (const std::string& directory : directories) {
        names.push_back(fmt::format("{}/{}", directory, word));
      }
    }
  }
  return names;
}

}  // namespace starling::layer
