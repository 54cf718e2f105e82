#include <cstdio>
#include <memory>

#include "apps/starling/build_check.h"
#include "apps/starling/build_host.h"
#include "apps/starling/build_run.h"
#include "apps/starling/commands.h"
#include "apps/starling/python_contexts.h"
#include "apps/starling/recipe_options.h"
#include "base/size_text.h"
#include "dockerfile/build/cache_mounts.h"
#include "dockerfile/build/result_cache.h"
#include "dockerfile/syntax/values.h"

namespace starling::cli {
namespace {

namespace build = dockerfile::build;
namespace syntax = dockerfile::syntax;

struct PruneArguments {
  ContainerdOptions containerd;
  std::string snapshotter = "stargz";
  std::filesystem::path state_directory = kBuildStateDirectory;
  std::string starlingd = kDaemonSocket;
  std::string keep_storage = "0";
  bool cache_mounts = false;
  bool pythons = false;
};

void AddHostOptions(CLI::App& command, ContainerdOptions& options) {
  AddContainerdOptions(command, options);
  command.get_option("--address")
      ->description(
          "containerd's socket, or none: build on starlingd alone, as where there is no "
          "containerd");
}

Status Prune(const PruneArguments& arguments) {
  ASSIGN_OR_RETURN(const uint64_t keep_bytes, syntax::ParseSize(arguments.keep_storage));
  ASSIGN_OR_RETURN(BuildHost host,
                   BuildHost::Open(ChooseBuildHost(arguments.containerd, arguments.starlingd,
                                                   arguments.state_directory)));
  ASSIGN_OR_RETURN(const build::ResultCache::Pruned pruned,
                   build::ResultCache(host.client(), arguments.snapshotter).Prune(keep_bytes));
  if (keep_bytes == 0) {
    RETURN_IF_ERROR(host.ForgetImages());
  }
  RETURN_IF_ERROR(host.Collect());
  std::printf("%zu results of steps removed (%s)\n", pruned.entries,
              SizeText(pruned.bytes).c_str());
  if (arguments.cache_mounts) {
    ASSIGN_OR_RETURN(
        const build::CacheMounts::Removed removed,
        build::CacheMounts(build::RunSteps::CacheMountsIn(arguments.state_directory)).Prune());
    std::printf("%zu cache mounts removed (%s)\n", removed.directories,
                SizeText(removed.bytes).c_str());
  }
  if (arguments.pythons) {
    ASSIGN_OR_RETURN(const dockerfile::python::TreeStore::Removed removed,
                     PythonTrees(arguments.state_directory).Clear());
    ASSIGN_OR_RETURN(const dockerfile::python::TreeStore::Removed programs,
                     ToolPrograms(arguments.state_directory).Clear());
    std::printf("%zu Pythons removed, %zu tools\n", removed.trees, programs.trees);
  }
  return OkStatus();
}

void AddPrune(CLI::App& build_command, Run& chosen) {
  auto arguments = std::make_shared<PruneArguments>();
  CLI::App& command = *build_command.add_subcommand(
      "prune", "Forget results of former builds; what nobody else needs is then removed");
  command
      .add_option("--keep-storage", arguments->keep_storage,
                  "Bytes that may stay, such as 5GB: those used last")
      ->capture_default_str();
  command.add_flag("--cache-mounts", arguments->cache_mounts,
                   "Also directories of RUN --mount=type=cache that no build uses");
  command.add_flag("--pythons", arguments->pythons,
                   "Also Pythons and uv that were fetched; no build runs");
  command.add_option("--snapshotter", arguments->snapshotter, "As of the builds")
      ->capture_default_str();
  command.add_option("--state-dir", arguments->state_directory, "As of the builds")
      ->capture_default_str();
  AddDaemonOption(command, arguments->starlingd);
  AddHostOptions(command, arguments->containerd);
  command.callback([arguments, &chosen] { chosen = [arguments] { return Prune(*arguments); }; });
}

/// Of a command that builds from a Dockerfile or a recipe.
struct SourceArguments {
  BuildArguments build;
  std::string recipe;
  bool check = false;
};

Status Build(const SourceArguments& arguments, int& exit_code) {
  const BuildArguments& a = arguments.build;
  if (arguments.check) {
    return CheckDockerfile({.path = a.file.empty() ? a.path : a.file,
                            .build_arguments = a.build_arguments,
                            .target = a.target,
                            .platform = a.platforms.empty() ? "" : a.platforms[0],
                            .json = a.json},
                           exit_code);
  }
  if (arguments.recipe.empty()) {
    return RunBuild(a, nullptr, exit_code);
  }
  ASSIGN_OR_RETURN(const dockerfile::recipe::Recipe recipe, ReadRecipe(arguments.recipe));
  return RunBuild(a, &recipe, exit_code);
}

void AddSource(CLI::App& command, SourceArguments& arguments) {
  BuildArguments& a = arguments.build;
  command.add_option("PATH", a.path,
                     "The build context: a directory, a git or http(s) URL, or - for a tar or a "
                     "Dockerfile on standard input; with --check also a Dockerfile");
  command.add_option("-f,--file", a.file, "The Dockerfile (default: PATH/Dockerfile)");
  command.add_option("--recipe", arguments.recipe,
                     "Build this recipe (JSON, or - for standard input) instead of a Dockerfile");
  // Where options are steps, a label is one.
  command.add_option("--label", a.labels, "NAME=VALUE in the image's configuration");
  AddBuildOptions(command, a);
}

/// Each option takes the word behind it, not the next as well: -t NAME PATH.
void TakeOneWordEach(CLI::App& command) {
  for (CLI::Option* option : command.get_options()) {
    option->allow_extra_args(false);
  }
}

}  // namespace

void AddBuildOptions(CLI::App& command, BuildArguments& a) {
  command.add_option("-t,--tag", a.tags, "Name of the image");
  command.add_option("--build-arg", a.build_arguments,
                     "NAME=VALUE of an ARG; NAME alone takes the environment's value");
  command.add_option("--target", a.target, "The stage to build, instead of the last");
  command.add_option("--secret", a.secrets,
                     "id=NAME,src=FILE or id=NAME,env=VARIABLE, for RUN "
                     "--mount=type=secret");
  command.add_option("--ssh", a.ssh, "default or NAME=SOCKET, for RUN --mount=type=ssh");
  command.add_flag("--no-cache", a.no_cache, "Do every step again");
  command.add_option("--no-cache-filter", a.no_cache_stages, "Do every step of this stage again")
      ->delimiter(',');
  command.add_option("--platform", a.platforms,
                     "What the image is for, such as linux/arm64; several "
                     "make an index");
  command.add_option("--network", a.network, "Of RUN: default (the host's), host or none")
      ->capture_default_str();
  command.add_option("--add-host", a.hosts, "NAME:ADDRESS in RUN's /etc/hosts");
  command.add_option("--annotation", a.annotations, "NAME=VALUE in the image's manifest");
  command.add_option("-o,--output", a.outputs,
                     "type=image|oci|local|tar[,dest=PATH][,name=NAME][,push=true]"
                     "[,compression=estargz|zstdchunked|zstd|gzip|uncompressed]"
                     "[,force-compression=true]");
  command.add_flag("--push", a.push, "Store the image in its registry, too");
  command.add_option("--compression", a.compression, "Of the layers (default: estargz)");
  command.add_option("--progress", a.progress, "auto, tty, plain, quiet or json")
      ->capture_default_str();
  command.add_flag("-q,--quiet", a.quiet, "Print the image's digest only");
  command.add_option("--build-context", a.contexts,
                     "NAME=DIRECTORY, docker-image://IMAGE, oci-layout://DIRECTORY, a git or "
                     "http(s) URL, target:STAGE, python://VERSION, uv://VERSION or "
                     "micromamba://VERSION");
  command
      .add_option("--python-source", a.python_source,
                  "Where Pythons come from: a URL with the form of python-build-standalone's "
                  "releases, or a directory of their files")
      ->envname("STARLING_PYTHON_SOURCE");
  command
      .add_option("--python-table", a.python_tables,
                  "A SHA256SUMS of further releases, and of tools, that may be used")
      ->envname("STARLING_PYTHON_TABLE");
  command
      .add_option("--uv-source", a.uv_source,
                  "Where uv comes from: a URL with the form of the package index's files, or a "
                  "directory of wheels")
      ->envname("STARLING_UV_SOURCE");
  command
      .add_option("--micromamba-source", a.micromamba_source,
                  "Where micromamba comes from: a URL with the form of its project's releases, or "
                  "a directory of their files")
      ->envname("STARLING_MICROMAMBA_SOURCE");
  command
      .add_option("--python-cpu", a.python_cpu,
                  "What Pythons for amd64 may ask of a processor: baseline, v1 to v4, or native "
                  "(all that this machine's has)")
      ->envname("STARLING_PYTHON_CPU")
      ->capture_default_str();
  command.add_option("--provenance", a.provenance,
                     "Attach what the image was made of and how: true, false, mode=min or mode=max "
                     "(default: false)");
  command.add_option("--attest", a.attestations, "type=provenance[,mode=min|max]: the same");
  command.add_option("--iidfile", a.image_id_file, "Write the image's digest to this file");
  command.add_option("--metadata-file", a.metadata_file,
                     "Write what was built as JSON to this file");
  command.add_option("--cache-to", a.cache_to,
                     "Leave results of steps for other machines: type=registry,ref=REFERENCE, "
                     "type=local,dest=DIRECTORY or type=inline[,mode=min|max]");
  command.add_option("--cache-from", a.cache_from,
                     "Use them: REFERENCE, or type=local,src=DIRECTORY");
  command.add_option("--allow", a.allowed,
                     "security.insecure, network.host, device, or device=VENDOR/CLASS[=NAME]");
  command.add_option("--cdi-spec-dir", a.device_directories,
                     "Where the devices of RUN --device are described (default: /etc/cdi and "
                     "/var/run/cdi)");
  command.add_option("--shm-size", a.shm_size, "Of RUN's /dev/shm (default: 64MB)");
  command.add_option("--ulimit", a.ulimits, "NAME=SOFT[:HARD] of RUN");
  command.add_option("-m,--memory", a.memory, "That each RUN may use, such as 2GB");
  command.add_option("--cpus", a.cpus, "Processors that each RUN may use");
  command.add_option("--cgroup-parent", a.cgroup_parent, "Control group of RUN");
  command.add_option("--host-ca", a.ca_bundle,
                     "A bundle of certificates that RUN trusts, not kept in the image, such as "
                     "/etc/ssl/certs/ca-certificates.crt");
  command.add_flag("--debug-shell", a.debug_shell,
                   "Open a shell in the place of a RUN that failed, on this terminal");
  command.add_option("--lock", a.lock,
                     "Write which images, Pythons, downloads and commits were used to this file");
  command.add_flag("--locked", a.locked,
                   "Use what the file of --lock (default: starling.lock) says, and nothing that it "
                   "does not have");
  command.add_flag("--check-entrypoint", a.check_entrypoint,
                   "Say whether the image executes the command behind its entrypoint, as far as "
                   "its files tell, and fail where it does not");
  command.add_flag("--verify-entrypoint", a.verify_entrypoint,
                   "Fail unless it does so when it is run once, in a container that is removed");
  command.add_flag("--explain", a.explain,
                   "Print each step's cache key, and what has changed since it was done last");
  command.add_option(
      "--print", a.print,
      "Print the image's config, the build's graph, or what is built as a dockerfile "
      "or a recipe instead");
  command.add_flag("--json", a.json, "Print JSON");
  command.add_option("--snapshotter", a.snapshotter, "That holds the files")->capture_default_str();
  command.add_option("--state-dir", a.state_directory, "Of cache mounts and downloads")
      ->capture_default_str();
  command.add_option("--keep-storage", a.keep_storage, "Results of steps that are kept, in bytes")
      ->capture_default_str();
  command.add_option("--parallel", a.parallel, "Steps at once")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  command.add_option("--registry-secret", a.registries.secret,
                     "env:VARIABLE or file:PATH: credentials for the base image's registry");
  AddDaemonOption(command, a.starlingd);
  AddHostOptions(command, a.containerd);
  AddConnectionOptions(command, a.registries);
}

void AddBuild(CLI::App& app, Run& chosen, int& exit_code) {
  auto arguments = std::make_shared<SourceArguments>();
  CLI::App& command = *app.add_subcommand(
      "build", "Build an image from a Dockerfile or a recipe, on bases that stay in the registry");
  command.fallthrough(false);
  command.require_subcommand(0, 1);
  AddSource(command, *arguments);
  command.add_flag("--check", arguments->check, "Look through the Dockerfile and build nothing");
  command.footer(
      "Exit codes: 0 done, 1 failed, 2 the command line is wrong, 3 --check found warnings, 4 the "
      "Dockerfile cannot be built.\n"
      "Example: starling build -t registry.example/app:1 --push .");
  TakeOneWordEach(command);
  AddPrune(command, chosen);
  command.callback([arguments, &command, &chosen, &exit_code] {
    if (!command.get_subcommands().empty()) {
      return;
    }
    if (arguments->build.path.empty() && arguments->recipe.empty()) {
      throw CLI::RequiredError("PATH");
    }
    chosen = [arguments, &exit_code] { return Build(*arguments, exit_code); };
  });
}

void AddRun(CLI::App& app, Run& chosen, int& exit_code,
            const std::vector<std::string>& command_words) {
  auto arguments = std::make_shared<SourceArguments>();
  arguments->build.run = true;
  arguments->build.command = command_words;
  CLI::App& command = *app.add_subcommand(
      "run", "Build an image and run it once, in a container that is removed afterwards");
  AddSource(command, *arguments);
  TakeOneWordEach(command);
  command.footer(
      "Ends with the command's exit code. Words behind -- are the command instead of the image's.\n"
      "Example: starling run . -- python3 -c 'import app'");
  command.callback([arguments, &chosen, &exit_code] {
    if (arguments->build.path.empty() && arguments->recipe.empty()) {
      throw CLI::RequiredError("PATH");
    }
    chosen = [arguments, &exit_code] { return Build(*arguments, exit_code); };
  });
}

}  // namespace starling::cli
