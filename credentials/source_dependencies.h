#pragma once

#include "base/clock.h"
#include "base/file_system.h"
#include "credentials/environment.h"
#include "credentials/web_client.h"

namespace starling::credentials {

/// What a source may look at besides the variables that it was given.
enum class Surroundings {
  kNone,     // nothing but files that the variables name
  kMachine,  // the user's files and the cloud's metadata services, too
};

/// What the sources of clouds are made of. Borrows all but the variables.
struct SourceDependencies {
  Environment environment;
  Surroundings surroundings;
  FileSystem& files;
  const WebClient& web;
  const Clock& clock;
};

}  // namespace starling::credentials
