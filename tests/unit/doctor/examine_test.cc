#include "doctor/examine.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "tests/support/planted_machine.h"
#include "tests/support/read_whole.h"

namespace starling::doctor {
namespace {

using testing_support::PlantedMachine;

constexpr const char* kSettings = "/etc/starling/config.toml";
constexpr const char* kContainerd = "/etc/containerd/config.toml";
constexpr const char* kNerdctl = "/etc/nerdctl/nerdctl.toml";
constexpr const char* kDropIn = "/etc/systemd/system/starling.service.d/10.conf";

struct Planted {
  const char* name;
  const char* check;  // the finding that comes first
  Severity severity;
  std::function<void(PlantedMachine&)> plant;
  /// What only a person can do, where the cure says so.
  std::function<void(PlantedMachine&)> by_hand = {};
};

void Set(PlantedMachine& machine, const std::string& text) { machine.Put(kSettings, text); }

Volume Disk(const char* type) {
  return {.type = type,
          .mount_point = "/srv",
          .total_bytes = uint64_t{100} << 30,
          .free_bytes = uint64_t{50} << 30,
          .total_inodes = 0,
          .free_inodes = 0};
}

const Planted kPlanted[] = {
    {"no FUSE", "kernel.fuse", Severity::kError, [](auto& m) { m.file_systems.erase("fuse"); }},
    {"no /dev/fuse", "kernel.fuse-device", Severity::kError,
     [](auto& m) { m.has_fuse_device = false; }},
    {"no overlayfs", "kernel.overlay", Severity::kError,
     [](auto& m) { m.file_systems.erase("overlay"); }},
    {"no EROFS", "kernel.erofs", Severity::kWarning,
     [](auto& m) { m.file_systems.erase("erofs"); }},
    {"EROFS is demanded of an old kernel", "kernel.data-plane", Severity::kError,
     [](auto& m) {
       m.kernel = "6.11.0";
       Set(m, "[mount]\n# fast\ndata_plane = \"erofs\" # please\n");
     }},
    {"the kernel ends requests early", "kernel.fuse-timeout", Severity::kError,
     [](auto& m) { m.Put("/proc/sys/fs/fuse/max_request_timeout", "60\n"); }},
    {"requests end by default", "kernel.fuse-timeout", Severity::kError,
     [](auto& m) { m.Put("/proc/sys/fs/fuse/default_request_timeout", "120\n"); }},
    {"reads wait for ever, requests do not", "kernel.fuse-timeout", Severity::kError,
     [](auto& m) {
       Set(m, "[registry]\nread_deadline_sec = 0\n");
       m.Put("/proc/sys/fs/fuse/max_request_timeout", "50000\n");
     }},

    {"the configuration is no TOML", "starlingd.config", Severity::kError,
     [](auto& m) { Set(m, "log_level = \"info\"\nroot = /var/lib/starling\n"); }},
    {"a key is misspelt", "starlingd.config", Severity::kError,
     [](auto& m) { Set(m, "[store]\nmax_sise_bytes = 5\n"); }},
    {"verification is turned off", "starlingd.config", Severity::kError,
     [](auto& m) { Set(m, "disable_verification = true\n"); }},
    {"a number is out of range", "starlingd.config", Severity::kError,
     [](auto& m) { Set(m, "[fuse]\nthreads = 100000\n"); }},
    {"the root has a colon", "starlingd.root", Severity::kError,
     [](auto& m) { Set(m, "root = \"/srv/a:b\"\n"); }},
    {"the root can be read by all", "starlingd.root-mode", Severity::kWarning,
     [](auto& m) { ::chmod(m.On("/var/lib/starling").c_str(), 0755); }},
    {"the root can be written by all", "starlingd.root-mode", Severity::kError,
     [](auto& m) { ::chmod(m.On("/var/lib/starling").c_str(), 0777); }},
    {"the socket's path is too long", "starlingd.address", Severity::kError,
     [](auto& m) { Set(m, "address = \"/run/" + std::string(110, 'x') + ".sock\"\n"); }},
    {"a drop-in separates mounts", "starlingd.unit-mounts", Severity::kError,
     [](auto& m) { m.Put(kDropIn, "[Service]\nNice=5\nPrivateTmp=yes\n"); }},
    {"a drop-in protects the system", "starlingd.unit-mounts", Severity::kError,
     [](auto& m) { m.Put(kDropIn, "[Service]\nProtectSystem = strict\n"); }},
    {"a drop-in takes CAP_SYS_ADMIN", "starlingd.unit-capabilities", Severity::kError,
     [](auto& m) { m.Put(kDropIn, "[Service]\nCapabilityBoundingSet=CAP_CHOWN\n"); }},
    {"a drop-in keeps no descriptors", "starlingd.unit-descriptors", Severity::kWarning,
     [](auto& m) { m.Put(kDropIn, "[Service]\nFileDescriptorStoreMax=0\n"); }},
    {"the socket can be written by all", "permissions", Severity::kError,
     [](auto& m) { ::chmod(m.On("/run/starling/starling.sock").c_str(), 0666); }},
    {"the socket's directory can be written by all", "permissions", Severity::kError,
     [](auto& m) { ::chmod(m.On("/run/starling").c_str(), 0777); }},
    {"the configuration can be written by a group", "permissions", Severity::kError,
     [](auto& m) { ::chmod(m.On(kSettings).c_str(), 0664); }},
    {"the configuration belongs to somebody", "permissions", Severity::kError,
     [](auto& m) { EXPECT_EQ(::chown(m.On(kSettings).c_str(), 1000, 0), 0); }},
    {"containerd's configuration can be written by all", "permissions", Severity::kError,
     [](auto& m) { ::chmod(m.On(kContainerd).c_str(), 0666); }},
    {"a pull secret is not there", "credentials.pull-secret", Severity::kWarning,
     [](auto& m) { Set(m, "[credentials]\npull_secrets = [\"/etc/gone.json\"]\n"); }},
    {"a pull secret can be read by all", "credentials.readable", Severity::kWarning,
     [](auto& m) {
       Set(m, "[credentials]\npull_secrets = [\"/etc/secrets\"]\n");
       m.Put("/etc/secrets/one.json", "{}", 0644);
     }},
    {"docker's configuration can be read by all", "credentials.readable", Severity::kWarning,
     [](auto& m) { ::chmod(m.On("/root/.docker/config.json").c_str(), 0644); }},
    {"there are no provider plugins", "credentials.provider", Severity::kWarning,
     [](auto& m) {
       Set(m,
           "[credentials]\nimage_credential_provider_config = \"/etc/p.yaml\"\n"
           "image_credential_provider_bin_dir = \"/opt/gone\"\n");
       m.Put("/etc/p.yaml", "");
     }},
    {"a hosts.toml is wrong", "registry.hosts-file", Severity::kError,
     [](auto& m) {
       m.Change("/etc/containerd/certs.d/docker.io/hosts.toml", "[\"pull\"]", "[\"pul\"]");
     }},

    {"the disk is read-only", "disk.read-only", Severity::kError,
     [](auto& m) {
       m.volumes["/var/lib/starling"] = Disk("ext4");
       m.volumes["/var/lib/starling"].is_read_only = true;
     }},
    {"the disk cannot hold overlays", "disk.overlay", Severity::kError,
     [](auto& m) {
       Set(m, "root = \"/srv/nfs\"\n");
       m.volumes["/srv/nfs"] = Disk("nfs");
       m.no_overlay_at.insert("/srv/nfs");
     }},
    {"the root is in memory", "disk.memory", Severity::kWarning,
     [](auto& m) {
       Set(m, "root = \"/dev/shm/starling\"\n");
       m.volumes["/dev/shm/starling"] = Disk("tmpfs");
     }},
    {"the disk is full", "disk.space", Severity::kWarning,
     [](auto& m) {
       m.volumes["/var/lib/starling"] = Disk("ext4");
       m.volumes["/var/lib/starling"].free_bytes = 1 << 20;
     }},
    {"the cap is larger than the disk", "disk.cap", Severity::kWarning,
     [](auto& m) { Set(m, "[store]\nmax_size_bytes = 1000000000000\n"); }},
    {"there are no inodes left", "disk.inodes", Severity::kWarning,
     [](auto& m) {
       m.volumes["/var/lib/starling"] = Disk("ext4");
       m.volumes["/var/lib/starling"].total_inodes = 1000;
     },
     [](auto& m) { m.volumes.clear(); }},

    {"starlingd does not run", "starlingd.answers", Severity::kError, {}},
    {"starlingd has its own mounts", "starlingd.mounts", Severity::kError,
     [](auto& m) { m.shares_mounts = false; }, [](auto& m) { m.shares_mounts = true; }},

    {"containerd's configuration is no TOML", "containerd.file", Severity::kError,
     [](auto& m) { m.Change(kContainerd, "# as installed", "as installed"); }},
    {"an import is no TOML", "containerd.file", Severity::kError,
     [](auto& m) {
       m.Change(kContainerd, "version = 3", "version = 3\nimports = [\"conf.d/*.toml\"]");
       m.Put("/etc/containerd/conf.d/a.toml", "[debug]\nlevel = info\n");
     }},
    {"containerd's configuration says no version", "containerd.file-version", Severity::kWarning,
     [](auto& m) { m.Put(kContainerd, "[proxy_plugins.stargz]\ntype = \"snapshot\"\n"); }},
    {"containerd does not run", "containerd.answers", Severity::kError, {}},
    {"containerd is too old", "containerd.version", Severity::kError,
     [](auto& m) { m.containerd_program = "1.4.13"; },
     [](auto& m) {
       m.containerd_program = "2.3.4";
       m.Start();
     }},
    {"there is no plugin", "containerd.plugin", Severity::kError,
     [](auto& m) { m.Change(kContainerd, "[proxy_plugins.stargz]", "[proxy_plugins.other]"); }},
    {"there is no configuration of containerd", "containerd.plugin", Severity::kError,
     [](auto& m) { std::filesystem::remove(m.On(kContainerd)); }},
    {"the plugin has another socket", "containerd.plugin", Severity::kError,
     [](auto& m) {
       m.Change(kContainerd, "\"/run/starling/starling.sock\"",
                "\"/run/containerd-stargz-grpc/containerd-stargz-grpc.sock\" # old");
     }},
    {"the plugin has no type", "containerd.plugin", Severity::kError,
     [](auto& m) { m.Change(kContainerd, "type = \"snapshot\"", ""); }},
    {"the plugin has another type", "containerd.plugin", Severity::kError,
     [](auto& m) { m.Change(kContainerd, "type = \"snapshot\"", "type = \"content\""); }},
    {"an import replaces the plugin", "containerd.plugin", Severity::kError,
     [](auto& m) {
       m.Change(kContainerd, "version = 3",
                "version = 3\nimports = [\"/etc/containerd/more.toml\"]");
       m.Put("/etc/containerd/more.toml",
             "[proxy_plugins.stargz]\ntype = \"snapshot\"\naddress = \"/run/old.sock\"\n");
     }},
    {"there are no annotations", "containerd.annotations", Severity::kError,
     [](auto& m) { m.Change(kContainerd, "enable_remote_snapshot_annotations", "other"); }},
    {"annotations are off", "containerd.annotations", Severity::kError,
     [](auto& m) { m.Change(kContainerd, "= \"true\"", "= \"false\""); }},
    {"nothing is unpacked", "containerd.unpack-config", Severity::kError,
     [](auto& m) {
       std::string text = m.Get(kContainerd);
       m.Put(kContainerd, text.substr(0, text.find("[[plugins")));
     }},
    {"unpacking forgets overlayfs", "containerd.unpack-config", Severity::kError,
     [](auto& m) {
       m.Change(kContainerd, "snapshotter = \"overlayfs\"", "snapshotter = \"native\"");
     }},
    {"the transfer service is disabled", "containerd.disabled", Severity::kError,
     [](auto& m) {
       m.Change(kContainerd, "version = 3",
                "version = 3\ndisabled_plugins = [\"io.containerd.transfer.v1.local\", \"x.y\"]");
     }},
    {"the CRI is disabled", "containerd.disabled", Severity::kError,
     [](auto& m) {
       m.Change(kContainerd, "version = 3", "version = 3\ndisabled_plugins = [\"cri\"]");
     }},
    {"IDs are mapped on an old kernel", "containerd.remap-ids", Severity::kWarning,
     [](auto& m) {
       m.kernel = "6.11.4";
       m.Change(kContainerd, "type = \"snapshot\"",
                "type = \"snapshot\"\n    capabilities = [\"remap-ids\"]");
     }},
    {"IDs are mapped on a file system that cannot", "containerd.remap-ids", Severity::kWarning,
     [](auto& m) {
       m.no_mapped_ids_at.insert("/var/lib/starling");
       m.Change(kContainerd, "type = \"snapshot\"",
                "type = \"snapshot\"\n    capabilities = [\"remap-ids\", \"rebase\"] # both");
     }},
    {"containerd was not restarted", "containerd.loaded", Severity::kError, {}},

    {"pods use another snapshotter", "cri.snapshotter", Severity::kError,
     [](auto& m) {
       m.Change(kContainerd, "snapshotter = \"stargz\"   ", "snapshotter = \"overlayfs\"");
     }},
    {"pods use the default snapshotter", "cri.snapshotter", Severity::kError,
     [](auto& m) { m.Change(kContainerd, "  snapshotter = \"stargz\"   ", "#"); }},
    {"pods have no annotations", "cri.annotations", Severity::kError,
     [](auto& m) {
       m.Change(kContainerd, "disable_snapshot_annotations = false",
                "disable_snapshot_annotations = true");
     }},
    {"pods of containerd 1.7", "cri.snapshotter", Severity::kError,
     [](auto& m) {
       m.containerd_program = "1.7.27";
       m.Put(kContainerd,
             "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd]\n  "
             "default_runtime_name = \"runc\"\n[proxy_plugins.stargz]\n  type = \"snapshot\"\n  "
             "address = \"/run/starling/starling.sock\"\n");
     }},
    {"pods of containerd 1.6 with annotations off", "cri.annotations", Severity::kError,
     [](auto& m) {
       m.containerd_program = "1.6.20~ds1";
       m.Put(kContainerd,
             "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd]\n  snapshotter = "
             "\"stargz\"\n  disable_snapshot_annotations = true\n[proxy_plugins.stargz]\n  type = "
             "\"snapshot\"\n  address = \"/run/starling/starling.sock\"\n");
     }},
    {"pods have other mirrors", "cri.mirrors", Severity::kWarning,
     [](auto& m) {
       m.Change(kContainerd, "\"/etc/containerd/certs.d\"", "\"/srv/certs.d:/etc/docker/certs.d\"");
       m.Change(kNerdctl, "[\"/etc/containerd/certs.d\"]",
                "[\"/srv/certs.d\", \"/etc/docker/certs.d\"]");
     }},
    {"kubelet's calls go elsewhere", "cri.backend", Severity::kError,
     [](auto& m) {
       Set(m, "[cri]\nimage_socket = \"/run/starling/cri.sock\"\nbackend = \"/run/old.sock\"\n");
     }},

    {"nerdctl uses overlayfs", "nerdctl.snapshotter", Severity::kWarning,
     [](auto& m) { m.Put(kNerdctl, "# mine\n[other]\nx = 1\n"); }},
    {"nerdctl uses another snapshotter", "nerdctl.snapshotter", Severity::kWarning,
     [](auto& m) { m.Change(kNerdctl, "\"stargz\"", "\"native\""); }},
    {"nerdctl's configuration is no TOML", "nerdctl.file", Severity::kError,
     [](auto& m) { m.Put(kNerdctl, "snapshotter = \"stargz\"\ndebug = yes\n"); }},
    {"nerdctl calls another containerd", "nerdctl.address", Severity::kError,
     [](auto& m) {
       m.Put(kNerdctl,
             "snapshotter = \"stargz\"\naddress = \"unix:///run/docker/containerd.sock\"\n");
     }},
    {"nerdctl has other mirrors", "nerdctl.mirrors", Severity::kWarning,
     [](auto& m) {
       m.Change(kNerdctl, "/etc/containerd/certs.d", "/srv/certs.d");
       m.Change(kContainerd, "/etc/containerd/certs.d", "/srv/certs.d");
       m.Change(kContainerd, "config_path", "# config_path");
     }},

    {"k3s is not told", "k3s.template", Severity::kError,
     [](auto& m) { std::filesystem::create_directories(m.On("/etc/rancher/k3s")); }},
    {"k3s uses another snapshotter", "k3s.snapshotter", Severity::kError,
     [](auto& m) {
       m.Put("/etc/rancher/k3s/config.yaml", "snapshotter: native\n");
       m.Put("/var/lib/rancher/k3s/agent/etc/containerd/config-v3.toml.tmpl",
             R"({{ template "base" . }}
[proxy_plugins.starling]
  type = "snapshot"
  address = "/run/starling/starling.sock"
  [proxy_plugins.starling.exports]
    enable_remote_snapshot_annotations = "true"
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  platform = "linux"
  snapshotter = "starling"
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  platform = "linux"
  snapshotter = "overlayfs"
)");
     }},

    {"a registry wants a login", "registry.login", Severity::kError,
     [](auto& m) {
       m.places.image = "registry.example:5000/a/b:1";
       m.wants_login = true;
     }},
    {"a registry speaks no TLS", "registry.plain-http", Severity::kError,
     [](auto& m) {
       m.places.image = "registry.example:5000/a/b:1";
       m.is_plain_http = true;
     }},
    {"a registry's authority is not known", "registry.authority", Severity::kError,
     [](auto& m) {
       m.places.image = "registry.example/a/b:1";
       m.image_answer = MakeError(StatusCode::kUnavailable, "SSL certificate problem");
     },
     [](auto& m) {
       m.Put("/etc/containerd/certs.d/registry.example/ca.pem", "certificate");
       m.image_answer = OkStatus();
     }},
    {"a registry is away", "registry.reached", Severity::kError,
     [](auto& m) {
       m.places.image = "registry.example/a/b:1";
       m.image_answer = MakeError(StatusCode::kUnavailable, "Connection refused");
     },
     [](auto& m) { m.image_answer = OkStatus(); }},
};

/// Those that have to be planted while services run.
void PlantLate(const Planted& planted, PlantedMachine& machine) {
  if (std::string_view(planted.check) == "starlingd.answers") {
    machine.StopStarlingd();
  } else if (std::string_view(planted.check) == "containerd.answers") {
    machine.StopContainerd();
  } else {
    const std::string text = machine.Get(kContainerd);
    machine.Put(kContainerd, "version = 3\n");
    machine.Start();
    machine.Put(kContainerd, text);
  }
}

Findings WithoutNotes(Findings findings) {
  std::erase_if(findings, [](const Finding& found) { return found.severity == Severity::kNote; });
  return findings;
}

class ExamineTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) {
      GTEST_SKIP() << "needs root: owners of files are examined";
    }
  }
};

