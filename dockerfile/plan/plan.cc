#include "dockerfile/plan/plan.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/text.h"
#include "dockerfile/plan/history.h"
#include "dockerfile/syntax/characters.h"
#include "dockerfile/syntax/heredoc.h"
#include "dockerfile/syntax/lint.h"
#include "dockerfile/syntax/paths.h"
#include "dockerfile/syntax/suggest.h"
#include "oci/reference.h"

namespace starling::dockerfile::plan {
namespace {

using syntax::Checked;
using syntax::CheckedAt;
using syntax::Instruction;
using syntax::Problem;
using syntax::ProblemAt;
using syntax::Range;
using syntax::Text;

constexpr std::string_view kScratch = "scratch";
constexpr std::string_view kPatternCharacters = "*?[\\";
/// Longer titles say no more.
constexpr size_t kMaxTitleBytes = 500;
/// Stages that stand on each other are made on one stack.
constexpr size_t kMaxStageDepth = 200;

bool HasNode(const Instruction& instruction) {
  return std::holds_alternative<syntax::Run>(instruction.value) ||
         std::holds_alternative<syntax::Copy>(instruction.value) ||
         std::holds_alternative<syntax::Add>(instruction.value) ||
         std::holds_alternative<syntax::Workdir>(instruction.value);
}

/// `path` as seen from `directory`, clean, absolute.
std::string JoinPath(std::string_view directory, std::string_view path) {
  return syntax::CleanPath(path.starts_with('/') ? std::string(path)
                                                 : fmt::format("/{}/{}", directory, path));
}

/// A source of COPY relative to the root of its tree; `..` leads nowhere above it. With
/// `keep_pivot` the first "/./" stays.
std::string CleanSource(std::string_view path, bool keep_pivot) {
  const auto clean = [](std::string_view part) {
    return syntax::CleanPath("/" + std::string(part)).substr(1);
  };
  const size_t pivot = keep_pivot ? path.find("/./") : std::string_view::npos;
  if (pivot == std::string_view::npos) {
    return clean(path);
  }
  const std::string front = clean(path.substr(0, pivot));
  const std::string rest = clean(path.substr(pivot + 3));
  // A pivot at the root is none.
  return front.empty() ? rest : front + "/./" + rest;
}

class Planner {
 public:
  Planner(const syntax::Dockerfile& dockerfile, const PlanSettings& settings,
          ImageResolver& resolver)
      : dockerfile_(dockerfile), settings_(settings), resolver_(resolver) {}

  Checked<Plan> Make() {
    if (dockerfile_.problem) {
      return *dockerfile_.problem;
    }
    if (dockerfile_.stages.size() > syntax::kMaxStages) {
      return ProblemAt(dockerfile_.stages[syntax::kMaxStages].from_instruction.range,
                       fmt::format("there are more than {} stages", syntax::kMaxStages));
    }
    auto globals = syntax::GlobalScope(dockerfile_, settings_.build);
    if (!globals.ok()) {
      return globals.status();
    }
    globals_ = *std::move(globals);
    stages_.resize(dockerfile_.stages.size());
    const auto target = FindTarget();
    if (!target.ok()) {
      return target.status();
    }
    if (auto problem = MakeStage(*target)) {
      return *std::move(problem);
    }
    Stage& stage = stages_[*target];
    for (const auto& [name, value] : settings_.labels) {
      stage.image.labels[name] = value;
    }
    return Plan{.graph = std::move(graph_),
                .root = stage.root,
                .platform = stage.image.platform,
                .image = std::move(stage.image)};
  }

 private:
  enum class Progress { kNotBegun, kBegun, kDone };
  struct Stage {
    Progress progress = Progress::kNotBegun;
    NodeId root = 0;
    ImageDraft image;
    syntax::Scope scope;
    std::vector<std::string> declared;  // ARG, in order, also those without a value
    oci::Platform platform;
    bool has_cmd = false;
    size_t step = 0;
    size_t steps = 0;
    std::string label;  // in titles
    bool no_cache = false;
  };

  /// The stage and instruction that are being looked at.
  struct Place {
    size_t index = 0;
    Stage* stage = nullptr;
    const Instruction* instruction = nullptr;
    Range range;
  };

  Checked<size_t> FindTarget() const {
    const std::string& target = settings_.build.target;
    if (target.empty()) {
      return dockerfile_.stages.size() - 1;
    }
    if (const auto stage = FindStage(LowerCase(target), dockerfile_.stages.size())) {
      return *stage;
    }
    std::vector<std::string_view> names;
    for (const syntax::Stage& stage : dockerfile_.stages) {
      if (stage.from().name) {
        names.push_back(stage.from().name->value);
      }
    }
    return ProblemAt({}, fmt::format("there is no stage '{}'", target),
                     syntax::Suggest(target, names));
  }

  /// The latest stage before `end` that is called `name`.
  std::optional<size_t> FindStage(std::string_view name, size_t end) const {
    for (size_t i = end; i-- > 0;) {
      const syntax::From& from = dockerfile_.stages[i].from();
      if (from.name && from.name->value == name) {
        return i;
      }
    }
    return std::nullopt;
  }

  // Nodes.

  NodeId Add(Operation operation, std::string title, Range range, bool no_cache = false) {
    if (title.size() > kMaxTitleBytes) {
      title.resize(kMaxTitleBytes);
    }
    graph_.nodes.push_back({.operation = std::move(operation),
                            .title = std::move(title),
                            .range = range,
                            .no_cache = no_cache});
    return graph_.nodes.size() - 1;
  }

