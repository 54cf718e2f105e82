#include "dockerfile/syntax/dockerfile.h"

#include "dockerfile/syntax/statement.h"

namespace starling::dockerfile::syntax {

const Text* Dockerfile::FindDirective(std::string_view name) const {
  for (const Directive& directive : directives) {
    if (directive.name.value == name) {
      return &directive.value;
    }
  }
  return nullptr;
}

Dockerfile ParseDockerfile(std::string_view text) {
  Statements statements = ParseStatements(text);
  Dockerfile dockerfile;
  dockerfile.directives = std::move(statements.directives);
  dockerfile.escape = statements.escape;
  for (const Statement& statement : statements.statements) {
    auto parsed = ParseInstruction(statement);
    if (!parsed.ok()) {
      dockerfile.problem = parsed.status();
      return dockerfile;
    }
    Instruction& instruction = *parsed;
    if (std::holds_alternative<From>(instruction.value)) {
      dockerfile.stages.push_back({std::move(instruction), {}});
    } else if (!dockerfile.stages.empty()) {
      dockerfile.stages.back().instructions.push_back(std::move(instruction));
    } else if (std::holds_alternative<Arg>(instruction.value)) {
      dockerfile.global_arguments.push_back(std::move(instruction));
    } else {
      dockerfile.problem =
          ProblemAt(instruction.keyword.range,
                    fmt::format("{} stands in front of the first FROM; only ARG may",
                                instruction.keyword.value));
      return dockerfile;
    }
  }
  dockerfile.problem = std::move(statements.problem);
  if (!dockerfile.problem && dockerfile.stages.empty()) {
    dockerfile.problem = ProblemAt(dockerfile.global_arguments.back().range,
                                   "the Dockerfile has no stage: FROM is missing");
  }
  return dockerfile;
}

Checked<Instruction> ParseTrigger(std::string_view expression) {
  const Statements statements = ParseStatements(expression);
  if (statements.problem) {
    return *statements.problem;
  }
  if (statements.statements.size() != 1) {
    return ProblemAt(statements.statements[1].range,
                     "an ONBUILD trigger is one instruction, not several");
  }
  auto parsed = ParseInstruction(statements.statements.front());
  if (!parsed.ok()) {
    return parsed;
  }
  if (std::holds_alternative<From>(parsed->value) ||
      std::holds_alternative<Maintainer>(parsed->value) ||
      std::holds_alternative<Onbuild>(parsed->value)) {
    return ProblemAt(parsed->keyword.range, fmt::format("{} is not allowed as a trigger of ONBUILD",
                                                        parsed->keyword.value));
  }
  return parsed;
}

}  // namespace starling::dockerfile::syntax