TEST_F(ExamineTest, NothingIsFoundWhereNothingIsWrong) {
  PlantedMachine machine;
  const Findings findings = machine.Examine();
  EXPECT_EQ(AsText(findings, /*with_notes=*/true),
            std::to_string(Checks().size()) + " checks, nothing found\n");
  EXPECT_EQ(ExitCodeOf(findings), 0);
}

TEST_F(ExamineTest, WhatIsPlantedIsFoundAndCuredByWhatIsPrinted) {
  std::set<std::string> names;
  for (const Planted& planted : kPlanted) {
    SCOPED_TRACE(planted.name);
    names.insert(planted.name);
    PlantedMachine machine;
    machine.by_hand = planted.by_hand;
    if (planted.plant) {
      planted.plant(machine);
      machine.Start();
    } else {
      PlantLate(planted, machine);
    }
    Findings findings = WithoutNotes(machine.Examine());
    ASSERT_FALSE(findings.empty());
    EXPECT_EQ(findings.front().check, planted.check) << AsText(findings, true);
    EXPECT_EQ(findings.front().severity, planted.severity) << AsText(findings, true);
    for (int round = 0; round < 8 && !findings.empty(); ++round) {
      const std::string text = AsText({findings.front()}, /*with_notes=*/true);
      ASSERT_FALSE(findings.front().cure.empty()) << text;
      for (const Step& step : findings.front().cure) {
        // What is taken is what was printed.
        EXPECT_NE(text.find(step.command), std::string::npos) << text;
        for (const setup::LineEdit& edit : step.edits) {
          for (const std::string& line : edit.added) {
            EXPECT_NE(text.find(line.empty() ? "\n\n" : "      " + line + "\n"), std::string::npos)
                << text;
          }
        }
        machine.Take(step);
      }
      findings = WithoutNotes(machine.Examine());
    }
    EXPECT_TRUE(findings.empty()) << AsText(findings, true) << machine.Get(kContainerd)
                                  << machine.Get(kSettings);
  }
  EXPECT_GE(names.size(), 25U);
}

