#pragma once

#include <fmt/format.h>

#include <chrono>
#include <fstream>
#include <optional>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>

#include "base/temp_dir.h"
#include "tests/support/child_process.h"
#include "tests/support/file_tree.h"

namespace starling::testing_support {

/// A self-signed certificate for the DNS name `kHost`, and its key, as PEM files.
class TestCertificate {
 public:
  /// Not a loopback name for us, so it is spoken to with TLS only; libcurl itself resolves names
  /// below .localhost to loopback.
  static constexpr const char* kHost = "registry.localhost";

  TestCertificate() : directory_(*TempDir::Make("/tmp", "starling-certificate-")) {
    Shell(fmt::format(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN={} "
        "-addext subjectAltName=DNS:{} -keyout {} -out {} 2>/dev/null",
        kHost, kHost, key_file(), file()));
  }
  std::string file() const { return (directory_.path() / "certificate.pem").string(); }
  std::string key_file() const { return (directory_.path() / "key.pem").string(); }

 private:
  TempDir directory_;
};

/// Debian's docker-registry on a loopback port, its data in a directory of its own.
class DockerRegistry {
 public:
  struct Options {
    bool wants_password = false;                   // "user" and "secret"
    const TestCertificate* certificate = nullptr;  // none: plain HTTP
  };
  /// What the registry's log says about its answers.
  struct Traffic {
    size_t answers = 0;
    std::set<std::string> protocols;  // such as HTTP/1.1
    std::set<std::string> peers;      // address and port of each connection
  };

  explicit DockerRegistry(Options options)
      : directory_(*TempDir::Make("/tmp", "starling-registry-")) {
    const std::string root = directory_.path().string();
    // bcrypt of "secret".
    std::ofstream(root + "/htpasswd")
        << "user:$2b$04$NyMJeTBX1KNoKTjoPjFyGO1n0YIHX7CrfXJrLX/QM1T4mbiDA8EBO\n";
    // Between the choice of a port and its use somebody else may take it.
    for (int attempt = 0; attempt < 5 && port_ == 0; ++attempt) {
      const uint16_t port = ChildProcess::FreePort();
      std::ofstream config(root + "/config.yml");
      config << "version: 0.1\nlog: {level: info}\nstorage:\n  filesystem: {rootdirectory: " << root
             << "/data}\nhttp:\n  addr: \"127.0.0.1:" << port << "\"\n";
      if (options.certificate != nullptr) {
        config << "  tls: {certificate: " << options.certificate->file()
               << ", key: " << options.certificate->key_file() << "}\n";
      }
      if (options.wants_password) {
        config << "auth:\n  htpasswd: {realm: test, path: " << root << "/htpasswd}\n";
      }
      config.close();
      auto child = ChildProcess::Start({"docker-registry", "serve", root + "/config.yml"}, Log());
      if (child.ok() && child->WaitForPort(port).ok()) {
        port_ = port;
        child_.emplace(*std::move(child));
      }
    }
  }

  bool running() const { return port_ != 0; }
  std::string address() const { return AddressAt("127.0.0.1"); }
  std::string AddressAt(const std::string& host) const { return fmt::format("{}:{}", host, port_); }

  /// Everything up to an answer to a request whose target contains `last`; a test sends one when it
  /// has all other answers, because the log comes after the answer.
  Traffic TrafficUntil(const std::string& last) const {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    Traffic traffic;
    for (bool complete = false; !complete && std::chrono::steady_clock::now() < deadline;) {
      traffic = {};
      std::istringstream log(ReadWhole(Log()));
      for (std::string line; std::getline(log, line);) {
        static const std::regex kAccess(R"re("[A-Z]+ (\S+) (HTTP/[0-9.]+)" [0-9]+ )re");
        static const std::regex kPeer(R"re(remoteaddr="([^"]+)".*uri=)re");
        std::smatch match;
        if (std::regex_search(line, match, kAccess)) {
          ++traffic.answers;
          traffic.protocols.insert(match[2]);
          complete = complete || match[1].str().find(last) != std::string::npos;
        } else if (std::regex_search(line, match, kPeer)) {
          traffic.peers.insert(match[1]);
        }
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(complete ? 0 : 10));
    }
    return traffic;
  }
  /// Lines of the log that contain `text`.
  size_t LogLines(std::string_view text) const {
    std::istringstream log(ReadWhole(Log()));
    size_t count = 0;
    for (std::string line; std::getline(log, line);) {
      count += line.find(text) != std::string::npos ? 1 : 0;
    }
    return count;
  }

 private:
  std::string Log() const { return (directory_.path() / "log").string(); }

  TempDir directory_;
  uint16_t port_ = 0;
  std::optional<ChildProcess> child_;
};

}  // namespace starling::testing_support
