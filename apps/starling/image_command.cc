#include <memory>
#include <optional>

#include "apps/starling/build_run.h"
#include "apps/starling/commands.h"
#include "apps/starling/recipe_options.h"
#include "base/file_system.h"
#include "base/io.h"
#include "dockerfile/syntax/source_lines.h"

namespace starling::cli {
namespace {

namespace recipe = dockerfile::recipe;

struct Arguments {
  /// An image, a Dockerfile or a recipe, by the command.
  std::string base;
  BuildArguments build;
  /// Of the options, without the base.
  recipe::Recipe steps;
  std::optional<int> builder_version;
};

/// What an image begins with.
using Base = std::function<StatusOr<recipe::Recipe>(const Arguments& arguments)>;

StatusOr<recipe::Recipe> FromRegistry(const Arguments& arguments) {
  return recipe::Recipe{.steps = {recipe::From{.image = arguments.base, .platform = {}}}};
}

StatusOr<recipe::Recipe> FromScratch(const Arguments& /*arguments*/) {
  return recipe::Recipe{.steps = {recipe::From{.image = "scratch", .platform = {}}}};
}

StatusOr<recipe::Recipe> FromDockerfile(const Arguments& arguments) {
  ASSIGN_OR_RETURN(const Bytes text, ReadFile(RealFileSystem(), arguments.base,
                                              dockerfile::syntax::kMaxDockerfileBytes));
  return recipe::Recipe{
      .steps = {recipe::WholeDockerfile{
          .text = std::string(AsText(text)), .target = {}, .build_arguments = {}}}};
}

StatusOr<recipe::Recipe> FromRecipe(const Arguments& arguments) {
  return ReadRecipe(arguments.base);
}

Status RunImage(const Arguments& arguments, const Base& base, int& exit_code) {
  ASSIGN_OR_RETURN(recipe::Recipe whole, base(arguments));
  whole.steps.insert(whole.steps.end(), arguments.steps.steps.begin(), arguments.steps.steps.end());
  whole.builder_version = arguments.builder_version.value_or(whole.builder_version);
  return RunBuild(arguments.build, &whole, exit_code);
}

void AddImageFrom(CLI::App& image, Run& chosen, int& exit_code, const std::string& name,
                  const std::string& description, const std::string& base_name,
                  const std::string& base_description, const Base& base) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App& command = *image.add_subcommand(name, description);
  if (!base_name.empty()) {
    command.add_option(base_name, arguments->base, base_description)->required();
  }
  AddStepOptions(command, arguments->steps);
  AddBuildOptions(command, arguments->build);
  command.add_option("--builder-version", arguments->builder_version,
                     "The behaviour of the builder that is meant (default: the recipe's, or the "
                     "newest)");
  command.add_option("--context", arguments->build.path, "The directory of the main build context");
  command.callback([arguments, base, &chosen, &exit_code] {
    chosen = [arguments, base, &exit_code] { return RunImage(*arguments, base, exit_code); };
  });
}

/// An option between packages ends their list for the parser, so that it does not know it.
std::string FailureMessage(const CLI::App* app, const CLI::Error& error) {
  std::string message = CLI::FailureMessage::simple(app, error);
  if (app->got_subcommand("image") && dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    message +=
        "What pip or apt-get is to be told is no package; write the command: --run 'python -m pip "
        "install --pre NAME'.\n";
  }
  return message;
}

}  // namespace

void AddImage(CLI::App& app, Run& chosen, int& exit_code) {
  CLI::App& image = *app.add_subcommand("image", "Describe an image by options: each is one step");
  image.require_subcommand(1);
  app.failure_message(FailureMessage);
  image.footer(
      "Example: starling image from-registry ubuntu:22.04 --add-python 3.11 --pip-install polars "
      "-t app --print=dockerfile\n"
      "docs/recipe.md says what each step does.");
  AddImageFrom(image, chosen, exit_code, "from-registry", "Begin from an image of a registry",
               "IMAGE", "Such as ubuntu:22.04", FromRegistry);
  AddImageFrom(image, chosen, exit_code, "from-dockerfile", "Begin from what a Dockerfile makes",
               "FILE", "A Dockerfile", FromDockerfile);
  AddImageFrom(image, chosen, exit_code, "from-recipe", "Begin from what a recipe makes", "FILE",
               "A recipe's JSON, or - for standard input", FromRecipe);
  AddImageFrom(image, chosen, exit_code, "from-scratch", "Begin from nothing", "", "", FromScratch);
}

}  // namespace starling::cli
