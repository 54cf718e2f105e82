#include "setup/toml_edit.h"

#include <algorithm>
#include <iterator>
#include <ranges>

#include "base/text.h"
#include "base/toml.h"
#include "base/toml_text.h"

namespace starling::setup {
namespace {

constexpr size_t kMaxPresentBytes = 200;

/// Files are read with a limit; a parser's recursion has its own.
struct Region {
  size_t begin = 0;
  size_t end = 0;
};

/// One file and what is to be done to it.
class Planner {
 public:
  Planner(std::string_view text, std::string_view file, const toml::table& root)
      : text_(text), file_(file), root_(root), lines_(LinesOf(text)) {}

  Status Want(const WantedKey& key);
  Status Want(const WantedTables& list);
  TomlPlan Finish(std::string_view comment);

 private:
  /// What is put at the end below one header.
  struct Block {
    std::string header;
    std::vector<std::string> lines;
  };

  const toml::node* Find(const TomlPath& path, size_t length) const;
  Status ByHand(const toml::node& node, std::string_view key, std::string_view wanted) const;
  /// Whether something stands where the tables of `path` must be; OK if they can be made.
  Status CheckAncestors(const TomlPath& path, std::string_view wanted) const;
  std::optional<Region> RegionOf(const toml::source_region& source) const;
  std::optional<size_t> OffsetOf(const toml::source_position& position) const;
  bool IsHeaderOf(size_t line, const TomlPath& path, std::string_view brackets) const;
  LineEdit Replaced(Region region, std::string_view with) const;
  size_t LineAt(size_t offset) const;
  std::string IndentBelow(size_t header_line) const;
  void AddBelowHeader(size_t header_line, const std::string& line);
  void AddToBlock(const std::string& header, const std::string& line, bool is_new);
  size_t TopLine() const;
  Status PlanIncludes(const toml::node& node, const WantedKey& key);

