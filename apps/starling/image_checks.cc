#include "apps/starling/image_checks.h"

#include <fcntl.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

#include "base/text.h"
#include "dockerfile/entrypoint/judgements.h"
#include "dockerfile/files/root_walk.h"
#include "dockerfile/python/base_facts.h"
#include "dockerfile/recipe/needs.h"
#include "dockerfile/syntax/variables.h"
#include "oci/platform.h"

namespace starling::cli {
namespace {

namespace build = dockerfile::build;
namespace entrypoint = dockerfile::entrypoint;
namespace files = dockerfile::files;
namespace plan = dockerfile::plan;
namespace python = dockerfile::python;
namespace recipe = dockerfile::recipe;
namespace syntax = dockerfile::syntax;

constexpr std::chrono::seconds kVerifyTimeout{60};
constexpr const char* kShell = "/bin/sh";
constexpr size_t kMaxOutputBytes = size_t{1} << 20U;

std::string SearchPathOf(const plan::ImageDraft& image) {
  for (const syntax::Variable& variable : image.environment) {
    if (variable.name == "PATH") {
      return variable.value;
    }
  }
  return std::string(syntax::kDefaultPath);
}

/// Ends an operation after some time.
class Deadline {
 public:
  Deadline(std::chrono::seconds timeout, std::stop_source& source)
      : thread_([this, timeout, &source](const std::stop_token& ended) {
          std::unique_lock lock(mutex_);
          // The predicate never holds: what ends the wait early is the end of the operation.
          if (!wake_.wait_for(lock, ended, timeout, [] { return false; }) &&
              !ended.stop_requested()) {
            source.request_stop();
          }
        }) {}

