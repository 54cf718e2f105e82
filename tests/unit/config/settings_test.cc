#include "config/settings.h"

#include <gtest/gtest.h>

#include <string>

#include "base/file_system.h"
#include "base/temp_dir.h"

namespace starling::config {
namespace {

ParsedSettings MustParse(std::string_view toml) {
  StatusOr<ParsedSettings> parsed = ParseSettings(toml, "c.toml");
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.ok() ? *std::move(parsed) : ParsedSettings();
}

TEST(ParseSettings, AnEmptyFileMeansTheDefaults) {
  const ParsedSettings parsed = MustParse("");
  EXPECT_EQ(parsed.settings, Settings());
  EXPECT_TRUE(parsed.warnings.empty());
}

TEST(ParseSettings, TheDefaultFileShowsTheDefaults) {
  const auto text = ReadFile(RealFileSystem(), STARLING_SOURCE_DIR "/config/default.toml", 1 << 20);
  ASSERT_TRUE(text.ok()) << text.status();
  const ParsedSettings parsed = MustParse(AsText(*text));
  EXPECT_EQ(parsed.settings, Settings());
  EXPECT_TRUE(parsed.warnings.empty());
  for (const char* key : {"\nroot = ",
                          "\naddress = ",
                          "\nlog_level = ",
                          "\nlimit_system_calls = ",
                          "\nplain_http_hosts = ",
                          "\nrequest_timeout_sec = ",
                          "\nblob_timeout_sec = ",
                          "\nmax_retries = ",
                          "\nread_deadline_sec = ",
                          "\nconfig_path = ",
                          "\ndecode_threads = ",
                          "\nmax_size_bytes = ",
                          "\nthreads = ",
                          "\ndata_plane = ",
                          "\nplain_layers = ",
                          "\nkeep_gzip_indexes = ",
                          "\ngzip_indexes_from = ",
                          "\npolicy = ",
                          "\nprefetch = ",
                          "\nprefetch_size_bytes = ",
                          "\nbackground = ",
                          "\nrecord_profiles = ",
                          "\nmax_bytes_per_second = ",
                          "\nmax_bytes_per_second_per_image = ",
                          "\nbackground_max_bytes_per_second = "}) {
    EXPECT_NE(AsText(*text).find(key), std::string_view::npos) << key;
  }
}

TEST(ParseSettings, ReadsEveryKey) {
  const ParsedSettings parsed = MustParse(R"(
    root = "/r"
    address = "/a.sock"
    log_level = "debug"
    limit_system_calls = false
    [registry]
    plain_http_hosts = ["one", "two:5000"]
    request_timeout_sec = 7
    blob_timeout_sec = 8
    max_retries = 0
    read_deadline_sec = 0
    config_path = "/c:/d/e"
    [registry.hosts."one"]
    read_deadline_sec = 9
    [registry.hosts."two:5000"]
    read_deadline_sec = 0
    [registry.hosts."three"]
    local = true
    [store]
    decode_threads = 3
    max_size_bytes = 10
    [fuse]
    threads = 4
    [mount]
    data_plane = "tree"
    [fetch]
    plain_layers = "containerd"
    keep_gzip_indexes = false
    gzip_indexes_from = ["three", "*"]
    policy = "eager"
    prefetch = false
    prefetch_size_bytes = 5
    background = false
    record_profiles = false
    max_bytes_per_second = 6
    max_bytes_per_second_per_image = 8
    background_max_bytes_per_second = 9
    [credentials]
    pull_secrets = ["/s", "/t/u.yaml"]
    image_credential_provider_config = "/k.yaml"
    image_credential_provider_bin_dir = "/k"
    [cri]
    image_socket = "/i.sock"
    backend = "/b.sock"
    credentials_max_age_sec = 11
    [metrics]
    address = "unix:/m.sock"
    [page]
    address = "127.0.0.1:9101"
  )");
  Settings want;
  want.root = "/r";
  want.address = "/a.sock";
  want.log_level = log::Level::kDebug;
  want.limit_system_calls = false;
  want.registry.plain_http_hosts = {"one", "two:5000"};
  want.registry.request_timeout = std::chrono::seconds(7);
  want.registry.blob_timeout = std::chrono::seconds(8);
  want.registry.max_retries = 0;
  want.registry.read_deadline = std::nullopt;
  want.registry.config_path = {"/c", "/d/e"};
  want.registry.hosts = {{"one", {.read_deadline = std::chrono::seconds(9)}},
                         {"two:5000", {.read_deadline = Settings::Registry::Deadline()}},
                         {"three", {.local = true}}};
  want.store.decode_threads = 3;
  want.store.max_size_bytes = 10;
  want.fetch = {.plain_layers = PlainLayers::kContainerd,
                .keep_gzip_indexes = false,
                .gzip_indexes_from = {"three", "*"},
                .policy = FetchPreference::kEager,
                .prefetch = false,
                .prefetch_size_bytes = 5,
                .background = false,
                .record_profiles = false,
                .max_bytes_per_second = 6,
                .max_bytes_per_second_per_image = 8,
                .background_max_bytes_per_second = 9};
  want.fuse.threads = 4;
  want.mount.data_plane = DataPlane::kTree;
  want.credentials = {.pull_secrets = {"/s", "/t/u.yaml"},
                      .image_credential_provider_config = "/k.yaml",
                      .image_credential_provider_bin_dir = "/k"};
  want.cri = {.image_socket = "/i.sock",
              .backend = "/b.sock",
              .credentials_max_age = std::chrono::seconds(11)};
  want.metrics.address = "unix:/m.sock";
  want.page.address = "127.0.0.1:9101";
  EXPECT_EQ(parsed.settings, want);
  EXPECT_TRUE(parsed.warnings.empty());
}

TEST(ReadSettings, ReadsTheFileThatIsNamed) {
  const StatusOr<TempDir> directory = TempDir::Make("/tmp", "starling-settings-");
  ASSERT_TRUE(directory.ok()) << directory.status();
  const std::string file = directory->path() / "c.toml";
  const Status missing = ReadSettings(RealFileSystem(), file).status();
  EXPECT_EQ(missing.code(), StatusCode::kNotFound);
  EXPECT_NE(Describe(missing).find(file), std::string::npos) << Describe(missing);
  ASSERT_TRUE(WriteFileAtomically(RealFileSystem(), file, AsBytes("root = \"/r\"\n"), 0600).ok());
  const StatusOr<ParsedSettings> parsed = ReadSettings(RealFileSystem(), file);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->settings.root, "/r");
  ASSERT_TRUE(WriteFileAtomically(RealFileSystem(), file, AsBytes("rot = 1\n"), 0600).ok());
  const Status wrong = ReadSettings(RealFileSystem(), file).status();
  EXPECT_NE(Describe(wrong).find(file + ":1:1: "), std::string::npos) << Describe(wrong);
}

TEST(ParseSettings, TakesAConfigurationOfStargz) {
  const ParsedSettings parsed = MustParse(R"(no_prometheus = false
metrics_address = "127.0.0.1:8234"
noprefetch = true
disable_verification = false
[blob]
chunk_size = 50000
fetching_timeout_sec = 60
max_retries = 9
[resolver]
request_timeout_sec = 11
[[resolver.host."registry.local:5000".mirrors]]
host = "registry.local:5000"
insecure = true
[[resolver.host."docker.io".mirrors]]
host = "mirror.gcr.io"
[directory_cache]
direct = true
[fuse_manager]
enable = true
)");
  EXPECT_EQ(parsed.settings.registry.read_deadline, std::chrono::seconds(60));
  EXPECT_EQ(parsed.settings.registry.request_timeout, std::chrono::seconds(11));
  EXPECT_EQ(parsed.settings.registry.max_retries, 9U);
  EXPECT_EQ(parsed.settings.registry.plain_http_hosts,
            std::vector<std::string>{"registry.local:5000"});
  std::string warnings;
  for (const std::string& warning : parsed.warnings) {
    warnings += warning + "\n";
  }
  EXPECT_FALSE(parsed.settings.fetch.prefetch);
  EXPECT_TRUE(parsed.settings.fetch.background);
  EXPECT_EQ(parsed.warnings.size(), 5U) << warnings;
  EXPECT_EQ(parsed.settings.metrics.address, "127.0.0.1:8234");
  EXPECT_NE(warnings.find("c.toml:1:17: no_prometheus is a setting of containerd-stargz-grpc"),
            std::string::npos)
      << warnings;
  EXPECT_NE(warnings.find("mirror mirror.gcr.io of docker.io is not used"), std::string::npos);
}

TEST(ParseSettings, SaysWhereAndWhat) {
  const struct {
    std::string_view toml;
    std::string_view message;
  } cases[] = {
      {"rot = \"/r\"", "c.toml:1:1: unknown setting \"rot\": did you mean \"root\"?"},
      {"\n  adress = \"/a\"", "c.toml:2:3: unknown setting \"adress\": did you mean \"address\"?"},
      {"[registy]\nmax_retries = 1",
       "c.toml:1:2: unknown setting \"registy\": did you mean \"registry\"?"},
      {"[registry]\nmax_retry = 1", "c.toml:2:1: unknown setting \"registry.max_retry\""},
      {"[registry]\nread_deadline_sec = -1",
       "c.toml:2:21: registry.read_deadline_sec must be between 0 and 604800, not -1"},
      {"[registry]\nhosts = 1", "c.toml:2:9: registry.hosts must be a table, not a whole number"},
      {"[registry.hosts.\"a/b\"]", "c.toml:1:1: \"a/b\" is not a host or host:port"},
      {"[registry.hosts]\na = 1",
       "c.toml:2:5: registry.hosts.\"a\" must be a table, not a whole number"},
      {"[registry.hosts.a]\nread_dead = 1",
       "c.toml:2:1: unknown setting \"registry.hosts.\"a\".read_dead\": read_deadline_sec"},
      {"entirely_else = 1", "c.toml:1:1: unknown setting \"entirely_else\""},
      {"root = 5", "c.toml:1:8: root must be a text, not a whole number"},
      {"root = \"relative\"", "c.toml:1:8: root must be an absolute path, not \"relative\""},
      {"log_level = \"loud\"", "c.toml:1:13: unknown log level \"loud\""},
      {"[mount]\ndata_plane = \"fast\"",
       "c.toml:2:14: mount.data_plane must be auto, tree or erofs, not \"fast\""},
      {"fuse = 3", "c.toml:1:8: fuse must be a table, not a whole number"},
      {"[fuse]\nthreads = 0", "c.toml:2:11: fuse.threads must be between 1 and 256, not 0"},
      {"[fuse]\nthreads = 1.5",
       "c.toml:2:11: fuse.threads must be a whole number, not a number with a fraction"},
      {"[registry]\nplain_http_hosts = \"x\"",
       "c.toml:2:20: registry.plain_http_hosts must be a list of texts, not a text"},
      {"[registry]\nplain_http_hosts = [\"a\", 1]",
       "c.toml:2:26: registry.plain_http_hosts must be a text, not a whole number"},
      {"[registry]\nplain_http_hosts = [\"http://x\"]",
       "c.toml:2:21: \"http://x\" is not a host or host:port"},
      {"disable_verification = true",
       "c.toml:1:24: disable_verification = true: layers are always verified"},
      {"allow_no_verification = true",
       "c.toml:1:25: allow_no_verification = true: layers are always verified"},
      {"[[resolver.host.\"x\".mirrors]]\nhosst = \"y\"",
       "c.toml:2:1: unknown setting \"hosst\" of a mirror"},
      {"[resolver.host.\"x\"]\nmirror = []", "c.toml:2:1: unknown setting"},
      {"[resolver]\nhost = 5", "c.toml:2:8: resolver.host must be a table"},
      {"[cri]\nimage_socket = \"i\"",
       "c.toml:2:16: cri.image_socket must be an absolute path, not \"i\""},
      {"[credentials]\npull_secrets = [\"s\"]",
       "c.toml:2:17: credentials.pull_secrets must be an absolute path, not \"s\""},
      {"[credentials]\nimage_credential_provider_config = \"/a\"",
       "c.toml: [credentials] image_credential_provider_config and "
       "image_credential_provider_bin_dir go together"},
      {"[metrics]\naddress = \"9100\"",
       "c.toml:2:11: metrics.address: \"9100\" must be unix:/PATH or ADDRESS:PORT"},
      {"[page]\naddress = \"9100\"", "c.toml:2:11: page.address: \"9100\" must be unix:/PATH"},
      {"[page]\naddress = \"0.0.0.0:80\"",
       "c.toml:2:11: page.address: \"0.0.0.0:80\" is open to other machines"},
      {"[cri]\nbackend = \"\"", "c.toml:2:11: cri.backend must be an absolute path, not \"\""},
      {"root = ", "c.toml:1:"},
      {"root = \"/a\"\nroot = \"/b\"", "c.toml:2:"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.toml);
    const Status status = ParseSettings(c.toml, "c.toml").status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(MessageOf(status).substr(0, c.message.size()), c.message) << status;
  }
}

}  // namespace
}  // namespace starling::config