  /// A node that several steps share: `key` says what it is.
  template <typename Make>
  NodeId Share(const std::string& key, const Make& make) {
    if (const auto found = shared_.find(key); found != shared_.end()) {
      return found->second;
    }
    return shared_[key] = make();
  }

  NodeId ScratchNode() {
    return Share("scratch", [&] { return Add(Scratch{}, "[internal] no files", {}); });
  }

  NodeId ContextNode(const std::string& name) {
    return Share("context " + name, [&] {
      return Add(ContextSource{name},
                 name.empty() ? "[internal] build context"
                              : fmt::format("[internal] build context {}", name),
                 {});
    });
  }

  NodeId GitNode(const syntax::GitReference& git, bool keep_git_directory, std::string_view written,
                 Range range) {
    return Share(fmt::format("git {} {}", keep_git_directory, written), [&] {
      return Add(GitSource{.reference = git, .keep_git_directory = keep_git_directory},
                 fmt::format("[internal] git {}", written), range);
    });
  }

  NodeId HttpNode(const HttpSource& source, Range range) {
    return Share(
        fmt::format("http {} {}", source.checksum ? source.checksum->ToString() : "", source.url),
        [&] { return Add(source, fmt::format("[internal] {}", source.url), range); });
  }

  struct ResolvedImage {
    NodeId node = 0;
    BaseImage image;
  };
  Checked<const ResolvedImage*> ImageNode(const std::string& reference,
                                          const oci::Platform& platform, std::string_view label,
                                          Range range) {
    const std::string key = reference + " " + platform.ToString();
    if (const auto found = images_.find(key); found != images_.end()) {
      return &found->second;
    }
    auto resolved = CheckedAt(range, resolver_.ResolveImage(reference, platform));
    if (!resolved.ok()) {
      return resolved.status();
    }
    const NodeId node = Add(ImageSource{.reference = resolved->reference,
                                        .platform = resolved->platform,
                                        .manifest = resolved->manifest},
                            fmt::format("[{}] FROM {}", label, resolved->reference), range);
    return &(images_[key] = {.node = node, .image = *std::move(resolved)});
  }

  /// What --build-context says instead of `name`; null when it says nothing.
  const std::string* FindNamedContext(std::string_view name) const {
    if (const auto found = settings_.named_contexts.find(std::string(name));
        found != settings_.named_contexts.end()) {
      return &found->second;
    }
    const auto wanted = oci::Reference::Parse(name);
    if (!wanted.ok()) {
      return nullptr;
    }
    // An image may be named in any of its spellings.
    for (const auto& [key, value] : settings_.named_contexts) {
      const auto reference = oci::Reference::Parse(key);
      if (reference.ok() && reference->ToString() == wanted->ToString()) {
        return &value;
      }
    }
    return nullptr;
  }

  /// What stands behind a name: a stage, an image, or files from elsewhere.
  struct Named {
    std::optional<size_t> stage;
    const ResolvedImage* image = nullptr;
    NodeId files = 0;
  };

  Checked<Named> OpenNamedContext(const std::string& name, const std::string& value,
                                  const oci::Platform& platform, std::string_view label,
                                  Range range) {
    constexpr std::string_view kImage = "docker-image://";
    constexpr std::string_view kLayout = "oci-layout://";
    constexpr std::string_view kTarget = "target:";
    if (value.starts_with(kTarget)) {
      const std::string stage = LowerCase(value.substr(kTarget.size()));
      if (const auto found = FindStage(stage, dockerfile_.stages.size())) {
        return Named{.stage = *found};
      }
      return ProblemAt(range, fmt::format("build context {}: there is no stage '{}'", name, stage));
    }
    if (value.starts_with(kImage) || value.starts_with(kLayout)) {
      std::string reference;
      if (value.starts_with(kLayout)) {
        reference = "oci:" + value.substr(kLayout.size());
      } else {
        const auto parsed =
            CheckedAt(range, oci::Reference::Parse(std::string_view(value).substr(kImage.size())));
        if (!parsed.ok()) {
          return parsed.status();
        }
        reference = parsed->ToString();
      }
      const auto image = ImageNode(reference, platform, label, range);
      if (!image.ok()) {
        return image.status();
      }
      return Named{.image = *image};
    }
    const auto git = CheckedAt(range, syntax::ParseGitReference(value));
    if (!git.ok()) {
      return git.status();
    }
    if (*git) {
      return Named{.files =
                       GitNode(**git, (*git)->keep_git_directory.value_or(false), value, range)};
    }
    if (syntax::IsHttpUrl(value)) {
      return Named{.files = HttpNode({.url = value, .checksum = {}}, range)};
    }
    return Named{.files = ContextNode(name)};
  }

