#include "apps/starling/recipe_options.h"

#include <unistd.h>

#include <cstdio>

#include "apps/starling/build_options.h"
#include "base/file_system.h"
#include "base/io.h"
#include "dockerfile/recipe/check.h"
#include "dockerfile/recipe/read.h"
#include "dockerfile/recipe/render.h"
#include "dockerfile/recipe/write.h"
#include "dockerfile/syntax/json_strings.h"

namespace starling::cli {
namespace {

namespace recipe = dockerfile::recipe;

StatusOr<Bytes> ReadRecipeBytes(const std::string& path) {
  if (path == kStandardStream) {
    FdSource source(STDIN_FILENO);
    return ReadAll(source, recipe::kMaxRecipeBytes);
  }
  return ReadFile(RealFileSystem(), path, recipe::kMaxRecipeBytes);
}

constexpr const char* kSteps = "Steps, in the order given";

/// An option that is one step each time: `add` makes it of the value.
void AddStepOption(CLI::App& command, const std::string& name, const std::string& description,
                   const std::function<void(const std::string& value)>& add) {
  command.add_option_function<std::string>(name, add, description)
      ->trigger_on_parse()
      // Of several, the library would take a value in brackets for a list.
      ->allow_extra_args(false)
      ->group(kSteps);
}

/// The same for one or more values.
void AddStepListOption(CLI::App& command, const std::string& name, const std::string& description,
                       const std::function<void(const std::vector<std::string>& values)>& add) {
  command.add_option_function<std::vector<std::string>>(name, add, description)
      ->trigger_on_parse()
      ->expected(1, CLI::detail::expected_max_vector_size)
      ->group(kSteps);
}

/// NAME=VALUE.
std::pair<std::string, std::string> NamedValue(const std::string& option, const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos) {
    throw CLI::ValidationError(option, text + " must be NAME=VALUE");
  }
  return {text.substr(0, equals), text.substr(equals + 1)};
}

/// A JSON array of strings, or one word that is all of the command.
std::vector<std::string> Command(const std::string& option, const std::string& text) {
  auto strings = dockerfile::syntax::ParseJsonStrings(text);
  if (!strings.ok()) {
    throw CLI::ValidationError(option, std::string(MessageOf(strings.status())));
  }
  if (!*strings && (text.starts_with('[') || text.find(' ') != std::string::npos)) {
    throw CLI::ValidationError(
        option, text + R"( must be one word or a JSON array, such as ["python", "-m", "app"])");
  }
  return *strings ? **std::move(strings) : std::vector<std::string>{text};
}

/// CONTEXT:PATH:DESTINATION.
recipe::Copy CopyOf(const std::string& option, const std::string& text) {
  const size_t context_end = text.find(':');
  const size_t path_end = text.rfind(':');
  if (path_end == context_end) {
    throw CLI::ValidationError(option, text + " must be CONTEXT:PATH:DESTINATION");
  }
  return {.source = {.context = text.substr(0, context_end),
                     .path = text.substr(context_end + 1, path_end - context_end - 1)},
          .destination = text.substr(path_end + 1),
          .ignore = {}};
}

}  // namespace

StatusOr<recipe::Recipe> ReadRecipe(const std::string& path) {
  auto bytes = ReadRecipeBytes(path);
  if (!bytes.ok()) {
    return Annotate(bytes.status(), path == kStandardStream ? "standard input" : path);
  }
  return recipe::ParseRecipe(*bytes);
}

void AddStepOptions(CLI::App& command, recipe::Recipe& recipe) {
  // Borrowed by the options, which `command` owns.
  auto* steps = &recipe.steps;
  AddStepOption(command, "--add-python",
                "Put this Python below /usr/local: 3.12, 3.12.4 or 3.14t (--python-source)",
                [steps](const auto& value) { steps->push_back(recipe::AddPython{value}); });
  AddStepListOption(command, "--apt-install", "Debian packages",
                    [steps](const auto& values) { steps->push_back(recipe::Apt{values, {}}); });
  AddStepListOption(command, "--pip-install", "Python packages, by pip",
                    [steps](const auto& values) {
                      recipe::Pip step;
                      step.packages = values;
                      steps->push_back(std::move(step));
                    });
  AddStepListOption(command, "--uv-pip-install", "Python packages, by uv",
                    [steps](const auto& values) {
                      recipe::UvPip step;
                      step.packages = values;
                      steps->push_back(std::move(step));
                    });
  AddStepListOption(command, "--micromamba-install", "Conda packages", [steps](const auto& values) {
    recipe::Micromamba step;
    step.packages = values;
    steps->push_back(std::move(step));
  });
  AddStepOption(command, "--run", "A command for the image's shell",
                [steps](const auto& value) { steps->push_back(recipe::Run{{value}, {}}); });
  AddStepOption(command, "--copy",
                "CONTEXT:PATH:DESTINATION: a file or directory of a build context",
                [steps](const auto& value) { steps->push_back(CopyOf("--copy", value)); });
  AddStepOption(command, "--env", "NAME=VALUE, literally", [steps](const auto& value) {
    steps->push_back(recipe::Env{{NamedValue("--env", value)}});
  });
  AddStepOption(command, "--label", "NAME=VALUE", [steps](const auto& value) {
    steps->push_back(recipe::Label{{NamedValue("--label", value)}});
  });
  AddStepOption(command, "--workdir", "The working directory",
                [steps](const auto& value) { steps->push_back(recipe::Workdir{value}); });
  AddStepOption(command, "--user", "USER or USER:GROUP",
                [steps](const auto& value) { steps->push_back(recipe::User{value}); });
  AddStepListOption(command, "--expose", "Ports: 80, 53/udp, 8000-8010",
                    [steps](const auto& values) { steps->push_back(recipe::Expose{values}); });
  AddStepOption(command, "--entrypoint", "One word, or a JSON array", [steps](const auto& value) {
    steps->push_back(recipe::Entrypoint{Command("--entrypoint", value)});
  });
  AddStepOption(command, "--cmd", "One word, or a JSON array", [steps](const auto& value) {
    steps->push_back(recipe::Cmd{Command("--cmd", value)});
  });
  AddStepOption(
      command, "--shell", "Of the commands that follow: one word, or a JSON array",
      [steps](const auto& value) { steps->push_back(recipe::Shell{Command("--shell", value)}); });
  AddStepOption(
      command, "--dockerfile-line", "An instruction as in a Dockerfile",
      [steps](const auto& value) { steps->push_back(recipe::DockerfileLines{{value}, {}}); });
}

Status PrintRecipe(const recipe::Recipe& recipe, const std::string& form) {
  std::string text;
  if (form != kPrintDockerfile) {
    RETURN_IF_ERROR(recipe::CheckRecipe(recipe));
    text = recipe::WriteRecipe(recipe);
  } else {
    ASSIGN_OR_RETURN(text, recipe::RenderDockerfile(recipe));
  }
  std::fwrite(text.data(), 1, text.size(), stdout);
  return OkStatus();
}

}  // namespace starling::cli
