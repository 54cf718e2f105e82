#include "dockerfile/syntax/instruction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace starling::dockerfile::syntax {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Checked<Instruction> Parse(std::string_view text) {
  const Statements parsed = ParseStatements(text);
  if (parsed.problem) {
    return *parsed.problem;
  }
  return ParseInstruction(parsed.statements.front());
}

template <typename T>
T As(std::string_view text) {
  auto instruction = Parse(text);
  EXPECT_TRUE(instruction.ok()) << text << ": " << instruction.status().message;
  return std::get<T>(instruction->value);
}

TEST(ParseInstruction, From) {
  const auto from = As<From>("from --platform=$BUILDPLATFORM alpine as Base_1");
  EXPECT_EQ(from.image.value, "alpine");
  EXPECT_EQ(from.name->value, "base_1");
  EXPECT_EQ(from.written_name, "Base_1");
  EXPECT_EQ(from.written_as, "as");
  EXPECT_EQ(from.platform->value, "$BUILDPLATFORM");
  EXPECT_FALSE(As<From>("FROM a").name);
}

TEST(ParseInstruction, ArgEnvLabel) {
  const auto arg = As<Arg>("ARG A B=c D=");
  ASSERT_EQ(arg.entries.size(), 3U);
  EXPECT_FALSE(arg.entries[0].default_value);
  EXPECT_EQ(arg.entries[1].default_value->value, "c");
  EXPECT_EQ(arg.entries[2].default_value->value, "");
  const auto env = As<Env>("ENV A=1 B=2");
  EXPECT_EQ(env.entries[1].key.value, "B");
  EXPECT_FALSE(env.old_form);
  EXPECT_TRUE(As<Env>("ENV A 1").old_form);
  EXPECT_TRUE(As<Label>("LABEL a b c").old_form);
  EXPECT_EQ(As<Label>("LABEL a b c").entries[0].value.value, "b c");
}

TEST(ParseInstruction, CopyAndAdd) {
  const auto copy = As<Copy>(
      "COPY --from=$S --chown=1:2 --chmod=u=rwX --link --parents --exclude=*.o --exclude=x a b "
      "/d/");
  EXPECT_EQ(copy.from->value, "$S");
  EXPECT_EQ(copy.transfer.chown->value, "1:2");
  EXPECT_EQ(copy.transfer.chmod->value, "u=rwX");
  EXPECT_TRUE(copy.transfer.link);
  EXPECT_TRUE(copy.parents);
  EXPECT_EQ(copy.transfer.exclude.size(), 2U);
  EXPECT_EQ(copy.transfer.sources.size(), 2U);
  EXPECT_EQ(copy.transfer.destination.value, "/d/");
  const auto add =
      As<Add>("ADD --keep-git-dir=true --unpack=false --checksum=abc123 https://h/r.git /x");
  EXPECT_EQ(add.keep_git_directory, true);
  EXPECT_EQ(add.unpack, false);
  EXPECT_EQ(add.checksum->value, "abc123");
  const auto inline_file = As<Copy>("COPY <<-\"E\" f /x\n\ta\nE");
  EXPECT_EQ(inline_file.transfer.files[0].content, "a\n");
  EXPECT_FALSE(inline_file.transfer.files[0].expand);
  EXPECT_EQ(inline_file.transfer.sources[0].value, "f");
}

TEST(ParseInstruction, RunAndCommands) {
  const auto run = As<syntax::Run>(
      "RUN --mount=type=cache,target=/c --network=none --security=insecure --device=v/c=a echo a  "
      "b");
  EXPECT_THAT(run.command.arguments, ElementsAre("echo a  b"));
  EXPECT_FALSE(run.command.exec_form);
  EXPECT_EQ(run.mounts[0].target, "/c");
  EXPECT_EQ(run.devices[0].name, "v/c=a");
  EXPECT_EQ(run.network, Network::kNone);
  EXPECT_EQ(run.security, Security::kInsecure);
  EXPECT_TRUE(As<Cmd>("CMD []").command.exec_form);
  EXPECT_TRUE(As<Cmd>("CMD").command.arguments.empty());
  EXPECT_THAT(As<Entrypoint>("ENTRYPOINT [\"a\", \"b\"]").command.arguments, ElementsAre("a", "b"));
  EXPECT_THAT(As<Shell>("SHELL [\"/bin/bash\"]").command, ElementsAre("/bin/bash"));
}

TEST(ParseInstruction, Healthcheck) {
  const auto health = As<Healthcheck>(
      "HEALTHCHECK --interval=5s --timeout=1m --start-period=0s --start-interval=1ms --retries=3 "
      "CMD curl x");
  EXPECT_EQ(health.interval, std::chrono::seconds(5));
  EXPECT_EQ(health.timeout, std::chrono::minutes(1));
  EXPECT_EQ(health.start_interval, std::chrono::milliseconds(1));
  EXPECT_EQ(health.retries, 3);
  EXPECT_THAT(health.command->arguments, ElementsAre("curl x"));
  EXPECT_FALSE(As<Healthcheck>("HEALTHCHECK none").command);
}

