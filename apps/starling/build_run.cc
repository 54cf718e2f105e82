#include "apps/starling/build_run.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <variant>

#include "apps/starling/build_caches.h"
#include "apps/starling/build_check.h"
#include "apps/starling/build_delivery.h"
#include "apps/starling/build_display.h"
#include "apps/starling/build_explanation.h"
#include "apps/starling/build_host.h"
#include "apps/starling/build_input.h"
#include "apps/starling/build_request.h"
#include "apps/starling/daemon_secret.h"
#include "apps/starling/guard.h"
#include "apps/starling/image_checks.h"
#include "apps/starling/platform_build.h"
#include "apps/starling/python_contexts.h"
#include "apps/starling/recipe_options.h"
#include "apps/starling/stop_on_signal.h"
#include "apps/starling/toolbox.h"
#include "base/file_system.h"
#include "containerd/scoped_lease.h"
#include "dockerfile/build/builder.h"
#include "dockerfile/build/cache_image.h"
#include "dockerfile/build/image_writer.h"
#include "dockerfile/build/known_documents.h"
#include "dockerfile/build/recompress.h"
#include "dockerfile/build/result_cache.h"
#include "dockerfile/build/scratch_directory.h"
#include "dockerfile/context/local_context.h"
#include "dockerfile/lock/pinned_images.h"
#include "dockerfile/lock/pins.h"
#include "dockerfile/plan/plan.h"
#include "dockerfile/plan/print.h"
#include "dockerfile/recipe/render.h"
#include "dockerfile/syntax/excerpt.h"
#include "dockerfile/syntax/lint.h"

namespace starling::cli {
namespace {

namespace build = dockerfile::build;
namespace context = dockerfile::context;
namespace lock = dockerfile::lock;
namespace plan = dockerfile::plan;
namespace recipe = dockerfile::recipe;
namespace syntax = dockerfile::syntax;

/// The build context with the packages that a lock names.
constexpr const char* kPackagesContext = "starling-lock";

std::chrono::sys_seconds Now() {
  return std::chrono::time_point_cast<std::chrono::seconds>(std::chrono::system_clock::now());
}

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
    ASSIGN_OR_RETURN(request_, ReadBuildRequest(arguments_));
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
      request_.build.contexts[""] = *input_.context;
    }
    ASSIGN_OR_RETURN(request_.build.source_date_epoch, SourceDateEpoch(request_.plan.build));
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
    for (const oci::Platform& platform : request_.platforms) {
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
    request_.plan.build.target_platform = platform;
    auto planned = plan::MakePlan(dockerfile, request_.plan, resolver);
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
    const BuildCaches caches(arguments_, request_, *toolbox_, *client_);
    request_.build.cache_from = caches.Open(images);
    BuildDelivery delivery(arguments_, request_, *toolbox_, *client_, stop_);
    delivery.MountBasesAhead(images, builds_);
    for (PlatformBuild& one : builds_) {
      RETURN_IF_ERROR(BuildOne(one, images, delivery));
    }
    RETURN_IF_ERROR(delivery.Deliver(images, builds_));
    RETURN_IF_ERROR(caches.Export(
        images, builds_, [&delivery](oci::ImageSource& image, const std::string& destination_name) {
          return delivery.Send(image, destination_name);
        }));
    RETURN_IF_ERROR(WriteLock());
    if (recipe_ == nullptr) {
      WarnOfLint(dockerfile);
    }
    ASSIGN_OR_RETURN(const uint64_t keep_bytes, syntax::ParseSize(arguments_.keep_storage));
    RETURN_IF_ERROR(
        build::ResultCache(*client_, arguments_.snapshotter).Prune(keep_bytes).status());
    return lease.Release();
  }