TEST_F(ExamineTest, WhatTheReadmeSaysIsEnough) {
  const std::string readme = testing_support::ReadWhole(STARLING_SOURCE_DIR "/README.md");
  const std::string fence = "```toml\n";
  const size_t begin = readme.find(fence + "[proxy_plugins.stargz]");
  ASSERT_NE(begin, std::string::npos);
  const size_t end = readme.find("```", begin + fence.size());
  PlantedMachine machine;
  machine.places.clients = std::set{Client::kContainerd};
  machine.Put(kContainerd,
              "version = 3\n" + readme.substr(begin + fence.size(), end - begin - fence.size()));
  machine.Start();
  const Findings findings = machine.Examine();
  EXPECT_TRUE(findings.empty()) << AsText(findings, true);
}

TEST_F(ExamineTest, WhatIsLeftOutOfClientsIsNotExamined) {
  PlantedMachine machine;
  machine.Put(kNerdctl, "");
  machine.Change(kContainerd, "disable_snapshot_annotations = false",
                 "disable_snapshot_annotations = true");
  EXPECT_EQ(machine.Examine().size(), 2U);
  machine.places.clients = std::set{Client::kContainerd};
  EXPECT_TRUE(machine.Examine().empty());
}

TEST_F(ExamineTest, CommentsAndOtherLinesOutliveACure) {
  PlantedMachine machine;
  const std::string healthy = machine.Get(kContainerd);
  machine.Change(kContainerd, "snapshotter = \"stargz\"    ", "snapshotter = 'overlayfs'");
  machine.Start();
  const Findings findings = machine.Examine();
  ASSERT_EQ(findings.size(), 1U);
  machine.Take(findings.front().cure.front());
  std::string cured = machine.Get(kContainerd);
  cured.erase(std::remove(cured.begin(), cured.end(), ' '), cured.end());
  std::string wanted = healthy;
  wanted.erase(std::remove(wanted.begin(), wanted.end(), ' '), wanted.end());
  EXPECT_EQ(cured, wanted);
}

