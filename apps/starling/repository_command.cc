#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/starling/commands.h"
#include "apps/starling/exit_codes.h"
#include "apps/starling/toolbox.h"

namespace starling::cli {
namespace {

struct Arguments {
  std::string name;
  bool json = false;
  RegistryOptions registries;
};

StatusOr<oci::Reference> ReferenceOf(const std::string& text) {
  ASSIGN_OR_RETURN(const transport::ImageName name, transport::ImageName::Parse(text));
  if (name.kind != transport::Kind::kRegistry) {
    return MakeError(StatusCode::kInvalidArgument, fmt::format("{} is not in a registry", text));
  }
  return oci::Reference::Parse(name.reference);
}

Status PrintTags(const Arguments& arguments) {
  ASSIGN_OR_RETURN(const oci::Reference image, ReferenceOf(arguments.name));
  ASSIGN_OR_RETURN(const auto toolbox, Toolbox::Make(arguments.registries, arguments.name));
  ASSIGN_OR_RETURN(const std::vector<std::string> tags, toolbox->registries().Tags(image));
  if (arguments.json) {
    const nlohmann::ordered_json json = {
        {"name", fmt::format("{}/{}", image.domain(), image.repository())}, {"tags", tags}};
    std::printf("%s\n", json.dump(2).c_str());
    return OkStatus();
  }
  for (const std::string& tag : tags) {
    std::printf("%s\n", tag.c_str());
  }
  return OkStatus();
}

Status Delete(const Arguments& arguments) {
  ASSIGN_OR_RETURN(const oci::Reference image, ReferenceOf(arguments.name));
  ASSIGN_OR_RETURN(const auto toolbox, Toolbox::Make(arguments.registries, arguments.name));
  const Status removed = toolbox->registries().Remove(image);
  if (removed.code() == StatusCode::kUnimplemented && !image.digest()) {
    // What the message wants is a digest: find it out.
    const auto top = toolbox->registries().Source(image)->ReadTopManifest();
    return !top.ok()
               ? removed
               : MakeError(removed.code(), fmt::format("{}: starling delete {}", MessageOf(removed),
                                                       image.WithDigest(top->digest).ToString()));
  }
  RETURN_IF_ERROR(removed);
  if (arguments.json) {
    const nlohmann::ordered_json json = {{"deleted", image.ToString()}};
    std::printf("%s\n", json.dump(2).c_str());
  } else {
    std::printf("%s\n", image.ToString().c_str());
  }
  return OkStatus();
}

void Add(CLI::App& app, Run& chosen, int& exit_code, const char* name, const char* description,
         const char* object, const char* footer, Status (*run)(const Arguments&)) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App& command = *app.add_subcommand(name, description);
  command.add_option(object, arguments->name)->required();
  command.add_flag("--json", arguments->json, "Print JSON");
  AddRegistryOptions(command, arguments->registries);
  command.footer(std::string(kExitCodesHelp) + "\n" + footer);
  command.callback([arguments, run, &chosen, &exit_code] {
    chosen = [arguments, run, &exit_code] {
      const Status result = run(*arguments);
      exit_code = ExitCodeOf(result);
      return result;
    };
  });
}

}  // namespace

void AddTags(CLI::App& app, Run& chosen, int& exit_code) {
  Add(app, chosen, exit_code, "tags", "List the tags of a repository", "REPOSITORY",
      "Example: starling tags ghcr.io/me/app", PrintTags);
}

void AddDelete(CLI::App& app, Run& chosen, int& exit_code) {
  Add(app, chosen, exit_code, "delete",
      "Remove a manifest from its registry: by its digest with all of its tags, or a tag alone",
      "IMAGE",
      "Few registries delete by tag. Blobs stay until the registry collects them.\n"
      "Example: starling delete ghcr.io/me/app@sha256:...",
      Delete);
}

}  // namespace starling::cli
