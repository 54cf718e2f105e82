// Property: a recipe is refused, or written again it is the same recipe; and if it can be rendered,
// the text of a Dockerfile without values with line ends is one that has as many instructions.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/bytes.h"
#include "dockerfile/recipe/read.h"
#include "dockerfile/recipe/render.h"
#include "dockerfile/recipe/write.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling::dockerfile;  // NOLINT(google-build-using-namespace)
  const auto parsed = recipe::ParseRecipe(std::as_bytes(std::span(data, size)));
  if (!parsed.ok()) {
    return 0;
  }
  const std::string written = recipe::WriteRecipe(*parsed);
  const auto again = recipe::ParseRecipe(starling::AsBytes(written));
  // Indented, a recipe of nearly the largest size is too large.
  if (again.ok() ? *again != *parsed : written.size() <= recipe::kMaxRecipeBytes) {
    std::abort();
  }
  const auto rendered = recipe::RenderRecipe(*parsed);
  if (!rendered.ok()) {
    return 0;
  }
  const auto from_text = syntax::ParseDockerfile(rendered->text);
  if (from_text.problem || from_text.stages.size() != rendered->dockerfile.stages.size() ||
      from_text.stages.back().instructions.size() !=
          rendered->dockerfile.stages.back().instructions.size()) {
    std::abort();
  }
  return 0;
}
