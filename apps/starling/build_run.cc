#include "apps/starling/build_run.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <variant>

#include "apps/starling/build_check.h"
#include "apps/starling/build_display.h"
#include "apps/starling/build_host.h"
#include "apps/starling/build_options.h"
#include "apps/starling/daemon_secret.h"
#include "apps/starling/guard.h"
#include "apps/starling/image_checks.h"
#include "apps/starling/python_contexts.h"
#include "apps/starling/recipe_options.h"
#include "apps/starling/stop_on_signal.h"
#include "apps/starling/toolbox.h"
#include "base/file_system.h"
#include "base/io.h"
#include "base/size_text.h"
#include "containerd/scoped_lease.h"
#include "copy/copy.h"
#include "copy/mounts_ahead.h"
#include "diff/upper_tar.h"
#include "dockerfile/build/builder.h"
#include "dockerfile/build/cache_image.h"
#include "dockerfile/build/cache_mount_layers.h"
#include "dockerfile/build/image_writer.h"
#include "dockerfile/build/known_documents.h"
#include "dockerfile/build/recompress.h"
#include "dockerfile/build/result_cache.h"
#include "dockerfile/build/scratch_directory.h"
#include "dockerfile/context/download.h"
#include "dockerfile/context/git_checkout.h"
#include "dockerfile/context/local_context.h"
#include "dockerfile/files/copy.h"
#include "dockerfile/lock/pinned_images.h"
#include "dockerfile/lock/pins.h"
#include "dockerfile/plan/plan.h"
#include "dockerfile/plan/print.h"
#include "dockerfile/recipe/render.h"
#include "dockerfile/syntax/excerpt.h"
#include "dockerfile/syntax/git_reference.h"
#include "dockerfile/syntax/lint.h"
#include "dockerfile/syntax/suggest.h"

namespace starling::cli {
namespace {

namespace build = dockerfile::build;
namespace context = dockerfile::context;
namespace lock = dockerfile::lock;
namespace plan = dockerfile::plan;
namespace recipe = dockerfile::recipe;
namespace syntax = dockerfile::syntax;

constexpr std::string_view kStandardInput = "-";
/// The build context with the packages that a lock names.
constexpr const char* kPackagesContext = "starling-lock";
constexpr std::string_view kDeviceEntitlement = "device=";
/// A tar begins with a name and has this in its header; what else is on standard input is text.
constexpr size_t kTarMagicOffset = 257;
constexpr std::string_view kTarMagic = "ustar";

std::chrono::sys_seconds Now() {
  return std::chrono::time_point_cast<std::chrono::seconds>(std::chrono::system_clock::now());
}

/// What is built: a Dockerfile, and the build's own context.
struct Input {
  std::string name;  // of the Dockerfile, for messages
  std::string text;
  std::optional<build::LocalContext> context;
  std::optional<build::Material> material;  // of a context from elsewhere
};

/// A Dockerfile, which may be a pipe: -f <(...).
StatusOr<std::string> ReadText(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(const UniqueFd file, RealFileSystem().Open(path, O_RDONLY, 0));
  FdSource source(file.get());
  auto bytes = ReadAll(source, syntax::kMaxDockerfileBytes);
  if (!bytes.ok()) {
    return Annotate(bytes.status(), path.native());
  }
  return std::string(AsText(*bytes));
}

/// What is on standard input: a Dockerfile, or a context as a tar.
StatusOr<Input> ReadStandardInput(const std::string& file, const std::filesystem::path& scratch,
                                  const std::stop_token& stop) {
  // Compressed or not, a tar has bytes that no Dockerfile has; a file can be looked at twice.
  const std::filesystem::path copy = scratch / "stdin";
  ASSIGN_OR_RETURN(const UniqueFd spool, RealFileSystem().Open(copy, O_RDWR | O_CREAT, 0600));
  FdSource source(STDIN_FILENO);
  FdSink sink(spool.get());
  RETURN_IF_ERROR(CopyAll(source, sink).status());
  std::array<char, kTarMagicOffset + kTarMagic.size()> head{};
  const ssize_t size = ::pread(spool.get(), head.data(), head.size(), 0);
  const std::string_view start(head.data(), static_cast<size_t>(std::max<ssize_t>(size, 0)));
  const bool is_tar = start.size() == head.size() && start.ends_with(kTarMagic);
  const bool is_compressed = start.starts_with("\x1f\x8b") || start.starts_with("BZh") ||
                             start.starts_with(
                                 "\xfd"
                                 "7zXZ") ||
                             start.starts_with("\x28\xb5\x2f\xfd");
  Input input{.name = "stdin"};
  if (!is_tar && !is_compressed) {
    ASSIGN_OR_RETURN(input.text, ReadText(copy));
    return input;
  }
  const std::filesystem::path directory = scratch / "context";
  if (::lseek(spool.get(), 0, SEEK_SET) != 0) {
    return ErrnoError(errno, "stdin");
  }
  RETURN_IF_ERROR(context::UnpackContext(spool.get(), directory, stop));
  const std::filesystem::path dockerfile = directory / (file.empty() ? "Dockerfile" : file);
  ASSIGN_OR_RETURN(context::LocalContext local, context::OpenDirectory(directory, dockerfile));
  input.context = {.directory = local.directory, .ignore_file = local.ignore_file};
  input.name = dockerfile.filename();
  ASSIGN_OR_RETURN(input.text, ReadText(dockerfile));
  return input;
}

/// The build's context and Dockerfile, wherever they are.
StatusOr<Input> ReadInput(const BuildArguments& arguments, const std::filesystem::path& scratch,
                          lock::Pins& pins, const std::stop_token& stop) {
  if (arguments.path == kStandardInput) {
    return ReadStandardInput(arguments.file, scratch, stop);
  }
  std::filesystem::path directory = arguments.path;
  Input input;
  ASSIGN_OR_RETURN(auto git, syntax::ParseGitReference(arguments.path));
  if (git && !(git->like_local_path && std::filesystem::exists(directory))) {
    const std::string name = lock::Pins::NameOf(*git);
    RETURN_IF_ERROR(pins.Pin(*git));
    ASSIGN_OR_RETURN(const context::GitCheckout checkout,
                     context::CheckOut(*git, /*keep_git_directory=*/false, scratch / "git", stop));
    pins.NoteRepository(name, checkout.commit);
    directory = checkout.directory;
    input.material = build::MaterialOfCommit(arguments.path, checkout.commit);
  } else if (syntax::IsHttpUrl(arguments.path)) {
    const std::filesystem::path archive = scratch / "download";
    plan::HttpSource source{.url = arguments.path, .checksum = {}};
    RETURN_IF_ERROR(pins.Pin(source));
    ASSIGN_OR_RETURN(const oci::Digest digest,
                     context::Download(source.url, archive, {.checksum = source.checksum}, stop));
    pins.NoteDownload(source.url, digest);
    input.material = build::MaterialOfDownload(arguments.path, digest);
    ASSIGN_OR_RETURN(const UniqueFd fd, RealFileSystem().Open(archive, O_RDONLY, 0));
    directory = scratch / "context";
    RETURN_IF_ERROR(context::UnpackContext(fd.get(), directory, stop));
  }
  const bool is_remote = directory.native() != arguments.path;
  std::filesystem::path dockerfile = directory / "Dockerfile";
  if (arguments.file == kStandardInput) {
    FdSource source(STDIN_FILENO);
    ASSIGN_OR_RETURN(const Bytes bytes, ReadAll(source, syntax::kMaxDockerfileBytes));
    input.text = AsText(bytes);
    input.name = "stdin";
    dockerfile.clear();
  } else {
    if (!arguments.file.empty()) {
      dockerfile = is_remote ? directory / arguments.file : std::filesystem::path(arguments.file);
    }
    ASSIGN_OR_RETURN(input.text, ReadText(dockerfile));
    input.name = dockerfile.native();
  }
  ASSIGN_OR_RETURN(const context::LocalContext local,
                   context::OpenDirectory(directory, dockerfile));
  input.context = {.directory = local.directory, .ignore_file = local.ignore_file};
  return input;
}

/// What the command line says, in the types of who acts on it.
struct Settings {
  plan::PlanSettings plan;
  build::BuildSettings build;
  std::vector<BuildOutput> outputs;
  std::vector<BuildCache> cache_to;
  std::vector<BuildCache> cache_from;
  std::vector<oci::Platform> platforms;
  oci::Annotations annotations;
  bool docker_media_types = false;
  bool force_compression = false;
  std::optional<ProvenanceOptions> provenance;
};

Status ReadRunSettings(const BuildArguments& arguments, build::RunSettings& run) {
  for (const std::string& text : arguments.secrets) {
    ASSIGN_OR_RETURN(auto secret, ReadSecret(text));
    run.secrets.insert(std::move(secret));
  }
  for (const std::string& text : arguments.ssh) {
    ASSIGN_OR_RETURN(auto agent, ParseSsh(text));
    run.ssh_sockets.insert(std::move(agent));
  }
  for (const std::string& host : arguments.hosts) {
    if (host.find_first_of(":=") == std::string::npos) {
      return MakeError(StatusCode::kInvalidArgument,
                       fmt::format("--add-host: '{}' is not NAME:ADDRESS", host));
    }
    run.extra_hosts.push_back(host);
  }
  for (const std::string& entitlement : arguments.allowed) {
    if (entitlement == "security.insecure") {
      run.allow_insecure = true;
    } else if (entitlement == "device") {
      run.allow_all_devices = true;
    } else if (entitlement.starts_with(kDeviceEntitlement)) {
      run.allowed_devices.insert(entitlement.substr(kDeviceEntitlement.size()));
    } else if (entitlement != "network.host") {
      return MakeError(
          StatusCode::kInvalidArgument,
          fmt::format("--allow: '{}' is not one of network.host, security.insecure, device, "
                      "device=NAME",
                      entitlement));
    }
  }
  if (!arguments.device_directories.empty()) {
    run.device_directories = arguments.device_directories;
  }
  for (const std::string& text : arguments.ulimits) {
    ASSIGN_OR_RETURN(runc::ProcessLimit limit, ParseUlimit(text));
    run.limits.push_back(std::move(limit));
  }
  if (!arguments.shm_size.empty()) {
    ASSIGN_OR_RETURN(run.shm_bytes, syntax::ParseSize(arguments.shm_size));
  }
  if (!arguments.memory.empty()) {
    ASSIGN_OR_RETURN(run.resources.memory_bytes, syntax::ParseSize(arguments.memory));
  }
  if (arguments.cpus > 0) {
    run.resources.cpus = arguments.cpus;
  }
  run.cgroup_parent = arguments.cgroup_parent;
  if (!arguments.ca_bundle.empty()) {
    run.ca_bundle = arguments.ca_bundle;
  }
  return OkStatus();
}

Status ReadOutputs(const BuildArguments& arguments, Settings& settings) {
  for (const std::string& text : arguments.outputs) {
    ASSIGN_OR_RETURN(BuildOutput output, ParseOutput(text));
    settings.outputs.push_back(std::move(output));
  }
  if (settings.outputs.empty()) {
    settings.outputs.emplace_back();
  }
  build::LayerFormat& format = settings.build.format;
  format.threads = std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN));
  if (!arguments.compression.empty()) {
    ASSIGN_OR_RETURN(format.compression, build::ParseCompression(arguments.compression));
  }
  for (BuildOutput& output : settings.outputs) {
    if (output.type == BuildOutput::Type::kImage) {
      output.names.insert(output.names.end(), arguments.tags.begin(), arguments.tags.end());
      output.push = output.push || arguments.push;
    }
    if (output.compression) {
      format.compression = *output.compression;
    }
    if (output.compression_level) {
      format.level = output.compression_level;
    }
    settings.docker_media_types =
        settings.docker_media_types || !output.oci_media_types.value_or(true);
    settings.force_compression = settings.force_compression || output.force_compression;
    settings.annotations.insert(output.annotations.begin(), output.annotations.end());
  }
  if (!arguments.provenance.empty()) {
    ASSIGN_OR_RETURN(settings.provenance, ParseProvenance(arguments.provenance));
  }
  for (const std::string& text : arguments.attestations) {
    ASSIGN_OR_RETURN(settings.provenance, ParseAttest(text));
  }
  if (settings.provenance && settings.docker_media_types) {
    return MakeError(StatusCode::kInvalidArgument,
                     "--provenance: Docker's media types have none for it; leave "
                     "oci-mediatypes=false out");
  }
  if (settings.provenance && std::ranges::none_of(settings.outputs, [](const BuildOutput& output) {
        return output.type == BuildOutput::Type::kImage || output.type == BuildOutput::Type::kOci;
      })) {
    return MakeError(StatusCode::kInvalidArgument,
                     "--provenance: it is attached to an image, which no --output is");
  }
  for (const std::string& text : arguments.annotations) {
    ASSIGN_OR_RETURN(auto annotation, ParsePair("annotation", text));
    settings.annotations.insert_or_assign(annotation.first, annotation.second);
  }
  return OkStatus();
}

