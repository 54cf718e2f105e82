// Property: a filter text is refused or chooses without crashing, and the same way each time.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "snapshotter/filter.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using starling::snapshotter::Filter;
  using starling::snapshotter::Info;
  using starling::snapshotter::Kind;
  // A NUL separates filter texts.
  std::vector<std::string> texts(1);
  for (size_t i = 0; i < size; ++i) {
    if (data[i] == 0) {
      texts.emplace_back();
    } else {
      texts.back().push_back(static_cast<char>(data[i]));
    }
  }
  const auto first = Filter::Parse(texts);
  const auto second = Filter::Parse(texts);
  if (first.ok() != second.ok()) {
    std::abort();
  }
  if (!first.ok()) {
    return 0;
  }
  const Info info{.name = "n",
                  .parent = "p",
                  .kind = Kind::kActive,
                  .created = {},
                  .updated = {},
                  .labels = {{"a", "1"}, {"b.c", "2"}}};
  if (first->Matches(info) != second->Matches(info)) {
    std::abort();
  }
  return 0;
}
