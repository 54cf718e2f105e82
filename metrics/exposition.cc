#include "metrics/exposition.h"

#include <fmt/format.h>

#include <iterator>

namespace starling::metrics {
namespace {

/// Of a label's value: what the format escapes there.
void AppendEscaped(std::string_view value, std::string& text) {
  for (const char c : value) {
    switch (c) {
      case '\\':
        text += "\\\\";
        break;
      case '"':
        text += "\\\"";
        break;
      case '\n':
        text += "\\n";
        break;
      default:
        text += c;
    }
  }
}

std::string SecondsText(std::chrono::nanoseconds time) {
  return fmt::format("{}", std::chrono::duration<double>(time).count());
}

}  // namespace

void Exposition::Begin(std::string_view name, std::string_view help, std::string_view type) {
  name_ = name;
  fmt::format_to(std::back_inserter(text_), "# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

void Exposition::AddLine(std::string_view suffix, Labels labels, std::string_view le,
                         std::string_view value) {
  text_ += name_;
  text_ += suffix;
  char separator = '{';
  const auto add_label = [&](std::string_view label, std::string_view label_value) {
    text_ += std::exchange(separator, ',');
    text_ += label;
    text_ += "=\"";
    AppendEscaped(label_value, text_);
    text_ += '"';
  };
  for (const auto& [label, label_value] : labels) {
    add_label(label, label_value);
  }
  if (!le.empty()) {
    add_label("le", le);
  }
  text_ += separator == ',' ? "} " : " ";
  text_ += value;
  text_ += '\n';
}

void Exposition::Add(uint64_t value, Labels labels) {
  AddLine("", labels, "", fmt::format("{}", value));
}

void Exposition::Add(const DurationHistogram& histogram, Labels labels) {
  const DurationHistogram::Snapshot taken = histogram.snapshot();
  uint64_t up_to = 0;
  for (size_t bucket = 0; bucket < DurationHistogram::kBounds.size(); ++bucket) {
    up_to += taken.counts[bucket];
    AddLine("_bucket", labels, SecondsText(DurationHistogram::kBounds[bucket]),
            fmt::format("{}", up_to));
  }
  const std::string count = fmt::format("{}", taken.count());
  AddLine("_bucket", labels, "+Inf", count);
  AddLine("_sum", labels, "", SecondsText(taken.sum));
  AddLine("_count", labels, "", count);
}

}  // namespace starling::metrics