/// Of the build arguments, else of the environment.
StatusOr<std::optional<int64_t>> SourceDateEpoch(const syntax::BuildSettings& settings) {
  const auto argument = settings.arguments.find("SOURCE_DATE_EPOCH");
  const char* from_environment = std::getenv("SOURCE_DATE_EPOCH");
  const std::string text = argument != settings.arguments.end() ? argument->second
                           : from_environment != nullptr        ? from_environment
                                                                : "";
  if (text.empty()) {
    return std::optional<int64_t>();
  }
  char* end = nullptr;
  const int64_t seconds = std::strtoll(text.c_str(), &end, 10);
  if (*end != '\0' || seconds < 0) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("SOURCE_DATE_EPOCH={} is no number of seconds", text));
  }
  return std::optional(seconds);
}

StatusOr<Settings> ReadSettings(const BuildArguments& arguments) {
  Settings settings;
  plan::PlanSettings& planned = settings.plan;
  for (const std::string& text : arguments.build_arguments) {
    if (auto variable = ParseVariable(text)) {
      planned.build.arguments.insert_or_assign(variable->first, variable->second);
    }
  }
  planned.build.target = arguments.target;
  planned.no_cache = arguments.no_cache;
  planned.no_cache_stages = {arguments.no_cache_stages.begin(), arguments.no_cache_stages.end()};
  if (arguments.network == "none") {
    planned.network = syntax::Network::kNone;
  } else if (arguments.network != "default" && arguments.network != "host") {
    return MakeError(
        StatusCode::kInvalidArgument,
        fmt::format("--network: '{}' is not one of default, host, none", arguments.network));
  }
  for (const std::string& text : arguments.labels) {
    ASSIGN_OR_RETURN(auto label, ParsePair("label", text));
    planned.labels.insert_or_assign(label.first, label.second);
  }
  build::BuildSettings& built = settings.build;
  for (const std::string& text : arguments.contexts) {
    ASSIGN_OR_RETURN(auto named, ParsePair("build-context", text));
    planned.named_contexts.insert_or_assign(named.first, named.second);
    std::error_code error;
    if (std::filesystem::is_directory(named.second, error)) {
      ASSIGN_OR_RETURN(const context::LocalContext local, context::OpenDirectory(named.second, ""));
      built.contexts[named.first] = {.directory = local.directory,
                                     .ignore_file = local.ignore_file};
    }
  }
  for (const std::string& text : arguments.platforms) {
    for (std::string_view left = text; !left.empty();) {
      const size_t comma = std::min(left.find(','), left.size());
      ASSIGN_OR_RETURN(oci::Platform platform, oci::Platform::Parse(left.substr(0, comma)));
      settings.platforms.push_back(std::move(platform));
      left.remove_prefix(std::min(comma + 1, left.size()));
    }
  }
  if (settings.platforms.empty()) {
    settings.platforms.push_back(oci::Platform::Host());
  }
  for (const std::string& written : arguments.cache_to) {
    ASSIGN_OR_RETURN(BuildCache cache, ParseCacheTo(written));
    settings.cache_to.push_back(std::move(cache));
  }
  for (const std::string& written : arguments.cache_from) {
    ASSIGN_OR_RETURN(BuildCache cache, ParseCacheFrom(written));
    settings.cache_from.push_back(std::move(cache));
  }
  RETURN_IF_ERROR(ReadRunSettings(arguments, built.run));
  RETURN_IF_ERROR(ReadOutputs(arguments, settings));
  built.snapshotter = arguments.snapshotter;
  built.steps_at_once = arguments.parallel;
  built.state_directory = arguments.state_directory;
  built.work_directory = kBuildWorkDirectory;
  return settings;
}