  std::string LeaseId() const { return "starling-build-" + request_.build.build_id; }

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
    request_.build.run.debug_terminal = {.fd = terminal_.get(),
                                         .foreground = ::tcgetpgrp(terminal_.get())};
    request_.build.steps_at_once = 1;
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
        build::RemoveLeftovers(arguments_.state_directory, request_.build.build_id);
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
      ASSIGN_OR_RETURN(input_, ReadBuildInput(arguments_, scratch, pins_, stop_));
      return syntax::ParseDockerfile(input_.text);
    }
    ASSIGN_OR_RETURN(request_.build.source_date_epoch, SourceDateEpoch(request_.plan.build));
    ASSIGN_OR_RETURN(
        recipe::RenderedRecipe rendered,
        recipe::RenderRecipe(*recipe_, {.lock_context = {},
                                        .resolve = {},
                                        .source_date_epoch = request_.build.source_date_epoch}));
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
        request_.plan.named_contexts.try_emplace(name, *tool);
      } else if (!request_.plan.named_contexts.contains(name)) {
        return MakeError(StatusCode::kFailedPrecondition,
                         fmt::format("the recipe needs the build context {}; add --build-context "
                                     "{}=DIRECTORY",
                                     name, name));
      }
    }
    request_.plan.build.arguments.merge(rendered.build_arguments);
    request_.plan.labels.insert_or_assign(recipe::kBuilderVersionLabel,
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
    const auto [named, is_release] = request_.plan.named_contexts.try_emplace(
        name, std::string(kPythonContext) + name.substr(kPythonContextName.size()));
    const auto directory = request_.build.contexts.find(name);
    if (is_release || directory == request_.build.contexts.end()) {
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
    request_.plan.named_contexts[kPackagesContext] = directory;
    one.contexts[kPackagesContext] = {.directory = directory};
    const recipe::RenderOptions options{.lock_context = kPackagesContext,
                                        .resolve = {},
                                        .source_date_epoch = request_.build.source_date_epoch};
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
    const auto context = request_.build.contexts.find(requirement.context);
    if (context == request_.build.contexts.end()) {
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
                                        .source_date_epoch = request_.build.source_date_epoch};
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
    const auto& named = request_.plan.named_contexts;
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
    build::BuildSettings settings = request_.build;
    settings.contexts.insert(one.contexts.begin(), one.contexts.end());
    return settings;
  }

  Status CannotBeBuilt(const syntax::Problem& problem) {
    std::fputs(ProblemText(input_.name, input_.text, problem).c_str(), stderr);
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
    const syntax::BuildSettings& build = request_.plan.build;
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
    for (const PlatformBuild& one : builds_) {
      BuildDisplay display(stderr, BuildProgress::kQuiet, one.plan.graph, SystemClock());
      build::Builder builder(*client_, one.plan.graph, images, SettingsOf(one), display, display);
      ASSIGN_OR_RETURN(const std::vector<build::KeyReport> reports,
                       builder.Explain(one.plan.root, stop_));
      const std::string text = arguments_.json ? ExplanationJson(one.plan.graph, reports)
                                               : ExplanationText(one.plan.graph, reports);
      std::fwrite(text.data(), 1, text.size(), stdout);
    }
    return OkStatus();
  }

  Status BuildOne(PlatformBuild& one, build::BaseImages& images, const BuildDelivery& delivery) {
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
    build::ImageOptions described{.annotations = request_.annotations,
                                  .docker_media_types = request_.docker_media_types,
                                  .created = Created()};
    for (const BuildCache& cache : request_.cache_to) {
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
    if (request_.force_compression) {
      RETURN_IF_ERROR(Recompress(one, described, images, display));
    }
    if (request_.provenance) {
      AttachProvenance(one, builder.Materials(one.plan.root));
    }
    return delivery.WriteTrees(builder, one);
  }

  void AttachProvenance(PlatformBuild& one, std::vector<build::Material> materials) const {
    const syntax::BuildSettings& asked = request_.plan.build;
    build::BuildStory story{.mode = request_.provenance->mode,
                            .builder_id = request_.provenance->builder_id,
                            .context = input_.material,
                            .file_name = std::filesystem::path(input_.name).filename(),
                            .dockerfile = input_.text,
                            .target = asked.target,
                            .build_arguments = asked.arguments,
                            .labels = request_.plan.labels,
                            .platform = one.plan.platform,
                            .materials = std::move(materials),
                            .invocation_id = {},
                            .time = {}};
    // With a time that is given, the same build is to say the same.
    if (!request_.build.source_date_epoch) {
      story.invocation_id = request_.build.build_id;
      story.time = {started_, Now()};
    }
    one.provenance = build::ProvenanceOf(story, one.plan.graph, one.plan.root);
    std::vector<std::string> names;
    for (const BuildOutput& output : request_.outputs) {
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
        build::Recompress(*client_, *source, one.tree, request_.build.format, stop_, progress));
    ASSIGN_OR_RETURN(one.image, build::DescribeImage(one.plan.image, tree, described));
    // A name in containerd is for what can be run.
    if (tree.snapshot == one.tree.snapshot ||
        std::ranges::none_of(request_.outputs, [](const BuildOutput& output) {
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
    if (!request_.build.source_date_epoch) {
      return std::nullopt;
    }
    return std::chrono::sys_seconds(std::chrono::seconds(*request_.build.source_date_epoch));
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

  void WarnOfLint(const syntax::Dockerfile& dockerfile) const {
    syntax::LintSettings settings;
    settings.build = request_.plan.build;
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
  BuildRequest request_;
  UniqueFd terminal_;  // for --debug-shell
  std::stop_token stop_;
  BuildInput input_;
  lock::Pins pins_;
  std::optional<PythonContexts> python_contexts_;  // once a Python is needed
  std::unique_ptr<Toolbox> toolbox_;
  const BuildHostOptions host_options_;
  containerd::Client* client_ = nullptr;  // while it builds
  std::vector<PlatformBuild> builds_;
};

}  // namespace

Status RunBuild(const BuildArguments& arguments, const dockerfile::recipe::Recipe* recipe,
                int& exit_code) {
  return BuildRun(arguments, recipe, exit_code).Run();
}

}  // namespace starling::cli
