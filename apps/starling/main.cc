// starling: the command line. Exit codes: 0 done, 1 failed, 2 a command line that is not
// understood; others are explained by the --help of their command.
#include <sys/prctl.h>

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "apps/starling/commands.h"

namespace {

constexpr int kUsageError = 2;

constexpr std::string_view kParseOnly = "--parse-only";

/// `starling run` may have no PATH: what stands behind -- is a command all the same, and no PATH.
std::vector<std::string> TakeCommandWords(int& argc, char** argv) {
  std::vector<std::string> words;
  const int command = argc > 1 && argv[1] == kParseOnly ? 2 : 1;
  if (argc <= command || std::string_view(argv[command]) != "run") {
    return words;
  }
  for (int i = command + 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--") {
      words.assign(argv + i + 1, argv + argc);
      argc = i;
      break;
    }
  }
  return words;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace starling;  // NOLINT(google-build-using-namespace)
  // Credentials are in this memory: no core files.
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  CLI::App app("Containers from images that are still in the registry.", "starling");
  app.set_version_flag("--version", "starling " STARLING_VERSION);
  bool parse_only = false;
  app.add_flag(
      std::string(kParseOnly), parse_only,
      "Before the command: only say whether the command line is understood (exit code 0 or 2)");
  app.require_subcommand(1);
  app.footer(
      "Images are named as skopeo names them: REFERENCE or docker://REFERENCE, "
      "oci:DIRECTORY[:TAG],\n"
      "oci-archive:FILE[:TAG], docker-archive:FILE[:REFERENCE].\n"
      "`starling COMMAND --help` shows an example of each command.");
  const std::vector<std::string> command_words = TakeCommandWords(argc, argv);
  cli::Run chosen;
  cli::AddPull(app, chosen);
  cli::AddMount(app, chosen);
  cli::AddUmount(app, chosen);
  cli::AddInspect(app, chosen);
  cli::AddConvert(app, chosen);
  cli::AddOptimize(app, chosen);
  cli::AddProfile(app, chosen);
  cli::AddIndex(app, chosen);
  cli::AddLogin(app, chosen);
  cli::AddLogout(app, chosen);
  cli::AddUpgrade(app, chosen);
  cli::AddConfig(app, chosen);
  int exit_code = 0;
  cli::AddBuild(app, chosen, exit_code);
  cli::AddRun(app, chosen, exit_code, command_words);
  cli::AddImage(app, chosen, exit_code);
  cli::AddCheck(app, chosen, exit_code);
  cli::AddCache(app, chosen, exit_code);
  cli::AddStatus(app, chosen);
  cli::AddTop(app, chosen);
  cli::AddTrace(app, chosen);
  cli::AddDoctor(app, chosen, exit_code);
  cli::AddSetup(app, chosen, exit_code);
  cli::AddPush(app, chosen, exit_code);
  cli::AddCopy(app, chosen, exit_code);
  cli::AddTags(app, chosen, exit_code);
  cli::AddDelete(app, chosen, exit_code);
  cli::AddManual(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsageError;
  }
  if (parse_only) {
    return 0;
  }
  const Status result = chosen();
  if (!result.ok()) {
    const std::string command = app.get_subcommands().front()->get_name();
    std::fprintf(stderr, "starling %s: %s\n", command.c_str(), Describe(result).c_str());
    return exit_code == 0 ? 1 : exit_code;
  }
  return exit_code;
}