void PrintProblem(const Input& input, const syntax::Problem& problem) {
  std::fprintf(stderr, "%s: error: %s%s\n%s",
               problem.range.begin.line == 0
                   ? input.name.c_str()
                   : fmt::format("{}:{}:{}", input.name, problem.range.begin.line,
                                 problem.range.begin.column)
                         .c_str(),
               problem.message.c_str(), syntax::DidYouMean(problem.suggestion).c_str(),
               syntax::Excerpt(input.text, problem.range).c_str());
}

/// One platform's plan, and what came of it.
struct PlatformBuild {
  plan::Plan plan;
  /// Contexts that only this platform has.
  std::map<std::string, build::LocalContext> contexts;
  build::BuiltImage image;
  build::Tree tree;
  std::string provenance;  // if that is wanted
  /// For each --cache-to that is no inline one.
  std::vector<std::vector<build::CachedResult>> results;
};

/// One run of the command.
class BuildRun {
 public:
  BuildRun(const BuildArguments& arguments, const recipe::Recipe* recipe, int& exit_code)
      : arguments_(arguments),
        recipe_(recipe),
        exit_code_(exit_code),
        host_options_(ChooseBuildHost(arguments.containerd, arguments.starlingd,
                                      arguments.state_directory)) {}

  Status Run() {
    if (recipe_ != nullptr && PrintsSource()) {
      return PrintRecipe(*recipe_, arguments_.print);
    }
    ASSIGN_OR_RETURN(settings_, ReadSettings(arguments_));
    if (arguments_.debug_shell) {
      RETURN_IF_ERROR(TakeTerminal());
    }
    GuardProcess([this] { RemoveLeftovers(); });
    const StopOnSignal signals;
    stop_ = signals.token();
    ASSIGN_OR_RETURN(const build::ScratchDirectory scratch,
                     build::ScratchDirectory::Make(arguments_.state_directory / "contexts"));
    RETURN_IF_ERROR(ReadLock());
    ASSIGN_OR_RETURN(const syntax::Dockerfile dockerfile, ReadDockerfile(scratch.path()));
    if (PrintsSource()) {
      return PrintSource(dockerfile);
    }
    if (input_.context) {
      settings_.build.contexts[""] = *input_.context;
    }
    ASSIGN_OR_RETURN(settings_.build.source_date_epoch, SourceDateEpoch(settings_.plan.build));
    const std::string secret_image = SecretImage(dockerfile);
    ASSIGN_OR_RETURN(toolbox_, Toolbox::Make(arguments_.registries, secret_image));
    if (const auto image = oci::Reference::Parse(secret_image); image.ok()) {
      GiveDaemonSecret(arguments_.starlingd, arguments_.registries, *image);
    }
    const std::stop_callback stop_network(stop_, [this] { toolbox_->StopNetwork(); });
    build::BaseImages images(
        [this](const std::string& reference) -> StatusOr<std::shared_ptr<oci::ImageSource>> {
          ASSIGN_OR_RETURN(std::shared_ptr<oci::ImageSource> source,
                           toolbox_->OpenSource(reference));
          return build::KeepDocuments(std::move(source), arguments_.state_directory / "documents");
        });
    lock::PinnedImages pinned(
        pins_, images, [&images](const plan::BaseImage& image) -> StatusOr<oci::Digest> {
          ASSIGN_OR_RETURN(const auto found, images.Find({.reference = image.reference,
                                                          .platform = image.platform,
                                                          .manifest = image.manifest}));
          return found->selected.top.digest;
        });
    for (const oci::Platform& platform : settings_.platforms) {
      ASSIGN_OR_RETURN(plan::Plan planned, PlanFor(dockerfile, platform, pinned));
      builds_.push_back({.plan = std::move(planned)});
    }
    if (!arguments_.print.empty()) {
      return Print();
    }
    if (arguments_.run && builds_.size() != 1) {
      return MakeError(StatusCode::kInvalidArgument, "one platform at a time can be run");
    }
    ASSIGN_OR_RETURN(BuildHost host, BuildHost::Open(host_options_));
    client_ = &host.client();
    if (host.is_standalone() && !arguments_.containerd.is_named && !arguments_.quiet) {
      std::fprintf(stderr, "no containerd at %s: building on starlingd at %s\n",
                   arguments_.containerd.address.c_str(), arguments_.starlingd.c_str());
    }
    const Status built = Execute(images, pinned, dockerfile, scratch.path());
    // Also after a failure: what was begun is nobody's now.
    if (const Status collected = host.Collect(); !collected.ok()) {
      std::fprintf(stderr, "starling build: what is not needed any more is still there: %s\n",
                   Describe(collected).c_str());
    }
    return built;
  }

 private:
  /// What there is to do for a platform, with its sources pinned.
  StatusOr<plan::Plan> PlanFor(const syntax::Dockerfile& dockerfile, const oci::Platform& platform,
                               plan::ImageResolver& resolver) {
    settings_.plan.build.target_platform = platform;
    auto planned = plan::MakePlan(dockerfile, settings_.plan, resolver);
    if (!planned.ok()) {
      return CannotBeBuilt(planned.status());
    }
    if (recipe_ != nullptr) {
      RETURN_IF_ERROR(CheckBasePlatform(*recipe_, *planned, platform));
    }
    RETURN_IF_ERROR(pins_.PinSources(planned->graph));
    return *std::move(planned);
  }

  /// With what there is to build, and a client.
  Status Execute(build::BaseImages& images, plan::ImageResolver& resolver,
                 const syntax::Dockerfile& dockerfile, const std::filesystem::path& scratch) {
    ASSIGN_OR_RETURN(containerd::ScopedLease lease,
                     containerd::ScopedLease::Take(*client_, LeaseId()));
    RETURN_IF_ERROR(CheckPrograms(images));
    for (PlatformBuild& one : builds_) {
      RETURN_IF_ERROR(LockPackages(one, images, resolver, scratch));
      RETURN_IF_ERROR(ProvidePythons(one, images, scratch));
    }
    if (arguments_.explain) {
      return Explain(images);
    }
    OpenCaches(images);
    MountBasesAhead(images);
    for (PlatformBuild& one : builds_) {
      RETURN_IF_ERROR(BuildOne(one, images));
    }
    RETURN_IF_ERROR(Deliver(images));
    RETURN_IF_ERROR(ExportCaches(images));
    RETURN_IF_ERROR(WriteLock());
    if (recipe_ == nullptr) {
      WarnOfLint(dockerfile);
    }
    ASSIGN_OR_RETURN(const uint64_t keep_bytes, syntax::ParseSize(arguments_.keep_storage));
    RETURN_IF_ERROR(
        build::ResultCache(*client_, arguments_.snapshotter).Prune(keep_bytes).status());
    return lease.Release();
  }

  std::string LeaseId() const { return "starling-build-" + settings_.build.build_id; }

  /// For a shell in a step that fails.
  Status TakeTerminal() {
    if (arguments_.progress != "auto" && arguments_.progress != "plain") {
      return MakeError(StatusCode::kInvalidArgument,
                       fmt::format("--debug-shell: the terminal cannot be shared with "
                                   "--progress {}; leave that out",
                                   arguments_.progress));
    }
    if (terminal_.Reset(::open("/dev/tty", O_RDWR | O_CLOEXEC)); !terminal_.valid()) {
      return MakeError(StatusCode::kFailedPrecondition,
                       "--debug-shell: there is no terminal for a shell");
    }
    settings_.build.run.debug_terminal = {.fd = terminal_.get(),
                                          .foreground = ::tcgetpgrp(terminal_.get())};
    settings_.build.steps_at_once = 1;
    return OkStatus();
  }

