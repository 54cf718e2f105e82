#include "dockerfile/recipe/needs.h"

#include <gtest/gtest.h>

namespace starling::dockerfile::recipe {
namespace {

TEST(NeedsOfBase, AreWhatIsCalledBeforeAnythingIsBrought) {
  const From base{.image = "ubuntu:22.04", .platform = {}};
  const recipe::Run run{.commands = {"true"}, .secrets = {}};
  const Poetry there{.project = {"c", "pyproject.toml"}};
  Poetry installed = there;
  installed.poetry_version = "latest";
  const struct {
    std::string_view name;
    std::vector<Step> steps;
    BaseNeeds want;
  } cases[] = {
      {"a base alone", {base}, {}},
      {"pip", {base, Pip{}}, {.python = 1, .pip = 1}},
      {"uv needs no pip", {base, UvPip{}}, {.python = 1, .pip = {}}},
      {"uv sync brings its own", {base, UvSync{}, Pip{}}, {}},
      {"a function", {base, PythonFunction{.script = "pass"}}, {.python = 1, .pip = {}}},
      {"poetry that is there", {base, there}, {}},
      {"poetry that pip installs", {base, installed}, {.python = 1, .pip = 1}},
      {"behind what brings nothing",
       {base, Env{{{"A", "b"}}}, Workdir{"/w"}, User{"app"}, Label{{{"a", "b"}}}, Expose{{"80"}},
        Entrypoint{}, Cmd{}, Shell{{"bash"}}, Pip{}},
       {.python = 9, .pip = 9}},
      {"behind a command", {base, run, Pip{}}, {}},
      {"behind packages", {base, Apt{.packages = {"python3"}, .secrets = {}}, Pip{}}, {}},
      {"behind files", {base, Copy{{"c", "x"}, "/usr/bin/", {}}, Pip{}}, {}},
      {"behind another PATH", {base, Env{{{"A", "b"}, {"PATH", "/opt/bin"}}}, Pip{}}, {}},
      {"behind lines", {base, DockerfileLines{.lines = {"RUN x"}, .context = {}}, Pip{}}, {}},
      {"behind micromamba", {base, Micromamba{.packages = {"python"}}, Pip{}}, {}},
      {"with add_python", {base, AddPython{"3.11"}, Pip{}}, {}},
      {"the first that calls it counts", {base, UvPip{}, Pip{}}, {.python = 1, .pip = {}}},
      {"a Dockerfile", {WholeDockerfile{.text = "FROM a"}, Pip{}}, {}},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(NeedsOfBase({.steps = c.steps}), c.want) << c.name;
  }
}

}  // namespace
}  // namespace starling::dockerfile::recipe
