#include <cstdio>
#include <memory>
#include <string>

#include "apps/starling/commands.h"
#include "base/file_system.h"
#include "config/stargz_import.h"

namespace starling::cli {
namespace {

constexpr uint64_t kMaxConfigBytes = 1 << 20;

Status Import(const std::string& file) {
  ASSIGN_OR_RETURN(const Bytes text, ReadFile(RealFileSystem(), file, kMaxConfigBytes));
  ASSIGN_OR_RETURN(const config::ImportedSettings imported,
                   config::ImportStargzConfig(AsText(text), file));
  std::fputs(config::AsFile(imported, file).c_str(), stdout);
  return OkStatus();
}

}  // namespace

void AddConfig(CLI::App& app, Run& chosen) {
  CLI::App& config = *app.add_subcommand("config", "starlingd's configuration");
  config.require_subcommand(1);
  const auto file = std::make_shared<std::string>();
  CLI::App& command = *config.add_subcommand(
      "import", "Print what a config.toml of containerd-stargz-grpc says as one of starlingd");
  command.add_option("FILE", *file, "Such as /etc/containerd-stargz-grpc/config.toml")->required();
  command.footer(
      "Keys without a counterpart are named in comments, with the reason.\n"
      "Example: starling config import /etc/containerd-stargz-grpc/config.toml");
  command.callback([file, &chosen] { chosen = [file] { return Import(*file); }; });
}

}  // namespace starling::cli