  /// How it is shown how the build gets on.
  StatusOr<BuildProgress> ProgressMode() const {
    return ParseBuildProgress(arguments_.quiet         ? "quiet"
                              : arguments_.debug_shell ? "plain"
                                                       : arguments_.progress,
                              stderr);
  }

  /// Of a build that was killed: containers, and what its lease holds.
  void RemoveLeftovers() const {
    const Status ended =
        build::RemoveLeftovers(arguments_.state_directory, settings_.build.build_id);
    const auto release = [this]() -> Status {
      ASSIGN_OR_RETURN(BuildHost host, BuildHost::Open(host_options_));
      const Status deleted = host.client().DeleteLease(LeaseId());
      RETURN_IF_ERROR(host.Collect());
      return deleted;
    };
    for (const Status& status : {ended, release()}) {
      if (!status.ok() && status.code() != StatusCode::kNotFound) {
        std::fprintf(stderr, "starling build: %s\n", Describe(status).c_str());
      }
    }
  }

  /// The image that --registry-secret is for: what the first stage begins with.
  static std::string SecretImage(const syntax::Dockerfile& dockerfile) {
    if (dockerfile.stages.empty()) {
      return "";
    }
    const std::string& image = dockerfile.stages[0].from().image.value;
    return oci::Reference::Parse(image).ok() ? image : "";
  }

  /// Of the file, or of the recipe.
  StatusOr<syntax::Dockerfile> ReadDockerfile(const std::filesystem::path& scratch) {
    if (recipe_ == nullptr) {
      ASSIGN_OR_RETURN(input_, ReadInput(arguments_, scratch, pins_, stop_));
      return syntax::ParseDockerfile(input_.text);
    }
    ASSIGN_OR_RETURN(settings_.build.source_date_epoch, SourceDateEpoch(settings_.plan.build));
    ASSIGN_OR_RETURN(
        recipe::RenderedRecipe rendered,
        recipe::RenderRecipe(*recipe_, {.lock_context = {},
                                        .resolve = {},
                                        .source_date_epoch = settings_.build.source_date_epoch}));
    input_ = {.name = "recipe", .text = rendered.text};
    if (!arguments_.path.empty()) {
      ASSIGN_OR_RETURN(const context::LocalContext local,
                       context::OpenDirectory(arguments_.path, ""));
      input_.context = {.directory = local.directory, .ignore_file = local.ignore_file};
      RETURN_IF_ERROR(IgnoreAsTheRecipe(*input_.context));
    }
    for (const std::string& name : rendered.contexts) {
      if (name.starts_with(kPythonContextName)) {
        RETURN_IF_ERROR(NamePython(name));
      } else if (const auto tool = ToolContextOf(name)) {
        settings_.plan.named_contexts.try_emplace(name, *tool);
      } else if (!settings_.plan.named_contexts.contains(name)) {
        return MakeError(StatusCode::kFailedPrecondition,
                         fmt::format("the recipe needs the build context {}; add --build-context "
                                     "{}=DIRECTORY",
                                     name, name));
      }
    }
    settings_.plan.build.arguments.merge(rendered.build_arguments);
    settings_.plan.labels.insert_or_assign(recipe::kBuilderVersionLabel,
                                           std::to_string(recipe_->builder_version));
    return std::move(rendered.dockerfile);
  }

  /// Patterns of the recipe go before the context's ignore file.
  Status IgnoreAsTheRecipe(build::LocalContext& main_context) const {
    const auto* whole = std::get_if<recipe::WholeDockerfile>(&recipe_->steps.front());
    if (whole == nullptr || !whole->ignore) {
      return OkStatus();
    }
    std::vector<syntax::IgnorePattern> patterns;
    for (const std::string& text : *whole->ignore) {
      patterns.push_back({.text = text});
    }
    ASSIGN_OR_RETURN(syntax::IgnoreFile ignore, syntax::IgnoreFile::FromPatterns(patterns));
    main_context.ignore_file = std::make_shared<const syntax::IgnoreFile>(std::move(ignore));
    return OkStatus();
  }

  /// A recipe's Python is a release, unless the command line has something else for it.
  Status NamePython(const std::string& name) {
    const auto [named, is_release] = settings_.plan.named_contexts.try_emplace(
        name, std::string(kPythonContext) + name.substr(kPythonContextName.size()));
    const auto directory = settings_.build.contexts.find(name);
    if (is_release || directory == settings_.build.contexts.end()) {
      return OkStatus();
    }
    const std::filesystem::path bin = directory->second.directory / "python" / "bin";
    std::error_code error;
    if (std::filesystem::symlink_status(bin / "python", error).type() ==
        std::filesystem::file_type::not_found) {
      return MakeError(StatusCode::kFailedPrecondition,
                       fmt::format("--build-context {}: there is no {}; link it to python3", name,
                                   (bin / "python").native()));
    }
    return OkStatus();
  }

  Status ReadLock() {
    if (!arguments_.locked) {
      return OkStatus();
    }
    const std::string file = LockFile();
    const auto bytes = ReadFile(RealFileSystem(), file, lock::kMaxLockBytes);
    if (!bytes.ok()) {
      return Annotate(bytes.status(), "--locked");
    }
    auto read = lock::ParseLock(*bytes);
    if (!read.ok()) {
      return Annotate(read.status(), file);
    }
    pins_ = lock::Pins(*std::move(read), file);
    return OkStatus();
  }

  Status WriteLock() const {
    if (arguments_.locked || arguments_.lock.empty()) {
      return OkStatus();
    }
    return WriteFileAtomically(RealFileSystem(), arguments_.lock,
                               AsBytes(lock::WriteLock(pins_.used())), 0644);
  }

  std::string LockFile() const {
    return arguments_.lock.empty() ? "starling.lock" : arguments_.lock;
  }

  void NoteSources(const build::Builder& builder, const plan::Graph& graph) {
    for (const auto& [node, material] : builder.Fetched()) {
      const plan::Operation& operation = graph.nodes[node].operation;
      if (const auto* http = std::get_if<plan::HttpSource>(&operation)) {
        if (const auto digest =
                oci::Digest::Parse(fmt::format("{}:{}", material.algorithm, material.digest));
            digest.ok()) {
          pins_.NoteDownload(http->url, *digest);
        }
      } else if (const auto* git = std::get_if<plan::GitSource>(&operation)) {
        pins_.NoteRepository(lock::Pins::NameOf(git->reference), material.digest);
      }
    }
  }

  Status CheckPrograms(build::BaseImages& images) {
    if (recipe_ == nullptr) {
      return OkStatus();
    }
    for (PlatformBuild& one : builds_) {
      const ShowNode show = [&](plan::NodeId node, const auto& look) {
        return Show(one, images, node, look);
      };
      RETURN_IF_ERROR(
          CheckBasePrograms(*recipe_, one.plan, images, arguments_.state_directory, show));
    }
    return OkStatus();
  }

  /// What the options ask of the entrypoint; of a recipe's own one, a warning.
  Status CheckEntrypoint(build::Builder& builder, const PlatformBuild& one) const {
    const plan::ImageDraft& image = one.plan.image;
    if (arguments_.check_entrypoint || (recipe_ != nullptr && !image.entrypoint.empty())) {
      ASSIGN_OR_RETURN(const dockerfile::entrypoint::Judgement judgement,
                       JudgeEntrypoint(builder, one.tree, image, arguments_.state_directory));
      const bool does_not = judgement.verdict == dockerfile::entrypoint::Verdict::kDoesNot;
      if (does_not && arguments_.check_entrypoint) {
        return MakeError(StatusCode::kFailedPrecondition, TextOf(judgement));
      }
      if ((does_not || arguments_.check_entrypoint) && !arguments_.quiet) {
        std::fprintf(stderr, "entrypoint: %s\n", TextOf(judgement).c_str());
      }
    }
    if (arguments_.verify_entrypoint && !image.entrypoint.empty()) {
      return VerifyEntrypoint(builder, one.tree, image, stop_);
    }
    return OkStatus();
  }

  bool LocksPackages() const {
    return recipe_ != nullptr && recipe_->builder_version >= recipe::kPinsPackagesFrom &&
           (arguments_.locked || !arguments_.lock.empty());
  }

