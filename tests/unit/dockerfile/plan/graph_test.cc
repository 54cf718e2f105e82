#include "dockerfile/plan/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace starling::dockerfile::plan {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

RunMount BindOf(NodeId input) {
  RunMount mount;
  mount.input = input;
  return mount;
}

TEST(InputsOf, NamesTheBaseFirstAndThenWhatFilesComeFrom) {
  plan::Run run;
  run.base = 3;
  run.mounts = {BindOf(1), RunMount{}, BindOf(2)};
  EXPECT_THAT(InputsOf(run), ElementsAre(3, 1, 2));

  Copy copy;
  copy.base = 5;
  copy.sources = {CopySource{.input = 4}, CopySource{.input = 4}};
  EXPECT_THAT(InputsOf(copy), ElementsAre(5, 4, 4));

  EXPECT_THAT(InputsOf(MakeDirectory{.base = 2}), ElementsAre(2));
}

TEST(InputsOf, IsEmptyForASource) {
  for (const Operation& source : {Operation(Scratch{}), Operation(ImageSource{}),
                                  Operation(ContextSource{}), Operation(InlineSource{})}) {
    EXPECT_THAT(InputsOf(source), IsEmpty());
    EXPECT_EQ(BaseOf(source), std::nullopt);
  }
}

TEST(BaseOf, IsWhatLayersAreMadeOn) {
  EXPECT_EQ(BaseOf(plan::Run{.base = 1}), NodeId{1});
  EXPECT_EQ(BaseOf(Copy{.base = 2}), NodeId{2});
  EXPECT_EQ(BaseOf(MakeDirectory{.base = 3}), NodeId{3});
}

TEST(NeededBy, FollowsInputsAndLeavesTheRestOut) {
  Graph graph;
  graph.nodes.resize(7);
  graph.nodes[2].operation = plan::Run{.base = 0};
  graph.nodes[3].operation = MakeDirectory{.base = 1};
  graph.nodes[4].operation = Copy{.base = 2, .sources = {CopySource{.input = 0}}};
  graph.nodes[5].operation = MakeDirectory{.base = 4};
  graph.nodes[6].operation = MakeDirectory{.base = 4};
  EXPECT_THAT(NeededBy(graph, 5), ElementsAre(0, 2, 4, 5));
  EXPECT_THAT(NeededBy(graph, 3), ElementsAre(1, 3));
  EXPECT_THAT(NeededBy(graph, 0), ElementsAre(0));
}

TEST(FileNameOf, IsTheLastPartOfThePath) {
  const std::pair<const char*, const char*> cases[] = {{"https://host/a/b.tar", "b.tar"},
                                                       {"https://host/a/b.tar?x=/y#z", "b.tar"},
                                                       {"https://host/a/", "__unnamed__"},
                                                       {"https://host", "__unnamed__"},
                                                       {"https://host/..", "__unnamed__"}};
  for (const auto& [url, name] : cases) {
    EXPECT_EQ(FileNameOf({.url = url}), name) << url;
  }
}

}  // namespace
}  // namespace starling::dockerfile::plan
