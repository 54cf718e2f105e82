#include "dockerfile/plan/print.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace starling::dockerfile::plan {
namespace {

Graph SomeGraph() {
  Graph graph;
  graph.nodes.push_back({.operation = Scratch{}, .title = "no files"});
  graph.nodes.push_back({.operation = MakeDirectory{.base = 0, .path = "/a"},
                         .title = "WORKDIR /a",
                         .range = {{2, 1}, {2, 11}}});
  return graph;
}

TEST(GraphText, ShowsANodeInALine) {
  EXPECT_EQ(GraphText(SomeGraph(), 1),
            " 0 scratch  no files\n*1 directory <- 0  WORKDIR /a  (line 2)\n");
}

TEST(GraphJson, ShowsThePartsOfEachNode) {
  const nlohmann::json graph = nlohmann::json::parse(GraphJson(SomeGraph(), 1));
  EXPECT_EQ(graph["root"], 1);
  EXPECT_EQ(graph["nodes"][1]["kind"], "directory");
  EXPECT_EQ(graph["nodes"][1]["inputs"], nlohmann::json::array({0}));
  EXPECT_EQ(graph["nodes"][1]["parts"]["path"], "/a");
  EXPECT_EQ(graph["nodes"][1]["line"], 2);
}

TEST(KindOf, NamesEveryKind) {
  const std::pair<Operation, const char*> cases[] = {
      {ImageSource{}, "image"}, {ContextSource{}, "context"}, {HttpSource{}, "download"},
      {GitSource{}, "git"},     {InlineSource{}, "files"},    {plan::Run{}, "run"},
      {Copy{}, "copy"}};
  for (const auto& [operation, name] : cases) {
    EXPECT_EQ(KindOf(operation), name);
  }
}

}  // namespace
}  // namespace starling::dockerfile::plan