  /// What COPY --from and mounts name.
  Checked<NodeId> FilesOf(std::string_view from, Range range) {
    if (from.empty()) {
      return ContextNode("");
    }
    const std::string name = LowerCase(from);
    size_t number = 0;
    const char* end = name.data() + name.size();
    const auto [at, error] = std::from_chars(name.data(), end, number);
    if (error == std::errc() && at == end) {
      if (number >= place_.index) {
        return ProblemAt(
            range, fmt::format("--from={}: there is no such stage in front of this one", from));
      }
      return StageFiles(number);
    }
    if (const std::string* context = FindNamedContext(from)) {
      const auto named = OpenNamedContext(std::string(from), *context, place_.stage->platform,
                                          place_.stage->label, range);
      if (!named.ok()) {
        return named.status();
      }
      return named->stage
                 ? StageFiles(*named->stage)
                 : Checked<NodeId>(named->image != nullptr ? named->image->node : named->files);
    }
    if (const auto stage = FindStage(name, place_.index)) {
      return StageFiles(*stage);
    }
    if (FindStage(name, dockerfile_.stages.size())) {
      return ProblemAt(range, fmt::format("--from={}: the stage comes later; only stages in front "
                                          "of this one can be used",
                                          from));
    }
    if (name == kScratch) {
      return ScratchNode();
    }
    const auto reference = oci::Reference::Parse(from);
    if (!reference.ok()) {
      return ProblemAt(range, fmt::format("--from={}: no stage is called so, and it names no "
                                          "image: {}",
                                          from, MessageOf(reference.status())));
    }
    const auto image =
        ImageNode(reference->ToString(), place_.stage->platform, place_.stage->label, range);
    if (!image.ok()) {
      return image.status();
    }
    return (*image)->node;
  }

  Checked<NodeId> StageFiles(size_t index) {
    if (depth_ == kMaxStageDepth) {
      return ProblemAt(place_.range,
                       fmt::format("more than {} stages stand on each other here", kMaxStageDepth));
    }
    const Place here = place_;
    ++depth_;
    auto problem = MakeStage(index);
    --depth_;
    place_ = here;
    if (problem) {
      return *std::move(problem);
    }
    return stages_[index].root;
  }

  // Stages.

  std::optional<Problem> MakeStage(size_t index) {
    Stage& stage = stages_[index];
    const syntax::Stage& written = dockerfile_.stages[index];
    if (stage.progress == Progress::kDone) {
      return std::nullopt;
    }
    if (stage.progress == Progress::kBegun) {
      return ProblemAt(written.from_instruction.range,
                       "the stage is made of itself: a --build-context or --from leads back to it");
    }
    stage.progress = Progress::kBegun;
    place_ = {.index = index,
              .stage = &stage,
              .instruction = &written.from_instruction,
              .range = written.from_instruction.range};
    const syntax::From& from = written.from();
    if (from.name) {
      stage.label = from.name->value;
    } else if (dockerfile_.stages.size() > 1) {
      stage.label = fmt::format("stage-{}", index);
    }
    stage.no_cache = settings_.no_cache || IsFiltered(stage.label);
    stage.steps = 1 + static_cast<size_t>(std::count_if(written.instructions.begin(),
                                                        written.instructions.end(), HasNode));
    stage.step = 1;
    if (auto problem = Begin(from)) {
      return problem;
    }
    for (const Instruction& instruction : written.instructions) {
      place_ = {
          .index = index, .stage = &stage, .instruction = &instruction, .range = instruction.range};
      if (auto problem = Do(instruction)) {
        return problem;
      }
    }
    stage.progress = Progress::kDone;
    return std::nullopt;
  }

  /// FROM.
  std::optional<Problem> Begin(const syntax::From& from) {
    Stage& stage = *place_.stage;
    stage.platform = settings_.build.target_platform;
    if (from.platform) {
      const auto text = ExpandGlobal(*from.platform);
      if (!text.ok()) {
        return text.status();
      }
      const auto platform =
          text->empty() ? ProblemAt(from.platform->range,
                                    fmt::format("the platform ({}) is empty", from.platform->value))
                        : CheckedAt(from.platform->range, oci::Platform::Parse(*text));
      if (!platform.ok()) {
        return platform.status();
      }
      stage.platform = *platform;
    }
    const auto name = ExpandGlobal(from.image);
    if (!name.ok()) {
      return name.status();
    }
    if (name->empty()) {
      return ProblemAt(from.image.range,
                       fmt::format("the base image ({}) has no name", from.image.value));
    }
    const std::string own = from.name ? from.name->value : "";
    // A context may replace the stage as a whole, whatever it begins with.
    for (const std::string& key : {own, *name}) {
      const std::string* context = key.empty() ? nullptr : FindNamedContext(key);
      if (context == nullptr) {
        continue;
      }
      const auto named =
          OpenNamedContext(key, *context, stage.platform, StepLabel(), from.image.range);
      if (!named.ok()) {
        return named.status();
      }
      return BeginWith(*named, from.image.range);
    }
    if (const auto base = FindStage(*name, place_.index)) {
      return BeginWith(Named{.stage = *base}, from.image.range);
    }
    if (*name == kScratch) {
      stage.image = ImageDraft::Scratch(stage.platform);
      stage.root = ScratchNode();
      return TakeEnvironment();
    }
    const auto reference = oci::Reference::Parse(*name);
    if (!reference.ok()) {
      return ProblemAt(from.image.range,
                       fmt::format("base image '{}': {}", *name, MessageOf(reference.status())));
    }
    const auto image =
        ImageNode(reference->ToString(), stage.platform, StepLabel(), from.image.range);
    if (!image.ok()) {
      return image.status();
    }
    return BeginWith(Named{.image = *image}, from.image.range);
  }

