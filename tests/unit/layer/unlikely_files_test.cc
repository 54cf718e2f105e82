#include "layer/unlikely_files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/toc_json.h"

namespace starling::layer {
namespace {

using testing_support::DigestField;
using testing_support::TocDocument;

std::string File(std::string_view name, uint64_t offset) {
  return fmt::format(R"({{"name":"{}","type":"reg","size":9,"offset":{},{}}})", name, offset,
                     DigestField());
}

/// The names of all unlikely inodes, by one name each.
std::vector<std::string> Unlikely(const std::vector<std::string>& names,
                                  const std::vector<std::string>& more_entries = {}) {
  std::vector<std::string> entries;
  for (const std::string& name : names) {
    entries.push_back(File(name, 100 + 100 * entries.size()));
  }
  entries.insert(entries.end(), more_entries.begin(), more_entries.end());
  const std::string json = TocDocument(entries);
  auto toc = estargz::Toc::Parse(AsBytes(json));
  EXPECT_TRUE(toc.ok()) << toc.status();
  const auto tree = estargz::LayerTree::Build(*std::move(toc), 100'000);
  EXPECT_TRUE(tree.ok()) << tree.status();
  const std::vector<bool> unlikely = FindUnlikelyFiles(*tree);
  EXPECT_EQ(unlikely.size(), tree->inodes().size());
  std::vector<std::string> found;
  for (size_t inode = 0; inode < unlikely.size(); ++inode) {
    if (!unlikely[inode]) {
      continue;
    }
    EXPECT_FALSE(S_ISDIR(tree->inodes()[inode].mode));
    const uint64_t offset = tree->chunks()[tree->inodes()[inode].first_chunk].blob_offset;
    found.push_back(names[offset / 100 - 1]);
  }
  std::ranges::sort(found);
  return found;
}

TEST(FindUnlikelyFiles, KnowsThemByName) {
  const struct {
    std::string_view about;
    std::vector<std::string> files;
    std::vector<std::string> want;
  } cases[] = {
      {"programs, libraries, data", {"bin/sh", "lib/libc.so.6", "a.json", "app/main.js"}, {}},
      {"source beside what was compiled of it",
       {"m/__pycache__/a.cpython-311.pyc", "m/a.py", "m/b.py"},
       {"m/a.py"}},
      {"at the root", {"__pycache__/a.cpython-311.pyc", "a.py"}, {"a.py"}},
      {"a module's name with dots",
       {"m/__pycache__/a.b.cpython-311.pyc", "m/a.b.py", "m/a.py"},
       {"m/a.b.py"}},
      {"compiled elsewhere", {"m/__pycache__/a.cpython-311.pyc", "n/a.py"}, {}},
      {"optimised only", {"m/__pycache__/a.cpython-311.opt-1.pyc", "m/a.py"}, {}},
      {"optimised, too",
       {"m/__pycache__/a.cpython-311.opt-2.pyc", "m/__pycache__/a.cpython-311.pyc"},
       {"m/__pycache__/a.cpython-311.opt-2.pyc"}},
      {"compiled by another interpreter, optimised",
       {"m/__pycache__/a.cpython-311.opt-2.pyc", "m/__pycache__/a.cpython-312.pyc"},
       {}},
      {"strange names in a cache",
       {"__pycache__/.pyc", "__pycache__/a.pyc", "__pycache__/..pyc", ".py", "a.py"},
       {}},
      {"a file of the cache's name", {"m/__pycache__", "m/a.py"}, {}},
      {"tests",
       {"p/tests/a.so", "p/test/x/y", "p/testing/b", "p/test.py"},
       {"p/test/x/y", "p/tests/a.so"}},
      {"documentation and translations",
       {"usr/share/doc/a/b", "usr/share/locale/de/a.mo", "usr/share/man/m",
        "usr/share/zoneinfo/UTC", "app/doc/a", "usr/share/a/doc"},
       {"usr/share/doc/a/b", "usr/share/locale/de/a.mo", "usr/share/man/m"}},
      {"what package managers keep",
       {"root/.cache/model/pip", "root/.cache/pip/a/b", "srv/var/cache/apt/a", "var/cache/apt-x/a",
        "var/cache/apt/archives/a.deb", "var/cache/fontconfig/a", "var/lib/apt/extended_states",
        "var/lib/apt/lists/a"},
       {"root/.cache/pip/a/b", "var/cache/apt/archives/a.deb", "var/lib/apt/lists/a"}},
      {"for compilers",
       {"i/a.h", "i/a.hpp", "l/a.a", "m/a.pxd", "m/a.pyi", "n/a.d.ts", "n/a.js.map", "n/a.ts"},
       {"i/a.h", "i/a.hpp", "l/a.a", "m/a.pxd", "m/a.pyi", "n/a.d.ts", "n/a.js.map"}},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(Unlikely(c.files), c.want) << c.about;
  }
}

TEST(FindUnlikelyFiles, OneLikelyNameIsEnough) {
  const auto link = [](std::string_view name, std::string_view target) {
    return fmt::format(R"({{"name":"{}","type":"hardlink","linkName":"{}"}})", name, target);
  };
  EXPECT_EQ(Unlikely({"p/tests/a"}, {link("bin/a", "p/tests/a")}), std::vector<std::string>{});
  EXPECT_EQ(Unlikely({"p/tests/a"}, {link("q/tests/a", "p/tests/a")}),
            std::vector<std::string>{"p/tests/a"});
}

TEST(FindUnlikelyFiles, DeepTreesAreNoProblem) {
  std::string name = "tests";
  for (int i = 0; i < 1000; ++i) {
    name += "/d";
  }
  EXPECT_EQ(Unlikely({name}), std::vector<std::string>{name});
}

}  // namespace
}  // namespace starling::layer
