#include "dockerfile/recipe/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace starling::dockerfile::recipe {
namespace {

using ::testing::HasSubstr;
using namespace std::string_literals;  // NOLINT(google-build-using-namespace)

Pip PipOf(std::vector<std::string> packages, std::vector<ContextPath> requirements = {}) {
  Pip pip;
  pip.packages = std::move(packages);
  pip.requirements = std::move(requirements);
  return pip;
}

TEST(CheckRecipe, NeedsOneBaseInFront) {
  const From base{.image = "ubuntu:22.04", .platform = {}};
  EXPECT_TRUE(CheckRecipe({.steps = {base}}).ok());
  EXPECT_THAT(std::string(MessageOf(CheckRecipe({}))), HasSubstr("/steps/0: the first step"));
  EXPECT_THAT(std::string(MessageOf(CheckRecipe({.steps = {User{"a"}}}))), HasSubstr("/steps/0"));
  EXPECT_THAT(std::string(MessageOf(CheckRecipe({.steps = {base, base}}))),
              HasSubstr("/steps/1: an image has one base"));
}

TEST(CheckRecipe, SaysWhatIsWrongWithAStep) {
  const ContextPath file{.context = "local-1", .path = "a"};
  const struct {
    std::string_view name;
    Step step;
    std::string_view want;  // empty: nothing is wrong
  } cases[] = {
      {.name = "run",
       .step = recipe::Run{.commands = {"a"}, .secrets = {{"id", "VAR"}}},
       .want = ""},
      {.name = "no command",
       .step = recipe::Run{},
       .want = "/steps/1/commands: nothing is in here"},
      {.name = "blank command",
       .step = recipe::Run{.commands = {"a", " \n"}, .secrets = {}},
       .want = "/steps/1/commands/1: an empty command"},
      {.name = "NUL", .step = recipe::Run{.commands = {"a\0b"s}, .secrets = {}}, .want = "NUL"},
      {.name = "secret's id",
       .step = recipe::Run{.commands = {"a"}, .secrets = {{"a,b", "V"}}},
       .want = "/steps/1/secrets/0/id"},
      {.name = "secret's variable",
       .step = recipe::Run{.commands = {"a"}, .secrets = {{"a", "1V"}}},
       .want = "/steps/1/secrets/0/variable"},
      {.name = "variable twice",
       .step = recipe::Run{.commands = {"a"}, .secrets = {{"a", "V"}, {"b", "V"}}},
       .want = "/steps/1/secrets/1/variable: another secret"},
      {.name = "copy", .step = Copy{file, "/x/", {"**/*.pyc", "!a"}}, .want = ""},
      {.name = "context", .step = Copy{{"A b", "a"}, "/x", {}}, .want = "/source/context"},
      {.name = "outside", .step = Copy{{"c", "a/../../b"}, "/x", {}}, .want = "/source/path"},
      {.name = "absolute", .step = Copy{{"c", "/etc"}, "/x", {}}, .want = "/source/path"},
      {.name = "relative", .step = Copy{file, "x", {}}, .want = "/destination: this must be an ab"},
      {.name = "line end",
       .step = Copy{file, "/x\ny", {}},
       .want = "/destination: this has a line"},
      {.name = "pattern", .step = Copy{file, "/x", {"[a"}}, .want = "/ignore"},
      {.name = "any value", .step = Env{{{"A", "$x 'y' \"z\" \n \\"}}}, .want = ""},
      {.name = "name", .step = Env{{{"A B", "1"}}}, .want = "/variables: \"A B\" is no name"},
      {.name = "digit", .step = Env{{{"1A", "1"}}}, .want = "/variables: \"1A\" is no name"},
      {.name = "no variable", .step = Env{}, .want = "/variables: nothing"},
      {.name = "workdir", .step = Workdir{"a\nb"}, .want = "/path"},
      {.name = "no workdir", .step = Workdir{""}, .want = "/path: this must not be empty"},
      {.name = "no entrypoint", .step = Entrypoint{}, .want = ""},
      {.name = "no shell", .step = Shell{}, .want = "/command: nothing"},
      {.name = "label", .step = Label{{{"org.x/y-z", "a"}}}, .want = ""},
      {.name = "label's name", .step = Label{{{"a=b", "a"}}}, .want = "/labels: \"a=b\" is no"},
      {.name = "user", .step = User{"www-data:1000"}, .want = ""},
      {.name = "user's name", .step = User{"a b"}, .want = "/user"},
      {.name = "port", .step = Expose{{"80", "8000-8010/udp"}}, .want = ""},
      {.name = "no port", .step = Expose{{"http"}}, .want = "/ports/0"},
      {.name = "apt's option",
       .step = Apt{.packages = {"git", "-y"}, .secrets = {}},
       .want = "/packages/1: \"-y\" is an option and no package; for options of apt-get"},
      {.name = "pip's option",
       .step = PipOf({"--pre"}),
       .want = "/packages/0: \"--pre\" is an option and no package; put it into \"extra_options\""},
      {.name = "nothing for pip", .step = PipOf({}), .want = "/steps/1: nothing to install"},
      {.name = "one name twice",
       .step = PipOf({}, {{"a", "x/r.txt"}, {"b", "r.txt"}}),
       .want = "/requirements/1: two files"},
      {.name = "frozen without lock",
       .step = UvSync{.project = file,
                      .lock = {},
                      .groups = {},
                      .extras = {},
                      .frozen = true,
                      .extra_options = {},
                      .uv_version = {},
                      .secrets = {}},
       .want = "/frozen: only a lock"},
      {.name = "an installer that poetry has not",
       .step = Poetry{.project = {"c", "pyproject.toml"},
                      .lock = {},
                      .with = {},
                      .without = {},
                      .only = {},
                      .poetry_version = "latest",
                      .old_installer = true,
                      .secrets = {}},
       .want = "/old_installer: poetry has one installer from 1.5 on"},
      {.name = "no version of micromamba",
       .step = Micromamba{.packages = {"a"},
                          .spec_file = {},
                          .channels = {},
                          .micromamba_version = "2 8",
                          .secrets = {}},
       .want = "/micromamba_version: this must be a version of micromamba, such as 2.8.1-0"},
      {.name = "nothing for micromamba", .step = Micromamba{}, .want = "nothing to install"},
      {.name = "series", .step = AddPython{"3.12"}, .want = ""},
      {.name = "exact", .step = AddPython{"3.12.4"}, .want = ""},
      {.name = "free-threaded", .step = AddPython{"3.14t"}, .want = ""},
      {.name = "number", .step = AddPython{"3"}, .want = "/version: \"3\" is no version"},
      {.name = "two", .step = AddPython{"2.7"}, .want = "/version"},
      {.name = "point", .step = AddPython{"3.1."}, .want = "/version"},
      {.name = "letters", .step = AddPython{"3.12tt"}, .want = "/version"},
      {.name = "no script", .step = PythonFunction{}, .want = "/script"},
      {.name = "no lines", .step = DockerfileLines{}, .want = "/lines"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const Status status = CheckRecipe({.steps = {From{"scratch", {}}, c.step}});
    if (c.want.empty()) {
      EXPECT_TRUE(status.ok()) << status;
    } else {
      EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
      EXPECT_THAT(std::string(MessageOf(status)), HasSubstr(std::string(c.want)));
    }
  }
  EXPECT_THAT(std::string(MessageOf(CheckRecipe({.steps = {From{"Not An Image", {}}}}))),
              HasSubstr("/steps/0/image"));
  EXPECT_THAT(std::string(MessageOf(CheckRecipe({.steps = {From{"a", "a/b/c/d/e"}}}))),
              HasSubstr("/steps/0/platform"));
}

}  // namespace
}  // namespace starling::dockerfile::recipe
