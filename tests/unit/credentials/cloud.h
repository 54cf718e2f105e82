/// What the tests of the clouds' sources share: services that are functions, and a clock.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <string>
#include <utility>

#include "base/temp_dir.h"
#include "credentials/source_dependencies.h"
#include "tests/support/fake_transport.h"

namespace starling::credentials {

using registry::Header;
using registry::HttpRequest;
using registry::HttpResponse;
using testing_support::FakeTransport;
using testing_support::ManualClock;

inline HttpResponse Answer(int status, std::string_view body = "",
                           std::vector<Header> headers = {}) {
  return {.status = status, .headers = std::move(headers), .body = ToBytes(body)};
}

inline std::string BodyOf(const HttpRequest& request) { return std::string(AsText(request.body)); }

/// Services at all addresses, and files in a directory of their own, which is HOME.
struct Cloud {
  explicit Cloud(FakeTransport::Handler handler) : transport(clock, std::move(handler)) {}

  SourceDependencies With(std::map<std::string, std::string> variables,
                          Surroundings surroundings = Surroundings::kMachine) {
    variables.emplace("HOME", home->path());
    return {.environment = Environment(std::move(variables)),
            .surroundings = surroundings,
            .files = RealFileSystem(),
            .web = web,
            .clock = clock};
  }
  /// Returns its path.
  std::string WriteFile(const std::string& name, const std::string& text) {
    const auto path = home->path() / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
    return path;
  }
  std::vector<std::string> asked() {
    std::vector<std::string> urls;
    for (const HttpRequest& request : transport.requests()) {
      urls.push_back(request.method + " " + request.url);
    }
    return urls;
  }

  ManualClock clock;  // 2026-01-01T00:00:00Z
  FakeTransport transport;
  WebClient web{{.transport = transport, .clock = clock}};
  StatusOr<TempDir> home = TempDir::Make("/tmp", "starling-cloud-");
};

inline StatusOr<HttpResponse> Nobody(const HttpRequest&) {
  return MakeError(StatusCode::kUnavailable, "connection refused");
}

}  // namespace starling::credentials
