#include "dockerfile/syntax/instruction.h"

#include <algorithm>
#include <charconv>
#include <iterator>

#include "base/text.h"
#include "dockerfile/syntax/characters.h"
#include "dockerfile/syntax/flags.h"
#include "dockerfile/syntax/git_reference.h"
#include "dockerfile/syntax/ignore_file.h"
#include "dockerfile/syntax/suggest.h"
#include "dockerfile/syntax/values.h"

namespace starling::dockerfile::syntax {
namespace {

using Value = decltype(Instruction::value);

constexpr std::string_view kNames[] = {
    "ADD",    "ARG",   "CMD",         "COPY",  "ENTRYPOINT", "ENV",
    "EXPOSE", "FROM",  "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD",
    "RUN",    "SHELL", "STOPSIGNAL",  "USER",  "VOLUME",     "WORKDIR"};

constexpr FlagSpec kFromFlags[] = {{"platform", FlagKind::kText}};
constexpr FlagSpec kRunFlags[] = {{"mount", FlagKind::kList},
                                  {"network", FlagKind::kText},
                                  {"security", FlagKind::kText},
                                  {"device", FlagKind::kList}};
constexpr FlagSpec kCopyFlags[] = {{"from", FlagKind::kText},      {"chown", FlagKind::kText},
                                   {"chmod", FlagKind::kText},     {"link", FlagKind::kSwitch},
                                   {"parents", FlagKind::kSwitch}, {"exclude", FlagKind::kList}};
constexpr FlagSpec kAddFlags[] = {
    {"chown", FlagKind::kText},    {"chmod", FlagKind::kText},
    {"link", FlagKind::kSwitch},   {"exclude", FlagKind::kList},
    {"checksum", FlagKind::kText}, {"keep-git-dir", FlagKind::kSwitch},
    {"unpack", FlagKind::kSwitch}};
constexpr FlagSpec kHealthcheckFlags[] = {{"interval", FlagKind::kText},
                                          {"timeout", FlagKind::kText},
                                          {"start-period", FlagKind::kText},
                                          {"start-interval", FlagKind::kText},
                                          {"retries", FlagKind::kText}};

Checked<Instruction> ParseOne(const Statement& statement, bool triggered);

/// Reads the one statement that it is made for.
class InstructionParser {
 public:
  explicit InstructionParser(const Statement& statement, bool triggered)
      : statement_(statement), triggered_(triggered) {}

  Checked<Value> Parse() {
    const std::string name = LowerCase(statement_.name.value);
    if (name == "from") {
      return ParseFrom();
    }
    if (name == "run") {
      return ParseRun();
    }
    if (name == "copy") {
      return ParseCopy();
    }
    if (name == "add") {
      return ParseAdd();
    }
    if (name == "healthcheck") {
      return ParseHealthcheck();
    }
    // The others have no flags.
    const auto none = Flags::Parse(statement_.flags, {});
    if (std::find_if(std::begin(kNames), std::end(kNames), [&](std::string_view known) {
          return LowerCase(known) == name;
        }) == std::end(kNames)) {
      return Refuse(fmt::format("unknown instruction {}", statement_.name.value),
                    Suggest(statement_.name.value, kNames));
    }
    if (!none.ok()) {
      return none.status();
    }
    if (name == "arg") {
      return ParseArg();
    }
    if (name == "env" || name == "label") {
      return ParseEntries(name == "env");
    }
    if (name == "cmd") {
      return Value(Cmd{Command(0)});
    }
    if (name == "entrypoint") {
      return Value(Entrypoint{Command(0)});
    }
    if (name == "shell") {
      if (!statement_.json || arguments().empty()) {
        return Refuse("SHELL needs a JSON array that is not empty: SHELL [\"/bin/sh\", \"-c\"]");
      }
      return Value(Shell{Command(0).arguments});
    }
    if (name == "expose") {
      return ParseExpose();
    }
    if (name == "volume") {
      return ParseVolume();
    }
    if (name == "onbuild") {
      return ParseOnbuild();
    }
    if (arguments().size() != 1) {
      return Refuse(fmt::format("{} needs one argument", Name()));
    }
    const Text& argument = arguments().front();
    if (name == "maintainer") {
      return Value(Maintainer{argument});
    }
    if (name == "workdir") {
      return Value(Workdir{argument});
    }
    if (name == "user") {
      return Value(User{argument});
    }
    return ParseStopSignal(argument);
  }

 private:
  const std::vector<Text>& arguments() const { return statement_.arguments; }
  std::string Name() const { return UpperCase(statement_.name.value); }
  Problem Refuse(std::string message, std::string suggestion = {}) const {
    return ProblemAt(statement_.name.range, std::move(message), std::move(suggestion));
  }