  std::optional<Problem> BeginWith(const Named& base, Range range) {
    Stage& stage = *place_.stage;
    std::vector<std::string> triggers;
    if (base.stage) {
      const auto root = StageFiles(*base.stage);
      if (!root.ok()) {
        return root.status();
      }
      const Stage& from = stages_[*base.stage];
      Charge(SizeOf(from.image) + from.scope.size_bytes());
      stage.root = *root;
      stage.image = from.image;
      stage.scope = from.scope;
      stage.declared = from.declared;
      triggers = std::exchange(stage.image.on_build, {});
    } else if (base.image != nullptr) {
      auto draft = CheckedAt(range, ImageDraft::FromBase(base.image->image.config));
      if (!draft.ok()) {
        return draft.status();
      }
      stage.root = base.image->node;
      stage.image = *std::move(draft);
      triggers = std::exchange(stage.image.on_build, {});
      if (auto problem = TakeEnvironment()) {
        return problem;
      }
    } else {
      stage.image = ImageDraft::Scratch(stage.platform);
      stage.root = AddStep(Copy{.base = ScratchNode(),
                                .sources = {{.input = base.files, .path = ""}},
                                .destination = "/"});
      if (auto problem = TakeEnvironment()) {
        return problem;
      }
    }
    if (auto problem = CheckSize()) {
      return problem;
    }
    return RunTriggers(triggers, range);
  }

  std::optional<Problem> RunTriggers(const std::vector<std::string>& triggers, Range range) {
    const Place here = place_;
    for (const std::string& expression : triggers) {
      auto parsed = syntax::ParseTrigger(expression);
      if (!parsed.ok()) {
        return ProblemAt(range, fmt::format("the base image's trigger \"{}\": {}", expression,
                                            parsed.status().message));
      }
      // Kept: nodes refer to nothing of it, messages say where the trigger came from.
      place_.instruction = &*parsed;
      place_.range = range;
      place_.stage->steps += HasNode(*parsed) ? 1 : 0;
      auto problem = Do(*parsed);
      place_ = here;
      if (problem) {
        problem->range = range;
        return problem;
      }
    }
    return std::nullopt;
  }

  std::optional<Problem> TakeEnvironment() {
    Stage& stage = *place_.stage;
    for (const syntax::Variable& variable : stage.image.environment) {
      stage.scope.SetEnv(variable.name, variable.value);
    }
    if (stage.scope.size_bytes() > syntax::kMaxScopeBytes) {
      return ProblemAt(place_.range, fmt::format("the base image's environment has more than {} "
                                                 "bytes",
                                                 syntax::kMaxScopeBytes));
    }
    return std::nullopt;
  }

  std::string StepLabel() const {
    const Stage& stage = *place_.stage;
    return fmt::format("{}{}{}/{}", stage.label, stage.label.empty() ? "" : " ", stage.step,
                       stage.steps);
  }

  /// A node for the current instruction, on top of the stage.
  NodeId AddStep(Operation operation) {
    Stage& stage = *place_.stage;
    ++stage.step;
    const NodeId node =
        Add(std::move(operation), fmt::format("[{}] {}", StepLabel(), place_.instruction->source),
            place_.range, stage.no_cache);
    stage.root = node;
    return node;
  }

  /// The names of stages have no case.
  bool IsFiltered(const std::string& label) const {
    return std::ranges::any_of(settings_.no_cache_stages, [&](const std::string& name) {
      return LowerCase(name) == LowerCase(label);
    });
  }

  /// Counts what the plan keeps of the current instruction; Do and BeginWith refuse too much.
  void Charge(size_t bytes) { size_bytes_ += bytes; }
  std::optional<Problem> CheckSize() const {
    if (size_bytes_ > kMaxPlanBytes) {
      return ProblemAt(place_.range, fmt::format("the steps up to here take more than {} bytes of "
                                                 "environment, history, labels and files",
                                                 kMaxPlanBytes));
    }
    return std::nullopt;
  }
  /// Of what a stage takes over from another.
  static size_t SizeOf(const ImageDraft& image) {
    size_t bytes = image.document.size();
    for (const HistoryEntry& entry : image.history) {
      bytes += entry.created_by.size();
    }
    for (const auto& [name, value] : image.labels) {
      bytes += name.size() + value.size();
    }
    return bytes;
  }

  void AddHistory(std::string created_by, bool is_empty_layer) {
    Charge(created_by.size());
    place_.stage->image.history.push_back(
        {.created_by = std::move(created_by), .is_empty_layer = is_empty_layer});
  }

  // Expansion.

  Checked<std::string> ExpandGlobal(const Text& text) const {
    return CheckedAt(text.range, syntax::ExpandIn(globals_, text.value, dockerfile_.escape));
  }
  Checked<std::string> Expand(const Text& text) const {
    return CheckedAt(text.range,
                     syntax::ExpandIn(place_.stage->scope, text.value, dockerfile_.escape));
  }
  Checked<syntax::Expansion> ExpandWords(const Text& text, bool ignore_quotes) const {
    const syntax::Scope& scope = place_.stage->scope;
    return CheckedAt(
        text.range,
        syntax::Expand(text.value, [&](std::string_view name) { return scope.Find(name); },
                       {.escape = dockerfile_.escape,
                        .keep_quotes = ignore_quotes,
                        .ignore_quotes = ignore_quotes}));
  }

  // Instructions.

  std::optional<Problem> Do(const Instruction& instruction) {
    if (graph_.nodes.size() > kMaxNodes) {
      return ProblemAt(place_.range, fmt::format("there are more than {} steps", kMaxNodes));
    }
    if (auto problem = CheckSize()) {
      return problem;
    }
    return std::visit([this](const auto& value) { return Apply(value); }, instruction.value);
  }

  std::optional<Problem> Apply(const syntax::From& /*from*/) { return std::nullopt; }

