#include "registry/hosts_directory.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/file_system.h"
#include "registry/hosts_file.h"

namespace starling::registry {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kHostsFile = "hosts.toml";
constexpr uint64_t kMaxFileBytes = 1 << 20;
constexpr size_t kMaxCertificates = 64;
constexpr std::chrono::seconds kBetweenReads{2};

StatusOr<std::string> TextOf(const fs::path& file) {
  ASSIGN_OR_RETURN(const Bytes bytes, ReadFile(RealFileSystem(), file, kMaxFileBytes));
  return std::string(AsText(bytes));
}

/// docker's layout. Several client certificates are one too many: which to show cannot be known.
StatusOr<HostEntry> EntryOfCertificates(const fs::path& directory) {
  HostEntry entry;
  std::error_code error;
  for (const fs::directory_entry& file : fs::directory_iterator(directory, error)) {
    const fs::path name = file.path().filename();
    if (name.extension() == ".crt" && entry.ca.size() < kMaxCertificates) {
      entry.ca.push_back(name);
    }
    if (name.extension() != ".cert") {
      continue;
    }
    if (!entry.client_certificate.empty()) {
      return MakeError(
          StatusCode::kInvalidArgument,
          fmt::format("{}: more than one client certificate (*.cert)", directory.native()));
    }
    entry.client_certificate = name;
    const fs::path key = fs::path(name).replace_extension(".key");
    std::error_code none;
    entry.client_key = fs::exists(directory / key, none) ? key : name;
  }
  if (error) {
    return ErrnoError(error.value(), fmt::format("cannot list {}", directory.native()));
  }
  std::ranges::sort(entry.ca);
  return entry;
}

StatusOr<std::shared_ptr<const ConnectionOptions>> ConnectionOf(const HostEntry& entry,
                                                                const fs::path& directory) {
  const bool is_ordinary = entry.ca.empty() && entry.client_certificate.empty() &&
                           !entry.skip_verify && !entry.dial_timeout;
  if (is_ordinary) {
    return std::shared_ptr<const ConnectionOptions>();
  }
  ConnectionOptions options{.verify = !entry.skip_verify, .connect_timeout = entry.dial_timeout};
  for (const fs::path& file : entry.ca) {
    ASSIGN_OR_RETURN(const std::string pem, TextOf(directory / file));
    if (pem.find("-----BEGIN CERTIFICATE-----") == std::string::npos) {
      return MakeError(StatusCode::kInvalidArgument,
                       fmt::format("{}: holds no certificate (PEM)", (directory / file).native()));
    }
    options.trusted_pem += pem + "\n";
  }
  if (!entry.client_certificate.empty()) {
    options.client_certificate = directory / entry.client_certificate;
    options.client_key = directory / entry.client_key;
    // Read here only to say early and clearly what is wrong.
    RETURN_IF_ERROR(TextOf(options.client_certificate).status());
    RETURN_IF_ERROR(TextOf(options.client_key).status());
  }
  return std::make_shared<const ConnectionOptions>(std::move(options));
}

}  // namespace

HostsDirectory::HostsDirectory(std::vector<fs::path> roots, Clock& clock)
    : roots_(std::move(roots)), clock_(clock) {}

fs::path HostsDirectory::DirectoryOf(const std::string& domain) const {
  std::vector<std::string> names;
  if (const size_t colon = domain.rfind(':'); colon != std::string::npos && colon > 0) {
    names.push_back(fmt::format("{}_{}_", domain.substr(0, colon), domain.substr(colon + 1)));
  }
  names.push_back(domain);
  names.emplace_back("_default");
  for (const fs::path& root : roots_) {
    for (const std::string& name : names) {
      std::error_code error;
      if (fs::is_directory(root / name, error)) {
        return root / name;
      }
    }
  }
  return {};
}

StatusOr<std::vector<RegistryHost>> HostsDirectory::HostsOf(const std::string& domain,
                                                            const std::string& own_host,
                                                            const HostPolicy& policy) {
  const auto now = clock_.Now();
  {
    MutexLock lock(mutex_);
    const auto found = known_.find(domain);
    if (found != known_.end() && now - found->second.read_at < kBetweenReads) {
      return found->second.hosts;
    }
  }
  Known fresh{.read_at = now, .hosts = Read(domain, own_host, policy)};
  MutexLock lock(mutex_);
  return known_.insert_or_assign(domain, std::move(fresh)).first->second.hosts;
}

StatusOr<std::vector<RegistryHost>> HostsDirectory::Read(const std::string& domain,
                                                         const std::string& own_host,
                                                         const HostPolicy& policy) const {
  ASSIGN_OR_RETURN(const Url own, policy.BaseUrl(own_host));
  ASSIGN_OR_RETURN(const Url own_api, own.Resolve("/v2"));
  std::vector<HostEntry> entries(1);
  const fs::path directory = DirectoryOf(domain);
  if (!directory.empty()) {
    const fs::path file = directory / kHostsFile;
    std::error_code error;
    if (fs::exists(file, error)) {
      ASSIGN_OR_RETURN(const std::string text, TextOf(file));
      ASSIGN_OR_RETURN(entries, ParseHostsFile(text, file.native()));
    } else {
      ASSIGN_OR_RETURN(entries.front(), EntryOfCertificates(directory));
    }
  }
  std::vector<RegistryHost> hosts;
  for (HostEntry& entry : entries) {
    ASSIGN_OR_RETURN(auto connection, ConnectionOf(entry, directory));
    const std::string host = entry.api ? HostAndPort(*entry.api) : own_host;
    hosts.push_back({.api = entry.api ? *std::move(entry.api) : own_api,
                     .is_mirror = host != own_host && host != domain,
                     .can_pull = entry.can_pull,
                     .can_resolve = entry.can_resolve,
                     .can_push = entry.can_push,
                     .headers = std::move(entry.headers),
                     .connection = std::move(connection)});
  }
  return hosts;
}

}  // namespace starling::registry
