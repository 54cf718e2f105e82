#include "dockerfile/plan/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "dockerfile/plan/print.h"

namespace starling::dockerfile::plan {
namespace {

using nlohmann::json;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

/// Knows every image; notes which are asked for.
class Images : public ImageResolver {
 public:
  StatusOr<BaseImage> ResolveImage(const std::string& reference,
                                   const oci::Platform& platform) override {
    asked.push_back(reference);
    if (reference.find("missing") != std::string::npos) {
      return MakeError(StatusCode::kNotFound, "no such image");
    }
    json config = {{"os", platform.os},
                   {"architecture", platform.architecture},
                   {"config", {{"Env", {"PATH=/bin", "FROM_BASE=1"}}, {"Cmd", {"sh"}}}}};
    if (!on_build.empty()) {
      config["config"]["OnBuild"] = on_build;
    }
    return BaseImage{.reference = reference,
                     .platform = platform,
                     .manifest = oci::Digest::Of(AsBytes(reference)),
                     .config = config.dump()};
  }
  std::vector<std::string> asked;
  std::vector<std::string> on_build;
};

class MakePlanTest : public ::testing::Test {
 protected:
  Plan Make(const std::string& text) {
    auto plan = MakePlan(syntax::ParseDockerfile(text), settings_, images_);
    if (!plan.ok()) {
      ADD_FAILURE() << plan.status().range.begin.line << ": " << plan.status().message;
      return {};
    }
    return *std::move(plan);
  }
  /// "LINE: MESSAGE".
  std::string Refusal(const std::string& text) {
    const auto plan = MakePlan(syntax::ParseDockerfile(text), settings_, images_);
    return plan.ok() ? "accepted"
                     : fmt::format("{}: {}", plan.status().range.begin.line, plan.status().message);
  }
  template <typename Operation>
  static const Operation& Root(const Plan& plan) {
    return std::get<Operation>(plan.graph.nodes[plan.root].operation);
  }

