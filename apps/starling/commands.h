/// The commands of `starling`: each adds itself to the command line and, when chosen, runs.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "base/status.h"

namespace starling::cli {

/// What a chosen command does once the command line was understood.
using Run = std::function<Status()>;

void AddPull(CLI::App& app, Run& chosen);
void AddMount(CLI::App& app, Run& chosen);
void AddUmount(CLI::App& app, Run& chosen);
void AddInspect(CLI::App& app, Run& chosen);
void AddConvert(CLI::App& app, Run& chosen);
void AddProfile(CLI::App& app, Run& chosen);
void AddIndex(CLI::App& app, Run& chosen);
void AddUpgrade(CLI::App& app, Run& chosen);

/// --plain-http HOST, for every command that reaches registries.
void AddPlainHttp(CLI::App& command, std::vector<std::string>& hosts);

}  // namespace starling::cli
