#include <sys/stat.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "base/toml.h"
#include "doctor/checks.h"
#include "oci/reference.h"
#include "registry/hosts_file.h"

namespace starling::doctor {
namespace {

constexpr mode_t kOthersWrite = 022;
constexpr mode_t kOthersRead = 044;
/// What sockaddr_un holds, with its end.
constexpr size_t kMaxSocketPath = 107;

std::string Octal(mode_t mode) { return fmt::format("{:04o}", mode & 07777); }

setup::Wanted Setting(std::string table, std::string key, setup::TomlValue value) {
  setup::WantedKey wanted{{}, std::move(key), std::move(value)};
  if (!table.empty()) {
    wanted.table = {std::move(table)};
  }
  return {.keys = {std::move(wanted)}, .lists = {}};
}

/// A secret that others than its owner may read.
void CheckSecretFile(const Host& host, const std::string& path, Findings& findings) {
  const auto attributes = host.AttributesOf(path);
  if (attributes && S_ISREG(attributes->mode) && (attributes->mode & kOthersRead) != 0) {
    findings.push_back(
        {.check = "credentials.readable",
         .severity = Severity::kWarning,
         .what = fmt::format("{} can be read by others (mode {})", path, Octal(attributes->mode)),
         .why = "it holds credentials for registries",
         .cure = {Step::Run("chmod go-rwx " + ShellWord(path))}});
  }
}

struct UnitLine {
  std::string file;
  size_t line = 0;
  std::string key;
  std::string value;
};

/// The settings of starling's unit and its drop-ins.
std::vector<UnitLine> UnitLines(const Host& host) {
  std::vector<std::string> files;
  for (const char* directory :
       {"/usr/lib/systemd/system", "/lib/systemd/system", "/etc/systemd/system"}) {
    // On machines with merged directories one is the other.
    if (std::string_view(directory) == "/lib/systemd/system" &&
        host.Exists("/usr/lib/systemd/system")) {
      continue;
    }
    const std::string unit = std::string(directory) + "/starling.service";
    files.push_back(unit);
    for (const std::string& name : host.Names(unit + ".d")) {
      if (name.ends_with(".conf")) {
        files.push_back(fmt::format("{}.d/{}", unit, name));
      }
    }
  }
  std::vector<UnitLine> found;
  for (const std::string& file : files) {
    const StatusOr<std::string> text = host.Read(file);
    if (!text.ok()) {
      continue;
    }
    const std::vector<std::string_view> lines = setup::LinesOf(*text);
    for (size_t i = 0; i < lines.size(); ++i) {
      const std::string_view line = TrimSpace(lines[i]);
      const size_t equals = line.find('=');
      if (equals != std::string_view::npos && !line.starts_with('#') && !line.starts_with(';')) {
        found.push_back({.file = file,
                         .line = i + 1,
                         .key = std::string(TrimSpace(line.substr(0, equals))),
                         .value = std::string(TrimSpace(line.substr(equals + 1)))});
      }
    }
  }
  return found;
}

/// Whether the setting gives the service mounts of its own. Source: systemd.exec(5).
bool SeparatesMounts(const UnitLine& line) {
  constexpr std::array<std::string_view, 25> kKeys = {"PrivateMounts",
                                                      "PrivateTmp",
                                                      "PrivateDevices",
                                                      "PrivateNetwork",
                                                      "ProtectSystem",
                                                      "ProtectHome",
                                                      "ProtectKernelTunables",
                                                      "ProtectKernelModules",
                                                      "ProtectKernelLogs",
                                                      "ProtectControlGroups",
                                                      "ProtectProc",
                                                      "ProcSubset",
                                                      "MountFlags",
                                                      "ReadOnlyPaths",
                                                      "ReadWritePaths",
                                                      "InaccessiblePaths",
                                                      "ExecPaths",
                                                      "NoExecPaths",
                                                      "BindPaths",
                                                      "BindReadOnlyPaths",
                                                      "TemporaryFileSystem",
                                                      "RootDirectory",
                                                      "RootImage",
                                                      "MountImages",
                                                      "ExtensionImages"};
  constexpr std::array<std::string_view, 9> kOff = {"no",      "false", "0", "off",   "",
                                                    "default", "all",   "n", "shared"};
  return std::ranges::count(kKeys, line.key) > 0 &&
         std::ranges::count(kOff, LowerCase(line.value)) == 0;
}

}  // namespace

Findings CheckSettings(const Host& host) {
  if (host.settings_status().ok() ||
      host.settings_status().code() == StatusCode::kPermissionDenied) {
    return {};
  }
  const std::string& file = host.places().starling_config;
  return {{.check = "starlingd.config",
           .severity = Severity::kError,
           .what = "starlingd's configuration is wrong: " +
                   std::string(MessageOf(host.settings_status())),
           .why = "starlingd does not start with it",
           .cure = {host.CommentOut(file, LineOf(host.settings_status(), file)),
                    host.Restart("starling")}}};
}

Findings CheckRoot(const Host& host) {
  const std::string& root = host.settings().root;
  Findings findings;
  if (root.find_first_of(":,") != std::string::npos) {
    findings.push_back({.check = "starlingd.root",
                        .severity = Severity::kError,
                        .what = fmt::format("root = \"{}\" holds a colon or a comma", root),
                        .why = "an overlay's options separate directories by them, so that no "
                               "container can be mounted",
                        .cure = {host.Edit(host.places().starling_config,
                                           Setting("", "root", config::Settings().root)),
                                 host.Restart("starling")}});
  }
  const auto attributes = host.AttributesOf(root);
  if (attributes && (attributes->mode & (kOthersWrite | kOthersRead)) != 0) {
    const bool is_writable = (attributes->mode & kOthersWrite) != 0;
    findings.push_back(
        {.check = "starlingd.root-mode",
         .severity = is_writable ? Severity::kError : Severity::kWarning,
         .what = fmt::format("{} is open to others (mode {})", root, Octal(attributes->mode)),
         .why = is_writable ? "whoever writes there decides what containers run"
                            : "the files of all images can be read there, whatever their owners",
         .cure = {Step::Run("chmod 0700 " + ShellWord(root))}});
  }
  return findings;
}

Findings CheckSocketPath(const Host& host) {
  if (host.starling_socket().size() <= kMaxSocketPath) {
    return {};
  }
  return {
      {.check = "starlingd.address",
       .severity = Severity::kError,
       .what = fmt::format("the socket's path has {} bytes, the system takes {}: {}",
                           host.starling_socket().size(), kMaxSocketPath, host.starling_socket()),
       .why = "starlingd cannot listen there",
       .cure = {host.Edit(host.places().starling_config,
                          Setting("", "address", config::Settings().address)),
                host.Restart("starling")}}};
}

Findings CheckPermissions(const Host& host) {
  Findings findings;
  const auto check = [&](const std::string& path, const char* why) {
    const auto attributes = host.AttributesOf(path);
    if (!attributes) {
      return;
    }
    const bool is_shared = S_ISDIR(attributes->mode) && (attributes->mode & S_ISVTX) != 0;
    if ((attributes->mode & kOthersWrite) != 0 && !is_shared) {
      findings.push_back({.check = "permissions",
                          .severity = Severity::kError,
                          .what = fmt::format("{} can be written by others (mode {})", path,
                                              Octal(attributes->mode)),
                          .why = why,
                          .cure = {Step::Run("chmod go-w " + ShellWord(path))}});
    }
    if (attributes->owner != 0) {
      findings.push_back({.check = "permissions",
                          .severity = Severity::kError,
                          .what = fmt::format("{} belongs to user {}", path, attributes->owner),
                          .why = why,
                          .cure = {Step::Run("chown root " + ShellWord(path))}});
    }
  };
  check(host.places().starling_config,
        "whoever writes it runs programs as root, as a credential "
        "provider plugin");
  check(host.starling_socket(), "whoever reaches it makes and removes the snapshots of containers");
  check(std::filesystem::path(host.starling_socket()).parent_path().native(),
        "whoever writes there can put his own socket into starlingd's place");
  if (host.containerd_config() != nullptr) {
    check(host.places().containerd_config, "whoever writes it runs programs as root");
  }
  return findings;
}

Findings CheckSecrets(const Host& host) {
  Findings findings;
  const config::Settings::Credentials& credentials = host.settings().credentials;
  for (const std::string& path : credentials.pull_secrets) {
    if (!host.Exists(path)) {
      findings.push_back({.check = "credentials.pull-secret",
                          .severity = Severity::kWarning,
                          .what = fmt::format("there is no pull secret {}", path),
                          .why = "registries that want it refuse",
                          .cure = {host.Edit(host.places().starling_config,
                                             {.keys = {{{"credentials"},
                                                        "pull_secrets",
                                                        std::vector<std::string>{path},
                                                        setup::WantedKey::Match::kExcludes}},
                                              .lists = {}}),
                                   Step::Advise("or put the secret there")}});
      continue;
    }
    CheckSecretFile(host, path, findings);
    for (const std::string& name : host.Names(path)) {
      CheckSecretFile(host, fmt::format("{}/{}", path, name), findings);
    }
  }
  CheckSecretFile(host, "/root/.docker/config.json", findings);
  for (const std::string& path : {credentials.image_credential_provider_config,
                                  credentials.image_credential_provider_bin_dir}) {
    if (!path.empty() && !host.Exists(path)) {
      setup::Wanted off = Setting("credentials", "image_credential_provider_config", "");
      off.Add(Setting("credentials", "image_credential_provider_bin_dir", ""));
      findings.push_back(
          {.check = "credentials.provider",
           .severity = Severity::kWarning,
           .what = fmt::format("there is no {}, where credential provider plugins "
                               "are looked for",
                               path),
           .why = "registries that want their credentials refuse",
           .cure = {host.Edit(host.places().starling_config, off), host.Restart("starling"),
                    Step::Advise("or put the plugins and their file there")}});
      break;
    }
  }
  return findings;
}

Findings CheckHostsFiles(const Host& host) {
  Findings findings;
  for (const std::string& directory : host.settings().registry.config_path) {
    for (const std::string& name : host.Names(directory)) {
      const std::string file = fmt::format("{}/{}/hosts.toml", directory, name);
      const StatusOr<std::string> text = host.Read(file);
      if (!text.ok()) {
        continue;
      }
      const auto hosts = registry::ParseHostsFile(*text, file);
      if (!hosts.ok()) {
        findings.push_back({.check = "registry.hosts-file",
                            .severity = Severity::kError,
                            .what = "mirrors of a registry are not understood: " +
                                    std::string(MessageOf(hosts.status())),
                            .why = fmt::format("images of {} cannot be pulled", name),
                            .cure = {host.CommentOut(file, LineOf(hosts.status(), file))}});
        continue;
      }
      for (const registry::HostEntry& entry : *hosts) {
        std::vector<std::filesystem::path> needed = entry.ca;
        if (!entry.client_certificate.empty()) {
          needed.push_back(entry.client_certificate);
        }
        if (!entry.client_key.empty()) {
          needed.push_back(entry.client_key);
        }
        for (const std::filesystem::path& path : needed) {
          const std::string whole = (std::filesystem::path(file).parent_path() / path).native();
          if (!host.Exists(whole)) {
            findings.push_back(
                {.check = "registry.certificate",
                 .severity = Severity::kError,
                 .what = fmt::format("{} names {}, which is not there", file, whole),
                 .why = fmt::format("images of {} cannot be pulled from that host", name),
                 .cure = {Step::Advise("put the certificate there")}});
          }
        }
        if (entry.skip_verify) {
          findings.push_back(
              {.check = "registry.skip-verify",
               .severity = Severity::kNote,
               .what = fmt::format("{} has skip_verify", file),
               .why = "whoever sits on the way can read credentials and decide what a tag stands "
                      "for",
               .cure = {Step::Advise("name the authority by ca instead")}});
        }
      }
    }
  }
  return findings;
}

Findings CheckUnit(const Host& host) {
  Findings findings;
  for (const UnitLine& line : UnitLines(host)) {
    const std::string said =
        fmt::format("{}:{} says {}={}", line.file, line.line, line.key, line.value);
    const std::vector<Step> without = {host.CommentOut(line.file, line.line),
                                       Step::Run("systemctl daemon-reload"),
                                       Step::Run("systemctl restart starling")};
    if (SeparatesMounts(line)) {
      findings.push_back({.check = "starlingd.unit-mounts",
                          .severity = Severity::kError,
                          .what = said,
                          .why = "it gives the service mounts of its own, so that containerd does "
                                 "not see what starlingd mounts",
                          .cure = without});
    }
    if (line.key == "CapabilityBoundingSet" && !line.value.starts_with('~') &&
        line.value.find("CAP_SYS_ADMIN") == std::string::npos) {
      findings.push_back({.check = "starlingd.unit-capabilities",
                          .severity = Severity::kError,
                          .what = said,
                          .why = "without CAP_SYS_ADMIN starlingd cannot mount",
                          .cure = without});
    }
    if (line.key == "FileDescriptorStoreMax" && line.value == "0") {
      findings.push_back({.check = "starlingd.unit-descriptors",
                          .severity = Severity::kWarning,
                          .what = said,
                          .why = "when the keeper dies, nobody has the mounts any more, and reads "
                                 "of containers fail",
                          .cure = without});
    }
  }
  return findings;
}

Findings CheckStarlingdAnswers(const Host& host) {
  const Status answer = host.machine().AskStarlingd(host.starling_socket());
  if (answer.ok()) {
    return {};
  }
  bool has_unit = false;
  for (const char* directory :
       {"/usr/lib/systemd/system", "/lib/systemd/system", "/etc/systemd/system"}) {
    has_unit = has_unit || host.Exists(std::string(directory) + "/starling.service");
  }
  const bool has_systemd = host.Exists("/run/systemd/system") && has_unit;
  return {{.check = "starlingd.answers",
           .severity = Severity::kError,
           .what = fmt::format("starlingd does not answer on {}: {}", host.starling_socket(),
                               MessageOf(answer)),
           .why = "containerd cannot pull or start containers with it",
           .cure = {has_systemd ? Step::Run("systemctl enable --now starling")
                                : Step::Advise("start starlingd; its log says why if it ends")}}};
}

Findings CheckMountNamespace(const Host& host) {
  const StatusOr<bool> same =
      host.machine().ShareMounts(host.starling_socket(), host.containerd_socket());
  if (!same.ok() || *same) {
    return {};
  }
  return {{.check = "starlingd.mounts",
           .severity = Severity::kError,
           .what = "starlingd and containerd run in different mount namespaces",
           .why = "containerd does not see the layers that starlingd mounts, so that containers do "
                  "not start or are empty",
           .cure = {Step::Advise("run starlingd where containerd runs: no service with private "
                                 "mounts, and in a container with hostPID or bidirectional mount "
                                 "propagation only")}}};
}

Findings CheckImage(const Host& host) {
  const std::string& image = host.places().image;
  if (image.empty()) {
    return {};
  }
  const Status read = host.machine().ReadImage(image, host.settings());
  if (read.ok()) {
    return {};
  }
  const StatusOr<oci::Reference> reference = oci::Reference::Parse(image);
  const std::string registry = reference.ok() ? reference->domain() : image;
  const std::string message(MessageOf(read));
  Finding finding{.check = "registry.image",
                  .severity = Severity::kError,
                  .what = fmt::format("{} cannot be read: {}", image, message),
                  .why = "it cannot be pulled"};
  switch (read.code()) {
    case StatusCode::kUnauthenticated:
    case StatusCode::kPermissionDenied:
      finding.check = "registry.login";
      finding.why = "the registry refuses the credentials that starlingd finds, or wants some";
      finding.cure = {Step::Run("starling login " + ShellWord(registry)),
                      Step::Advise("or one of the other places of docs/registries.md; those of the "
                                   "environment count for starlingd itself only")};
      break;
    case StatusCode::kNotFound:
      finding.check = "registry.name";
      finding.why = "the registry answers, and has no such image";
      finding.cure = {
          Step::Run("starling tags " +
                    ShellWord(reference.ok() ? registry + "/" + reference->repository() : image))};
      break;
    case StatusCode::kInvalidArgument:
      finding.check = "registry.name";
      finding.why = "this is no name of an image";
      finding.cure = {Step::Advise("name it as HOST/REPOSITORY:TAG")};
      break;
    default: {
      finding.check = "registry.reached";
      finding.why =
          "the registry is not reached, so that nothing can be pulled, and reads of what "
          "is not here wait";
      // What TLS says of an answer that is none.
      const bool is_plain = message.find("wrong version number") != std::string::npos ||
                            message.find("packet length too long") != std::string::npos ||
                            message.find("record layer failure") != std::string::npos;
      if (is_plain) {
        finding.check = "registry.plain-http";
        finding.why = "it speaks HTTP without TLS, which is done only with hosts that are named";
        finding.cure = {host.Edit(host.places().starling_config,
                                  {.keys = {{{"registry"},
                                             "plain_http_hosts",
                                             std::vector<std::string>{registry},
                                             setup::WantedKey::Match::kIncludes}},
                                   .lists = {}}),
                        host.Restart("starling")};
      } else if (LowerCase(message).find("certificate") != std::string::npos) {
        const std::string directory = (host.settings().registry.config_path.empty()
                                           ? "/etc/containerd/certs.d"
                                           : host.settings().registry.config_path[0]) +
                                      "/" + registry;
        finding.check = "registry.authority";
        finding.why = "its certificate is not of an authority that is trusted";
        finding.cure = {
            host.Edit(directory + "/hosts.toml",
                      {.keys = {{{"host", "https://" + registry}, "ca", "ca.pem"}}, .lists = {}}),
            Step::Advise(fmt::format("put the authority's certificate at {}/ca.pem", directory))};
      } else {
        finding.cure = {
            Step::Advise("see whether the name is right, and the network and proxy "
                         "settings of this machine")};
      }
    }
  }
  return {finding};
}

}  // namespace starling::doctor
