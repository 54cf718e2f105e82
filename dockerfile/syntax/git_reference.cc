#include "dockerfile/syntax/git_reference.h"

#include <array>

#include "base/text.h"
#include "dockerfile/syntax/suggest.h"
#include "dockerfile/syntax/values.h"

namespace starling::dockerfile::syntax {
namespace {

constexpr std::string_view kKeys[] = {
    "ref",    "tag",          "branch",     "subdir", "checksum",
    "commit", "keep-git-dir", "submodules", "mtime",  "fetch-by-commit"};

Status Invalid(std::string_view what, std::string_view text) {
  return MakeError(StatusCode::kInvalidArgument, fmt::format("git reference '{}': {}", text, what));
}

/// USER@HOST:PATH, as ssh and scp have it.
bool IsScpStyle(std::string_view remote) {
  const size_t at = remote.find('@');
  const size_t colon = remote.find(':');
  return at != std::string_view::npos && colon != std::string_view::npos && at > 0 && at < colon &&
         colon + 1 < remote.size() &&
         remote.substr(0, colon).find_first_of("/ \t") == std::string_view::npos;
}

bool IsRemote(std::string_view remote, GitReference& reference) {
  const std::string lower = LowerCase(remote.substr(0, remote.find("://")));
  if (remote.find("://") != std::string_view::npos) {
    if (lower == "http" || lower == "https") {
      reference.plain_text = lower == "http";
      return remote.ends_with(".git");
    }
    reference.plain_text = lower == "git";
    return lower == "git" || lower == "ssh";
  }
  if (remote.starts_with("github.com/")) {
    reference.like_local_path = true;
    return true;
  }
  return IsScpStyle(remote);
}

Status SetOnce(std::string& member, std::string_view value, std::string_view what,
               std::string_view text) {
  if (!member.empty()) {
    return Invalid(fmt::format("it says twice what the {} is", what), text);
  }
  member = value;
  return OkStatus();
}

Status ApplyKey(std::string_view key, std::string_view value, std::string_view text,
                GitReference& reference) {
  const auto boolean = [&]() -> StatusOr<bool> {
    auto parsed = value.empty() ? StatusOr<bool>(true) : ParseBool(value);
    return parsed.ok() ? parsed : Invalid(fmt::format("{}: true or false?", key), text);
  };
  if (key == "ref") {
    return SetOnce(reference.ref, value, "ref", text);
  }
  if (key == "tag") {
    return SetOnce(reference.ref, fmt::format("refs/tags/{}", value), "ref", text);
  }
  if (key == "branch") {
    return SetOnce(reference.ref, fmt::format("refs/heads/{}", value), "ref", text);
  }
  if (key == "subdir") {
    return SetOnce(reference.subdirectory, value, "subdirectory", text);
  }
  if (key == "checksum" || key == "commit") {
    return SetOnce(reference.checksum, value, "commit", text);
  }
  if (key == "keep-git-dir") {
    ASSIGN_OR_RETURN(reference.keep_git_directory, boolean());
  } else if (key == "submodules") {
    ASSIGN_OR_RETURN(reference.submodules, boolean());
  } else if (key == "fetch-by-commit") {
    ASSIGN_OR_RETURN(reference.fetch_by_commit, boolean());
  } else if (key == "mtime") {
    if (value != "checkout" && value != "commit") {
      return Invalid("mtime is checkout or commit", text);
    }
    reference.modified_time = value;
  } else {
    const std::string suggestion = Suggest(key, kKeys);
    return Invalid(fmt::format("unknown key '{}'{}", key, DidYouMean(suggestion)), text);
  }
  return OkStatus();
}

}  // namespace

StatusOr<std::optional<GitReference>> ParseGitReference(std::string_view text) {
  GitReference reference;
  std::string_view remote = text.substr(0, text.find('#'));
  std::string_view fragment = text.substr(remote.size());
  const size_t question = remote.find('?');
  std::string_view query;
  if (question != std::string_view::npos) {
    query = remote.substr(question + 1);
    remote = remote.substr(0, question);
  }
  if (!IsRemote(remote, reference)) {
    return std::nullopt;
  }
  reference.remote = remote;
  std::string_view name = remote.substr(remote.find_last_of("/:") + 1);
  if (name.ends_with(".git")) {
    name.remove_suffix(4);
  }
  reference.short_name = name;
  if (!fragment.empty()) {
    fragment.remove_prefix(1);
    const size_t colon = fragment.find(':');
    reference.ref = fragment.substr(0, colon);
    if (colon != std::string_view::npos) {
      reference.subdirectory = fragment.substr(colon + 1);
    }
  }
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    const size_t equals = pair.find('=');
    RETURN_IF_ERROR(
        ApplyKey(pair.substr(0, equals),
                 equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1),
                 text, reference));
  }
  return reference;
}

bool IsWholeCommit(std::string_view text) {
  constexpr size_t kSha1Digits = 40;
  constexpr size_t kSha256Digits = 64;
  return (text.size() == kSha1Digits || text.size() == kSha256Digits) &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool IsHttpUrl(std::string_view text) {
  return text.starts_with("http://") || text.starts_with("https://");
}

}  // namespace starling::dockerfile::syntax
