#pragma once

#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/child_program.h"
#include "base/status.h"
#include "runc/container_spec.h"

namespace starling::runc {

enum class Stream { kOutput, kError };
/// Gets what a command writes, as it comes, on the thread that runs it.
using OnOutput = std::function<void(Stream, std::string_view)>;

/// Runs commands in containers. Threads: safe; each Run has its own container.
class Runner {
 public:
  struct Options {
    std::string program = "runc";
    /// Where runc's state and the bundles are, of this runner alone. Made when missing (0700).
    std::filesystem::path state_directory;
  };
  explicit Runner(Options options) : options_(std::move(options)) {}

  /// Runs `spec` to its end in the container `id`, which no other has meanwhile. Its standard input
  /// is empty. What its command started and left behind ends with it. Returns the exit status, 128
  /// and the signal's number for a command that a signal ended.
  /// Errors: kCancelled when `stop` asks for it: the container is gone by then; kFailedPrecondition
  /// when runc could not start the command, with its reason; kNotFound without runc.
  StatusOr<int> Run(const std::string& id, const ContainerSpec& spec, const OnOutput& on_output,
                    const std::stop_token& stop) const;
  /// The same for a process whose three streams are a terminal that shows what it writes at
  /// `terminal`, this process's controlling one, and takes what is typed there. That is as it was
  /// before when this returns.
  StatusOr<int> RunOnTerminal(const std::string& id, ContainerSpec spec, int terminal,
                              const std::stop_token& stop) const;
  /// Ends and removes what a runner left behind that was killed. Only while no Run is under way.
  Status RemoveLeftovers() const;

 private:
  std::filesystem::path BundleOf(const std::string& id) const;
  std::vector<std::string> RunArguments(const std::string& id) const;
  StatusOr<int> StatusAtEnd(const std::string& id, const ChildProgram::End& end) const;
  StatusOr<std::string> Ask(const std::vector<std::string>& arguments) const;
  void Delete(const std::string& id) const;

  const Options options_;
};

}  // namespace starling::runc