  /// Arguments from `first` on as a command.
  CommandLine Command(size_t first) const {
    CommandLine command;
    command.exec_form = statement_.json;
    command.heredocs = statement_.heredocs;
    command.range = statement_.name.range;
    for (size_t i = first; i < arguments().size(); ++i) {
      command.arguments.push_back(arguments()[i].value);
      command.range = arguments()[i].range;
    }
    return command;
  }

  Checked<Value> ParseFrom() const {
    ASSIGN_OR_RETURN(const Flags flags, Flags::Parse(statement_.flags, kFromFlags));
    From from;
    if (arguments().size() == 3 && LowerCase(arguments()[1].value) == "as") {
      const Text& name = arguments()[2];
      from.written_as = arguments()[1].value;
      from.written_name = name.value;
      from.name = Text{LowerCase(name.value), name.range};
      const std::string& lower = from.name->value;
      const bool valid =
          lower.front() >= 'a' && lower.front() <= 'z' &&
          lower.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_.") == std::string::npos;
      if (!valid) {
        return ProblemAt(name.range,
                         fmt::format("'{}' is no name for a stage: a letter, then letters, digits, "
                                     "'-', '_' and '.'",
                                     name.value));
      }
    } else if (arguments().size() != 1) {
      return Refuse("FROM needs an image, or three words: FROM IMAGE AS NAME");
    }
    from.image = arguments().front();
    from.platform = flags.Find("platform");
    return Value(std::move(from));
  }

  Checked<Value> ParseArg() const {
    if (arguments().empty()) {
      return Refuse("ARG needs a name: ARG NAME[=VALUE]");
    }
    Arg arg;
    for (const Text& word : arguments()) {
      const size_t equals = word.value.find('=');
      Arg::Entry entry{{word.value.substr(0, equals), word.range}, std::nullopt};
      if (entry.name.value.empty()) {
        return ProblemAt(word.range, "ARG: a name is missing in front of '='");
      }
      if (equals != std::string::npos) {
        entry.default_value = Text{word.value.substr(equals + 1), word.range};
      }
      arg.entries.push_back(std::move(entry));
    }
    return Value(std::move(arg));
  }

  Checked<Value> ParseEntries(bool env) const {
    if (arguments().empty()) {
      return Refuse(fmt::format("{} needs a name and a value: {} NAME=VALUE", Name(), Name()));
    }
    std::vector<KeyValue> entries;
    for (size_t i = 0; i + 2 < arguments().size(); i += 3) {
      if (arguments()[i].value.empty()) {
        return ProblemAt(arguments()[i].range,
                         fmt::format("{}: a name is missing in front of '='", Name()));
      }
      entries.push_back({arguments()[i], arguments()[i + 1]});
    }
    const bool old_form = arguments()[2].value.empty();
    if (env) {
      return Value(Env{std::move(entries), old_form});
    }
    return Value(Label{std::move(entries), old_form});
  }

  Checked<Transfer> ParseTransfer(const Flags& flags) const {
    if (arguments().size() < 2) {
      return Refuse(fmt::format("{} needs a source and a destination", Name()));
    }
    Transfer transfer;
    transfer.destination = arguments().back();
    transfer.chown = flags.Find("chown");
    transfer.chmod = flags.Find("chmod");
    transfer.link = flags.FindSwitch("link").value_or(false);
    transfer.exclude = flags.All("exclude");
    if (transfer.chmod && !MayExpand(transfer.chmod->value)) {
      const auto mode = CheckedAt(transfer.chmod->range, ParseModeChange(transfer.chmod->value));
      if (!mode.ok()) {
        return mode.status();
      }
    }
    for (const Text& pattern : transfer.exclude) {
      const IgnorePattern one[] = {{pattern.value, 0}};
      const auto file = IgnoreFile::FromPatterns(one);
      if (!file.ok()) {
        return ProblemAt(pattern.range, std::string(MessageOf(file.status())));
      }
    }
    if (!statement_.json && ParseHeredoc(transfer.destination.value)) {
      return ProblemAt(transfer.destination.range,
                       fmt::format("{}: a heredoc cannot be the destination", Name()));
    }
    for (size_t i = 0; i + 1 < arguments().size(); ++i) {
      const Text& source = arguments()[i];
      const auto heredoc = statement_.json ? std::nullopt : ParseHeredoc(source.value);
      if (!heredoc) {
        transfer.sources.push_back(source);
        continue;
      }
      // Of two heredocs with one name the later one is the file's content.
      const auto found =
          std::find_if(statement_.heredocs.rbegin(), statement_.heredocs.rend(),
                       [&](const Heredoc& candidate) { return candidate.name == heredoc->name; });
      if (found == statement_.heredocs.rend()) {
        return ProblemAt(source.range,
                         fmt::format("{}: the heredoc {} has no content", Name(), heredoc->name));
      }
      transfer.files.push_back({heredoc->name, found->Body(), heredoc->expand, found->range});
    }
    return transfer;
  }