TEST_F(ExamineTest, JsonSaysTheSame) {
  PlantedMachine machine;
  machine.has_fuse_device = false;
  machine.Change(kContainerd, "type = \"snapshot\"", "type = \"content\"");
  machine.places.image = "registry.example/a:1";
  machine.image_answer = MakeError(StatusCode::kUnavailable, "\x1b[31m");
  const Findings findings = machine.Examine();
  const nlohmann::json json = nlohmann::json::parse(AsJson(findings));
  EXPECT_EQ(json["checks"], Checks().size());
  ASSERT_EQ(json["findings"].size(), findings.size());
  EXPECT_EQ(json["findings"][0]["check"], "kernel.fuse-device");
  EXPECT_EQ(json["findings"][0]["severity"], "error");
  EXPECT_EQ(json["findings"][0]["cure"][0]["run"], "mknod -m 0666 /dev/fuse c 10 229");
  const nlohmann::json& plugin = json["findings"][1];
  ASSERT_EQ(plugin["check"], "containerd.plugin");
  EXPECT_EQ(plugin["cure"][0]["file"], kContainerd);
  EXPECT_EQ(plugin["cure"][0]["edits"][0]["remove"], 1);
  EXPECT_EQ(plugin["cure"][0]["edits"][0]["add"][0], "    type = \"snapshot\"");
  // Nobody's terminal is told what to do.
  EXPECT_EQ(AsText(findings, true).find('\x1b'), std::string::npos);
}

TEST(Report, TheExitCodeIsThatOfTheWorst) {
  const Finding note{.severity = Severity::kNote};
  const Finding warning{.severity = Severity::kWarning};
  const Finding error{.severity = Severity::kError};
  EXPECT_EQ(ExitCodeOf({}), 0);
  EXPECT_EQ(ExitCodeOf({note}), 0);
  EXPECT_EQ(ExitCodeOf({warning, note}), 3);
  EXPECT_EQ(ExitCodeOf({error, warning}), 4);
}

TEST(Report, NotesAreCountedUnlessTheyAreShown) {
  const Findings findings = {
      {.check = "a.b", .severity = Severity::kNote, .what = "w", .why = "y"}};
  EXPECT_NE(AsText(findings, false).find("nothing found (1 with --notes)"), std::string::npos);
  EXPECT_NE(AsText(findings, true).find("note a.b: w\n  why: y\n"), std::string::npos);
}

}  // namespace
}  // namespace starling::doctor
