#include "estargz/path_tree.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <random>

namespace starling::estargz {
namespace {

constexpr size_t kFewestSlots = 64;

uint64_t RandomSeed() {
  std::random_device device;
  return static_cast<uint64_t>(device()) << 32 | device();
}

/// Both halves of the product of two words: mixes every bit with every other.
uint64_t Fold(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

}  // namespace

PathTree::PathTree(const std::vector<TocEntry>& entries, const TocLimits& limits)
    : entries_(entries), limits_(limits), seed_(RandomSeed()) {
  nodes_.reserve(entries.size());
  slots_.resize(std::bit_ceil(std::max(kFewestSlots, 2 * entries.size())));
  NewDirectory(kNoEntry);
}

Status PathTree::AddAll() {
  for (size_t number = 0; number < entries_.size(); ++number) {
    if (entries_[number].type != EntryType::kChunk) {
      RETURN_IF_ERROR(Add(static_cast<uint32_t>(number)));
    }
  }
  return OkStatus();
}

Status PathTree::Fail(StatusCode code, uint32_t entry, std::string_view how) const {
  return MakeError(code, fmt::format("TOC: entry {}, \"{}\": {}", entry,
                                     entries_[entry].name.substr(0, 200), how));
}

Status PathTree::Add(uint32_t number) {
  const TocEntry& entry = entries_[number];
  RETURN_IF_ERROR(SplitPath(number, entry.name));
  if (components_.empty()) {
    // Unpacking ignores entries that name the root, so its attributes are those of every root.
    return entry.type == EntryType::kDirectory
               ? OkStatus()
               : Fail(StatusCode::kDataLoss, number, "the root is not a directory");
  }
  ASSIGN_OR_RETURN(const uint32_t parent, ParentOf(number));
  const std::string_view name = components_.back();
  switch (entry.type) {
    case EntryType::kDirectory: {
      const uint32_t node = Find(parent, name);
      if (node != kNone && nodes_[node].kind == Kind::kDirectory) {
        directories_[nodes_[node].index].entry = number;
        return OkStatus();
      }
      const uint32_t directory = NewDirectory(number);
      return Insert(number, parent, name, Kind::kDirectory, directory).status();
    }
    case EntryType::kHardlink: {
      // In place before its target is looked up, as unpacking removes what stood there first.
      ASSIGN_OR_RETURN(const uint32_t node,
                       Insert(number, parent, name, Kind::kPendingLink, number));
      return AddLink(number, node);
    }
    case EntryType::kSymlink:
      if (entry.link_name.empty()) {
        return Fail(StatusCode::kDataLoss, number, "a symlink without a target");
      }
      break;
    case EntryType::kRegular:
    case EntryType::kCharacter:
    case EntryType::kBlock:
    case EntryType::kFifo:
    case EntryType::kChunk:
      break;
  }
  return Insert(number, parent, name, Kind::kFile, number).status();
}

/// Splits `path` of the entry into components_ as path.Clean("/" + path) would: ".." at the root
/// stays there.
Status PathTree::SplitPath(uint32_t number, std::string_view path) {
  components_.clear();
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    const std::string_view component = path.substr(0, slash);
    path.remove_prefix(std::min(slash + 1, path.size()));
    if (component.empty() || component == ".") {
      continue;
    }
    if (component == "..") {
      if (!components_.empty()) {
        components_.pop_back();
      }
      continue;
    }
    if (component.size() > limits_.component_bytes) {
      return Fail(StatusCode::kResourceExhausted, number,
                  fmt::format("a component of more than {} bytes", limits_.component_bytes));
    }
    components_.push_back(component);
  }
  if (components_.size() > limits_.depth) {
    return Fail(StatusCode::kResourceExhausted, number,
                fmt::format("more than {} components", limits_.depth));
  }
  return OkStatus();
}

/// The directory for components_ without the last; made when missing. Neighbours in a TOC share
/// most of their path, so this starts from the steps of the entry before. Those stay valid: what an
/// entry replaces is never above itself.
StatusOr<uint32_t> PathTree::ParentOf(uint32_t number) {
  const size_t depth = components_.size() - 1;
  size_t same = 0;
  while (same < std::min(depth, steps_.size()) && steps_[same].name == components_[same]) {
    ++same;
  }
  steps_.resize(same);
  uint32_t directory = same == 0 ? kRoot : steps_.back().directory;
  for (size_t i = same; i < depth; ++i) {
    ASSIGN_OR_RETURN(directory, Subdirectory(number, directory, components_[i]));
    steps_.push_back({.name = components_[i], .directory = directory});
  }
  return directory;
}

StatusOr<uint32_t> PathTree::Subdirectory(uint32_t number, uint32_t directory,
                                          std::string_view name) {
  const uint32_t node = Find(directory, name);
  if (node == kNone) {
    const uint32_t made = NewDirectory(kNoEntry);
    RETURN_IF_ERROR(Insert(number, directory, name, Kind::kDirectory, made).status());
    return made;
  }
  if (nodes_[node].kind != Kind::kDirectory) {
    return Fail(StatusCode::kDataLoss, number,
                fmt::format("its parent \"{}\" is not a directory", name));
  }
  return nodes_[node].index;
}

/// Makes `name` in `directory` what is given, whatever it was.
StatusOr<uint32_t> PathTree::Insert(uint32_t number, uint32_t directory, std::string_view name,
                                    Kind kind, uint32_t index) {
  const uint32_t hash = Hash(directory, name);
  const size_t slot = SlotOf(directory, name, hash);
  uint32_t node = slots_[slot].node;
  if (node != kNone) {
    nodes_[node].kind = kind;
    nodes_[node].index = index;
    return node;
  }
  // Parents that nobody listed count too: one path can name thousands of them.
  if (nodes_.size() >= limits_.entries) {
    return Fail(StatusCode::kResourceExhausted, number,
                fmt::format("the layer has more than {} files", limits_.entries));
  }
  node = static_cast<uint32_t>(nodes_.size());
  nodes_.push_back({.name = name,
                    .directory = directory,
                    .next = directories_[directory].first_child,
                    .index = index,
                    .kind = kind});
  directories_[directory].first_child = node;
  slots_[slot] = {.hash = hash, .node = node};
  if (2 * nodes_.size() > slots_.size()) {
    Grow();
  }
  return node;
}

Status PathTree::AddLink(uint32_t number, uint32_t node) {
  ASSIGN_OR_RETURN(const uint32_t target, Target(number));
  if (target == kNone) {
    return OkStatus();  // perhaps it comes later
  }
  switch (nodes_[target].kind) {
    case Kind::kDirectory:
      return Fail(StatusCode::kDataLoss, number, "a hardlink to a directory");
    case Kind::kFile:
      nodes_[node].kind = Kind::kFile;
      nodes_[node].index = nodes_[target].index;
      break;
    case Kind::kPendingLink:
      break;
  }
  return OkStatus();
}

/// What stands at the target of the hardlink `number` now, or kNone.
StatusOr<uint32_t> PathTree::Target(uint32_t number) {
  RETURN_IF_ERROR(SplitPath(number, entries_[number].link_name));
  if (components_.empty()) {
    return Fail(StatusCode::kDataLoss, number, "a hardlink to the root");
  }
  uint32_t directory = kRoot;
  for (size_t i = 0;; ++i) {
    const uint32_t node = Find(directory, components_[i]);
    if (node == kNone || i + 1 == components_.size()) {
      return node;
    }
    if (nodes_[node].kind != Kind::kDirectory) {
      return kNone;
    }
    directory = nodes_[node].index;
  }
}

Status PathTree::Resolve(uint32_t node) {
  std::vector<uint32_t> chain;
  while (nodes_[node].kind == Kind::kPendingLink) {
    const uint32_t number = nodes_[node].index;
    // A chain longer than there are links repeats itself.
    if (chain.size() >= entries_.size()) {
      return Fail(StatusCode::kDataLoss, number, "a cycle of hardlinks");
    }
    chain.push_back(node);
    ASSIGN_OR_RETURN(node, Target(number));
    if (node == kNone) {
      return Fail(StatusCode::kDataLoss, number,
                  fmt::format("its target \"{}\" is not in the layer",
                              entries_[number].link_name.substr(0, 200)));
    }
    if (nodes_[node].kind == Kind::kDirectory) {
      return Fail(StatusCode::kDataLoss, number, "a hardlink to a directory");
    }
  }
  for (const uint32_t link : chain) {
    nodes_[link].kind = Kind::kFile;
    nodes_[link].index = nodes_[node].index;
  }
  return OkStatus();
}

uint32_t PathTree::NewDirectory(uint32_t entry) {
  directories_.push_back({.entry = entry, .first_child = kNone});
  return static_cast<uint32_t>(directories_.size() - 1);
}

uint32_t PathTree::Hash(uint32_t directory, std::string_view name) const {
  constexpr uint64_t kOdd = 0x9e3779b97f4a7c15;  // 2^64 divided by the golden ratio
  uint64_t state = Fold(seed_ ^ directory, kOdd ^ name.size());
  const char* at = name.data();
  size_t left = name.size();
  for (; left > 8; at += 8, left -= 8) {
    uint64_t word = 0;
    std::memcpy(&word, at, 8);
    state = Fold(state ^ word, seed_ | 1);
  }
  uint64_t word = 0;
  std::memcpy(&word, at, left);
  return static_cast<uint32_t>(Fold(state ^ word, kOdd) >> 16);
}

/// The slot of `name` in `directory`, or the free one where it belongs.
size_t PathTree::SlotOf(uint32_t directory, std::string_view name, uint32_t hash) const {
  const size_t mask = slots_.size() - 1;
  for (size_t i = hash & mask;; i = (i + 1) & mask) {
    const Slot& slot = slots_[i];
    if (slot.node == kNone || (slot.hash == hash && nodes_[slot.node].directory == directory &&
                               nodes_[slot.node].name == name)) {
      return i;
    }
  }
}

uint32_t PathTree::Find(uint32_t directory, std::string_view name) const {
  return slots_[SlotOf(directory, name, Hash(directory, name))].node;
}

void PathTree::Grow() {
  std::vector<Slot> old(slots_.size() * 2);
  old.swap(slots_);
  const size_t mask = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (slot.node == kNone) {
      continue;
    }
    size_t i = slot.hash & mask;
    while (slots_[i].node != kNone) {
      i = (i + 1) & mask;
    }
    slots_[i] = slot;
  }
}

}  // namespace starling::estargz