  Checked<Value> ParseCopy() const {
    ASSIGN_OR_RETURN(const Flags flags, Flags::Parse(statement_.flags, kCopyFlags));
    ASSIGN_OR_RETURN(Transfer transfer, ParseTransfer(flags));
    for (const Text& source : transfer.sources) {
      if (IsHttpUrl(source.value)) {
        return ProblemAt(source.range, "COPY takes no URL; ADD does");
      }
    }
    return Value(
        Copy{std::move(transfer), flags.Find("from"), flags.FindSwitch("parents").value_or(false)});
  }

  Checked<Value> ParseAdd() const {
    ASSIGN_OR_RETURN(const Flags flags, Flags::Parse(statement_.flags, kAddFlags));
    ASSIGN_OR_RETURN(Transfer transfer, ParseTransfer(flags));
    for (const Text& source : transfer.sources) {
      if (!MayExpand(source.value)) {
        const auto git = CheckedAt(source.range, ParseGitReference(source.value));
        if (!git.ok()) {
          return git.status();
        }
      }
    }
    Add add{std::move(transfer), flags.Find("checksum"), flags.FindSwitch("keep-git-dir"),
            flags.FindSwitch("unpack")};
    if (add.checksum) {
      ASSIGN_OR_RETURN(const bool fits, CheckChecksum(add));
      static_cast<void>(fits);
    }
    return Value(std::move(add));
  }

  /// A checksum is of one file or commit that comes over the network.
  Checked<bool> CheckChecksum(const Add& add) const {
    const Transfer& transfer = add.transfer;
    if (transfer.sources.size() != 1 || !transfer.files.empty()) {
      return ProblemAt(add.checksum->range, "--checksum is for one source");
    }
    const std::string& source = transfer.sources.front().value;
    if (MayExpand(source)) {
      return true;
    }
    ASSIGN_OR_RETURN(const auto git,
                     CheckedAt(transfer.sources.front().range, ParseGitReference(source)));
    if (!git && !IsHttpUrl(source)) {
      return ProblemAt(add.checksum->range, "--checksum is for a URL or a git repository");
    }
    std::string_view digest = add.checksum->value;
    if (MayExpand(digest)) {
      return true;
    }
    constexpr std::string_view kAlgorithm = "sha256:";
    constexpr size_t kHexDigits = 64;
    const bool has_algorithm = digest.starts_with(kAlgorithm);
    if (has_algorithm) {
      digest.remove_prefix(kAlgorithm.size());
    }
    const bool hex =
        !digest.empty() && digest.find_first_not_of("0123456789abcdef") == std::string_view::npos;
    if (!hex || (git ? has_algorithm : !has_algorithm || digest.size() != kHexDigits)) {
      return ProblemAt(add.checksum->range,
                       git ? "--checksum of a git repository is a commit's hash"
                           : "--checksum of a URL is sha256: and 64 hexadecimal digits");
    }
    return true;
  }

  Checked<Value> ParseRun() const {
    ASSIGN_OR_RETURN(const Flags flags, Flags::Parse(statement_.flags, kRunFlags));
    Run run;
    run.command = Command(0);
    if (run.command.arguments.empty()) {
      return Refuse("RUN needs a command");
    }
    for (const Text& written : flags.All("mount")) {
      ASSIGN_OR_RETURN(Mount mount, ParseMount(written));
      run.mounts.push_back(std::move(mount));
    }
    for (const Text& written : flags.All("device")) {
      ASSIGN_OR_RETURN(Device device, ParseDevice(written));
      run.devices.push_back(std::move(device));
    }
    if (const auto network = flags.Find("network")) {
      constexpr std::string_view kNetworks[] = {"default", "none", "host"};
      ASSIGN_OR_RETURN(const size_t index, OneOf(*network, "network", kNetworks));
      run.network = static_cast<Network>(index);
    }
    if (const auto security = flags.Find("security")) {
      constexpr std::string_view kSecurities[] = {"sandbox", "insecure"};
      ASSIGN_OR_RETURN(const size_t index, OneOf(*security, "security", kSecurities));
      run.security = static_cast<Security>(index);
    }
    return Value(std::move(run));
  }

  template <size_t N>
  static Checked<size_t> OneOf(const Text& value, std::string_view flag,
                               const std::string_view (&names)[N]) {
    const auto* found = std::find(std::begin(names), std::end(names), value.value);
    if (found == std::end(names)) {
      return ProblemAt(
          value.range,
          fmt::format("--{} is {}, not '{}'", flag, fmt::join(names, " or "), value.value),
          Suggest(value.value, names));
    }
    return static_cast<size_t>(found - std::begin(names));
  }

