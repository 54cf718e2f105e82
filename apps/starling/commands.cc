#include "apps/starling/commands.h"

namespace starling::cli {

void AddPlainHttp(CLI::App& command, std::vector<std::string>& hosts) {
  command.add_option("--plain-http", hosts,
                     "Host (or host:port) that may be spoken to without TLS; loopback always may");
}

}  // namespace starling::cli
