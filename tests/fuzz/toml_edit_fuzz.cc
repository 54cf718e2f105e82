// Property: a file is left alone, or afterwards says what is wanted; a second time there is nothing
// to do.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "setup/toml_edit.h"
#include "setup/wanted.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace setup = starling::setup;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  setup::Wanted wanted = setup::ForContainerd(
      {2, 3}, {.name = "stargz", .socket = "/s", .root = "/r", .maps_ids = true});
  wanted.Add(setup::ForCri(3, "stargz"));
  wanted.Add(setup::ForNerdctl("stargz"));
  const auto plan = setup::PlanToml(text, "f", wanted, "# comment");
  if (!plan.ok()) {
    return 0;
  }
  const std::string after = setup::Edited(text, plan->AllEdits());
  const auto again = setup::PlanToml(after, "f", wanted, "");
  if (!again.ok() || !again->empty()) {
    std::abort();
  }
  return 0;
}
