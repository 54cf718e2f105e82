#include "dockerfile/files/users.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>
#include <optional>

#include "base/io.h"
#include "base/text.h"
#include "dockerfile/files/root_walk.h"

namespace starling::dockerfile::files {
namespace {

struct Account {
  std::string name;
  uint32_t uid = 0;
  uint32_t gid = 0;
};

std::optional<uint32_t> ParseId(std::string_view text) {
  uint32_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  // -1 means "leave it" to the kernel.
  if (text.empty() || error != std::errc() || end != text.data() + text.size() ||
      id == UINT32_MAX) {
    return std::nullopt;
  }
  return id;
}

/// The text of a file in the tree; empty when there is none.
StatusOr<std::string> ReadAccounts(const std::filesystem::path& root, std::string_view path) {
  ASSIGN_OR_RETURN(const UniqueFd base, OpenRoot(root));
  // A pipe must not be waited for.
  StatusOr<UniqueFd> file = OpenInRoot(base.get(), path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (file.status().code() == StatusCode::kNotFound) {
    return std::string();
  }
  RETURN_IF_ERROR(file.status());
  struct stat attributes{};
  if (::fstat(file->get(), &attributes) != 0 || !S_ISREG(attributes.st_mode)) {
    return MakeError(StatusCode::kFailedPrecondition, fmt::format("/{} is no file", path));
  }
  FdSource source(file->get());
  auto bytes = ReadAll(source, kMaxAccountFileBytes);
  if (!bytes.ok()) {
    return Annotate(bytes.status(), fmt::format("/{}", path));
  }
  return std::string(AsText(*bytes));
}

/// Calls `visit` with the fields of each line until it returns true. Lines that are none of
/// passwd(5) and group(5) are passed over, as the C library does.
void ForEachLine(std::string_view text, size_t fields_needed,
                 const std::function<bool(std::span<const std::string_view>)>& visit) {
  while (!text.empty()) {
    std::string_view line = TakeLine(text);
    std::array<std::string_view, 8> fields;
    size_t count = 0;
    while (count < fields.size()) {
      const size_t colon = std::min(line.find(':'), line.size());
      fields[count++] = line.substr(0, colon);
      if (colon == line.size()) {
        break;
      }
      line.remove_prefix(colon + 1);
    }
    if (count >= fields_needed && !fields[0].empty() && visit(std::span(fields).first(count))) {
      return;
    }
  }
}

/// The account with this name, or, for a number, this id; a number is never a name.
StatusOr<std::optional<Account>> FindAccount(const std::filesystem::path& root,
                                             std::string_view user) {
  ASSIGN_OR_RETURN(const std::string text, ReadAccounts(root, "etc/passwd"));
  const std::optional<uint32_t> number = ParseId(user);
  std::optional<Account> found;
  ForEachLine(text, 4, [&](std::span<const std::string_view> fields) {
    const auto uid = ParseId(fields[2]);
    const auto gid = ParseId(fields[3]);
    if (!uid || !gid || (number ? number != uid : fields[0] != user)) {
      return false;
    }
    found = Account{.name = std::string(fields[0]), .uid = *uid, .gid = *gid};
    return true;
  });
  return found;
}

StatusOr<uint32_t> FindGroup(const std::filesystem::path& root, std::string_view group) {
  if (const auto number = ParseId(group)) {
    return *number;
  }
  ASSIGN_OR_RETURN(const std::string text, ReadAccounts(root, "etc/group"));
  std::optional<uint32_t> found;
  ForEachLine(text, 3, [&](std::span<const std::string_view> fields) {
    if (fields[0] == group) {
      found = ParseId(fields[2]);
    }
    return found.has_value();
  });
  if (!found) {
    return MakeError(StatusCode::kNotFound,
                     fmt::format("no group is called '{}' in the image's /etc/group", group));
  }
  return *found;
}

StatusOr<std::vector<uint32_t>> GroupsOf(const std::filesystem::path& root, const std::string& user,
                                         uint32_t gid) {
  ASSIGN_OR_RETURN(const std::string text, ReadAccounts(root, "etc/group"));
  std::vector<uint32_t> groups = {gid};
  ForEachLine(text, 4, [&](std::span<const std::string_view> fields) {
    const auto id = ParseId(fields[2]);
    std::string_view members = fields[3];
    while (id && !members.empty()) {
      const size_t comma = std::min(members.find(','), members.size());
      if (members.substr(0, comma) == user &&
          std::find(groups.begin(), groups.end(), *id) == groups.end()) {
        groups.push_back(*id);
      }
      members.remove_prefix(std::min(comma + 1, members.size()));
    }
    return false;
  });
  return groups;
}

/// Of the half in front of the colon.
StatusOr<Account> FindOrNumber(const std::filesystem::path& root, std::string_view user) {
  ASSIGN_OR_RETURN(std::optional<Account> account, FindAccount(root, user));
  if (account) {
    return *std::move(account);
  }
  if (const auto number = ParseId(user)) {
    return Account{.name = "", .uid = *number, .gid = 0};
  }
  return MakeError(StatusCode::kNotFound,
                   fmt::format("no user is called '{}' in the image's /etc/passwd", user));
}

}  // namespace

StatusOr<UserRecord> FindUser(const std::filesystem::path& root, std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view user = text.empty() || colon == 0 ? "0" : text.substr(0, colon);
  ASSIGN_OR_RETURN(const Account account, FindOrNumber(root, user));
  UserRecord record{.uid = account.uid, .gid = account.gid, .additional_gids = {}};
  if (colon != std::string_view::npos && colon + 1 < text.size()) {
    ASSIGN_OR_RETURN(record.gid, FindGroup(root, text.substr(colon + 1)));
    record.additional_gids = {record.gid};
    return record;
  }
  ASSIGN_OR_RETURN(record.additional_gids, GroupsOf(root, account.name, record.gid));
  return record;
}

StatusOr<Owner> FindOwner(const std::filesystem::path& root, std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view user = text.substr(0, colon);
  Owner owner;
  if (const auto number = ParseId(user)) {
    owner = {.uid = *number, .gid = *number};
  } else if (!user.empty()) {
    ASSIGN_OR_RETURN(const Account account, FindOrNumber(root, user));
    owner = {.uid = account.uid, .gid = account.gid};
  }
  if (colon != std::string_view::npos && colon + 1 < text.size()) {
    ASSIGN_OR_RETURN(owner.gid, FindGroup(root, text.substr(colon + 1)));
  }
  return owner;
}

}  // namespace starling::dockerfile::files
