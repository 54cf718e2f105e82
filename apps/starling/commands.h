/// The commands of `starling`: each adds itself to the command line and, when chosen, runs.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"

namespace starling::cli {

/// What a chosen command does once the command line was understood.
using Run = std::function<Status()>;

void AddPull(CLI::App& app, Run& chosen);
void AddMount(CLI::App& app, Run& chosen);
void AddUmount(CLI::App& app, Run& chosen);
void AddInspect(CLI::App& app, Run& chosen);
void AddConvert(CLI::App& app, Run& chosen);
void AddOptimize(CLI::App& app, Run& chosen);
void AddProfile(CLI::App& app, Run& chosen);
void AddIndex(CLI::App& app, Run& chosen);
void AddUpgrade(CLI::App& app, Run& chosen);
void AddStatus(CLI::App& app, Run& chosen);
void AddTop(CLI::App& app, Run& chosen);
void AddTrace(CLI::App& app, Run& chosen);
void AddConfig(CLI::App& app, Run& chosen);
/// `completion` and `manual`: what they print is made of all commands of `app`.
void AddManual(CLI::App& app, Run& chosen);
void AddLogin(CLI::App& app, Run& chosen);
void AddLogout(CLI::App& app, Run& chosen);

/// `exit_code` is what the program ends with when the command did what it was told to; after a
/// failure 1 stands for 0.
void AddBuild(CLI::App& app, Run& chosen, int& exit_code);
/// `command_words` are those behind --.
void AddRun(CLI::App& app, Run& chosen, int& exit_code,
            const std::vector<std::string>& command_words);
void AddImage(CLI::App& app, Run& chosen, int& exit_code);
void AddCheck(CLI::App& app, Run& chosen, int& exit_code);
void AddCache(CLI::App& app, Run& chosen, int& exit_code);
void AddDoctor(CLI::App& app, Run& chosen, int& exit_code);
void AddSetup(CLI::App& app, Run& chosen, int& exit_code);
void AddPush(CLI::App& app, Run& chosen, int& exit_code);
void AddCopy(CLI::App& app, Run& chosen, int& exit_code);
void AddTags(CLI::App& app, Run& chosen, int& exit_code);
void AddDelete(CLI::App& app, Run& chosen, int& exit_code);

/// Where `starling mount` keeps the data of an image at `directory`, if not told otherwise. One
/// process at a time may use a root, so each directory has its own, which it finds again.
std::filesystem::path MountRootOf(const std::filesystem::path& directory);
/// The same of what a user calls the directory, which need not be there any more.
StatusOr<std::filesystem::path> FindMountRoot(const std::string& directory);
/// The socket below a mount's root on which its process answers.
inline constexpr std::string_view kMountSocketName = "control.sock";

/// How a command reaches registries.
struct RegistryOptions {
  std::vector<std::string> plain_http_hosts;
  std::vector<std::string> hosts_directories = {"/etc/containerd/certs.d"};
  std::string secret;  // "env:VARIABLE" or "file:PATH", for the registry of the command's image
  std::string destination_secret;  // of a command that writes another image, for that one's
};

/// How a command reaches containerd.
struct ContainerdOptions {
  std::string address = "/run/containerd/containerd.sock";
  std::string namespace_name = "default";
  bool is_named = false;  // by an option or the environment
};

/// --address SOCKET and --namespace NAME.
void AddContainerdOptions(CLI::App& command, ContainerdOptions& options);

/// --plain-http HOST and --hosts-dir DIRECTORY: how registries are connected to.
void AddConnectionOptions(CLI::App& command, RegistryOptions& options);
/// The same and --secret, for every command that reaches an image.
void AddRegistryOptions(CLI::App& command, RegistryOptions& options);

}  // namespace starling::cli
