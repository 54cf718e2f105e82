#include "snapshotter/id_mapping.h"

#include <fcntl.h>
#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <span>
#include <string_view>

#include "api/snapshot_labels.h"

namespace starling::snapshotter {
namespace {

/// Source: UID_GID_MAP_MAX_EXTENTS in Linux.
constexpr size_t kMaxRanges = 340;

Status BadLabel(std::string_view label, std::string_view why) {
  return MakeError(StatusCode::kInvalidArgument, fmt::format("label {}: {}", label, why));
}

/// Takes a number and, if it is not the last of its range, the colon behind it.
std::optional<uint32_t> TakeNumber(std::string_view& text, bool is_last) {
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) {
    return std::nullopt;
  }
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  if (!is_last) {
    if (!text.starts_with(':')) {
      return std::nullopt;
    }
    text.remove_prefix(1);
  }
  return number;
}

std::optional<IdRange> ParseRange(std::string_view text) {
  const std::optional<uint32_t> inside = TakeNumber(text, false);
  const std::optional<uint32_t> outside = inside ? TakeNumber(text, false) : std::nullopt;
  const std::optional<uint32_t> count = outside ? TakeNumber(text, true) : std::nullopt;
  if (!count || !text.empty() || *count == 0 || *inside > UINT32_MAX - *count ||
      *outside > UINT32_MAX - *count) {
    return std::nullopt;
  }
  return IdRange{.inside = *inside, .outside = *outside, .count = *count};
}

StatusOr<std::vector<IdRange>> ParseRanges(std::string_view label, std::string_view text) {
  std::vector<IdRange> ranges;
  for (bool is_last = false; !is_last;) {
    const size_t comma = text.find(',');
    is_last = comma == std::string_view::npos;
    const std::optional<IdRange> range = ParseRange(text.substr(0, comma));
    if (!range || ranges.size() == kMaxRanges) {
      return BadLabel(label, "must be CONTAINER:HOST:COUNT[,...] with at most 340 ranges of IDs");
    }
    ranges.push_back(*range);
    text.remove_prefix(is_last ? text.size() : comma + 1);
  }
  return ranges;
}

/// The ID on the host of `root`, which is 0 in the container.
StatusOr<uint32_t> RootOf(std::string_view label, std::span<const IdRange> ranges) {
  const auto range = std::ranges::find(ranges, 0U, &IdRange::inside);
  if (range == ranges.end()) {
    return BadLabel(label, "has no range for root, which is 0 in the container");
  }
  return range->outside;
}

bool HasOutside(std::span<const IdRange> ranges, uint32_t id) {
  return std::ranges::any_of(ranges, [id](const IdRange& range) {
    return id >= range.outside && id - range.outside < range.count;
  });
}

std::string Option(std::string_view name, std::span<const IdRange> ranges) {
  std::string option(name);
  for (const IdRange& range : ranges) {
    option += fmt::format("{}{}:{}:{}", option.back() == '=' ? "" : ",", range.inside,
                          range.outside, range.count);
  }
  return option;
}

}  // namespace

bool IdMapping::HasOnHost(const Owner& owner) const {
  return HasOutside(uids, owner.uid) && HasOutside(gids, owner.gid);
}

std::vector<std::string> IdMapping::MountOptions() const {
  return {Option("uidmap=", uids), Option("gidmap=", gids)};
}

StatusOr<std::optional<IdMapping>> IdMappingOf(const Labels& labels) {
  namespace label = api::snapshot_label;
  const auto uids = labels.find(std::string(label::kUidMapping));
  const auto gids = labels.find(std::string(label::kGidMapping));
  if (uids == labels.end() && gids == labels.end()) {
    return std::optional<IdMapping>();
  }
  if (uids == labels.end() || gids == labels.end()) {
    return BadLabel(uids == labels.end() ? label::kUidMapping : label::kGidMapping,
                    "missing, though its sibling is there");
  }
  IdMapping mapping;
  ASSIGN_OR_RETURN(mapping.uids, ParseRanges(label::kUidMapping, uids->second));
  ASSIGN_OR_RETURN(mapping.gids, ParseRanges(label::kGidMapping, gids->second));
  ASSIGN_OR_RETURN(mapping.root.uid, RootOf(label::kUidMapping, mapping.uids));
  ASSIGN_OR_RETURN(mapping.root.gid, RootOf(label::kGidMapping, mapping.gids));
  return std::optional(std::move(mapping));
}

Status ProbeIdMapping(const std::filesystem::path& root) {
  constexpr std::array<IdRange, 1> kRange = {{{.inside = 0, .outside = 100000, .count = 65536}}};
  ASSIGN_OR_RETURN(const UniqueFd name_space, MakeUserNamespace(kRange, kRange));
  const UniqueFd mounts(
      ::open_tree(AT_FDCWD, root.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
  if (!mounts.valid()) {
    return ErrnoError(errno, fmt::format("copy the mounts below {}", root.native()));
  }
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.userns_fd = static_cast<uint64_t>(name_space.get());
  if (::mount_setattr(mounts.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
                      sizeof attributes) != 0) {
    return ErrnoError(errno,
                      fmt::format("map the IDs of what is mounted at and below {} (it needs Linux "
                                  "6.12, and a file system there that can)",
                                  root.native()));
  }
  return OkStatus();
}

}  // namespace starling::snapshotter
