#include <cstdio>
#include <memory>

#include "apps/starling/artifacts.h"
#include "apps/starling/commands.h"
#include "apps/starling/recorded_run.h"
#include "apps/starling/toolbox.h"
#include "base/file_system.h"
#include "base/size_text.h"
#include "layer/gzip_index_store.h"
#include "layer/profile_store.h"

namespace starling::cli {
namespace {

using layer::AccessProfile;

struct Arguments {
  std::string image;
  std::string file;
  std::string root = "/var/lib/starling";
  std::string platform;
  bool json = false;
  std::vector<std::string> command;
  RegistryOptions registries;
};

layer::ProfileStore StoreOf(const Arguments& arguments) {
  return {std::filesystem::path(arguments.root) / layer::ProfileStore::kDirectoryName,
          RealFileSystem()};
}

StatusOr<AccessProfile> ReadProfile(const std::string& file) {
  ASSIGN_OR_RETURN(const Bytes json,
                   ReadFile(RealFileSystem(), file, AccessProfile::kMaxJsonBytes));
  auto profile = AccessProfile::Parse(json);
  return profile.ok() ? std::move(profile) : Annotate(profile.status(), file);
}

Status WriteProfile(const AccessProfile& profile, const std::string& file) {
  return WriteFileAtomically(RealFileSystem(), file, AsBytes(profile.ToJson() + "\n"), 0644);
}

/// The manifest of the image for the platform, as a profile names it.
StatusOr<oci::Descriptor> Resolve(Toolbox& toolbox, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const oci::Platform platform, PlatformOf(arguments.platform));
  ASSIGN_OR_RETURN(const std::shared_ptr<oci::ImageSource> source,
                   toolbox.OpenSource(arguments.image));
  ASSIGN_OR_RETURN(const oci::SelectedImage image, oci::SelectImage(*source, platform));
  return SubjectOf(image);
}

Status CheckImage(const AccessProfile& profile, const oci::Descriptor& image) {
  if (profile.image() == image.digest) {
    return OkStatus();
  }
  return MakeError(StatusCode::kInvalidArgument,
                   fmt::format("the profile is of image {}, not of {}", profile.image().ToString(),
                               image.digest.ToString()));
}

void Print(const AccessProfile& profile) {
  std::printf("%s\n  runs    %u\n  needed  %s in %zu ranges of %zu layers\n",
              profile.image().ToString().c_str(), profile.runs(),
              SizeText(profile.needed_bytes()).c_str(), profile.range_count(),
              profile.layers().size());
  for (const layer::LayerAccess& access : profile.layers()) {
    uint64_t bytes = 0;
    std::chrono::milliseconds first = AccessProfile::kMaxFirstNeed;
    std::chrono::milliseconds last{0};
    for (const layer::AccessRange& range : access.ranges) {
      bytes += range.range.size_bytes;
      first = std::min(first, range.first_need);
      last = std::max(last, range.first_need);
    }
    std::printf("\n  %s\n    TOC %s\n    %s in %zu ranges, first needed after %lld to %lld ms\n",
                access.key.layer.ToString().c_str(), access.key.toc.ToString().c_str(),
                SizeText(bytes).c_str(), access.ranges.size(),
                static_cast<long long>(first.count()), static_cast<long long>(last.count()));
  }
}

Status Show(const Arguments& arguments) {
  const auto find = [&]() -> StatusOr<AccessProfile> {
    std::error_code ignored;
    if (std::filesystem::is_regular_file(arguments.image, ignored)) {
      return ReadProfile(arguments.image);
    }
    ASSIGN_OR_RETURN(const auto toolbox, Toolbox::Make(arguments.registries, arguments.image));
    ASSIGN_OR_RETURN(const oci::Descriptor image, Resolve(*toolbox, arguments));
    return StoreOf(arguments).Find(image.digest);
  };
  ASSIGN_OR_RETURN(const AccessProfile profile, find());
  if (arguments.json) {
    std::printf("%s\n", profile.ToJson().c_str());
  } else {
    Print(profile);
  }
  return OkStatus();
}

Status Push(const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto toolbox, Toolbox::Make(arguments.registries, arguments.image));
  ASSIGN_OR_RETURN(const std::shared_ptr<registry::Referrers> referrers,
                   toolbox->OpenReferrers(arguments.image));
  ASSIGN_OR_RETURN(const oci::Descriptor image, Resolve(*toolbox, arguments));
  ASSIGN_OR_RETURN(const AccessProfile profile, arguments.file.empty()
                                                    ? StoreOf(arguments).Find(image.digest)
                                                    : ReadProfile(arguments.file));
  RETURN_IF_ERROR(CheckImage(profile, image));
  ASSIGN_OR_RETURN(const oci::Descriptor artifact, AttachProfile(*referrers, image, profile));
  std::printf("%s\n", artifact.digest.ToString().c_str());
  return OkStatus();
}

/// Knowledge from elsewhere joins what the node has; the same again adds nothing.
Status Keep(const Arguments& arguments, const AccessProfile& profile) {
  layer::ProfileStore profiles = StoreOf(arguments);
  StatusOr<AccessProfile> kept = profiles.Find(profile.image());
  if (!kept.ok() || *kept != profile) {
    kept = profiles.Add(profile);
    RETURN_IF_ERROR(kept.status());
  }
  Print(*kept);
  return OkStatus();
}

