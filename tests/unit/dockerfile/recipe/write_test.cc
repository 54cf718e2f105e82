#include "dockerfile/recipe/write.h"

#include <gtest/gtest.h>

#include "dockerfile/recipe/read.h"

namespace starling::dockerfile::recipe {
namespace {

TEST(WriteRecipe, WritesWhatIsReadAgain) {
  UvPip uv;
  uv.packages = {"polars", "datasette"};
  uv.requirements = {{"local-1", "requirements.txt"}};
  uv.index_url = "https://example.com/simple?a=\"b\"";
  uv.pre = true;
  uv.extra_options = {"--no-deps"};
  uv.secrets = {{"token", "TOKEN"}};
  uv.uv_version = "0.8.0";
  const Recipe recipe{.steps = {From{"ubuntu:22.04", "linux/amd64"}, AddPython{"3.11"}, uv,
                                Copy{{"local-2", "."}, "/app", {"*.pyc"}},
                                Env{{{"B", "\n\"\\"}, {"A", ""}}}, Entrypoint{},
                                Poetry{.project = {"p", "pyproject.toml"},
                                       .lock = ContextPath{"p", "poetry.lock"},
                                       .with = {"dev"},
                                       .without = {},
                                       .only = {},
                                       .poetry_version = "~=1.7",
                                       .old_installer = true,
                                       .secrets = {}}}};
  const std::string text = WriteRecipe(recipe);
  const auto again = ParseRecipe(AsBytes(text));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(*again, recipe);
  EXPECT_EQ(WriteRecipe(*again), text);
}

TEST(WriteRecipe, LeavesOutWhatSaysNothing) {
  EXPECT_EQ(WriteRecipe({.steps = {From{"scratch", {}}, Cmd{}}}),
            R"({
  "version": 1,
  "builder_version": 2,
  "steps": [
    {
      "step": "from",
      "image": "scratch"
    },
    {
      "step": "cmd",
      "command": []
    }
  ]
}
)");
}

}  // namespace
}  // namespace starling::dockerfile::recipe