  /// Lets each install of the recipe's be one of what the lock names, or of what it would install
  /// now, which the lock is to name.
  Status LockPackages(PlatformBuild& one, build::BaseImages& images, plan::ImageResolver& resolver,
                      const std::filesystem::path& scratch) {
    if (!LocksPackages()) {
      return OkStatus();
    }
    const oci::Platform platform = one.plan.platform;
    std::string name = "packages-" + platform.ToString();
    std::replace(name.begin(), name.end(), '/', '-');
    const std::filesystem::path directory = scratch / name;
    RETURN_IF_ERROR(MakeDirectories(directory, 0755));
    settings_.plan.named_contexts[kPackagesContext] = directory;
    one.contexts[kPackagesContext] = {.directory = directory};
    const recipe::RenderOptions options{.lock_context = kPackagesContext,
                                        .resolve = {},
                                        .source_date_epoch = settings_.build.source_date_epoch};
    ASSIGN_OR_RETURN(const recipe::RenderedRecipe rendered,
                     recipe::RenderRecipe(*recipe_, options));
    std::set<std::string> names;
    for (size_t i = 0; i < rendered.installs.size(); ++i) {
      const recipe::Install& install = rendered.installs[i];
      RETURN_IF_ERROR(Annotate(LockInstall(one, i, install, names, images, resolver, scratch),
                               fmt::format("recipe: /steps/{}", install.step)));
    }
    return Replan(one, rendered, resolver);
  }

  Status LockInstall(PlatformBuild& one, size_t number, const recipe::Install& install,
                     std::set<std::string>& names, build::BaseImages& images,
                     plan::ImageResolver& resolver, const std::filesystem::path& scratch) {
    // By what is asked, and where: files of requirements count with what is in them.
    std::string name = fmt::format("{} {}", one.plan.platform.ToString(), install.name);
    std::vector<std::string> index_lines;
    for (const recipe::ContextPath& requirement : install.requirements) {
      ASSIGN_OR_RETURN(const std::string text, ReadRequirements(requirement));
      name += fmt::format(" {}", oci::Digest::Of(AsBytes(text)).ToString());
      ASSIGN_OR_RETURN(std::vector<std::string> lines, recipe::IndexLinesOf(text));
      std::ranges::move(lines, std::back_inserter(index_lines));
    }
    const std::string first_name = name;
    for (int times = 2; !names.insert(name).second; ++times) {
      name = fmt::format("{} ({})", first_name, times);
    }
    const std::filesystem::path file =
        one.contexts[kPackagesContext].directory / std::to_string(number);
    RETURN_IF_ERROR(WriteLines(file, index_lines));
    ASSIGN_OR_RETURN(std::optional<std::vector<std::string>> lines, pins_.Packages(name));
    if (!lines) {
      ASSIGN_OR_RETURN(lines, Resolve(one, number, install, images, resolver, scratch));
    }
    pins_.NotePackages(name, *lines);
    index_lines.insert(index_lines.end(), lines->begin(), lines->end());
    return WriteLines(file, index_lines);
  }

  static Status WriteLines(const std::filesystem::path& file,
                           const std::vector<std::string>& lines) {
    std::string text;
    for (const std::string& line : lines) {
      text += line + "\n";
    }
    return WriteFileAtomically(RealFileSystem(), file, AsBytes(text), 0644);
  }

  StatusOr<std::string> ReadRequirements(const recipe::ContextPath& requirement) const {
    const auto context = settings_.build.contexts.find(requirement.context);
    if (context == settings_.build.contexts.end()) {
      return MakeError(StatusCode::kFailedPrecondition,
                       fmt::format("{} is of the build context {}, which is no directory of this "
                                   "machine; its packages cannot be locked",
                                   requirement.path, requirement.context));
    }
    ASSIGN_OR_RETURN(const Bytes bytes,
                     ReadFile(RealFileSystem(), context->second.directory / requirement.path,
                              recipe::kMaxResolvedBytes));
    return std::string(AsText(bytes));
  }

  /// Makes what stands below an install, and asks there what it would install.
  StatusOr<std::vector<std::string>> Resolve(const PlatformBuild& one, size_t number,
                                             const recipe::Install& install,
                                             build::BaseImages& images,
                                             plan::ImageResolver& resolver,
                                             const std::filesystem::path& scratch) {
    const recipe::RenderOptions options{.lock_context = kPackagesContext,
                                        .resolve = number,
                                        .source_date_epoch = settings_.build.source_date_epoch};
    ASSIGN_OR_RETURN(const recipe::RenderedRecipe rendered,
                     recipe::RenderRecipe(*recipe_, options));
    PlatformBuild asking{.plan = one.plan, .contexts = one.contexts};
    RETURN_IF_ERROR(Replan(asking, rendered, resolver));
    RETURN_IF_ERROR(ProvidePythons(asking, images, scratch));
    // The index says another thing every day.
    asking.plan.graph.nodes[asking.plan.root].no_cache = true;
    std::map<std::string_view, std::string> files;
    const auto read = [&files](const std::filesystem::path& root) -> Status {
      for (const std::string_view file : {recipe::kResolvedFile, recipe::kUvPlanFile}) {
        const auto bytes =
            ReadFile(RealFileSystem(), root / file.substr(1), recipe::kMaxResolvedBytes);
        if (!bytes.ok() && bytes.status().code() != StatusCode::kNotFound) {
          return bytes.status();
        }
        files[file] = bytes.ok() ? AsText(*bytes) : "";
      }
      return OkStatus();
    };
    const Status asked = Show(asking, images, asking.plan.root, read);
    if (!asked.ok()) {
      return Annotate(asked, install.kind == recipe::Install::Kind::kPip
                                 ? "pip was asked what it would install, which 22.2 and later tell"
                                 : "it was asked what would be installed");
    }
    return recipe::LinesOfResolved(install.kind, files[recipe::kResolvedFile],
                                   files[recipe::kUvPlanFile]);
  }

  Status Replan(PlatformBuild& one, const recipe::RenderedRecipe& rendered,
                plan::ImageResolver& resolver) {
    input_.text = rendered.text;
    ASSIGN_OR_RETURN(one.plan, PlanFor(rendered.dockerfile, one.plan.platform, resolver));
    return OkStatus();
  }

  /// Fetches the Pythons that a build needs.
  Status ProvidePythons(PlatformBuild& one, build::BaseImages& images,
                        const std::filesystem::path& scratch) {
    const auto& named = settings_.plan.named_contexts;
    if (std::none_of(named.begin(), named.end(),
                     [](const auto& context) { return IsPythonContext(context.second); })) {
      return OkStatus();
    }
    if (!python_contexts_) {
      ASSIGN_OR_RETURN(PythonContexts read, PythonContexts::Read(arguments_));
      python_contexts_.emplace(std::move(read));
    }
    const auto look_at =
        [&](plan::NodeId node,
            const std::string& architecture) -> StatusOr<dockerfile::python::BaseLibc> {
      dockerfile::python::BaseLibc found;
      RETURN_IF_ERROR(Show(one, images, node, [&](const std::filesystem::path& root) -> Status {
        ASSIGN_OR_RETURN(found, dockerfile::python::FindLibc(root, architecture));
        return OkStatus();
      }));
      return found;
    };
    ASSIGN_OR_RETURN(auto provided,
                     python_contexts_->Provide(one.plan, named, scratch, look_at, pins_, stop_));
    one.contexts.merge(provided);
    return OkStatus();
  }

  /// Executes a part of a build and lets `look` see what it makes.
  Status Show(PlatformBuild& one, build::BaseImages& images, plan::NodeId node,
              const std::function<Status(const std::filesystem::path&)>& look) {
    ASSIGN_OR_RETURN(const BuildProgress mode, ProgressMode());
    BuildDisplay display(stderr, mode, one.plan.graph, SystemClock());
    build::Builder builder(*client_, one.plan.graph, images, SettingsOf(one), display, display);
    ASSIGN_OR_RETURN(const build::Tree tree, builder.Build(node, stop_));
    return builder.Look(tree, look);
  }

  build::BuildSettings SettingsOf(const PlatformBuild& one) const {
    build::BuildSettings settings = settings_.build;
    settings.contexts.insert(one.contexts.begin(), one.contexts.end());
    return settings;
  }

