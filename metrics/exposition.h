#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "base/duration_histogram.h"

namespace starling::metrics {

/// Writes Prometheus' text format 0.0.4
/// (prometheus.io/docs/instrumenting/exposition_formats). Threads: one at a time.
class Exposition {
 public:
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;
  static constexpr std::string_view kContentType = "text/plain; version=0.0.4; charset=utf-8";

  /// Begins a metric; its samples follow. Names are [a-z_]; `help` is one line.
  void Counter(std::string_view name, std::string_view help) { Begin(name, help, "counter"); }
  void Gauge(std::string_view name, std::string_view help) { Begin(name, help, "gauge"); }
  void Histogram(std::string_view name, std::string_view help) { Begin(name, help, "histogram"); }

  /// Of the counter or gauge that was begun last. Values of labels may be any text.
  void Add(uint64_t value, Labels labels = {});
  /// Of the histogram that was begun last, in seconds.
  void Add(const DurationHistogram& histogram, Labels labels = {});

  std::string Take() { return std::move(text_); }

 private:
  void Begin(std::string_view name, std::string_view help, std::string_view type);
  void AddLine(std::string_view suffix, Labels labels, std::string_view le, std::string_view value);

  std::string text_;
  std::string name_;
};

}  // namespace starling::metrics