  std::optional<Problem> Apply(const syntax::Arg& arg) {
    Stage& stage = *place_.stage;
    if (auto problem =
            syntax::ApplyArg(arg, settings_.build, &globals_, dockerfile_.escape, stage.scope)) {
      return problem;
    }
    std::string line = "ARG";
    for (const syntax::Arg::Entry& entry : arg.entries) {
      const auto name = Expand(entry.name);
      if (!name.ok()) {
        return name.status();
      }
      if (std::find(stage.declared.begin(), stage.declared.end(), *name) == stage.declared.end()) {
        stage.declared.push_back(*name);
      }
      line += " " + *name;
      const bool has_value =
          entry.default_value || globals_.Find(*name) || settings_.build.arguments.contains(*name);
      if (const auto value = stage.scope.Find(*name); value && has_value) {
        line += "=" + *value;
      }
    }
    AddHistory(std::move(line), /*is_empty_layer=*/true);
    return std::nullopt;
  }

  std::optional<Problem> Apply(const syntax::Env& env) {
    Stage& stage = *place_.stage;
    if (auto problem = syntax::ApplyEnv(env, dockerfile_.escape, stage.scope)) {
      return problem;
    }
    stage.image.environment = stage.scope.environment();
    std::string line = "ENV";
    for (const syntax::KeyValue& entry : env.entries) {
      const auto name = Expand(entry.key);
      if (!name.ok()) {
        return name.status();
      }
      line += fmt::format(" {}={}", *name, stage.scope.Find(*name).value_or(""));
    }
    AddHistory(std::move(line), /*is_empty_layer=*/true);
    return std::nullopt;
  }

  std::optional<Problem> Apply(const syntax::Label& label) {
    std::string line = "LABEL";
    for (const syntax::KeyValue& entry : label.entries) {
      auto name = Expand(entry.key);
      if (!name.ok()) {
        return name.status();
      }
      auto value = Expand(entry.value);
      if (!value.ok()) {
        return value.status();
      }
      line += fmt::format(" {}={}", *name, *value);
      Charge(name->size() + value->size());
      place_.stage->image.labels[*std::move(name)] = *std::move(value);
    }
    AddHistory(std::move(line), /*is_empty_layer=*/true);
    return std::nullopt;
  }

  std::optional<Problem> Apply(const syntax::Maintainer& maintainer) {
    place_.stage->image.author = maintainer.name.value;
    AddHistory("MAINTAINER " + maintainer.name.value, /*is_empty_layer=*/true);
    return std::nullopt;
  }

  /// Mode and owner as history shows them, with the values set in `copy`.
  std::optional<Problem> ApplyOwnership(const syntax::Transfer& transfer, Copy& copy,
                                        std::string& line) {
    if (transfer.chown) {
      auto owner = Expand(*transfer.chown);
      if (!owner.ok()) {
        return owner.status();
      }
      copy.chown = *std::move(owner);
    }
    if (!copy.chown.empty()) {
      line += " --chown=" + copy.chown;
    }
    if (transfer.chmod) {
      const auto mode = Expand(*transfer.chmod);
      if (!mode.ok()) {
        return mode.status();
      }
      // Nothing, as of an unset variable, changes nothing.
      if (!mode->empty()) {
        const auto change = CheckedAt(transfer.chmod->range, syntax::ParseModeChange(*mode));
        if (!change.ok()) {
          return change.status();
        }
        copy.chmod = *change;
        line += " --chmod=" + *mode;
      }
    }
    return std::nullopt;
  }

  Checked<std::string> ExpandDestination(const syntax::Transfer& transfer, std::string& line) {
    auto written = Expand(transfer.destination);
    if (!written.ok()) {
      return written;
    }
    line += " " + *written;
    const bool is_directory =
        written->empty() || *written == "." || written->ends_with('/') || written->ends_with("/.");
    std::string path = JoinPath(place_.stage->image.working_directory, *written);
    if (is_directory && path != "/") {
      path += '/';
    }
    return path;
  }

  std::optional<Problem> AddInlineFiles(const syntax::Transfer& transfer, Copy& copy,
                                        std::string& line) {
    if (transfer.files.empty()) {
      return std::nullopt;
    }
    InlineSource source;
    for (const syntax::Transfer::InlineFile& file : transfer.files) {
      std::string content = file.content;
      if (file.expand) {
        auto expanded = ExpandWords({file.content, file.range}, /*ignore_quotes=*/true);
        if (!expanded.ok()) {
          return expanded.status();
        }
        content = std::move(expanded->text);
      }
      line += " <<" + file.name;
      Charge(content.size());
      source.files.push_back({.name = file.name, .content = std::move(content)});
    }
    std::vector<std::string> names;
    names.reserve(source.files.size());
    for (const InlineSource::File& file : source.files) {
      names.push_back(file.name);
    }
    const NodeId node = Add(std::move(source), "[internal] files of the Dockerfile", place_.range);
    for (std::string& name : names) {
      copy.sources.push_back({.input = node, .path = std::move(name)});
    }
    return std::nullopt;
  }

  static CopySource SourceAt(NodeId input, std::string_view path, bool keep_pivot) {
    CopySource source{.input = input, .path = CleanSource(path, keep_pivot)};
    source.is_pattern = source.path.find_first_of(kPatternCharacters) != std::string::npos;
    return source;
  }

