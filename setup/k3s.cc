#include "setup/k3s.h"

#include "base/file_system.h"
#include "base/text.h"
#include "setup/kept_file.h"

namespace starling::setup {
namespace {

constexpr const char* kBase = "{{ template \"base\" . }}";

struct Read {
  bool exists = false;
  std::string text;
};

StatusOr<Read> ReadBelow(const std::filesystem::path& root, const std::string& path) {
  const StatusOr<Bytes> bytes = ReadFile(
      RealFileSystem(), root / std::filesystem::path(path).relative_path(), kMaxConfigBytes);
  if (bytes.status().code() == StatusCode::kNotFound) {
    return Read();
  }
  RETURN_IF_ERROR(bytes.status());
  return Read{.exists = true, .text = std::string(AsText(*bytes))};
}

/// `text` with the lines of the template's language as comments, line for line.
std::string WithoutTemplate(std::string_view text) {
  std::string plain;
  for (const std::string_view line : LinesOf(text)) {
    plain +=
        line.find("{{") == std::string_view::npos ? std::string(line) : "#" + std::string(line);
    plain += '\n';
  }
  return plain;
}

/// The key of YAML's top mapping, on a line of its own.
TomlPlan PlanSnapshotter(std::string_view text, const std::string& name) {
  constexpr std::string_view kKey = "snapshotter:";
  const std::vector<std::string_view> lines = LinesOf(text);
  const std::string wanted = fmt::format("{} {}", kKey, name);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (!lines[i].starts_with(kKey)) {
      continue;
    }
    std::string_view value = TrimSpace(lines[i].substr(kKey.size()));
    if (const size_t comment = value.find(" #"); comment != std::string_view::npos) {
      value = TrimSpace(value.substr(0, comment));
    }
    if (value.size() >= 2 && (value.front() == '"' || value.front() == '\'') &&
        value.back() == value.front()) {
      value = value.substr(1, value.size() - 2);
    }
    if (value == name) {
      return {};
    }
    return {.additions = {},
            .conflicts = {{.line = i + 1,
                           .column = kKey.size() + 2,
                           .key = "snapshotter",
                           .present = std::string(value.substr(0, 200)),
                           .wanted = name,
                           .replacement = {i + 1, 1, {wanted}}}}};
  }
  return {.additions = {{.line = lines.size() + 1, .removed = 0, .added = {wanted}}},
          .conflicts = {}};
}

}  // namespace

StatusOr<std::vector<FilePlan>> PlanK3s(const std::filesystem::path& root, const K3sPlaces& places,
                                        const Plugin& plugin, std::string_view comment) {
  std::vector<FilePlan> plans;
  ASSIGN_OR_RETURN(Read made, ReadBelow(root, places.template_file));
  ASSIGN_OR_RETURN(TomlPlan plan, PlanToml(WithoutTemplate(made.text), places.template_file,
                                           ForContainerd({2, 1}, plugin), comment));
  if (made.text.empty()) {
    plan.additions.insert(plan.additions.begin(), {.line = 1, .removed = 0, .added = {kBase, ""}});
  }
  if (!plan.empty()) {
    plans.push_back({.path = places.template_file,
                     .exists = made.exists,
                     .text = std::move(made.text),
                     .plan = std::move(plan)});
  }
  ASSIGN_OR_RETURN(Read config, ReadBelow(root, places.config_file));
  plan = PlanSnapshotter(config.text, plugin.name);
  if (!plan.empty()) {
    plans.push_back({.path = places.config_file,
                     .exists = config.exists,
                     .text = std::move(config.text),
                     .plan = std::move(plan)});
  }
  return plans;
}

}  // namespace starling::setup
