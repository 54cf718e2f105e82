// LayerTree against a slow model that unpacks entry by entry, as a tar program does.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>

#include "estargz/layer_tree.h"
#include "tests/support/layer_tree_invariants.h"
#include "tests/support/toc_json.h"

namespace starling::estargz {
namespace {

constexpr uint64_t kPayloadEnd = 1'000'000;
/// Thrown when an entry cannot be unpacked.
struct Refused {};

struct Item {
  std::string type;
  std::string name;
  std::string link;
  uint32_t id = 0;  // owner of the inode, different for each entry
  uint64_t size_bytes = 0;
  uint64_t blob_offset = 0;
};

std::string ToJson(const Item& item) {
  std::string json =
      fmt::format(R"({{"name":"{}","type":"{}","uid":{})", item.name, item.type, item.id);
  if (!item.link.empty()) {
    json += fmt::format(R"(,"linkName":"{}")", item.link);
  }
  if (item.size_bytes > 0) {
    json += fmt::format(R"(,"size":{},"offset":{},)", item.size_bytes, item.blob_offset) +
            testing_support::DigestField();
  }
  return json + "}";
}

/// A file system in memory.
struct Node {
  std::string type;
  std::shared_ptr<const Item> inode;  // null for parents that nobody listed
  std::map<std::string, std::shared_ptr<Node>> children;
};

class Model {
 public:
  explicit Model(const std::vector<Item>& items) {
    for (const Item& item : items) {
      Unpack(item);
    }
  }

  /// "path type id nlink" for everything that shows, in any order.
  std::set<std::string> Describe() {
    std::map<const Item*, uint32_t> names;
    Walk(*root_, "", [&](const std::string&, const Node& node) {
      names[node.inode.get()] += node.type == "whiteout" ? 0 : 1;
    });
    std::set<std::string> lines;
    Walk(*root_, "", [&](const std::string& path, const Node& node) {
      const uint32_t id = node.inode ? node.inode->id : 0;
      uint32_t nlink = node.type == "whiteout" ? 1 : names[node.inode.get()];
      if (node.type == "dir") {
        nlink =
            2 + static_cast<uint32_t>(std::ranges::count_if(
                    Visible(node, false), [](const auto& c) { return c.second->type == "dir"; }));
      }
      lines.insert(fmt::format("{} {} {} {} {}", path, node.type, id, nlink,
                               node.type == "reg" ? node.inode->size_bytes : 0));
    });
    return lines;
  }

 private:
  using Children = std::map<std::string, std::shared_ptr<Node>>;

  static std::vector<std::string> Split(const std::string& name) {
    std::vector<std::string> parts;
    for (const auto& part : std::filesystem::path("/" + name).lexically_normal()) {
      if (part != "/" && !part.empty()) {
        parts.push_back(part);
      }
    }
    return parts;
  }

  std::shared_ptr<Node> Lookup(const std::string& name) const {
    std::shared_ptr<Node> node = root_;
    for (const std::string& part : Split(name)) {
      const auto child = node->children.find(part);
      if (child == node->children.end()) {
        return nullptr;
      }
      node = child->second;
    }
    return node;
  }

  void Unpack(const Item& item) {
    std::vector<std::string> parts = Split(item.name);
    if (parts.empty()) {
      if (item.type != "dir") {
        throw Refused();
      }
      return;
    }
    const std::string leaf = parts.back();
    parts.pop_back();
    std::shared_ptr<Node> parent = root_;
    for (const std::string& part : parts) {
      std::shared_ptr<Node>& child = parent->children[part];
      if (!child) {
        child = std::make_shared<Node>(Node{.type = "dir"});
      }
      if (child->type != "dir") {
        throw Refused();
      }
      parent = child;
    }
    const auto inode = std::make_shared<const Item>(item);
    std::shared_ptr<Node>& place = parent->children[leaf];
    if (item.type == "dir" && place && place->type == "dir") {
      place->inode = inode;
      return;
    }
    place = std::make_shared<Node>(Node{.type = item.type, .inode = inode});
    if (item.type == "hardlink") {
      const std::shared_ptr<Node> target = Lookup(item.link);
      if (target && target->type == "dir") {
        throw Refused();
      }
      if (target && target->type != "hardlink") {
        place->type = target->type;
        place->inode = target->inode;
      }
    }
  }

  // The end of a chain of links that had no target when they came.
  std::shared_ptr<Node> Follow(std::shared_ptr<Node> node) const {
    for (int steps = 0; node->type == "hardlink"; ++steps) {
      node = Lookup(node->inode->link);
      if (!node || node->type == "dir" || steps > 1000) {
        throw Refused();
      }
    }
    return node;
  }

  Children Visible(const Node& directory, bool is_root) const {
    Children visible;
    for (const auto& [name, node] : directory.children) {
      const bool hidden = is_root && (name == kTocName || name == kPrefetchLandmark);
      if (!name.starts_with(".wh.") && !hidden) {
        visible[name] = Follow(node);
      }
    }
    for (const auto& [name, node] : directory.children) {
      const std::string gone = name.starts_with(".wh.") ? name.substr(4) : "";
      if (!gone.empty() && !gone.starts_with(".wh.") && gone != "." && gone != "..") {
        visible.emplace(gone,
                        std::make_shared<Node>(Node{.type = "whiteout", .inode = node->inode}));
      }
    }
    return visible;
  }