TEST(ParseInstruction, TheOthers) {
  EXPECT_EQ(As<Workdir>("WORKDIR /a b").path.value, "/a b");
  EXPECT_EQ(As<User>("USER $U").user.value, "$U");
  EXPECT_EQ(As<Maintainer>("MAINTAINER A <a@b>").name.value, "A <a@b>");
  EXPECT_EQ(As<StopSignal>("STOPSIGNAL sigint").signal.value, "sigint");
  EXPECT_EQ(As<Expose>("EXPOSE 80 $P").ports.size(), 2U);
  EXPECT_EQ(As<Volume>("VOLUME [\"/a\", \"/b\"]").paths[1].value, "/b");
}

TEST(ParseInstruction, OnbuildKeepsTextAndType) {
  const auto onbuild = As<Onbuild>("ONBUILD COPY --link <<E /x\nhi\nE");
  EXPECT_EQ(onbuild.expression, "COPY --link <<E /x\nhi\nE");
  EXPECT_EQ(std::get<Copy>(onbuild.trigger->value).transfer.files[0].content, "hi\n");
}

TEST(ParseInstruction, RefusesWithPlaceAndSuggestion) {
  const struct {
    std::string_view text, message;
    int column;
    std::string_view suggestion;
  } cases[] = {
      {"COPPY a b", "unknown instruction COPPY", 1, "COPY"},
      {"FROM a b", "three words", 1, ""},
      {"FROM a AS 1b", "no name for a stage", 11, ""},
      {"FROM --platfrom=x a", "unknown flag --platfrom", 6, "--platform"},
      {"CMD --x a", "unknown flag --x", 5, ""},
      {"COPY a", "source and a destination", 1, ""},
      {"COPY a <<E\nE", "cannot be the destination", 8, ""},
      {"COPY http://x/y /", "COPY takes no URL", 6, ""},
      {"COPY --chmod=64a a b", "no mode", 6, ""},
      {"COPY --exclude=[ a b", "pattern '['", 6, ""},
      {"ADD --checksum=sha256:00 http://x/y /", "64 hexadecimal", 5, ""},
      {"ADD --checksum=abc a /", "for a URL", 5, ""},
      {"ADD --checksum=abc a b /", "one source", 5, ""},
      {"ADD https://h/r.git?x=1 /", "unknown key", 5, ""},
      {"RUN", "needs a command", 1, ""},
      {"RUN --mount=typ=x a", "did you mean type?", 5, ""},
      {"RUN --network=hots a", "not 'hots'", 5, "host"},
      {"RUN --security=x a", "not 'x'", 5, ""},
      {"HEALTHCHECK", "needs CMD", 1, ""},
      {"HEALTHCHECK CMD", "needs a command", 1, ""},
      {"HEALTHCHECK NONE x", "takes neither", 1, ""},
      {"HEALTHCHECK --retries=1 NONE", "takes neither", 1, ""},
      {"HEALTHCHECK TCP 1", "not 'TCP'", 13, ""},
      {"HEALTHCHECK --interval=1us CMD x", "at least 1ms", 13, ""},
      {"HEALTHCHECK --retries=-1 CMD x", "from 0 on", 13, ""},
      {"EXPOSE 80/http", "tcp, udp or sctp", 8, ""},
      {"VOLUME [\"\"]", "path is empty", 8, ""},
      {"SHELL /bin/sh", "JSON array", 1, ""},
      {"SHELL []", "JSON array", 1, ""},
      {"STOPSIGNAL NOPE", "no signal", 12, ""},
      {"USER", "one argument", 1, ""},
      {"ARG", "needs a name", 1, ""},
      {"ARG =x", "name is missing", 5, ""},
      {"ENV =x", "name is missing", 5, ""},
      {"ONBUILD", "needs an instruction", 1, ""},
      {"ONBUILD ONBUILD RUN x", "cannot trigger ONBUILD", 9, ""},
      {"ONBUILD FROM x", "not allowed as a trigger", 9, ""},
      {"ONBUILD QQQQ x", "unknown instruction", 9, ""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    const auto instruction = Parse(c.text);
    ASSERT_FALSE(instruction.ok());
    EXPECT_THAT(instruction.status().message, HasSubstr(std::string(c.message)));
    EXPECT_EQ(instruction.status().range.begin, (Position{1, c.column}));
    EXPECT_EQ(instruction.status().suggestion, c.suggestion);
  }
}

}  // namespace
}  // namespace starling::dockerfile::syntax