  std::optional<Problem> Apply(const syntax::Copy& written) {
    Stage& stage = *place_.stage;
    const syntax::Transfer& transfer = written.transfer;
    Copy copy{.parents = written.parents, .link = transfer.link};
    std::string line = written.parents ? "COPY --parents" : "COPY";
    if (auto problem = ApplyOwnership(transfer, copy, line)) {
      return problem;
    }
    std::string from;
    if (written.from) {
      auto expanded = Expand(*written.from);
      if (!expanded.ok()) {
        return expanded.status();
      }
      from = *std::move(expanded);
      if (from.empty()) {
        return ProblemAt(written.from->range,
                         fmt::format("--from ({}) is empty", written.from->value));
      }
    }
    std::optional<NodeId> input;
    for (const Text& text : transfer.sources) {
      const auto path = Expand(text);
      if (!path.ok()) {
        return path.status();
      }
      if (from.empty() && syntax::IsHttpUrl(*path)) {
        return ProblemAt(text.range, "COPY takes no URL; ADD does");
      }
      if (!input) {
        const auto files = FilesOf(from, written.from ? written.from->range : text.range);
        if (!files.ok()) {
          return files.status();
        }
        input = *files;
      }
      line += " " + *path;
      copy.sources.push_back(SourceAt(*input, *path, written.parents));
    }
    if (auto problem = AddInlineFiles(transfer, copy, line)) {
      return problem;
    }
    return Finish(transfer, std::move(copy), std::move(line), stage);
  }

  std::optional<Problem> Finish(const syntax::Transfer& transfer, Copy copy, std::string line,
                                Stage& stage) {
    for (const Text& pattern : transfer.exclude) {
      copy.exclude.push_back(pattern.value);
    }
    auto destination = ExpandDestination(transfer, line);
    if (!destination.ok()) {
      return destination.status();
    }
    copy.destination = *std::move(destination);
    copy.base = stage.root;
    AddStep(std::move(copy));
    AddHistory(line + " # buildkit", /*is_empty_layer=*/false);
    return std::nullopt;
  }

  std::optional<Problem> Apply(const syntax::Add& written) {
    Stage& stage = *place_.stage;
    const syntax::Transfer& transfer = written.transfer;
    Copy copy{.link = transfer.link};
    std::string line = "ADD";
    if (auto problem = ApplyOwnership(transfer, copy, line)) {
      return problem;
    }
    std::string checksum;
    if (written.checksum) {
      auto expanded = Expand(*written.checksum);
      if (!expanded.ok()) {
        return expanded.status();
      }
      checksum = *std::move(expanded);
    }
    if (!checksum.empty() && transfer.sources.size() + transfer.files.size() != 1) {
      return ProblemAt(written.checksum->range, "--checksum is for one source");
    }
    for (const Text& text : transfer.sources) {
      const auto path = Expand(text);
      if (!path.ok()) {
        return path.status();
      }
      line += " " + *path;
      auto source = AddedSource(written, text, *path, checksum);
      if (!source.ok()) {
        return source.status();
      }
      copy.sources.push_back(*std::move(source));
    }
    if (auto problem = AddInlineFiles(transfer, copy, line)) {
      return problem;
    }
    return Finish(transfer, std::move(copy), std::move(line), stage);
  }

  Checked<CopySource> AddedSource(const syntax::Add& written, const Text& text,
                                  const std::string& path, const std::string& checksum) {
    auto git = CheckedAt(text.range, syntax::ParseGitReference(path));
    if (!git.ok()) {
      return git.status();
    }
    if (*git && !(*git)->like_local_path) {
      syntax::GitReference& reference = **git;
      if (!checksum.empty()) {
        if (!reference.checksum.empty() && reference.checksum != checksum) {
          return ProblemAt(written.checksum->range,
                           fmt::format("--checksum={} contradicts the one in the URL", checksum));
        }
        reference.checksum = checksum;
      }
      const bool keep =
          written.keep_git_directory.value_or(reference.keep_git_directory.value_or(false));
      return CopySource{.input = GitNode(reference, keep, path + " " + checksum, text.range)};
    }
    if (syntax::IsHttpUrl(path)) {
      HttpSource source{.url = path, .checksum = {}};
      if (!checksum.empty()) {
        const auto digest = CheckedAt(written.checksum->range, oci::Digest::Parse(checksum));
        if (!digest.ok()) {
          return digest.status();
        }
        source.checksum = *digest;
      }
      std::string name = FileNameOf(source);
      return CopySource{.input = HttpNode(source, text.range),
                        .path = std::move(name),
                        .unpack = written.unpack.value_or(false)};
    }
    if (!checksum.empty()) {
      return ProblemAt(written.checksum->range, "--checksum is for URLs and git repositories");
    }
    CopySource source = SourceAt(ContextNode(""), path, /*keep_pivot=*/false);
    source.unpack = written.unpack.value_or(true);
    return source;
  }

  std::optional<Problem> Apply(const syntax::Workdir& workdir) {
    Stage& stage = *place_.stage;
    const auto path = Expand(workdir.path);
    if (!path.ok()) {
      return path.status();
    }
    stage.image.working_directory = JoinPath(stage.image.working_directory, *path);
    const bool is_root = stage.image.working_directory == "/";
    if (!is_root) {
      AddStep(MakeDirectory{
          .base = stage.root, .path = stage.image.working_directory, .user = stage.image.user});
    }
    AddHistory("WORKDIR " + stage.image.working_directory, is_root);
    return std::nullopt;
  }

