#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "credentials/environment.h"
#include "credentials/web_client.h"
#include "registry/credentials.h"
#include "registry/http_transport.h"

namespace starling::credentials {

/// Everything that may know credentials, in the order of docs/registries.md. Borrows what it is
/// made with. Threads: those of its sources.
class Sources {
 public:
  struct Dependencies {
    registry::HttpTransport& transport;
    FileSystem& files;
    const Clock& clock;
    Environment environment;
  };
  explicit Sources(Dependencies dependencies);
  ~Sources();

  /// Puts the secret `name` ("env:VARIABLE", "file:PATH") in front, for `registry` alone. Before
  /// in_order() is called.
  Status AddSecret(const std::string& name, const std::string& registry);

  /// Borrowed: they live as long as this.
  std::vector<registry::CredentialSource*> in_order() const;

 private:
  const Dependencies deps_;
  const WebClient web_;
  std::vector<std::unique_ptr<registry::CredentialSource>> sources_;
};

}  // namespace starling::credentials