  Status CannotBeBuilt(const syntax::Problem& problem) {
    PrintProblem(input_, problem);
    exit_code_ = kExitCannotBeBuilt;
    return MakeError(
        StatusCode::kInvalidArgument,
        fmt::format("the {} cannot be built", recipe_ == nullptr ? "Dockerfile" : "recipe"));
  }

  bool PrintsSource() const {
    return arguments_.print == kPrintDockerfile || arguments_.print == kPrintRecipe ||
           arguments_.print == kPrintJson;
  }

  /// The Dockerfile as a recipe, or as itself without what its target does not need.
  Status PrintSource(const syntax::Dockerfile& dockerfile) {
    if (dockerfile.problem) {
      return CannotBeBuilt(*dockerfile.problem);
    }
    const syntax::BuildSettings& build = settings_.plan.build;
    recipe::WholeDockerfile whole{
        .text = input_.text,
        .target = {},
        .build_arguments = {build.arguments.begin(), build.arguments.end()}};
    if (!build.target.empty()) {
      whole.target = build.target;
    }
    return PrintRecipe({.steps = {std::move(whole)}}, arguments_.print);
  }

  Status Print() {
    for (const PlatformBuild& one : builds_) {
      std::string text;
      if (arguments_.print == "config") {
        text = plan::ConfigJson(one.plan.image, {}, {}) + "\n";
      } else if (arguments_.print == "graph") {
        text = arguments_.json ? plan::GraphJson(one.plan.graph, one.plan.root)
                               : plan::GraphText(one.plan.graph, one.plan.root);
      } else {
        return MakeError(
            StatusCode::kInvalidArgument,
            fmt::format("--print: '{}' is not one of config, graph, dockerfile, recipe",
                        arguments_.print));
      }
      std::fwrite(text.data(), 1, text.size(), stdout);
    }
    return OkStatus();
  }

