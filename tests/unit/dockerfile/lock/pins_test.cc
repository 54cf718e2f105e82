#include "dockerfile/lock/pins.h"

#include <gtest/gtest.h>

namespace starling::dockerfile::lock {
namespace {

const oci::Digest kOne = oci::Digest::Of(AsBytes("one"));
const oci::Digest kTwo = oci::Digest::Of(AsBytes("two"));
const std::string kCommit(40, 'a');
const std::string kOther(40, 'b');

plan::Graph GraphOf(const std::vector<plan::HttpSource>& downloads,
                    const std::vector<syntax::GitReference>& repositories) {
  plan::Graph graph;
  for (const plan::HttpSource& source : downloads) {
    graph.nodes.push_back({.operation = source});
  }
  for (const syntax::GitReference& reference : repositories) {
    graph.nodes.push_back({.operation = plan::GitSource{.reference = reference}});
  }
  return graph;
}

TEST(Pins, LeaveEverythingOpenWithoutALock) {
  Pins pins;
  EXPECT_EQ(*pins.Image("a"), std::nullopt);
  EXPECT_EQ(*pins.Python("a"), std::nullopt);
  EXPECT_EQ(*pins.Tool("a"), std::nullopt);
  EXPECT_EQ(*pins.Packages("a"), std::nullopt);
  plan::Graph graph =
      GraphOf({{.url = "https://x/y"}}, {{.remote = "https://x/y.git", .ref = "v"}});
  EXPECT_TRUE(pins.PinSources(graph).ok());
  EXPECT_EQ(std::get<plan::HttpSource>(graph.nodes[0].operation).checksum, std::nullopt);
  EXPECT_EQ(std::get<plan::GitSource>(graph.nodes[1].operation).reference.ref, "v");
}

TEST(Pins, NoteWhatIsUsed) {
  Pins pins;
  EXPECT_TRUE(pins.NoteImage("a:1", kOne).ok());
  pins.NotePython("3.12 amd64 gnu v1", {"file", kTwo});
  pins.NoteTool("uv 0.13.9 amd64", {"uv.whl", kOne});
  pins.NotePackages("linux/amd64 pip install a", {"a==1"});
  pins.NoteDownload("https://me:secret@x/y?z", kOne);
  pins.NoteRepository(Pins::NameOf({.remote = "https://token@x/y.git", .ref = ""}), kCommit);
  EXPECT_EQ(pins.used(), (Lock{.images = {{"a:1", kOne}},
                               .pythons = {{"3.12 amd64 gnu v1", {"file", kTwo}}},
                               .tools = {{"uv 0.13.9 amd64", {"uv.whl", kOne}}},
                               .packages = {{"linux/amd64 pip install a", {"a==1"}}},
                               .downloads = {{"https://x/y?z", kOne}},
                               .repositories = {{"https://x/y.git#HEAD", kCommit}}}));
}

TEST(Pins, NameNoUser) {
  const std::pair<const char*, const char*> cases[] = {
      {"https://u:p@host/a@b", "https://host/a@b"}, {"https://host/a@b", "https://host/a@b"},
      {"https://u:p@ss@host", "https://host"},      {"https://host?u@x", "https://host?u@x"},
      {"ssh://git@host/a", "ssh://host/a"},         {"git@host:a/b", "git@host:a/b"},
  };
  for (const auto& [url, name] : cases) {
    EXPECT_EQ(Pins::NameOf(plan::HttpSource{.url = url}), name);
  }
}

TEST(Pins, AreWhatTheLockSays) {
  const Pins pins({.images = {{"a:1", kOne}},
                   .pythons = {{"3.12 amd64 gnu v1", {"file", kTwo}}},
                   .tools = {{"uv 0.13.9 amd64", {"uv.whl", kOne}}},
                   .packages = {{"linux/amd64 pip install a", {"a==1"}}},
                   .downloads = {{"https://x/y", kOne}},
                   .repositories = {{"https://x/y.git#main", kCommit}}},
                  "starling.lock");
  EXPECT_EQ(*pins.Image("a:1"), kOne);
  EXPECT_EQ((*pins.Python("3.12 amd64 gnu v1"))->file, "file");
  EXPECT_EQ((*pins.Tool("uv 0.13.9 amd64"))->digest, kOne);
  EXPECT_EQ(**pins.Packages("linux/amd64 pip install a"), std::vector<std::string>{"a==1"});
  plan::Graph graph =
      GraphOf({{.url = "https://x/y"}, {.url = "https://other", .checksum = kTwo}},
              {{.remote = "https://x/y.git", .ref = "main"}, {.remote = "z", .ref = kOther}});
  ASSERT_TRUE(pins.PinSources(graph).ok());
  EXPECT_EQ(std::get<plan::HttpSource>(graph.nodes[0].operation).checksum, kOne);
  EXPECT_EQ(std::get<plan::HttpSource>(graph.nodes[1].operation).checksum, kTwo);
  const auto& git = std::get<plan::GitSource>(graph.nodes[2].operation).reference;
  EXPECT_EQ(git.ref, kCommit);
  EXPECT_EQ(git.checksum, kCommit);
  EXPECT_EQ(std::get<plan::GitSource>(graph.nodes[3].operation).reference.checksum, "");
}

TEST(Pins, RefuseWhatTheLockDoesNotHave) {
  Pins pins({.images = {{"a:1", kOne}},
             .pythons = {},
             .tools = {},
             .packages = {},
             .downloads = {{"https://x/y", kOne}},
             .repositories = {{"https://x/y.git#main", kCommit}}},
            "L");
  constexpr const char* kHow = "build once with --lock and without --locked to write it again";
  const auto refused = [](const Status& status) {
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
    return std::string(MessageOf(status));
  };
  const auto sources = [&](const std::vector<plan::HttpSource>& downloads,
                           const std::vector<syntax::GitReference>& repositories) {
    plan::Graph graph = GraphOf(downloads, repositories);
    return refused(pins.PinSources(graph));
  };
  EXPECT_EQ(refused(pins.Image("a:2").status()),
            fmt::format("the image a:2 is not in L; {}", kHow));
  EXPECT_EQ(refused(pins.NoteImage("a:1", kTwo)),
            fmt::format("the image a:1 is {}, and L says {}", kTwo.ToString(), kOne.ToString()));
  EXPECT_EQ(refused(pins.Python("3.11").status()),
            fmt::format("Python 3.11 is not in L; {}", kHow));
  EXPECT_EQ(refused(pins.Tool("uv 0.8.0 amd64").status()),
            fmt::format("uv 0.8.0 amd64 is not in L; {}", kHow));
  EXPECT_EQ(refused(pins.Packages("linux/amd64 pip install a").status()),
            fmt::format("what \"linux/amd64 pip install a\" installs is not in L; {}", kHow));
  EXPECT_EQ(sources({{.url = "https://x/z"}}, {{.remote = "https://x/y.git", .ref = "v1"}}),
            fmt::format("https://x/z is not in L; {}; the repository https://x/y.git#v1 is not in "
                        "L; {}",
                        kHow, kHow));
  EXPECT_EQ(sources({{.url = "https://x/y", .checksum = kTwo}}, {}),
            fmt::format("the checksum of https://x/y is {}, and L says {}", kTwo.ToString(),
                        kOne.ToString()));
  EXPECT_EQ(sources({}, {{.remote = "https://x/y.git", .ref = "main", .checksum = "bbbbbbb"}}),
            fmt::format("the commit of https://x/y.git#main is bbbbbbb, and L says {}", kCommit));
}

}  // namespace
}  // namespace starling::dockerfile::lock
