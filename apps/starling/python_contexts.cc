#include "apps/starling/python_contexts.h"

#include <cstdio>

#include "base/file_system.h"
#include "dockerfile/python/base_facts.h"
#include "dockerfile/python/cpu_level.h"
#include "dockerfile/python/start_files.h"
#include "dockerfile/python/sums.h"
#include "dockerfile/python/uses.h"

namespace starling::cli {
namespace {

namespace build = dockerfile::build;
namespace plan = dockerfile::plan;
namespace python = dockerfile::python;
namespace syntax = dockerfile::syntax;

Status AddTable(const std::string& path, python::ReleaseTable& pythons, python::ToolTable& tools) {
  ASSIGN_OR_RETURN(const Bytes sums, ReadFile(RealFileSystem(), path, python::kMaxSumsBytes));
  RETURN_IF_ERROR(Annotate(pythons.Add(AsText(sums)), path));
  return Annotate(tools.Add(AsText(sums)), path);
}

/// Whether a process of the image would find what is in the prefix's bin.
Status CheckPath(const plan::ImageDraft& image) {
  const std::string bin = std::string(python::kPrefix) + "/bin";
  for (const syntax::Variable& variable : image.environment) {
    if (variable.name == "PATH" &&
        fmt::format(":{}:", variable.value).find(fmt::format(":{}:", bin)) == std::string::npos) {
      return MakeError(StatusCode::kFailedPrecondition,
                       fmt::format("{} is not in the image's PATH ({}), so nobody would find this "
                                   "Python; add it by an \"env\" step or ENV",
                                   bin, variable.value));
    }
  }
  return OkStatus();
}

constexpr std::string_view kScheme = "://";

/// The tool that a build context's value names.
std::optional<python::Tool> ToolOf(std::string_view value) {
  for (const python::Tool tool : python::kTools) {
    if (value.starts_with(fmt::format("{}{}", NameOf(tool), kScheme))) {
      return tool;
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> ToolContextOf(std::string_view name) {
  for (const python::Tool tool : python::kTools) {
    const std::string prefix = fmt::format("{}-", NameOf(tool));
    if (name.starts_with(prefix)) {
      return fmt::format("{}{}{}", NameOf(tool), kScheme, name.substr(prefix.size()));
    }
  }
  return std::nullopt;
}

bool IsPythonContext(std::string_view value) {
  return value.starts_with(kPythonContext) || ToolOf(value).has_value();
}

python::ToolStore ToolPrograms(const std::filesystem::path& state_directory) {
  return python::ToolStore(state_directory / "python" / "tools");
}

python::TreeStore PythonTrees(const std::filesystem::path& state_directory) {
  return python::TreeStore(state_directory / "python" / "trees");
}

StatusOr<PythonContexts> PythonContexts::Read(const BuildArguments& arguments) {
  PythonContexts contexts(arguments);
  contexts.table_ = python::ReleaseTable::BuiltIn();
  contexts.tools_ = python::ToolTable::BuiltIn();
  if (const Status added = AddTable(kPythonTable, contexts.table_, contexts.tools_);
      !added.ok() && added.code() != StatusCode::kNotFound) {
    return added;
  }
  for (const std::string& path : arguments.python_tables) {
    RETURN_IF_ERROR(Annotate(AddTable(path, contexts.table_, contexts.tools_), "--python-table"));
  }
  return contexts;
}

StatusOr<python::CpuLevel> PythonContexts::CpuFor(const std::string& architecture) const {
  std::optional<python::CpuLevel> host;
  if (architecture == oci::Platform::Host().architecture) {
    ASSIGN_OR_RETURN(host, python::HostCpuLevel());
  }
  auto level = python::ParseCpuLevel(arguments_.python_cpu, host);
  return level.ok() ? std::move(level) : Annotate(level.status(), "--python-cpu");
}

StatusOr<python::ReleaseTable::Wanted> PythonContexts::WantedOf(const plan::Plan& plan,
                                                                const std::string& name,
                                                                const LookAt& look_at) const {
  const python::BaseFacts facts(arguments_.state_directory / "python" / "bases");
  std::optional<python::ReleaseTable::Wanted> wanted;
  for (const python::Placement& placement : python::PlacementsOf(plan.graph, name)) {
    const auto* image = std::get_if<plan::ImageSource>(&plan.graph.nodes[placement.root].operation);
    const oci::Platform& platform = image != nullptr ? image->platform : plan.platform;
    // What no image says is seen in what the steps below make.
    std::optional<python::BaseLibc> base =
        image != nullptr ? facts.Find(image->manifest) : std::nullopt;
    if (!base) {
      ASSIGN_OR_RETURN(
          base, look_at(image != nullptr ? placement.root : placement.base, platform.architecture));
      if (image != nullptr) {
        RETURN_IF_ERROR(facts.Remember(image->manifest, *base));
      }
    }
    RETURN_IF_ERROR(python::CheckRuns(*base));
    ASSIGN_OR_RETURN(const python::CpuLevel cpu, CpuFor(platform.architecture));
    if (wanted && (wanted->libc != base->libc || wanted->architecture != platform.architecture)) {
      return MakeError(StatusCode::kFailedPrecondition,
                       "it is put on bases of different kinds; name one context for each");
    }
    wanted = {.version = {}, .architecture = platform.architecture, .cpu = cpu, .libc = base->libc};
  }
  if (!wanted) {
    return MakeError(StatusCode::kNotFound, "nobody uses it");
  }
  return *wanted;
}

StatusOr<python::Release> PythonContexts::Choose(const python::ReleaseTable::Wanted& wanted,
                                                 const python::ReleaseSource& source,
                                                 dockerfile::lock::Pins& pins) const {
  const std::string name = fmt::format("{} {} {} v{}", wanted.version, wanted.architecture,
                                       python::NameOf(wanted.libc), wanted.cpu);
  ASSIGN_OR_RETURN(const std::optional<dockerfile::lock::LockedFile> pinned, pins.Python(name));
  python::ReleaseTable table = table_;
  if (pinned) {
    // What a lock names may be used, as what a table names.
    RETURN_IF_ERROR(Annotate(table.Add(fmt::format("{}  {}\n", pinned->digest.Hex(), pinned->file)),
                             arguments_.lock));
  }
  ASSIGN_OR_RETURN(
      python::Release release, table.Choose(wanted, [&](const python::Release& candidate) {
        return (!pinned || candidate.file == pinned->file) && source.Has(candidate.Released());
      }));
  pins.NotePython(name, {.file = release.file, .digest = release.digest});
  return release;
}

StatusOr<std::filesystem::path> PythonContexts::ProvideTool(
    python::Tool tool, const std::string& version, const std::string& architecture,
    const std::filesystem::path& scratch, dockerfile::lock::Pins& pins, const OnFetch& say,
    const std::stop_token& stop) const {
  const std::string name = fmt::format("{} {} {}", NameOf(tool), version, architecture);
  ASSIGN_OR_RETURN(const std::optional<dockerfile::lock::LockedFile> pinned, pins.Tool(name));
  python::ToolTable table = tools_;
  if (pinned) {
    table = python::ToolTable();
    RETURN_IF_ERROR(Annotate(table.Add(fmt::format("{}  {}\n", pinned->digest.Hex(), pinned->file)),
                             arguments_.lock));
  }
  ASSIGN_OR_RETURN(const python::ToolRelease release,
                   table.Choose(tool, pinned ? "latest" : version, architecture));
  const std::string& directory = release.released.directory;
  pins.NoteTool(name, {.file = directory + (directory.empty() ? "" : "/") + release.released.file,
                       .digest = release.released.digest});
  const std::string& place =
      tool == python::Tool::kUv ? arguments_.uv_source : arguments_.micromamba_source;
  const python::ReleaseSource source(place.empty() ? std::string(python::ReleasesOf(tool)) : place);
  return ToolPrograms(arguments_.state_directory).Provide(release, source, scratch, say, stop);
}

StatusOr<std::map<std::string, build::LocalContext>> PythonContexts::Provide(
    const plan::Plan& plan, const std::map<std::string, std::string>& named,
    const std::filesystem::path& scratch, const LookAt& look_at, dockerfile::lock::Pins& pins,
    const std::stop_token& stop) const {
  const python::TreeStore store = PythonTrees(arguments_.state_directory);
  const python::ReleaseSource source(
      arguments_.python_source.empty() ? std::string(python::kReleases) : arguments_.python_source);
  std::map<std::string, build::LocalContext> directories;
  for (const auto& [name, value] : named) {
    if (!IsPythonContext(value) || python::PlacementsOf(plan.graph, name).empty()) {
      continue;
    }
    const auto say = [this](const std::string& what) {
      return [this, what](const std::string& place) {
        if (!arguments_.quiet) {
          std::fprintf(stderr, "%s from %s\n", what.c_str(), place.c_str());
        }
      };
    };
    if (const auto tool = ToolOf(value)) {
      const std::string tool_name(NameOf(*tool));
      const auto program =
          ProvideTool(*tool, value.substr(tool_name.size() + kScheme.size()),
                      plan.platform.architecture, scratch, pins, say(tool_name), stop);
      if (!program.ok()) {
        return Annotate(program.status(), name);
      }
      directories[name].directory = *program;
      continue;
    }
    const auto provided = [&, &context = name,
                           version = value.substr(kPythonContext.size())]() -> Status {
      ASSIGN_OR_RETURN(python::ReleaseTable::Wanted wanted, WantedOf(plan, context, look_at));
      wanted.version = version;
      if (python::IsBelow(plan.graph, context, plan.root)) {
        RETURN_IF_ERROR(CheckPath(plan.image));
      }
      ASSIGN_OR_RETURN(const python::Release release, Choose(wanted, source, pins));
      build::LocalContext& directory = directories[context];
      ASSIGN_OR_RETURN(directory.directory,
                       store.Provide(release, source, scratch, say("Python"), stop));
      for (const std::string& file :
           python::StartFiles(directory.directory / "python", release.minor)) {
        directory.read_first.push_back("python/" + file);
      }
      return OkStatus();
    }();
    RETURN_IF_ERROR(Annotate(provided, name));
  }
  return directories;
}

}  // namespace starling::cli
