#include "apps/starling/commands.h"

namespace starling::cli {

void AddContainerdOptions(CLI::App& command, ContainerdOptions& options) {
  command.add_option("--address", options.address, "containerd's socket")
      ->envname("CONTAINERD_ADDRESS")
      ->capture_default_str()
      ->each([&options](const std::string&) { options.is_named = true; });
  command.add_option("-n,--namespace", options.namespace_name, "containerd's namespace")
      ->envname("CONTAINERD_NAMESPACE")
      ->capture_default_str();
}

void AddConnectionOptions(CLI::App& command, RegistryOptions& options) {
  command.add_option("--plain-http", options.plain_http_hosts,
                     "Host (or host:port) that may be spoken to without TLS; loopback always may");
  command
      .add_option("--hosts-dir", options.hosts_directories,
                  "Directory of registries' mirrors and certificates, as containerd's certs.d")
      ->capture_default_str();
}

void AddRegistryOptions(CLI::App& command, RegistryOptions& options) {
  AddConnectionOptions(command, options);
  command.add_option("--secret", options.secret,
                     "Credentials for the image's registry, as env:VARIABLE or file:PATH: "
                     "USER:PASSWORD, or a JSON object (docs/registries.md)");
}

}  // namespace starling::cli