  const std::string_view text_;
  const std::string_view file_;
  const toml::table& root_;
  const std::vector<std::string_view> lines_;
  TomlPlan plan_;
  std::vector<Block> blocks_;
  std::vector<std::string> top_;
};

bool Equals(const toml::node& node, const TomlValue& value) {
  if (const auto* const flag = std::get_if<bool>(&value)) {
    return node.is_boolean() && node.as_boolean()->get() == *flag;
  }
  if (const auto* const number = std::get_if<int64_t>(&value)) {
    return node.is_integer() && node.as_integer()->get() == *number;
  }
  if (const auto* const text = std::get_if<std::string>(&value)) {
    return node.is_string() && node.as_string()->get() == *text;
  }
  const auto& texts = std::get<std::vector<std::string>>(value);
  const toml::array* const list = node.as_array();
  if (list == nullptr || list->size() != texts.size()) {
    return false;
  }
  for (size_t i = 0; i < texts.size(); ++i) {
    if (!Equals(*list->get(i), texts[i])) {
      return false;
    }
  }
  return true;
}

bool Has(const toml::array& list, const std::string& text) {
  return std::ranges::any_of(list, [&text](const toml::node& item) { return Equals(item, text); });
}

std::vector<std::string> TextsOf(const TomlValue& value) {
  const auto* const texts = std::get_if<std::vector<std::string>>(&value);
  return texts == nullptr ? std::vector<std::string>() : *texts;
}

bool Says(const toml::node* node, const WantedKey& key) {
  if (key.match == WantedKey::Match::kEquals) {
    return node != nullptr && Equals(*node, key.value);
  }
  const toml::array* const list = node == nullptr ? nullptr : node->as_array();
  const std::vector<std::string> texts = TextsOf(key.value);
  if (key.match == WantedKey::Match::kExcludes) {
    return list == nullptr ||
           std::ranges::none_of(texts, [list](const auto& text) { return Has(*list, text); });
  }
  return list != nullptr &&
         std::ranges::all_of(texts, [list](const auto& text) { return Has(*list, text); });
}

const toml::node* Below(const toml::table& root, const TomlPath& path, size_t length) {
  const toml::node* node = &root;
  for (size_t i = 0; i < length; ++i) {
    const toml::table* const table = node->as_table();
    node = table == nullptr ? nullptr : table->get(path[i]);
    if (node == nullptr) {
      return nullptr;
    }
  }
  return node;
}

std::string InlineText(const std::vector<std::pair<std::string, std::string>>& table) {
  std::string text = "{";
  for (const auto& [key, value] : table) {
    text += fmt::format("{} {} = {}", text.size() > 1 ? "," : "", TomlKey(key), TomlString(value));
  }
  return text + " }";
}

/// The tables of `wanted` that `list` has nothing of.
auto MissingOf(const toml::array* list, const WantedTables& wanted) {
  auto missing = wanted.tables;
  std::erase_if(missing, [&](const auto& table) {
    const auto same =
        std::ranges::find(table, wanted.same_by, &std::pair<std::string, std::string>::first);
    return list != nullptr && same != table.end() &&
           std::ranges::any_of(*list, [&](const toml::node& item) {
             const toml::node* const value =
                 item.is_table() ? item.as_table()->get(wanted.same_by) : nullptr;
             return value != nullptr && Equals(*value, same->second);
           });
  });
  return missing;
}

const toml::node* Planner::Find(const TomlPath& path, size_t length) const {
  return Below(root_, path, length);
}

Status Planner::ByHand(const toml::node& node, std::string_view key,
                       std::string_view wanted) const {
  return MakeError(
      StatusCode::kFailedPrecondition,
      fmt::format("{}:{}:{}: {} is written in a way that only a person should change; "
                  "it is to say: {}",
                  file_, node.source().begin.line, node.source().begin.column, key, wanted));
}

Status Planner::CheckAncestors(const TomlPath& path, std::string_view wanted) const {
  for (size_t length = 1; length <= path.size(); ++length) {
    const toml::node* const node = Find(path, length);
    if (node == nullptr) {
      return OkStatus();
    }
    if (!node->is_table() || node->as_table()->is_inline()) {
      return ByHand(*node, TomlPathText({path.begin(), path.begin() + static_cast<long>(length)}),
                    wanted);
    }
  }
  return OkStatus();
}

std::optional<size_t> Planner::OffsetOf(const toml::source_position& position) const {
  if (position.line == 0 || position.line > lines_.size() || position.column == 0) {
    return std::nullopt;
  }
  const std::string_view line = lines_[position.line - 1];
  size_t at = 0;
  // Columns count code points.
  for (size_t column = 1; column < position.column; ++column) {
    if (at >= line.size()) {
      return std::nullopt;
    }
    for (++at; at < line.size() && (static_cast<unsigned char>(line[at]) & 0xc0) == 0x80;) {
      ++at;
    }
  }
  return static_cast<size_t>(line.data() - text_.data()) + at;
}

std::optional<Region> Planner::RegionOf(const toml::source_region& source) const {
  const std::optional<size_t> begin = OffsetOf(source.begin);
  const std::optional<size_t> end = OffsetOf(source.end);
  if (!begin || !end || *end <= *begin) {
    return std::nullopt;
  }
  return Region{*begin, *end};
}

size_t Planner::LineAt(size_t offset) const {
  return static_cast<size_t>(
             std::count(text_.begin(), text_.begin() + static_cast<long>(offset), '\n')) +
         1;
}

LineEdit Planner::Replaced(Region region, std::string_view with) const {
  const size_t first = LineAt(region.begin);
  const size_t last = LineAt(region.end - 1);
  const std::string_view first_line = lines_[first - 1];
  const std::string_view last_line = lines_[last - 1];
  const std::string_view before =
      first_line.substr(0, region.begin - static_cast<size_t>(first_line.data() - text_.data()));
  const std::string_view after =
      last_line.substr(region.end - static_cast<size_t>(last_line.data() - text_.data()));
  const std::string whole = fmt::format("{}{}{}", before, with, after);
  LineEdit edit{.line = first, .removed = last - first + 1, .added = {}};
  for (const std::string_view line : LinesOf(whole)) {
    edit.added.emplace_back(line);
  }
  return edit;
}

bool Planner::IsHeaderOf(size_t line, const TomlPath& path, std::string_view brackets) const {
  if (line == 0 || line > lines_.size()) {
    return false;
  }
  const std::string_view text = TrimSpace(lines_[line - 1]);
  if (!text.starts_with(brackets) || text.substr(brackets.size()).starts_with('[')) {
    return false;
  }
  const toml::parse_result header = toml::parse(text);
  if (!header) {
    return false;
  }
  const toml::node* node = &header.table();
  for (const std::string& name : path) {
    const toml::table* const table = node->as_table();
    node = table == nullptr || table->size() != 1 ? nullptr : table->get(name);
    if (node == nullptr) {
      return false;
    }
  }
  return node->is_array() || (node->is_table() && node->as_table()->empty());
}

std::string Planner::IndentBelow(size_t header_line) const {
  const auto indent_of = [](std::string_view line) {
    return std::string(line.substr(0, std::min(line.find_first_not_of(" \t"), line.size())));
  };
  if (header_line < lines_.size()) {
    const std::string_view next = lines_[header_line];
    const std::string_view trimmed = TrimSpace(next);
    if (!trimmed.empty() && trimmed.front() != '[' && trimmed.front() != '#') {
      return indent_of(next);
    }
  }
  return indent_of(lines_[header_line - 1]) + "  ";
}

void Planner::AddBelowHeader(size_t header_line, const std::string& line) {
  const size_t at = header_line + 1;
  const std::string indented = IndentBelow(header_line) + line;
  for (LineEdit& edit : plan_.additions) {
    if (edit.line == at && edit.removed == 0) {
      edit.added.push_back(indented);
      return;
    }
  }
  plan_.additions.push_back({.line = at, .removed = 0, .added = {indented}});
}

void Planner::AddToBlock(const std::string& header, const std::string& line, bool is_new) {
  const auto block = std::ranges::find(blocks_, header, &Block::header);
  if (!is_new && block != blocks_.end()) {
    block->lines.push_back("  " + line);
    return;
  }
  blocks_.push_back({.header = header, .lines = {"  " + line}});
}

/// Where a key of no table may be put.
size_t Planner::TopLine() const {
  size_t line = 0;
  for (const auto& [name, node] : root_) {
    const bool is_value =
        !node.is_array_of_tables() && (!node.is_table() || node.as_table()->is_inline());
    if (is_value) {
      line = std::max<size_t>(line, node.source().end.line);
    }
  }
  if (line == 0) {
    while (line < lines_.size() && lines_[line].starts_with('#')) {
      ++line;
    }
  }
  return line + 1;
}

Status Planner::PlanIncludes(const toml::node& node, const WantedKey& key) {
  const toml::array* const list = node.as_array();
  std::vector<std::string> missing = TextsOf(key.value);
  std::erase_if(missing, [list](const std::string& text) { return Has(*list, text); });
  const std::optional<Region> whole = RegionOf(node.source());
  if (list->empty()) {
    if (!whole) {
      return ByHand(node, key.key, TomlText(key.value));
    }
    plan_.additions.push_back(Replaced(*whole, TomlStrings(missing)));
    return OkStatus();
  }
  const std::optional<Region> last = RegionOf(list->back().source());
  if (!last) {
    return ByHand(node, key.key, TomlText(key.value));
  }
  std::string with(text_.substr(last->begin, last->end - last->begin));
  for (const std::string& text : missing) {
    with += ", " + TomlString(text);
  }
  plan_.additions.push_back(Replaced(*last, with));
  return OkStatus();
}

Status Planner::Want(const WantedKey& key) {
  TomlPath path = key.table;
  path.push_back(key.key);
  const toml::node* const node = Find(path, path.size());
  if (Says(node, key)) {
    return OkStatus();
  }
  const std::string line = fmt::format("{} = {}", TomlKey(key.key), TomlText(key.value));
  if (node != nullptr) {
    if (key.match == WantedKey::Match::kIncludes && node->is_array()) {
      return PlanIncludes(*node, key);
    }
    std::string wanted = TomlText(key.value);
    if (key.match == WantedKey::Match::kExcludes) {
      std::vector<std::string> left;
      for (const toml::node& item : *node->as_array()) {
        if (!item.is_string()) {
          return ByHand(*node, TomlPathText(path), "without " + wanted);
        }
        if (!std::ranges::count(TextsOf(key.value), item.as_string()->get())) {
          left.push_back(item.as_string()->get());
        }
      }
      wanted = TomlStrings(left);
    }
    const std::optional<Region> region = RegionOf(node->source());
    const bool is_value = !node->is_array_of_tables() && !node->is_table();
    if (!is_value || !region) {
      return ByHand(*node, TomlPathText(path), wanted);
    }
    plan_.conflicts.push_back(
        {.line = node->source().begin.line,
         .column = node->source().begin.column,
         .key = TomlPathText(path),
         .present = std::string(
             text_.substr(region->begin, std::min(region->end - region->begin, kMaxPresentBytes))),
         .wanted = wanted,
         .replacement = Replaced(*region, wanted)});
    return OkStatus();
  }
  if (key.table.empty()) {
    top_.push_back(line);
    return OkStatus();
  }
  const std::string header = fmt::format("[{}]", TomlPathText(key.table));
  RETURN_IF_ERROR(CheckAncestors(key.table, fmt::format("{} {}", header, line)));
  const toml::node* const table = Find(key.table, key.table.size());
  if (table != nullptr && IsHeaderOf(table->source().begin.line, key.table, "[")) {
    AddBelowHeader(table->source().begin.line, line);
  } else {
    AddToBlock(header, line, /*is_new=*/false);
  }
  return OkStatus();
}

Status Planner::Want(const WantedTables& wanted) {
  const toml::node* const node = Find(wanted.list, wanted.list.size());
  const auto missing = MissingOf(node == nullptr ? nullptr : node->as_array(), wanted);
  if (missing.empty()) {
    return OkStatus();
  }
  std::string all;
  for (const auto& table : missing) {
    all += (all.empty() ? "" : ", ") + InlineText(table);
  }
  const std::string name = TomlPathText(wanted.list);
  const bool has_headers =
      node != nullptr && node->is_array() && !node->as_array()->empty() &&
      IsHeaderOf(node->as_array()->front().source().begin.line, wanted.list, "[[");
  if (node == nullptr || has_headers) {
    RETURN_IF_ERROR(CheckAncestors({wanted.list.begin(), wanted.list.end() - 1},
                                   fmt::format("[[{}]] {}", name, all)));
    for (const auto& table : missing) {
      bool is_new = true;
      for (const auto& [key, value] : table) {
        const std::string line = fmt::format("{} = {}", TomlKey(key), TomlString(value));
        if (is_new) {
          AddToBlock(fmt::format("[[{}]]", name), line, is_new);
        } else {
          blocks_.back().lines.push_back("  " + line);
        }
        is_new = false;
      }
    }
    return OkStatus();
  }
  const toml::array* const list = node->as_array();
  const std::optional<Region> region =
      list == nullptr ? std::nullopt
                      : RegionOf(list->empty() ? node->source() : list->back().source());
  if (!region) {
    return ByHand(*node, name, "[" + all + "]");
  }
  const std::string with =
      list->empty()
          ? fmt::format("[{}]", all)
          : fmt::format("{}, {}", text_.substr(region->begin, region->end - region->begin), all);
  plan_.additions.push_back(Replaced(*region, with));
  return OkStatus();
}

TomlPlan Planner::Finish(std::string_view comment) {
  if (!top_.empty()) {
    plan_.additions.push_back({.line = TopLine(), .removed = 0, .added = top_});
  }
  if (!blocks_.empty()) {
    LineEdit end{.line = lines_.size() + 1, .removed = 0, .added = {}};
    const bool has_text_above = !lines_.empty() || !top_.empty();
    if (has_text_above && (lines_.empty() || !TrimSpace(lines_.back()).empty())) {
      end.added.emplace_back("");
    }
    if (!comment.empty()) {
      end.added.emplace_back(comment);
    }
    for (const Block& block : blocks_) {
      end.added.push_back(block.header);
      std::ranges::copy(block.lines, std::back_inserter(end.added));
    }
    plan_.additions.push_back(std::move(end));
  }
  return std::move(plan_);
}

bool SaysAll(const toml::table& root, const Wanted& wanted) {
  for (const WantedKey& key : wanted.keys) {
    TomlPath path = key.table;
    path.push_back(key.key);
    if (!Says(Below(root, path, path.size()), key)) {
      return false;
    }
  }
  return std::ranges::all_of(wanted.lists, [&root](const WantedTables& list) {
    const toml::node* const node = Below(root, list.list, list.list.size());
    return node != nullptr && node->is_array() && MissingOf(node->as_array(), list).empty();
  });
}

/// Whether `after` says all that `before` says, but for what is wanted below `path`.
bool Keeps(const toml::table& before, const toml::table& after, const Wanted& wanted,
           TomlPath& path) {
  for (const auto& [name, node] : before) {
    path.emplace_back(name.str());
    const toml::node* const kept = after.get(name.str());
    const bool is_wanted =
        std::ranges::any_of(wanted.lists, [&](const auto& list) { return list.list == path; }) ||
        std::ranges::any_of(wanted.keys, [&](const WantedKey& key) {
          return key.key == path.back() &&
                 std::ranges::equal(key.table, path | std::views::take(path.size() - 1));
        });
    bool same = kept != nullptr && kept->type() == node.type();
    if (same && node.is_table()) {
      same = Keeps(*node.as_table(), *kept->as_table(), wanted, path);
    } else if (same && !is_wanted) {
      same = node.visit([kept](const auto& value) {
        const auto* const other = kept->as<std::remove_cvref_t<decltype(value)>>();
        return other != nullptr && *other == value;
      });
    }
    path.pop_back();
    if (!same && !is_wanted) {
      return false;
    }
  }
  return true;
}

}  // namespace

std::string TomlText(const TomlValue& value) {
  if (const auto* const flag = std::get_if<bool>(&value)) {
    return *flag ? "true" : "false";
  }
  if (const auto* const number = std::get_if<int64_t>(&value)) {
    return std::to_string(*number);
  }
  if (const auto* const text = std::get_if<std::string>(&value)) {
    return TomlString(*text);
  }
  return TomlStrings(std::get<std::vector<std::string>>(value));
}

void Wanted::Add(const Wanted& more) {
  keys.insert(keys.end(), more.keys.begin(), more.keys.end());
  lists.insert(lists.end(), more.lists.begin(), more.lists.end());
}

std::vector<LineEdit> TomlPlan::AllEdits() const {
  std::vector<LineEdit> edits = additions;
  for (const Conflict& conflict : conflicts) {
    edits.push_back(conflict.replacement);
  }
  return edits;
}

StatusOr<TomlPlan> PlanToml(std::string_view text, std::string_view file, const Wanted& wanted,
                            std::string_view comment) {
  ASSIGN_OR_RETURN(const toml::table document, ParseToml(text, file));
  Planner planner(text, file, document);
  for (const WantedKey& key : wanted.keys) {
    RETURN_IF_ERROR(planner.Want(key));
  }
  for (const WantedTables& list : wanted.lists) {
    RETURN_IF_ERROR(planner.Want(list));
  }
  TomlPlan plan = planner.Finish(comment);
  const toml::parse_result result = toml::parse(Edited(text, plan.AllEdits()));
  TomlPath path;
  if (!result || !SaysAll(result.table(), wanted) ||
      !Keeps(document, result.table(), wanted, path)) {
    return MakeError(StatusCode::kFailedPrecondition,
                     fmt::format("{} is written in a way that only a person should change", file));
  }
  return plan;
}

std::vector<std::string> TomlLines(const Wanted& wanted) {
  const StatusOr<TomlPlan> plan = PlanToml("", "", wanted, "");
  std::vector<std::string> lines;
  if (plan.ok()) {
    for (const LineEdit& edit : plan->additions) {
      std::ranges::copy(edit.added, std::back_inserter(lines));
    }
  }
  return lines;
}

}  // namespace starling::setup
