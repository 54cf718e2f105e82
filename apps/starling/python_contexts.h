#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "apps/starling/build_run.h"
#include "base/status.h"
#include "dockerfile/build/builder.h"
#include "dockerfile/lock/pins.h"
#include "dockerfile/plan/plan.h"
#include "dockerfile/python/libc.h"
#include "dockerfile/python/release_table.h"
#include "dockerfile/python/tools.h"
#include "dockerfile/python/tree_store.h"

namespace starling::cli {

/// What a build context that is a Python begins with; a version follows.
inline constexpr std::string_view kPythonContext = "python://";
/// What a recipe's contexts of that kind are called.
inline constexpr std::string_view kPythonContextName = "python-";
/// The same of tools: "uv://VERSION" for the name "uv-VERSION". Nothing for other names.
std::optional<std::string> ToolContextOf(std::string_view name);

/// Whether a build context's value is of these.
bool IsPythonContext(std::string_view value);

/// Further releases, also of tools, that every build of the machine may use.
inline constexpr const char* kPythonTable = "/etc/starling/python-releases.sha256";

/// The Pythons that builds with this state directory have fetched.
dockerfile::python::TreeStore PythonTrees(const std::filesystem::path& state_directory);
/// And their tools.
dockerfile::python::ToolStore ToolPrograms(const std::filesystem::path& state_directory);

/// The build contexts of a command that are Pythons, or tools. Threads: one at a time.
class PythonContexts {
 public:
  /// Reads the tables. Errors name the option or file.
  static StatusOr<PythonContexts> Read(const BuildArguments& arguments);

  /// Looks at the files of a node, which is executed for it.
  using LookAt = std::function<StatusOr<dockerfile::python::BaseLibc>(
      dockerfile::plan::NodeId node, const std::string& architecture)>;
  /// The directories of those in `named` that `plan` needs, by name: each is a tool, or a Python
  /// that runs on what it is put on, and the one of `pins` where they say it. Blocks; fetches what
  /// is not there yet. kFailedPrecondition where none runs.
  StatusOr<std::map<std::string, dockerfile::build::LocalContext>> Provide(
      const dockerfile::plan::Plan& plan, const std::map<std::string, std::string>& named,
      const std::filesystem::path& scratch, const LookAt& look_at, dockerfile::lock::Pins& pins,
      const std::stop_token& stop) const;

 private:
  using OnFetch = dockerfile::python::OnFetch;
  StatusOr<std::filesystem::path> ProvideTool(dockerfile::python::Tool tool,
                                              const std::string& version,
                                              const std::string& architecture,
                                              const std::filesystem::path& scratch,
                                              dockerfile::lock::Pins& pins, const OnFetch& say,
                                              const std::stop_token& stop) const;
  /// The release that fits, or the one of the lock if that fits.
  StatusOr<dockerfile::python::Release> Choose(
      const dockerfile::python::ReleaseTable::Wanted& wanted,
      const dockerfile::python::ReleaseSource& source, dockerfile::lock::Pins& pins) const;
  explicit PythonContexts(const BuildArguments& arguments) : arguments_(arguments) {}
  StatusOr<dockerfile::python::CpuLevel> CpuFor(const std::string& architecture) const;
  StatusOr<dockerfile::python::ReleaseTable::Wanted> WantedOf(const dockerfile::plan::Plan& plan,
                                                              const std::string& name,
                                                              const LookAt& look_at) const;

  const BuildArguments& arguments_;
  dockerfile::python::ReleaseTable table_;
  dockerfile::python::ToolTable tools_;
};

}  // namespace starling::cli
