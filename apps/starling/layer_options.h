/// How commands are told what layers to write.
#pragma once

#include <optional>

#include "apps/starling/commands.h"
#include "estargz/writer.h"

namespace starling::cli {

struct LayerOptions {
  estargz::WriteOptions write = DefaultWriteOptions();

 private:
  /// As many threads as there are processors.
  static estargz::WriteOptions DefaultWriteOptions();
};

/// --format, --level, --chunk-size, --min-chunk-size and --threads.
void AddLayerOptions(CLI::App& command, LayerOptions& options);

}  // namespace starling::cli
