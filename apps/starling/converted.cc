#include "apps/starling/converted.h"

#include <cstdio>

#include "base/size_text.h"

namespace starling::cli {

nlohmann::ordered_json ConvertedToJson(const convert::ConvertReport& report) {
  nlohmann::ordered_json layers = nlohmann::ordered_json::array();
  for (const convert::ConvertedLayer& layer : report.layers) {
    layers.push_back({{"from", layer.from.digest.ToString()},
                      {"fromSize", layer.from.size_bytes},
                      {"to", layer.to.digest.ToString()},
                      {"toSize", layer.to.size_bytes},
                      {"reused", layer.reused}});
  }
  return {{"digest", report.target.ToString()}, {"layers", std::move(layers)}};
}

void PrintConverted(const std::string& name, const convert::ConvertReport& report) {
  uint64_t before_bytes = 0;
  uint64_t after_bytes = 0;
  for (const convert::ConvertedLayer& layer : report.layers) {
    before_bytes += layer.from.size_bytes;
    after_bytes += layer.to.size_bytes;
  }
  std::printf("%s@%s\n%zu layers, %s before, %s now\n", name.c_str(),
              report.target.ToString().c_str(), report.layers.size(),
              SizeText(before_bytes).c_str(), SizeText(after_bytes).c_str());
}

}  // namespace starling::cli