  Status Explain(build::BaseImages& images) {
    for (PlatformBuild& one : builds_) {
      BuildDisplay display(stderr, BuildProgress::kQuiet, one.plan.graph, SystemClock());
      build::Builder builder(*client_, one.plan.graph, images, SettingsOf(one), display, display);
      ASSIGN_OR_RETURN(const std::vector<build::KeyReport> reports,
                       builder.Explain(one.plan.root, stop_));
      nlohmann::ordered_json document = nlohmann::ordered_json::array();
      for (const build::KeyReport& report : reports) {
        const plan::Node& node = one.plan.graph.nodes[report.node];
        if (!plan::BaseOf(node.operation)) {
          continue;
        }
        const std::vector<std::string> changes = ChangesOf(report);
        if (arguments_.json) {
          document.push_back({{"title", node.title},
                              {"line", node.range.begin.line},
                              {"key", report.key.ToString()},
                              {"cached", report.is_cached},
                              {"changed", changes}});
          continue;
        }
        std::printf("%s %s\n  key %s\n", report.is_cached ? "CACHED" : "RUN   ", node.title.c_str(),
                    report.key.ToString().c_str());
        for (const std::string& change : changes) {
          std::printf("  %s\n", change.c_str());
        }
      }
      if (arguments_.json) {
        std::printf(
            "%s\n",
            document.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
      }
    }
    return OkStatus();
  }

  /// Why a step must be done.
  static std::vector<std::string> ChangesOf(const build::KeyReport& report) {
    std::vector<std::string> changes;
    if (report.is_cached) {
      return changes;
    }
    if (!report.has_former) {
      changes.emplace_back("never done before");
      return changes;
    }
    const auto find = [](const std::vector<plan::KeyPart>& parts, const std::string& name) {
      for (const plan::KeyPart& part : parts) {
        if (part.name == name) {
          return std::optional(part.value);
        }
      }
      return std::optional<std::string>();
    };
    for (const plan::KeyPart& part : report.parts) {
      const auto former = find(report.former_parts, part.name);
      if (!former) {
        changes.push_back(fmt::format("{}: new: {}", part.name, part.value));
      } else if (*former != part.value) {
        changes.push_back(fmt::format("{}: was {}, is {}", part.name, *former, part.value));
      }
    }
    for (const plan::KeyPart& part : report.former_parts) {
      if (!find(report.parts, part.name)) {
        changes.push_back(fmt::format("{}: no longer: {}", part.name, part.value));
      }
    }
    if (changes.empty()) {
      changes.emplace_back("its result is no longer there, or it is to be done again");
    }
    return changes;
  }

  Status BuildOne(PlatformBuild& one, build::BaseImages& images) {
    ASSIGN_OR_RETURN(const BuildProgress mode, ProgressMode());
    BuildDisplay display(stderr, mode, one.plan.graph, SystemClock());
    build::Builder builder(*client_, one.plan.graph, images, SettingsOf(one), display, display);
    auto tree = builder.Build(one.plan.root, stop_);
    if (!tree.ok()) {
      if (const auto failed = builder.failed_node()) {
        PrintFailure(one.plan.graph.nodes[*failed], display.LogTail(*failed));
      }
      return tree.status();
    }
    one.tree = *std::move(tree);
    NoteSources(builder, one.plan.graph);
    RETURN_IF_ERROR(CheckEntrypoint(builder, one));
    if (arguments_.run) {
      RETURN_IF_ERROR(RunImage(builder, one));
    }
    build::ImageOptions described{.annotations = settings_.annotations,
                                  .docker_media_types = settings_.docker_media_types,
                                  .created = Created()};
    for (const BuildCache& cache : settings_.cache_to) {
      const auto which =
          cache.all_stages ? build::Builder::Which::kAll : build::Builder::Which::kOwnLayers;
      ASSIGN_OR_RETURN(std::vector<build::CachedResult> results,
                       builder.Results(one.plan.root, which));
      if (cache.type == BuildCache::Type::kInline) {
        described.cache_records = build::RecordsOf(one.tree, results);
      } else {
        one.results.push_back(std::move(results));
      }
    }
    ASSIGN_OR_RETURN(one.image, build::DescribeImage(one.plan.image, one.tree, described));
    if (settings_.force_compression) {
      RETURN_IF_ERROR(Recompress(one, described, images, display));
    }
    if (settings_.provenance) {
      AttachProvenance(one, builder.Materials(one.plan.root));
    }
    return WriteTrees(builder, one);
  }

  void AttachProvenance(PlatformBuild& one, std::vector<build::Material> materials) const {
    const syntax::BuildSettings& asked = settings_.plan.build;
    build::BuildStory story{.mode = settings_.provenance->mode,
                            .builder_id = settings_.provenance->builder_id,
                            .context = input_.material,
                            .file_name = std::filesystem::path(input_.name).filename(),
                            .dockerfile = input_.text,
                            .target = asked.target,
                            .build_arguments = asked.arguments,
                            .labels = settings_.plan.labels,
                            .platform = one.plan.platform,
                            .materials = std::move(materials),
                            .invocation_id = {},
                            .time = {}};
    // With a time that is given, the same build is to say the same.
    if (!settings_.build.source_date_epoch) {
      story.invocation_id = settings_.build.build_id;
      story.time = {started_, Now()};
    }
    one.provenance = build::ProvenanceOf(story, one.plan.graph, one.plan.root);
    std::vector<std::string> names;
    for (const BuildOutput& output : settings_.outputs) {
      for (const std::string& name : output.names) {
        if (std::ranges::find(names, name) == names.end()) {
          names.push_back(name);
        }
      }
    }
    one.image.attestation = build::Attest(one.image, names, one.provenance);
  }

  /// Lets the image have the layers of its base in the format of its own.
  Status Recompress(PlatformBuild& one, const build::ImageOptions& described,
                    build::BaseImages& bases, Progress& progress) {
    const std::vector<build::BuiltImage> before = {one.image};
    const std::optional<oci::RawManifest> no_index;
    const auto source = build::OpenImage(*client_, bases, before, no_index);
    ASSIGN_OR_RETURN(
        const build::Tree tree,
        build::Recompress(*client_, *source, one.tree, settings_.build.format, stop_, progress));
    ASSIGN_OR_RETURN(one.image, build::DescribeImage(one.plan.image, tree, described));
    // A name in containerd is for what can be run.
    if (tree.snapshot == one.tree.snapshot ||
        std::ranges::none_of(settings_.outputs, [](const BuildOutput& output) {
          return output.type == BuildOutput::Type::kImage && !output.names.empty();
        })) {
      return OkStatus();
    }
    const std::vector<build::BuiltImage> after = {one.image};
    return build::UnpackImage(*client_, *build::OpenImage(*client_, bases, after, no_index),
                              one.image, arguments_.snapshotter, stop_, progress);
  }

  /// The image's own command, or the one that the arguments have, on a copy that nobody keeps.
  Status RunImage(build::Builder& builder, const PlatformBuild& one) {
    const plan::ImageDraft& image = one.plan.image;
    plan::Run run{.arguments = image.entrypoint,
                  .working_directory = image.working_directory,
                  .user = image.user};
    const std::vector<std::string>& command =
        arguments_.command.empty() ? image.command : arguments_.command;
    run.arguments.insert(run.arguments.end(), command.begin(), command.end());
    if (run.arguments.empty()) {
      return MakeError(StatusCode::kInvalidArgument, "the image has no command; say one behind --");
    }
    for (const syntax::Variable& variable : image.environment) {
      run.environment.push_back(variable.name + "=" + variable.value);
    }
    ASSIGN_OR_RETURN(exit_code_, builder.RunOnce(
                                     one.tree, run,
                                     [](runc::Stream stream, std::string_view text) {
                                       std::FILE* out =
                                           stream == runc::Stream::kOutput ? stdout : stderr;
                                       std::fwrite(text.data(), 1, text.size(), out);
                                       std::fflush(out);
                                     },
                                     stop_));
    return OkStatus();
  }

  std::optional<std::chrono::sys_seconds> Created() const {
    if (!settings_.build.source_date_epoch) {
      return std::nullopt;
    }
    return std::chrono::sys_seconds(std::chrono::seconds(*settings_.build.source_date_epoch));
  }

  /// The caches that can be read. One that cannot is none: the first build on a branch has none.
  void OpenCaches(build::BaseImages& images) {
    for (const BuildCache& cache : settings_.cache_from) {
      const auto open = [&]() -> StatusOr<std::shared_ptr<build::CacheImport>> {
        ASSIGN_OR_RETURN(std::shared_ptr<oci::ImageSource> source,
                         toolbox_->OpenSource(cache.image));
        std::optional<oci::Reference> reference;
        if (cache.type == BuildCache::Type::kRegistry) {
          ASSIGN_OR_RETURN(reference, oci::Reference::Parse(cache.image));
        }
        return build::CacheImport::Open(std::move(source), std::move(reference), images);
      };
      auto opened = open();
      if (opened.ok()) {
        settings_.build.cache_from.push_back(*std::move(opened));
      } else {
        std::fprintf(stderr, "starling build: --cache-from %s is not used: %s\n",
                     cache.image.c_str(), Describe(opened.status()).c_str());
      }
    }
  }

  /// Of all platforms, in one index.
  Status ExportCaches(build::BaseImages& bases) {
    size_t number = 0;
    for (const BuildCache& cache : settings_.cache_to) {
      if (cache.type == BuildCache::Type::kInline) {
        continue;
      }
      const Status exported = ExportCache(cache, number++, bases);
      if (!exported.ok() && !cache.may_fail) {
        return Annotate(exported, fmt::format("--cache-to {}", cache.image));
      }
      if (!exported.ok()) {
        std::fprintf(stderr, "starling build: --cache-to %s: %s\n", cache.image.c_str(),
                     Describe(exported).c_str());
      }
    }
    return OkStatus();
  }

  Status ExportCache(const BuildCache& cache, size_t number, build::BaseImages& bases) {
    std::vector<build::BuiltImage> images;
    for (const PlatformBuild& one : builds_) {
      ASSIGN_OR_RETURN(std::vector<build::BuiltImage> of_platform,
                       build::DescribeCache(one.results[number], one.plan.platform));
      std::ranges::move(of_platform, std::back_inserter(images));
    }
    if (cache.mounts) {
      RETURN_IF_ERROR(AddCacheMounts(cache, images));
    }
    if (images.empty()) {
      std::fprintf(stderr, "starling build: --cache-to %s: there are no steps to keep\n",
                   cache.image.c_str());
      return OkStatus();
    }
    const std::optional<oci::RawManifest> index = build::DescribeIndex(images, {});
    const std::unique_ptr<oci::ImageSource> source =
        build::OpenImage(*client_, bases, images, index);
    return Send(*source, cache.image);
  }

  Status AddCacheMounts(const BuildCache& cache, std::vector<build::BuiltImage>& images) {
    std::set<std::string> ids;
    for (const PlatformBuild& one : builds_) {
      ids.merge(build::CacheMountsOf(one.plan.graph, one.plan.root));
    }
    const build::CacheMounts mounts(build::RunSteps::CacheMountsIn(arguments_.state_directory));
    ASSIGN_OR_RETURN(build::StoredCacheMounts stored,
                     build::StoreCacheMounts(*client_, mounts, ids, settings_.build.format.threads,
                                             builds_.front().plan.platform));
    for (const std::string& id : stored.changing) {
      std::fprintf(stderr,
                   "starling build: --cache-to %s: cache mount %s is left out: another build is "
                   "writing to it\n",
                   cache.image.c_str(), id.c_str());
    }
    if (stored.image) {
      images.push_back(*std::move(stored.image));
    }
    return OkStatus();
  }

  /// What the step has said last, and where it stands.
  void PrintFailure(const plan::Node& node, const std::vector<std::string>& tail) const {
    std::fprintf(stderr, "------\n > %s:\n", node.title.c_str());
    for (const std::string& line : tail) {
      std::fprintf(stderr, "%s\n", line.c_str());
    }
    std::fprintf(stderr, "------\n");
    if (node.range.begin.line != 0) {
      std::fprintf(stderr, "%s:%d\n%s------\n", input_.name.c_str(), node.range.begin.line,
                   syntax::Excerpt(input_.text, node.range).c_str());
    }
  }

  /// Outputs that are files rather than an image.
  Status WriteTrees(build::Builder& builder, const PlatformBuild& one) {
    for (const BuildOutput& output : settings_.outputs) {
      if (output.type != BuildOutput::Type::kLocal && output.type != BuildOutput::Type::kTar) {
        continue;
      }
      RETURN_IF_ERROR(builder.Look(one.tree, [&](const std::filesystem::path& root) {
        return output.type == BuildOutput::Type::kLocal ? WriteDirectory(output, one, root)
                                                        : WriteTar(output, root);
      }));
    }
    return OkStatus();
  }

  Status WriteDirectory(const BuildOutput& output, const PlatformBuild& one,
                        const std::filesystem::path& root) const {
    std::filesystem::path directory = output.destination;
    if (builds_.size() > 1) {
      std::string name = one.plan.platform.ToString();
      std::replace(name.begin(), name.end(), '/', '_');
      directory /= name;
    }
    RETURN_IF_ERROR(MakeDirectories(directory, 0755));
    dockerfile::files::CopyRequest request;
    request.sources.emplace_back().root = root;
    request.destination = "/";
    return dockerfile::files::CopyFiles(request, directory, stop_).status();
  }

  Status WriteTar(const BuildOutput& output, const std::filesystem::path& root) const {
    diff::UpperTarOptions options;
    options.latest_modified_seconds = settings_.build.source_date_epoch;
    ASSIGN_OR_RETURN(const auto tar, diff::UpperTar::Open(root, std::move(options)));
    UniqueFd file;
    if (output.destination != kStandardInput) {
      ASSIGN_OR_RETURN(
          file, RealFileSystem().Open(output.destination, O_WRONLY | O_CREAT | O_TRUNC, 0644));
    }
    FdSink sink(file.valid() ? file.get() : STDOUT_FILENO);
    return CopyAll(*tar, sink).status();
  }

  Status Deliver(build::BaseImages& bases) {
    std::vector<build::BuiltImage> images;
    for (PlatformBuild& one : builds_) {
      images.push_back(std::move(one.image));
    }
    std::optional<oci::RawManifest> index;
    if (images.size() > 1 || settings_.provenance) {
      index = build::DescribeIndex(images, settings_.annotations);
    }
    const std::unique_ptr<oci::ImageSource> source =
        build::OpenImage(*client_, bases, images, index);
    const oci::Digest digest = index ? index->digest : images.front().manifest.digest;
    std::vector<std::string> names;
    for (const BuildOutput& output : settings_.outputs) {
      if (output.type == BuildOutput::Type::kImage) {
        for (const std::string& name : output.names) {
          ASSIGN_OR_RETURN(const oci::Reference reference, oci::Reference::Parse(name));
          // Neither waits for the other: one is containerd's disk, the other round trips.
          std::future<Status> stored = std::async(std::launch::async, [&] {
            return build::StoreImage(*client_, arguments_.snapshotter, reference.ToString(), images,
                                     index);
          });
          const Status sent = output.push ? Send(*source, reference.ToString()) : OkStatus();
          RETURN_IF_ERROR(stored.get());
          RETURN_IF_ERROR(sent);
          names.push_back(reference.ToString());
        }
        if (output.push && output.names.empty()) {
          return MakeError(StatusCode::kInvalidArgument, "--push: name the image with -t");
        }
      } else if (output.type == BuildOutput::Type::kOci) {
        RETURN_IF_ERROR(Send(*source, LayoutName(output)));
      }
    }
    return Report(images, digest, names);
  }

  std::string LayoutName(const BuildOutput& output) const {
    std::string name = (output.as_directory ? "oci:" : "oci-archive:") + output.destination;
    const std::vector<std::string>& names = output.names.empty() ? arguments_.tags : output.names;
    if (!names.empty()) {
      if (const auto reference = oci::Reference::Parse(names.front());
          reference.ok() && !reference->tag().empty()) {
        name += ":" + reference->tag();
      }
    }
    return name;
  }

  /// Lets the registries of pushes take the layers of bases while steps run.
  void MountBasesAhead(build::BaseImages& images) {
    for (const BuildOutput& output : settings_.outputs) {
      if (output.type != BuildOutput::Type::kImage || !output.push || settings_.force_compression) {
        continue;
      }
      for (const std::string& name : output.names) {
        const auto reference = oci::Reference::Parse(name);
        auto blobs = reference.ok() ? LayersOfBases(images, reference->domain())
                                    : std::vector<copy::MountsAhead::Blob>();
        if (blobs.empty()) {
          continue;
        }
        if (auto destination = toolbox_->OpenDestination(reference->ToString()); destination.ok()) {
          mounts_ahead_[reference->ToString()] =
              std::make_unique<copy::MountsAhead>(*std::move(destination), std::move(blobs));
        }
      }
    }
  }

  /// The layers below the own ones that other repositories of `registry` have.
  std::vector<copy::MountsAhead::Blob> LayersOfBases(build::BaseImages& images,
                                                     std::string_view registry) const {
    std::vector<copy::MountsAhead::Blob> blobs;
    for (const PlatformBuild& one : builds_) {
      const plan::NodeId bottom = BottomOf(one.plan.graph, one.plan.root);
      const auto* source = std::get_if<plan::ImageSource>(&one.plan.graph.nodes[bottom].operation);
      const auto image = source == nullptr ? nullptr : images.Find(*source).value_or(nullptr);
      if (image == nullptr || !image->reference || image->reference->domain() != registry) {
        continue;
      }
      for (const oci::Descriptor& layer : image->selected.manifest.layers) {
        blobs.push_back({.descriptor = layer,
                         .origins = {{.registry = std::string(registry),
                                      .repository = image->reference->repository()}}});
      }
    }
    return blobs;
  }

  Status Send(oci::ImageSource& source, const std::string& destination_name) {
    ASSIGN_OR_RETURN(const std::shared_ptr<oci::ImageDestination> destination,
                     toolbox_->OpenDestination(destination_name));
    copy::CopyOptions options;
    if (const auto ahead = mounts_ahead_.find(destination_name); ahead != mounts_ahead_.end()) {
      options.mounted = ahead->second->Finish();
    }
    NoProgress progress;
    StatusOr<copy::CopyReport> report = copy::CopyImage(source, *destination, options, progress);
    if (!report.ok() && !options.mounted.empty()) {
      // The registry may have collected meanwhile what no manifest named yet.
      report = copy::CopyImage(source, *destination, {}, progress);
    }
    RETURN_IF_ERROR(report.status());
    if (!arguments_.quiet) {
      std::fprintf(stderr, "%s: %zu blobs sent (%s), %zu mounted, %zu there already\n",
                   destination_name.c_str(), report->sent_blobs,
                   SizeText(report->sent_bytes).c_str(), report->mounted_blobs,
                   report->present_blobs);
    }
    return OkStatus();
  }

  Status Report(const std::vector<build::BuiltImage>& images, const oci::Digest& digest,
                const std::vector<std::string>& names) const {
    const oci::Digest& config = images.front().parsed.config.digest;
    if (!arguments_.image_id_file.empty()) {
      RETURN_IF_ERROR(WriteFileAtomically(RealFileSystem(), arguments_.image_id_file,
                                          AsBytes(digest.ToString()), 0644));
    }
    nlohmann::ordered_json metadata = {{"containerimage.digest", digest.ToString()},
                                       {"containerimage.config.digest", config.ToString()},
                                       {"image.name", fmt::format("{}", fmt::join(names, ","))}};
    for (const PlatformBuild& one : builds_) {
      if (settings_.provenance) {
        metadata[builds_.size() == 1 ? "buildx.build.provenance"
                                     : "buildx.build.provenance/" + one.plan.platform.ToString()] =
            nlohmann::ordered_json::parse(one.provenance);
      }
    }
    if (!arguments_.metadata_file.empty()) {
      RETURN_IF_ERROR(WriteFileAtomically(RealFileSystem(), arguments_.metadata_file,
                                          AsBytes(metadata.dump(2) + "\n"), 0644));
    }
    if (WritesToStandardOutput() || arguments_.run) {
      return OkStatus();
    }
    if (arguments_.json) {
      std::printf("%s\n", metadata.dump(2).c_str());
    } else {
      std::printf("%s\n", digest.ToString().c_str());
    }
    return OkStatus();
  }

  bool WritesToStandardOutput() const {
    return std::any_of(
        settings_.outputs.begin(), settings_.outputs.end(), [](const BuildOutput& output) {
          return output.type == BuildOutput::Type::kTar && output.destination == kStandardInput;
        });
  }

  void WarnOfLint(const syntax::Dockerfile& dockerfile) const {
    syntax::LintSettings settings;
    settings.build = settings_.plan.build;
    settings.ignore_file = input_.context ? input_.context->ignore_file.get() : nullptr;
    const syntax::LintReport report = Lint(dockerfile, settings);
    if (!report.warnings.empty() && !arguments_.quiet) {
      std::fprintf(stderr, "%zu warning%s found (starling build --check shows %s)\n",
                   report.warnings.size(), report.warnings.size() == 1 ? "" : "s",
                   report.warnings.size() == 1 ? "it" : "them");
    }
  }

  const BuildArguments& arguments_;
  const recipe::Recipe* const recipe_;  // null: there is a Dockerfile
  int& exit_code_;
  const std::chrono::sys_seconds started_ = Now();
  Settings settings_;
  UniqueFd terminal_;  // for --debug-shell
  std::stop_token stop_;
  Input input_;
  lock::Pins pins_;
  std::optional<PythonContexts> python_contexts_;  // once a Python is needed
  std::unique_ptr<Toolbox> toolbox_;
  const BuildHostOptions host_options_;
  /// By the name of what is pushed.
  std::map<std::string, std::unique_ptr<copy::MountsAhead>> mounts_ahead_;
  containerd::Client* client_ = nullptr;  // while it builds
  std::vector<PlatformBuild> builds_;
};

}  // namespace

Status RunBuild(const BuildArguments& arguments, const dockerfile::recipe::Recipe* recipe,
                int& exit_code) {
  return BuildRun(arguments, recipe, exit_code).Run();
}

}  // namespace starling::cli