  template <typename Visit>
  void Walk(const Node& directory, const std::string& prefix, const Visit& visit) const {
    for (const auto& [name, node] : Visible(directory, prefix.empty())) {
      visit(prefix + name, *node);
      if (node->type == "dir") {
        Walk(*node, prefix + name + "/", visit);
      }
    }
  }

  std::shared_ptr<Node> root_ = std::make_shared<Node>(Node{.type = "dir"});
};

std::set<std::string> Describe(const LayerTree& tree) {
  std::set<std::string> lines;
  std::vector<std::pair<uint32_t, std::string>> todo = {{LayerTree::kRoot, ""}};
  while (!todo.empty()) {
    const auto [number, prefix] = todo.back();
    todo.pop_back();
    for (const Child& child : tree.inodes()[number].children) {
      const Inode& inode = tree.inodes()[child.inode];
      const std::string path = prefix + child.name;
      std::string type = S_ISREG(inode.mode) ? "reg" : S_ISLNK(inode.mode) ? "symlink" : "fifo";
      if (S_ISDIR(inode.mode)) {
        type = "dir";
        todo.emplace_back(child.inode, path + "/");
      } else if (S_ISCHR(inode.mode)) {
        type = "whiteout";
      }
      lines.insert(fmt::format("{} {} {} {} {}", path, type, inode.uid, inode.nlink,
                               S_ISREG(inode.mode) ? inode.size_bytes : 0));
    }
  }
  return lines;
}

/// A made-up TOC over few names, so that they collide.
std::vector<Item> MakeItems(std::mt19937& random) {
  static constexpr std::string_view kNames[] = {"a",
                                                "b",
                                                "c",
                                                "a",
                                                "b",
                                                ".wh.a",
                                                ".wh.b",
                                                ".wh..wh..opq",
                                                ".wh..wh.x",
                                                ".wh..",
                                                ".wh...",
                                                ".wh.",
                                                "..",
                                                ".",
                                                "",
                                                "stargz.index.json",
                                                ".prefetch.landmark"};
  static constexpr std::string_view kTypes[] = {"reg",      "reg",      "dir",     "dir", "dir",
                                                "hardlink", "hardlink", "symlink", "fifo"};
  const auto below = [&](size_t limit) { return random() % limit; };
  // Some runs avoid odd names, else few of them would be accepted.
  const size_t names = below(2) == 0 ? 3 : std::size(kNames);
  const auto path = [&] {
    std::string text;
    for (size_t parts = 1 + below(3); parts > 0; --parts) {
      text += (text.empty() ? "" : "/") + std::string(kNames[below(names)]);
    }
    return text;
  };
  std::vector<Item> items(1 + below(8));
  for (size_t i = 0; i < items.size(); ++i) {
    Item& item = items[i];
    item = {.type = std::string(kTypes[below(std::size(kTypes))]),
            .name = path(),
            .id = static_cast<uint32_t>(i + 1)};
    if (item.type == "hardlink") {
      item.link = below(3) > 0 ? items[below(items.size())].name : path();
    } else if (item.type == "symlink") {
      item.link = "x";
    } else if (item.type == "reg" && below(2) == 0) {
      item.size_bytes = 1 + below(100);
      item.blob_offset = 100 * (i + 1);
    }
  }
  return items;
}

TEST(LayerTreeProperty, AgreesWithUnpackingEntryByEntry) {
  constexpr int kRounds = 20'000;
  int accepted = 0;
  for (int round = 0; round < kRounds; ++round) {
    std::mt19937 random(static_cast<unsigned>(round));
    const std::vector<Item> items = MakeItems(random);
    std::vector<std::string> entries;
    for (const Item& item : items) {
      entries.push_back(ToJson(item));
    }
    const std::string json = testing_support::TocDocument(entries);
    SCOPED_TRACE(fmt::format("round {}: {}", round, json));
    StatusOr<Toc> toc = Toc::Parse(AsBytes(json));
    ASSERT_TRUE(toc.ok()) << toc.status();
    const StatusOr<LayerTree> tree = LayerTree::Build(*std::move(toc), kPayloadEnd);
    std::optional<std::set<std::string>> want;
    try {
      want = Model(items).Describe();
    } catch (const Refused&) {
    }
    ASSERT_EQ(tree.ok(), want.has_value()) << tree.status();
    if (want) {
      ++accepted;
      ASSERT_EQ(Describe(*tree), *want);
      ASSERT_EQ(testing_support::LayerTreeInvariants(*tree, kPayloadEnd).broken(), "");
    }
  }
  EXPECT_GT(accepted, kRounds / 5) << "the test must see trees, not only refusals";
}

}  // namespace
}  // namespace starling::estargz