  Checked<Value> ParseHealthcheck() const {
    ASSIGN_OR_RETURN(const Flags flags, Flags::Parse(statement_.flags, kHealthcheckFlags));
    if (arguments().empty()) {
      return Refuse("HEALTHCHECK needs CMD and a command, or NONE");
    }
    const std::string type = LowerCase(arguments().front().value);
    Healthcheck health;
    if (type == "none") {
      if (arguments().size() != 1 || !statement_.flags.empty()) {
        return Refuse("HEALTHCHECK NONE takes neither flags nor arguments");
      }
      return Value(std::move(health));
    }
    if (type != "cmd") {
      return ProblemAt(
          arguments().front().range,
          fmt::format("HEALTHCHECK needs CMD or NONE, not '{}'", arguments().front().value));
    }
    health.command = Command(1);
    if (health.command->arguments.empty()) {
      return Refuse("HEALTHCHECK CMD needs a command");
    }
    const std::pair<std::string_view, std::chrono::nanoseconds*> durations[] = {
        {"interval", &health.interval},
        {"timeout", &health.timeout},
        {"start-period", &health.start_period},
        {"start-interval", &health.start_interval}};
    for (const auto& [name, member] : durations) {
      if (const auto text = flags.Find(name)) {
        ASSIGN_OR_RETURN(*member, CheckedAt(text->range, ParseDuration(text->value)));
        // The runtime's shortest.
        if (*member != std::chrono::nanoseconds(0) && *member < std::chrono::milliseconds(1)) {
          return ProblemAt(text->range, fmt::format("--{} is 0 or at least 1ms", name));
        }
      }
    }
    if (const auto text = flags.Find("retries")) {
      const char* end = text->value.data() + text->value.size();
      const auto [at, error] = std::from_chars(text->value.data(), end, health.retries);
      if (error != std::errc() || at != end || health.retries < 0) {
        return ProblemAt(text->range, "--retries is a number from 0 on");
      }
    }
    return Value(std::move(health));
  }

  Checked<Value> ParseExpose() const {
    if (arguments().empty()) {
      return Refuse("EXPOSE needs a port: EXPOSE 80/tcp");
    }
    for (const Text& port : arguments()) {
      if (!MayExpand(port.value) && port.value.find_first_of("\"'\\") == std::string::npos) {
        const auto parsed = CheckedAt(port.range, ParsePort(port.value));
        if (!parsed.ok()) {
          return parsed.status();
        }
      }
    }
    return Value(Expose{arguments()});
  }

  Checked<Value> ParseVolume() const {
    if (arguments().empty()) {
      return Refuse("VOLUME needs a path");
    }
    for (const Text& path : arguments()) {
      if (TrimSpace(path.value).empty()) {
        return ProblemAt(path.range, "VOLUME: a path is empty");
      }
    }
    return Value(Volume{arguments()});
  }

  Checked<Value> ParseStopSignal(const Text& signal) const {
    if (!MayExpand(signal.value)) {
      const auto number = CheckedAt(signal.range, ParseSignal(signal.value));
      if (!number.ok()) {
        return number.status();
      }
    }
    return Value(StopSignal{signal});
  }

  Checked<Value> ParseOnbuild() const {
    if (triggered_) {
      return Refuse("ONBUILD cannot trigger ONBUILD");
    }
    if (!statement_.trigger) {
      return Refuse("ONBUILD needs an instruction: ONBUILD RUN COMMAND");
    }
    const Statement& trigger = *statement_.trigger;
    const std::string name = LowerCase(trigger.name.value);
    if (name == "from" || name == "maintainer") {
      return ProblemAt(trigger.name.range, fmt::format("{} is not allowed as a trigger of ONBUILD",
                                                       trigger.name.value));
    }
    Onbuild onbuild;
    onbuild.expression = trigger.source;
    for (const Heredoc& heredoc : statement_.heredocs) {
      onbuild.expression += "\n" + heredoc.content + heredoc.name;
    }
    auto parsed = ParseOne(trigger, /*triggered=*/true);
    if (!parsed.ok()) {
      return parsed.status();
    }
    onbuild.trigger = std::make_shared<const Instruction>(*std::move(parsed));
    return Value(std::move(onbuild));
  }

  const Statement& statement_;
  const bool triggered_;
};

Checked<Instruction> ParseOne(const Statement& statement, bool triggered) {
  auto value = InstructionParser(statement, triggered).Parse();
  if (!value.ok()) {
    return value.status();
  }
  return Instruction{.keyword = statement.name,
                     .range = statement.range,
                     .source = statement.source,
                     .comments = statement.comments,
                     .has_empty_continuation = statement.has_empty_continuation,
                     .value = *std::move(value)};
}

}  // namespace

Checked<Instruction> ParseInstruction(const Statement& statement) {
  return ParseOne(statement, /*triggered=*/false);
}

}  // namespace starling::dockerfile::syntax
