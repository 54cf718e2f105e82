#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "apps/starling/commands.h"
#include "apps/starling/daemon_secret.h"
#include "base/status.h"
#include "dockerfile/recipe/recipe.h"

namespace starling::cli {

inline constexpr const char* kBuildStateDirectory = "/var/lib/starling-build";

/// What the options of a build say.
struct BuildArguments {
  std::string path;  // empty: no context
  std::string file;
  std::vector<std::string> tags;
  std::vector<std::string> build_arguments;
  std::string target;
  std::vector<std::string> secrets;
  std::vector<std::string> ssh;
  bool no_cache = false;
  /// A file that says what names stand for: written, or with `locked` obeyed.
  std::string lock;
  bool locked = false;
  bool check_entrypoint = false;
  bool verify_entrypoint = false;
  std::vector<std::string> no_cache_stages;
  std::vector<std::string> platforms;
  std::string network = "default";
  std::vector<std::string> hosts;
  std::vector<std::string> labels;
  std::vector<std::string> annotations;
  std::vector<std::string> outputs;
  bool push = false;
  std::string progress = "auto";
  bool quiet = false;
  std::vector<std::string> contexts;
  std::string provenance;
  std::vector<std::string> attestations;
  std::string image_id_file;
  std::string metadata_file;
  std::vector<std::string> cache_to;
  std::vector<std::string> cache_from;
  std::vector<std::string> allowed;
  std::vector<std::filesystem::path> device_directories;
  std::string shm_size;
  std::vector<std::string> ulimits;
  std::string memory;
  double cpus = 0;
  std::string cgroup_parent;
  std::string ca_bundle;
  bool debug_shell = false;
  bool explain = false;
  std::string print;
  bool json = false;
  std::string compression;
  std::string snapshotter = "stargz";
  std::filesystem::path state_directory = kBuildStateDirectory;
  std::string keep_storage = "20GB";
  size_t parallel = 4;
  /// Of python:// and uv:// contexts: where releases come from, further ones, and what they may run
  /// on.
  std::string python_source;
  std::string uv_source;
  std::string micromamba_source;
  std::vector<std::string> python_tables;
  std::string python_cpu = "baseline";
  ContainerdOptions containerd;
  RegistryOptions registries;
  std::string starlingd = kDaemonSocket;
  /// Runs the image when it is built: its own command, or this.
  bool run = false;
  std::vector<std::string> command;
};

/// All of them but those that say what is built.
void AddBuildOptions(CLI::App& command, BuildArguments& arguments);

/// Builds, prints or explains what the arguments and, if there is one, the recipe say. Forks:
/// before any thread starts. `exit_code` becomes what the process is to end with, where the error's
/// own is not enough.
Status RunBuild(const BuildArguments& arguments, const dockerfile::recipe::Recipe* recipe,
                int& exit_code);

}  // namespace starling::cli