  PlanSettings settings_;
  Images images_;
};

TEST_F(MakePlanTest, StagesThatNobodyNeedsAreNotResolved) {
  const Plan plan =
      Make("FROM missing:1 AS unused\nRUN x\nFROM a AS b\nFROM b\nCOPY --from=b / /x\n");
  EXPECT_THAT(images_.asked, ElementsAre("docker.io/library/a:latest"));
  EXPECT_EQ(plan.graph.nodes.size(), 2u);
}

TEST_F(MakePlanTest, AnImageIsAskedForOnce) {
  Make("FROM a\nCOPY --from=a /x /y\nRUN --mount=from=docker.io/library/a:latest,target=/m x\n");
  EXPECT_THAT(images_.asked, ElementsAre("docker.io/library/a:latest"));
}

TEST_F(MakePlanTest, TheEnvironmentOfAProcess) {
  struct Case {
    const char* name;
    const char* lines;
    std::vector<std::string> want;
  };
  settings_.build.arguments = {{"CLI", "cli"}, {"http_proxy", "p"}, {"UNDECLARED", "u"}};
  const Case cases[] = {
      {"the base's", "", {"PATH=/bin", "FROM_BASE=1"}},
      {"ENV", "ENV A=b\n", {"PATH=/bin", "FROM_BASE=1", "A=b"}},
      {"ARG with a default", "ARG A=b\n", {"PATH=/bin", "FROM_BASE=1", "A=b"}},
      {"ARG without a value", "ARG A\n", {"PATH=/bin", "FROM_BASE=1"}},
      {"build argument", "ARG CLI=default\n", {"PATH=/bin", "FROM_BASE=1", "CLI=cli"}},
      {"ARG after ENV", "ENV CLI=env\nARG CLI\n", {"PATH=/bin", "FROM_BASE=1", "CLI=cli"}},
      {"ENV after ARG", "ARG CLI\nENV CLI=env\n", {"PATH=/bin", "FROM_BASE=1", "CLI=env"}},
      {"ENV of one line sees what was before",
       "ENV A=1\nENV A=2 B=$A\n",
       {"PATH=/bin", "FROM_BASE=1", "A=2", "B=1"}},
  };
  for (const Case& c : cases) {
    const Plan plan = Make(std::string("FROM a\n") + c.lines + "RUN x\n");
    EXPECT_EQ(Root<plan::Run>(plan).environment, c.want) << c.name;
    EXPECT_THAT(Root<plan::Run>(plan).proxies, ElementsAre("http_proxy=p")) << c.name;
  }
}

TEST_F(MakePlanTest, WhatARunStarts) {
  struct Case {
    const char* name;
    const char* lines;
    std::vector<std::string> want;
  };
  const Case cases[] = {
      {"shell form", "RUN echo  a", {"/bin/sh", "-c", "echo  a"}},
      {"exec form", "RUN [\"a\", \"b c\"]", {"a", "b c"}},
      {"another shell", "SHELL [\"bash\", \"-euc\"]\nRUN x", {"bash", "-euc", "x"}},
      {"heredoc", "RUN <<EOF\na\nb\nEOF\n", {"/bin/sh", "-c", "a\nb\n"}},
      {"heredoc without tabs", "RUN <<-EOF\n\ta\n\tEOF\n", {"/bin/sh", "-c", "a\n"}},
      {"heredoc for a command", "RUN cat <<EOF\na\nEOF\n", {"/bin/sh", "-c", "cat <<EOF\na\nEOF"}},
      {"heredoc with an interpreter",
       "RUN <<EOF\n#!/usr/bin/awk\nx\nEOF\n",
       {"/bin/sh", "-c", "/dev/pipes/EOF"}},
  };
  for (const Case& c : cases) {
    const Plan plan = Make(std::string("FROM a\n") + c.lines);
    EXPECT_EQ(Root<plan::Run>(plan).arguments, c.want) << c.name;
  }
  const Plan plan = Make("FROM a\nRUN <<EOF\n#!/usr/bin/awk\nx\nEOF\n");
  EXPECT_EQ(Root<plan::Run>(plan).script->content, "#!/usr/bin/awk\nx\n");
}

TEST_F(MakePlanTest, Mounts) {
  const Plan plan = Make(
      "FROM a\nWORKDIR /w\nARG D=/cache\nRUN --mount=type=cache,target=$D "
      "--mount=type=bind,source=../x,target=in --mount=type=secret,id=dir/s "
      "--mount=type=secret,id=e,env=E --mount=type=ssh x\n");
  const std::vector<RunMount>& mounts = Root<plan::Run>(plan).mounts;
  ASSERT_EQ(mounts.size(), 5u);
  EXPECT_EQ(mounts[0].id, "/cache");
  EXPECT_FALSE(mounts[0].input);
  EXPECT_EQ(mounts[1].source, "/x");
  EXPECT_EQ(mounts[1].target, "/w/in");
  EXPECT_TRUE(mounts[1].input);
  EXPECT_EQ(mounts[2].target, "/run/secrets/s");
  EXPECT_EQ(mounts[3].target, "");
  EXPECT_EQ(mounts[3].variable, "E");
  EXPECT_EQ(mounts[4].id, "default");
  EXPECT_EQ(mounts[4].target, "/run/buildkit/ssh_agent.0");
}

TEST_F(MakePlanTest, WhereACopyGoes) {
  const std::pair<const char*, const char*> cases[] = {
      {"COPY a /b", "/b"},      {"COPY a /b/", "/b/"}, {"COPY a .", "/w/"}, {"COPY a ./", "/w/"},
      {"COPY a b/c", "/w/b/c"}, {"COPY a ../b", "/b"}, {"COPY a /", "/"},   {"COPY a /b/.", "/b/"}};
  for (const auto& [line, want] : cases) {
    const Plan plan = Make(std::string("FROM scratch\nWORKDIR /w\n") + line);
    EXPECT_EQ(Root<Copy>(plan).destination, want) << line;
  }
}

TEST_F(MakePlanTest, WhatACopyTakes) {
  struct Case {
    const char* line;
    const char* path;
    bool is_pattern;
    bool unpack;
  };
  const Case cases[] = {{"COPY a/../../b /x", "b", false, false},
                        {"COPY /a/ /x", "a", false, false},
                        {"COPY . /x", "", false, false},
                        {"COPY *.txt /x/", "*.txt", true, false},
                        {"COPY --parents a/./b /x/", "a/./b", false, false},
                        {"COPY --parents ././a/b /x/", "a/b", false, false},
                        {"ADD a.tar /x", "a.tar", false, true},
                        {"ADD --unpack=false a.tar /x", "a.tar", false, false},
                        {"ADD https://host/p/file.tar?q=1 /x", "file.tar", false, false},
                        {"ADD --unpack https://host/ /x", "__unnamed__", false, true},
                        {"ADD https://host/repo.git#main:dir /x", "", false, false}};
  for (const Case& c : cases) {
    const Plan plan = Make(std::string("FROM scratch\n") + c.line);
    const CopySource& source = Root<Copy>(plan).sources.at(0);
    EXPECT_EQ(source.path, c.path) << c.line;
    EXPECT_EQ(source.is_pattern, c.is_pattern) << c.line;
    EXPECT_EQ(source.unpack, c.unpack) << c.line;
  }
}

TEST_F(MakePlanTest, FilesOfTheDockerfileAreExpandedUnlessQuoted) {
  const Plan plan =
      Make("FROM scratch\nENV A=b\nCOPY <<ONE <<\"TWO\" /x/\n$A \"q\" \\$A\nONE\n$A\nTWO\n");
  const auto& copy = Root<Copy>(plan);
  ASSERT_EQ(copy.sources.size(), 2u);
  const auto& files =
      std::get<InlineSource>(plan.graph.nodes[copy.sources[0].input].operation).files;
  EXPECT_EQ(files[0].content, "b \"q\" $A\n");
  EXPECT_EQ(files[1].content, "$A\n");
}

TEST_F(MakePlanTest, TriggersRunRightAfterFromAndAreGone) {
  images_.on_build = {"RUN trigger", "ENV T=1"};
  const Plan plan = Make("FROM a\nRUN own\n");
  EXPECT_EQ(plan.graph.nodes.size(), 3u);
  EXPECT_THAT(plan.image.on_build, IsEmpty());
  EXPECT_THAT(Root<plan::Run>(plan).environment, Contains("T=1"));
  images_.on_build = {"FROM b"};
  EXPECT_THAT(Refusal("FROM other\n"), HasSubstr("1: the base image's trigger"));
}

TEST_F(MakePlanTest, NamedContexts) {
  settings_.named_contexts = {{"dir", "/some/dir"},
                              {"image", "docker-image://b:2"},
                              {"layout", "oci-layout:///layouts/x:tag"},
                              {"stage", "target:first"},
                              {"docker.io/library/a:latest", "docker-image://replaced"},
                              {"repo", "https://host/r.git"},
                              {"file", "https://host/f"}};
  const auto kind_of = [&](const std::string& name) {
    const Plan plan =
        Make("FROM scratch AS first\nRUN x\nFROM scratch\nCOPY --from=" + name + " /x /y\n");
    return KindOf(plan.graph.nodes[Root<Copy>(plan).sources.at(0).input].operation);
  };
  EXPECT_EQ(kind_of("dir"), "context");
  EXPECT_EQ(kind_of("image"), "image");
  EXPECT_EQ(kind_of("layout"), "image");
  EXPECT_EQ(kind_of("stage"), "run");
  EXPECT_EQ(kind_of("repo"), "git");
  EXPECT_EQ(kind_of("file"), "download");
  EXPECT_THAT(images_.asked, ElementsAre("docker.io/library/b:2", "oci:/layouts/x:tag"));
  images_.asked.clear();
  Make("FROM a\n");
  EXPECT_THAT(images_.asked, ElementsAre("docker.io/library/replaced:latest"));
  // A directory as a base: its files are a layer.
  EXPECT_EQ(KindOf(Make("FROM dir\n").graph.nodes.back().operation), "copy");
}

TEST_F(MakePlanTest, TheTargetIsAStage) {
  settings_.build.target = "FIRST";
  EXPECT_EQ(Make("FROM a AS first\nFROM missing\n").graph.nodes.size(), 1u);
  settings_.build.target = "frist";
  const auto refused = MakePlan(syntax::ParseDockerfile("FROM a AS first\n"), settings_, images_);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().suggestion, "first");
}

TEST_F(MakePlanTest, CacheIsLeftOutWhereItIsAsked) {
  const auto uncached = [&] {
    size_t count = 0;
    const Plan plan = Make("FROM a AS one\nRUN x\nFROM one AS two\nRUN y\n");
    for (const Node& node : plan.graph.nodes) {
      count += node.no_cache ? 1 : 0;
    }
    return count;
  };
  EXPECT_EQ(uncached(), 0u);
  settings_.no_cache_stages = {"TWO"};
  EXPECT_EQ(uncached(), 1u);
  settings_.no_cache = true;
  EXPECT_EQ(uncached(), 2u);
}

TEST_F(MakePlanTest, RefusesWithAPlace) {
  settings_.named_contexts = {{"self", "target:loop"}};
  const std::pair<const char*, const char*> cases[] = {
      {"FROM a\nCOPY --from=2 / /\n", "2: --from=2: there is no such stage"},
      {"FROM a\nCOPY --from=later / /\nFROM b AS later\nFROM scratch\nCOPY --from=0 / /\n",
       "2: --from=later: the stage comes later"},
      {"FROM self AS loop\n", "1: the stage is made of itself"},
      {"FROM missing\n", "1: no such image"},
      {"FROM a\nCOPY https://host/f /\n", "2: COPY takes no URL"},
      {"FROM a\nADD --checksum=sha256:0 x /\n", "2: "},
      {"FROM a\nRUN --mount=type=tmpfs,target=/x/.. y\n", "2: the target cannot be /"},
      {"FROM a\nENV E=\nCOPY --from=$E / /\n", "3: --from ($E) is empty"},
      {"FROM a\nVOLUME [\" \"]\n", "2: "},
      {"FROM a\nSTOPSIGNAL NOTONE\n", "2: "},
      {"FROM a\nARG P=x\nEXPOSE $P\n", "3: "},
      {"FROM $NOTHING\n", "1: the base image ($NOTHING) has no name"},
      {"FROM --platform=$NOTHING a\n", "1: the platform ($NOTHING) is empty"}};
  for (const auto& [text, want] : cases) {
    EXPECT_THAT(Refusal(text), HasSubstr(want)) << text;
  }
}

TEST_F(MakePlanTest, IsBoundedWhateverItsLinesSay) {
  const auto repeated = [](std::string_view line, size_t count) {
    std::string text;
    for (size_t i = 0; i < count; ++i) {
      text += line;
    }
    return text;
  };
  // A line has 64 KiB at most, a variable may have more.
  const std::string large =
      "FROM scratch AS s0\nENV L=" + std::string(60'000, 'x') + "\nENV A=$L$L$L$L$L$L$L$L\n";
  std::string stages;
  std::string copies = "FROM scratch\n";
  for (int i = 1; i < 900; ++i) {
    stages += fmt::format("FROM s0 AS s{}\n", i);
    copies += fmt::format("COPY --from=s{} / /\n", i);
  }
  const std::pair<const char*, std::string> cases[] = {
      {"environments of steps", large + repeated("RUN x\n", 1000)},
      {"history", large + repeated("LABEL a=$A\n", 1000)},
      {"files", large + repeated("COPY <<F /f\n$A\nF\n", 1000)},
      {"stages on a stage", large + "LABEL a=$A\n" + stages + copies}};
  for (const auto& [name, text] : cases) {
    EXPECT_THAT(Refusal(text), HasSubstr("the steps up to here take more than")) << name;
  }
  EXPECT_EQ(Refusal(large + repeated("RUN x\n", 100)), "accepted");
}

TEST_F(MakePlanTest, BoundsHowManyStagesStandOnEachOther) {
  const auto tower = [](std::string_view line, int count) {
    std::string text = "FROM scratch AS s0\nRUN x\n";
    for (int i = 1; i < count; ++i) {
      text += fmt::format(fmt::runtime(line), i - 1, i);
    }
    return text;
  };
  for (const std::string_view line :
       {"FROM s{0} AS s{1}\n", "FROM scratch AS s{1}\nCOPY --from=s{0} / /\n",
        "FROM scratch AS s{1}\nRUN --mount=from=s{0},target=/m x\n"}) {
    EXPECT_EQ(Refusal(tower(line, 200)), "accepted") << line;
    EXPECT_THAT(Refusal(tower(line, 201)), HasSubstr("more than 200 stages stand on each other"))
        << line;
  }
}

TEST_F(MakePlanTest, TitlesCountTheStepsOfAStage) {
  const Plan plan = Make("FROM a AS one\nENV X=y\nRUN x\nWORKDIR /w\nFROM one\nRUN z\n");
  std::vector<std::string> titles;
  for (const Node& node : plan.graph.nodes) {
    titles.push_back(node.title);
  }
  EXPECT_THAT(titles, ElementsAre("[one 1/3] FROM docker.io/library/a:latest", "[one 2/3] RUN x",
                                  "[one 3/3] WORKDIR /w", "[stage-1 2/2] RUN z"));
}

}  // namespace
}  // namespace starling::dockerfile::plan