 private:
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::jthread thread_;  // last: it ends first
};

}  // namespace

plan::NodeId BottomOf(const plan::Graph& graph, plan::NodeId node) {
  while (const auto below = plan::BaseOf(graph.nodes[node].operation)) {
    node = *below;
  }
  return node;
}

Status CheckBasePlatform(const recipe::Recipe& recipe, const plan::Plan& plan,
                         const oci::Platform& target) {
  const auto* from = std::get_if<recipe::From>(&recipe.steps.front());
  const plan::NodeId bottom = BottomOf(plan.graph, plan.root);
  const auto* image = std::get_if<plan::ImageSource>(&plan.graph.nodes[bottom].operation);
  if (from == nullptr || image == nullptr) {
    return OkStatus();
  }
  oci::Platform wanted = target;
  if (from->platform) {
    ASSIGN_OR_RETURN(wanted, oci::Platform::Parse(*from->platform));
  }
  if (oci::MatchScore(wanted, image->platform) > 0) {
    return OkStatus();
  }
  return MakeError(StatusCode::kFailedPrecondition,
                   fmt::format("{} is an image for {}, and one for {} is needed; name another, or "
                               "build for that one with --platform {}",
                               image->reference, image->platform.ToString(), wanted.ToString(),
                               image->platform.ToString()));
}

Status CheckBasePrograms(const recipe::Recipe& recipe, const plan::Plan& plan,
                         build::BaseImages& images, const std::filesystem::path& state_directory,
                         const ShowNode& show) {
  const recipe::BaseNeeds needs = recipe::NeedsOfBase(recipe);
  if (!needs.python && !needs.pip) {
    return OkStatus();
  }
  const plan::NodeId bottom = BottomOf(plan.graph, plan.root);
  const auto* source = std::get_if<plan::ImageSource>(&plan.graph.nodes[bottom].operation);
  python::BasePrograms programs;
  std::string name = "scratch";
  std::string search_path;
  if (source != nullptr) {
    ASSIGN_OR_RETURN(const auto image, images.Find(*source));
    ASSIGN_OR_RETURN(const plan::ImageDraft base, plan::ImageDraft::FromBase(image->config_text));
    name = source->reference;
    search_path = SearchPathOf(base);
    const python::BaseFacts facts(state_directory / "python" / "bases");
    if (const auto seen = facts.FindPrograms(source->manifest)) {
      programs = *seen;
    } else {
      RETURN_IF_ERROR(show(bottom, [&](const std::filesystem::path& root) -> Status {
        ASSIGN_OR_RETURN(programs, python::FindPrograms(root, search_path));
        return OkStatus();
      }));
      RETURN_IF_ERROR(facts.RememberPrograms(source->manifest, programs));
    }
  }
  const auto missing = [&](size_t step, std::string_view program) {
    return MakeError(
        StatusCode::kFailedPrecondition,
        fmt::format("recipe: /steps/{}: this step calls {}, which {} does not have{}; begin with "
                    "another image, add a Python with \"add_python\", or install {} in a step "
                    "before",
                    step, program, name,
                    search_path.empty() ? "" : fmt::format(" in its PATH ({})", search_path),
                    program));
  };
  if (needs.python && !programs.python) {
    return missing(*needs.python, "python");
  }
  if (needs.pip && !programs.pip) {
    return missing(*needs.pip, "pip");
  }
  return OkStatus();
}

StatusOr<entrypoint::Judgement> JudgeEntrypoint(build::Builder& builder, const build::Tree& tree,
                                                const plan::ImageDraft& image,
                                                const std::filesystem::path& state_directory) {
  const entrypoint::Start start{.entrypoint = image.entrypoint,
                                .search_path = SearchPathOf(image),
                                .working_directory = image.working_directory};
  const entrypoint::Judgements kept(state_directory / "entrypoints");
  if (auto known = kept.Find(tree.snapshot, start)) {
    return *std::move(known);
  }
  entrypoint::Judgement judgement;
  RETURN_IF_ERROR(builder.Look(tree, [&](const std::filesystem::path& root) -> Status {
    ASSIGN_OR_RETURN(judgement, entrypoint::Judge(root, start));
    return OkStatus();
  }));
  RETURN_IF_ERROR(kept.Remember(tree.snapshot, start, judgement));
  return judgement;
}

std::string TextOf(const entrypoint::Judgement& judgement) {
  const std::string file = judgement.file.empty() ? "the image" : judgement.file;
  switch (judgement.verdict) {
    case entrypoint::Verdict::kDoes:
      return fmt::format("{} executes the command behind it: {}", file, judgement.reason);
    case entrypoint::Verdict::kDoesNot:
      return fmt::format("{} does not execute the command behind it: {}", file, judgement.reason);
    case entrypoint::Verdict::kCannotTell:
      break;
  }
  return fmt::format("whether {} executes the command behind it cannot be told: {}", file,
                     judgement.reason);
}

Status VerifyEntrypoint(build::Builder& builder, const build::Tree& tree,
                        const plan::ImageDraft& image, const std::stop_token& stop) {
  RETURN_IF_ERROR(builder.Look(tree, [](const std::filesystem::path& root) -> Status {
    ASSIGN_OR_RETURN(const UniqueFd opened, files::OpenRoot(root));
    return files::OpenInRoot(opened.get(), kShell, O_PATH | O_CLOEXEC).ok()
               ? OkStatus()
               : MakeError(StatusCode::kFailedPrecondition,
                           fmt::format("--verify-entrypoint: the image has no {} to run behind its "
                                       "entrypoint",
                                       kShell));
  }));
  // Only who executes the command can say the product: printing it is not enough.
  std::random_device random;
  const uint64_t left = 1000 + random() % 100'000;
  const uint64_t right = 1000 + random() % 100'000;
  const std::string wanted = fmt::format("starling-entrypoint={}.", left * right);
  plan::Run run{.arguments = image.entrypoint,
                .working_directory = image.working_directory,
                .user = image.user};
  run.arguments.insert(
      run.arguments.end(),
      {kShell, "-c", fmt::format("echo starling-entrypoint=$(({} * {})).", left, right)});
  for (const syntax::Variable& variable : image.environment) {
    run.environment.push_back(variable.name + "=" + variable.value);
  }
  std::stop_source ending;
  const std::stop_callback stopped(stop, [&ending] { ending.request_stop(); });
  std::mutex mutex;
  std::string output;
  bool executed = false;
  const auto ended = [&] {
    const Deadline deadline(kVerifyTimeout, ending);
    return builder.RunOnce(
        tree, run,
        [&](runc::Stream, std::string_view text) {
          const std::lock_guard lock(mutex);
          output += text;
          executed = executed || output.find(wanted) != std::string::npos;
          if (output.size() > kMaxOutputBytes) {
            output.erase(0, output.size() - wanted.size());
          }
          if (executed) {
            ending.request_stop();
          }
        },
        ending.get_token());
  }();
  if (executed) {
    return OkStatus();
  }
  if (stop.stop_requested()) {
    return ended.status();
  }
  const std::string how =
      ending.stop_requested()
          ? fmt::format("it has not executed it for {} seconds", kVerifyTimeout.count())
      : ended.ok() ? fmt::format("it ended with exit code {} and did not execute it", *ended)
                   : std::string(MessageOf(ended.status()));
  const std::string_view said = TrimSpace(output);
  std::string last(said.substr(said.find_last_of('\n') + 1));
  std::replace_if(
      last.begin(), last.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; }, ' ');
  return MakeError(StatusCode::kFailedPrecondition,
                   fmt::format("--verify-entrypoint: {} was run with a command behind it: {}{}",
                               fmt::join(image.entrypoint, " "), how,
                               last.empty() ? "" : fmt::format("; its last line: {}", last)));
}

}  // namespace starling::cli
