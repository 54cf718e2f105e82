#pragma once

#include <cstdint>
#include <string>

namespace starling {

/// Hears how long work gets on. Threads: safe. Never blocks and never fails the work.
class Progress {
 public:
  virtual ~Progress() = default;
  /// A part of the work, such as one layer. `total` is in bytes, 0 when unknown.
  virtual void Begin(const std::string& part, uint64_t total) = 0;
  virtual void Advance(const std::string& part, uint64_t amount) = 0;
  /// `outcome` is a word or two: "lazy", "done", "already there".
  virtual void End(const std::string& part, const std::string& outcome) = 0;
};

/// Hears nothing.
class NoProgress : public Progress {
 public:
  void Begin(const std::string&, uint64_t) override {}
  void Advance(const std::string&, uint64_t) override {}
  void End(const std::string&, const std::string&) override {}
};

}  // namespace starling