Status Pull(const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto toolbox, Toolbox::Make(arguments.registries, arguments.image));
  ASSIGN_OR_RETURN(const std::shared_ptr<registry::Referrers> referrers,
                   toolbox->OpenReferrers(arguments.image));
  ASSIGN_OR_RETURN(const oci::Descriptor image, Resolve(*toolbox, arguments));
  ASSIGN_OR_RETURN(
      const registry::Artifact artifact,
      referrers->ReadNewest(image.digest, layer::kAccessProfileType, AccessProfile::kMaxJsonBytes));
  ASSIGN_OR_RETURN(const AccessProfile profile,
                   AccessProfile::Parse(artifact.parts.front().content));
  RETURN_IF_ERROR(CheckImage(profile, image));
  return arguments.file.empty() ? Keep(arguments, profile) : WriteProfile(profile, arguments.file);
}

Status Import(const Arguments& arguments) {
  ASSIGN_OR_RETURN(const AccessProfile profile, ReadProfile(arguments.file));
  return Keep(arguments, profile);
}

Status Export(const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto toolbox, Toolbox::Make(arguments.registries, arguments.image));
  ASSIGN_OR_RETURN(const oci::Descriptor image, Resolve(*toolbox, arguments));
  ASSIGN_OR_RETURN(const AccessProfile profile, StoreOf(arguments).Find(image.digest));
  return WriteProfile(profile, arguments.file);
}

Status Record(const Arguments& arguments) {
  LeaveStopSignalsToCommand();
  ASSIGN_OR_RETURN(const oci::Platform platform, PlatformOf(arguments.platform));
  ASSIGN_OR_RETURN(const auto toolbox, Toolbox::Make(arguments.registries, arguments.image));
  ASSIGN_OR_RETURN(const std::shared_ptr<oci::ImageSource> source,
                   toolbox->OpenSource(arguments.image));
  const std::filesystem::path root(arguments.root);
  ASSIGN_OR_RETURN(const RecordedRun run,
                   RecordRun(source, {.root = root / "mount" / "record",
                                      .gzip_indexes = root / layer::GzipIndexStore::kDirectoryName,
                                      .platform = platform,
                                      .command = arguments.command,
                                      .until = {}}));
  ASSIGN_OR_RETURN(const AccessProfile merged, StoreOf(arguments).Add(run.profile));
  if (!arguments.file.empty()) {
    RETURN_IF_ERROR(WriteProfile(run.profile, arguments.file));
  }
  std::fprintf(stderr, "this run needed %s in %zu ranges; %u runs are known\n",
               SizeText(run.profile.needed_bytes()).c_str(), run.profile.range_count(),
               merged.runs());
  return CheckEnd(run, "what it read was recorded");
}

}  // namespace

void AddProfile(CLI::App& app, Run& chosen) {
  CLI::App& profile = *app.add_subcommand(
      "profile",
      "What runs of an image read, and when, so that its next cold start can fetch it "
      "first");
  profile.require_subcommand(1);
  const auto add = [&](const char* name, const char* description,
                       Status (*run)(const Arguments&)) -> std::pair<CLI::App&, Arguments&> {
    const auto arguments = std::make_shared<Arguments>();
    CLI::App& command = *profile.add_subcommand(name, description);
    command
        .add_option("--root", arguments->root, "Its profiles/ keeps the profiles of this machine")
        ->capture_default_str();
    command.callback(
        [arguments, run, &chosen] { chosen = [arguments, run] { return run(*arguments); }; });
    return {command, *arguments};
  };
  const auto add_image = [](CLI::App& command, Arguments& arguments) {
    command.add_option("IMAGE", arguments.image)->required();
    command.add_option("--platform", arguments.platform, "Of an index, such as linux/arm64");
    AddRegistryOptions(command, arguments.registries);
  };
  {
    auto [command, arguments] =
        add("record", "Run a command in an image and keep what it reads; needs root", Record);
    add_image(command, arguments);
    command.add_option("--output", arguments.file, "Write the profile of this run here, too");
    command.add_option("COMMAND", arguments.command, "Instead of the image's own");
    command.footer(
        "Example: starling profile record ghcr.io/me/app:1-esgz -- python3 -c 'import app'");
  }
  {
    auto [command, arguments] = add("show", "Show what is known of an image", Show);
    command.add_option("IMAGE", arguments.image, "An image, or a file with a profile")->required();
    command.add_option("--platform", arguments.platform, "Of an index, such as linux/arm64");
    AddRegistryOptions(command, arguments.registries);
    command.add_flag("--json", arguments.json, "Print the profile as it is stored");
  }
  {
    auto [command, arguments] =
        add("push", "Attach the profile to the image in its registry", Push);
    add_image(command, arguments);
    command.add_option("FILE", arguments.file, "Instead of what this machine knows");
  }
  {
    auto [command, arguments] = add("pull", "Fetch the newest profile of an image", Pull);
    add_image(command, arguments);
    command.add_option("FILE", arguments.file, "Where to write it, instead of keeping it here");
  }
  {
    auto [command, arguments] = add("export", "Write what is known of an image to a file", Export);
    add_image(command, arguments);
    command.add_option("FILE", arguments.file)->required();
  }
  {
    auto [command, arguments] = add("import", "Keep a profile that was exported", Import);
    command.add_option("FILE", arguments.file)->required();
  }
}

}  // namespace starling::cli
