#include "config/stargz_import.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "config/settings.h"

namespace starling::config {
namespace {

ImportedSettings MustImport(std::string_view toml) {
  StatusOr<ImportedSettings> imported = ImportStargzConfig(toml, "s.toml");
  EXPECT_TRUE(imported.ok()) << imported.status();
  return imported.ok() ? *std::move(imported) : ImportedSettings();
}

Settings SettingsOf(const ImportedSettings& imported) {
  const auto parsed = ParseSettings(AsFile(imported, "s.toml"), "ours.toml");
  EXPECT_TRUE(parsed.ok()) << parsed.status() << imported.toml;
  if (!parsed.ok()) {
    return {};
  }
  EXPECT_TRUE(parsed->warnings.empty());
  return parsed->settings;
}

TEST(ImportStargzConfig, AnEmptyFileMeansTheDefaults) {
  const ImportedSettings imported = MustImport("");
  EXPECT_EQ(imported.toml, "");
  EXPECT_TRUE(imported.notes.empty());
  EXPECT_EQ(SettingsOf(imported), Settings());
}

TEST(ImportStargzConfig, TakesOverWhatMeansTheSame) {
  const ImportedSettings imported = MustImport(R"(
noprefetch = true
no_background_fetch = true
prefetch_size = 1048576
debug = true
disable_verification = false
[blob]
fetching_timeout_sec = 60
max_retries = 7
[resolver]
request_timeout_sec = 12
[cri_keychain]
enable_keychain = true
image_service_path = "/run/c.sock"
listen_path = "/run/images.sock"
[[resolver.host."registry.example:5000".mirrors]]
insecure = true
)");
  Settings wanted;
  wanted.log_level = log::Level::kDebug;
  wanted.fetch.prefetch = false;
  wanted.fetch.background = false;
  wanted.fetch.prefetch_size_bytes = 1048576;
  wanted.registry.read_deadline = std::chrono::seconds(60);
  wanted.registry.max_retries = 7;
  wanted.registry.request_timeout = std::chrono::seconds(12);
  wanted.registry.plain_http_hosts = {"registry.example:5000"};
  wanted.cri.image_socket = "/run/images.sock";
  wanted.cri.backend = "/run/c.sock";
  EXPECT_EQ(SettingsOf(imported), wanted);
  EXPECT_TRUE(imported.notes.empty()) << imported.notes.front();
}

TEST(ImportStargzConfig, NamesEachKeyWithoutACounterpartAndWhy) {
  const ImportedSettings imported = MustImport(R"(metrics_address = "127.0.0.1:8234"
http_cache_type = "memory"
allow_no_verification = true
unheard_of = 1
[fuse]
attr_timeout = 3600
surprise = 2
[directory_cache]
direct = false
[kubeconfig_keychain]
enable_keychain = true
[more]
of = "this"
)");
  Settings with_metrics;
  with_metrics.metrics.address = "127.0.0.1:8234";
  EXPECT_EQ(SettingsOf(imported), with_metrics);
  const std::vector<std::string> wanted = {"s.toml:1: metrics_address: ",
                                           "s.toml:2: http_cache_type: ",
                                           "s.toml:3: allow_no_verification: layers are always",
                                           "s.toml:4: unheard_of: is no key of",
                                           "s.toml:6: fuse.attr_timeout: layers never change",
                                           "s.toml:7: fuse.surprise: is no key of",
                                           "s.toml:9: directory_cache.direct: ",
                                           "s.toml:11: kubeconfig_keychain.enable_keychain: ",
                                           "s.toml:12: more: is no key of"};
  ASSERT_EQ(imported.notes.size(), wanted.size());
  for (const std::string& start : wanted) {
    EXPECT_TRUE(std::ranges::any_of(imported.notes, [&](const auto& note) {
      return note.starts_with(start);
    })) << start;
  }
}

TEST(ImportStargzConfig, MirrorsBelongIntoHostsFiles) {
  const ImportedSettings imported = MustImport(R"(
[[resolver.host."docker.io".mirrors]]
host = "mirror.example:5000"
insecure = true
request_timeout_sec = 3
header = { x = "y" }
)");
  EXPECT_EQ(SettingsOf(imported).registry.plain_http_hosts,
            std::vector<std::string>{"mirror.example:5000"});
  ASSERT_EQ(imported.notes.size(), 2U);
  EXPECT_NE(imported.notes[1].find("[host.\"http://mirror.example:5000\"]"), std::string::npos)
      << imported.notes[1];
}

TEST(ImportStargzConfig, TheImageServiceGetsASocketOfItsOwn) {
  const ImportedSettings on = MustImport("[cri_keychain]\nenable_keychain = true\n");
  EXPECT_EQ(SettingsOf(on).cri.image_socket, "/run/starling/cri.sock");
  ASSERT_EQ(on.notes.size(), 1U);
  EXPECT_NE(on.notes.front().find("--image-service-endpoint"), std::string::npos);
  EXPECT_EQ(SettingsOf(MustImport("[cri_keychain]\nlisten_path = \"/run/x.sock\"\n")), Settings());
}

TEST(ImportStargzConfig, ValuesThatCannotBeAreNotes) {
  for (const char* toml :
       {"prefetch_size = -1", "prefetch_size = \"1\"", "noprefetch = 1",
        "[blob]\nmax_retries = 1000000", "[blob]\nfetching_timeout_sec = -5",
        "[cri_keychain]\nlisten_path = \"relative\"", "[cri_keychain]\nlisten_path = 3",
        "[resolver]\nhost = 3", "[resolver.host.\"a\"]\nmirrors = 3",
        "[resolver.host.\"a\"]\nmirrors = [3]",
        "[[resolver.host.\"a\".mirrors]]\nhost = \"http://x/y\"\ninsecure = true",
        "[resolver]\nrequest_timeout_sec = 9223372036854775807", "blob = 3",
        "metrics_address = 3"}) {
    const ImportedSettings imported = MustImport(toml);
    EXPECT_EQ(imported.notes.size(), 1U) << toml;
    EXPECT_EQ(SettingsOf(imported), Settings()) << toml;
  }
}

TEST(ImportStargzConfig, NotesCannotLeaveTheirComment) {
  const ImportedSettings imported = MustImport(
      "\"a\\nroot = \\\"/x\\\"\" = 1\n[[resolver.host.\"r\\n\".mirrors]]\nhost = \"h\"\n");
  EXPECT_EQ(SettingsOf(imported), Settings());
  EXPECT_EQ(imported.notes.size(), 2U);
  const auto parsed = ParseSettings(AsFile(imported, "evil\nroot = \"/y\""), "f");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->settings, Settings());
}

TEST(ImportStargzConfig, NamesThePlaceOfASyntaxError) {
  const Status status = ImportStargzConfig("a = 1\nb =\n", "s.toml").status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(MessageOf(status).starts_with("s.toml:2:")) << status;
}

}  // namespace
}  // namespace starling::config