  /// What RUN starts, before the shell.
  struct Command {
    std::vector<std::string> arguments;
    std::optional<plan::Run::Script> script;
  };
  static Command CommandOf(const syntax::CommandLine& written) {
    Command command{.arguments = written.arguments, .script = {}};
    if (written.heredocs.empty() || written.exec_form || written.arguments.size() != 1) {
      return command;
    }
    const syntax::Heredoc& first = written.heredocs.front();
    if (!syntax::ParseHeredoc(written.arguments[0])) {
      // More than one heredoc: the shell reads them itself.
      for (const syntax::Heredoc& heredoc : written.heredocs) {
        command.arguments[0] += "\n" + heredoc.content + heredoc.name;
      }
      return command;
    }
    const std::string body = first.Body();
    if (!body.starts_with("#!")) {
      command.arguments[0] = body;
      return command;
    }
    command.arguments[0] = "/dev/pipes/" + first.name;
    command.script = {.name = first.name, .content = body};
    return command;
  }

  std::vector<std::string> WithShell(const syntax::CommandLine& written,
                                     std::vector<std::string> arguments) const {
    if (written.exec_form) {
      return arguments;
    }
    std::vector<std::string> words = place_.stage->image.ShellOrDefault();
    words.insert(words.end(), arguments.begin(), arguments.end());
    return words;
  }

  std::optional<Problem> Apply(const syntax::Run& written) {
    Stage& stage = *place_.stage;
    Command command = CommandOf(written.command);
    plan::Run run{.arguments = WithShell(written.command, std::move(command.arguments)),
                  .working_directory = stage.image.working_directory,
                  .user = stage.image.user,
                  .network = written.network == syntax::Network::kDefault ? settings_.network
                                                                          : written.network,
                  .security = written.security,
                  .devices = written.devices,
                  .script = std::move(command.script)};
    if (run.arguments.empty()) {
      return ProblemAt(place_.range, "RUN has nothing to run");
    }
    SetEnvironment(run);
    Charge(stage.scope.size_bytes());
    int ssh_sockets = 0;
    for (const syntax::Mount& mount : written.mounts) {
      auto planned = PlanMount(mount, ssh_sockets);
      if (!planned.ok()) {
        return planned.status();
      }
      run.mounts.push_back(*std::move(planned));
    }
    std::string line = "RUN";
    if (!stage.declared.empty()) {
      line += fmt::format(" |{}", stage.declared.size());
      for (const std::string& name : stage.declared) {
        line += fmt::format(" {}={}", name, stage.scope.Find(name).value_or(""));
      }
    }
    line += fmt::format(" {} # buildkit", fmt::join(run.arguments, " "));
    run.base = stage.root;
    AddStep(std::move(run));
    AddHistory(std::move(line), /*is_empty_layer=*/false);
    return std::nullopt;
  }

  /// ENV and ARG, whichever was said last; the image's first.
  void SetEnvironment(plan::Run& run) const {
    const Stage& stage = *place_.stage;
    std::set<std::string> names;
    for (const syntax::Variable& variable : stage.scope.environment()) {
      names.insert(variable.name);
      run.environment.push_back(fmt::format(
          "{}={}", variable.name, stage.scope.Find(variable.name).value_or(variable.value)));
    }
    for (const syntax::Variable& variable : stage.scope.arguments()) {
      if (names.insert(variable.name).second) {
        run.environment.push_back(fmt::format("{}={}", variable.name, variable.value));
      }
    }
    for (const auto& [name, value] : settings_.build.arguments) {
      if (syntax::IsProxyArgument(name) && !names.contains(name)) {
        run.proxies.push_back(fmt::format("{}={}", name, value));
      }
    }
  }

  Checked<RunMount> PlanMount(const syntax::Mount& written, int& ssh_sockets) {
    const Range range = written.written.range;
    const auto mount =
        syntax::ParseMount(written.written, [&](std::string_view text) -> StatusOr<std::string> {
          return syntax::ExpandIn(place_.stage->scope, text, dockerfile_.escape);
        });
    if (!mount.ok()) {
      return mount.status();
    }
    RunMount planned{.type = mount->type,
                     .source = "/",
                     .id = mount->id,
                     .variable = mount->variable,
                     .read_only = mount->read_only,
                     .required = mount->required,
                     .sharing = mount->sharing,
                     .mode = mount->mode,
                     .uid = mount->uid,
                     .gid = mount->gid,
                     .size_bytes = mount->size_bytes};
    if (!mount->target.empty()) {
      planned.target = JoinPath(place_.stage->image.working_directory, mount->target);
      if (planned.target == "/") {
        return ProblemAt(range, "the target cannot be /");
      }
    }
    switch (mount->type) {
      case syntax::MountType::kBind:
      case syntax::MountType::kCache: {
        planned.source = "/" + CleanSource(mount->source, /*keep_pivot=*/false);
        if (mount->type == syntax::MountType::kCache && planned.id.empty()) {
          planned.id = planned.target;
        }
        if (mount->type == syntax::MountType::kBind || !mount->from.empty()) {
          const auto files = FilesOf(mount->from, range);
          if (!files.ok()) {
            return files.status();
          }
          planned.input = *files;
        }
        break;
      }
      case syntax::MountType::kSecret:
        if (!mount->source.empty()) {
          planned.id = mount->source;
        } else if (planned.id.empty()) {
          planned.id = planned.target.substr(planned.target.rfind('/') + 1);
        }
        if (planned.target.empty() && planned.variable.empty()) {
          planned.target = "/run/secrets/" + planned.id.substr(planned.id.rfind('/') + 1);
        }
        break;
      case syntax::MountType::kSsh:
        if (planned.id.empty()) {
          planned.id = "default";
        }
        if (planned.target.empty()) {
          planned.target = fmt::format("/run/buildkit/ssh_agent.{}", ssh_sockets);
        }
        ++ssh_sockets;
        break;
      case syntax::MountType::kTmpfs:
        break;
    }
    return planned;
  }

  std::optional<Problem> Apply(const syntax::Cmd& cmd) {
    Stage& stage = *place_.stage;
    stage.image.command = WithShell(cmd.command, cmd.command.arguments);
    stage.image.args_escaped = true;
    stage.has_cmd = true;
    AddHistory("CMD " + QuotedList(stage.image.command), /*is_empty_layer=*/true);
    return std::nullopt;
  }

  std::optional<Problem> Apply(const syntax::Entrypoint& entrypoint) {
    Stage& stage = *place_.stage;
    stage.image.entrypoint = WithShell(entrypoint.command, entrypoint.command.arguments);
    if (!stage.has_cmd) {
      stage.image.command.clear();
    }
    AddHistory("ENTRYPOINT " + QuotedList(stage.image.entrypoint), /*is_empty_layer=*/true);
    return std::nullopt;
  }

  std::optional<Problem> Apply(const syntax::Healthcheck& written) {
    HealthCheck check{.interval = written.interval,
                      .timeout = written.timeout,
                      .start_period = written.start_period,
                      .start_interval = written.start_interval,
                      .retries = written.retries};
    if (!written.command) {
      check.test = {"NONE"};
    } else {
      check.test = {written.command->exec_form ? "CMD" : "CMD-SHELL"};
      check.test.insert(check.test.end(), written.command->arguments.begin(),
                        written.command->arguments.end());
    }
    AddHistory("HEALTHCHECK " + HealthText(check), /*is_empty_layer=*/true);
    place_.stage->image.health_check = std::move(check);
    return std::nullopt;
  }

  std::optional<Problem> Apply(const syntax::Expose& expose) {
    std::set<std::pair<int, std::string>> ports;
    for (const Text& text : expose.ports) {
      const auto expansion = ExpandWords(text, /*ignore_quotes=*/false);
      if (!expansion.ok()) {
        return expansion.status();
      }
      for (const std::string& word : expansion->words) {
        const auto range = CheckedAt(text.range, syntax::ParsePort(word));
        if (!range.ok()) {
          return range.status();
        }
        for (int port = range->first; port <= range->last; ++port) {
          ports.emplace(port, range->protocol);
        }
      }
    }
    std::vector<std::string> names;
    names.reserve(ports.size());
    for (const auto& [port, protocol] : ports) {
      names.push_back(fmt::format("{}/{}", port, protocol));
    }
    AddHistory("EXPOSE " + PlainList(names), /*is_empty_layer=*/true);
    place_.stage->image.exposed_ports.insert(names.begin(), names.end());
    return std::nullopt;
  }

  std::optional<Problem> Apply(const syntax::User& user) {
    auto name = Expand(user.user);
    if (!name.ok()) {
      return name.status();
    }
    AddHistory("USER " + *name, /*is_empty_layer=*/true);
    place_.stage->image.user = *std::move(name);
    return std::nullopt;
  }

  std::optional<Problem> Apply(const syntax::Volume& volume) {
    std::vector<std::string> paths;
    for (const Text& text : volume.paths) {
      auto path = Expand(text);
      if (!path.ok()) {
        return path.status();
      }
      if (syntax::TrimUnicodeSpace(*path).empty()) {
        return ProblemAt(text.range, "VOLUME: the path is empty");
      }
      paths.push_back(*std::move(path));
    }
    AddHistory("VOLUME " + PlainList(paths), /*is_empty_layer=*/true);
    place_.stage->image.volumes.insert(paths.begin(), paths.end());
    return std::nullopt;
  }

  std::optional<Problem> Apply(const syntax::StopSignal& stop) {
    auto signal = Expand(stop.signal);
    if (!signal.ok()) {
      return signal.status();
    }
    if (const auto number = CheckedAt(stop.signal.range, syntax::ParseSignal(*signal));
        !number.ok()) {
      return number.status();
    }
    AddHistory("STOPSIGNAL " + *signal, /*is_empty_layer=*/true);
    place_.stage->image.stop_signal = *std::move(signal);
    return std::nullopt;
  }

  std::optional<Problem> Apply(const syntax::Shell& shell) {
    place_.stage->image.shell = shell.command;
    AddHistory("SHELL " + PlainList(shell.command), /*is_empty_layer=*/true);
    return std::nullopt;
  }

  std::optional<Problem> Apply(const syntax::Onbuild& onbuild) {
    place_.stage->image.on_build.push_back(onbuild.expression);
    return std::nullopt;
  }

  const syntax::Dockerfile& dockerfile_;
  const PlanSettings& settings_;
  ImageResolver& resolver_;
  syntax::Scope globals_;
  std::vector<Stage> stages_;
  std::map<std::string, NodeId> shared_;
  std::map<std::string, ResolvedImage> images_;
  Graph graph_;
  size_t size_bytes_ = 0;
  /// Stages that are being made, the target included.
  size_t depth_ = 1;
  Place place_;
};

}  // namespace

Checked<Plan> MakePlan(const syntax::Dockerfile& dockerfile, const PlanSettings& settings,
                       ImageResolver& resolver) {
  return Planner(dockerfile, settings, resolver).Make();
}

}  // namespace starling::dockerfile::plan
