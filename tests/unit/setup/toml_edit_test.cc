#include "setup/toml_edit.h"

#include <gtest/gtest.h>

#include "setup/wanted.h"

namespace starling::setup {
namespace {

const Plugin kPlugin{.name = "stargz", .socket = "/run/s.sock", .root = "", .maps_ids = false};

std::string After(std::string_view text, const Wanted& wanted) {
  const StatusOr<TomlPlan> plan = PlanToml(text, "c.toml", wanted, "# Starling");
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.ok() ? Edited(text, plan->AllEdits()) : "";
}

struct Case {
  const char* name;
  const char* text;
  Wanted wanted;
  const char* after;
};

TEST(PlanToml, PutsInWhatIsMissing) {
  const Wanted plugin = ProxyPlugin(kPlugin);
  Plugin mapping = kPlugin;
  mapping.maps_ids = true;
  const Case cases[] = {
      {"into nothing", "", plugin,
       "# Starling\n[proxy_plugins.stargz]\n  type = \"snapshot\"\n  address = \"/run/s.sock\"\n"},
      {"behind what is there", "version = 2 # two\n\n# the end", plugin,
       "version = 2 # two\n\n# the end\n\n# Starling\n[proxy_plugins.stargz]\n  type = "
       "\"snapshot\"\n  address = \"/run/s.sock\"\n"},
      {"below its header",
       "[proxy_plugins]\n  [proxy_plugins.stargz] # ours\n    type = \"snapshot\"\n[debug]\n",
       plugin,
       "[proxy_plugins]\n  [proxy_plugins.stargz] # ours\n    address = \"/run/s.sock\"\n    type "
       "= "
       "\"snapshot\"\n[debug]\n"},
      {"a table that only one below it names", "[proxy_plugins.stargz.exports]\nroot = \"/x\"\n",
       plugin,
       "[proxy_plugins.stargz.exports]\nroot = \"/x\"\n\n# Starling\n[proxy_plugins.stargz]\n  "
       "type = "
       "\"snapshot\"\n  address = \"/run/s.sock\"\n"},
      {"header with other quotes and spaces",
       "[ plugins . 'io.containerd.cri.v1.images' ]\nx = 1\n", ForCri(3, "stargz"),
       "[ plugins . 'io.containerd.cri.v1.images' ]\nsnapshotter = \"stargz\"\n"
       "disable_snapshot_annotations = false\nx = 1\n"},
      {"instead of another value, with its comment",
       "[plugins.\"io.containerd.cri.v1.images\"]\n  snapshotter = 'overlayfs'   # was\n  "
       "disable_snapshot_annotations = false\n",
       ForCri(3, "stargz"),
       "[plugins.\"io.containerd.cri.v1.images\"]\n  snapshotter = \"stargz\"   # was\n  "
       "disable_snapshot_annotations = false\n"},
      {"an item of a list",
       "[proxy_plugins.stargz]\ntype = \"snapshot\"\naddress = \"/run/s.sock\"\ncapabilities = "
       "[\n  \"rebase\", # one\n]\n",
       ProxyPlugin(mapping),
       "[proxy_plugins.stargz]\ntype = \"snapshot\"\naddress = \"/run/s.sock\"\ncapabilities = "
       "[\n  \"rebase\", \"remap-ids\", # one\n]\n"},
      {"an item of an empty list",
       "[proxy_plugins.stargz]\ntype = \"snapshot\"\naddress = \"/run/s.sock\"\ncapabilities = [ "
       "]\n",
       ProxyPlugin(mapping),
       "[proxy_plugins.stargz]\ntype = \"snapshot\"\naddress = \"/run/s.sock\"\ncapabilities = "
       "[\"remap-ids\"]\n"},
      {"tables of a list",
       "[[plugins.\"io.containerd.transfer.v1.local\".unpack_config]]\nplatform = "
       "\"linux/amd64\"\nsnapshotter = \"overlayfs\"\n",
       UnpackConfig(kPlugin),
       "[[plugins.\"io.containerd.transfer.v1.local\".unpack_config]]\nplatform = "
       "\"linux/amd64\"\nsnapshotter = \"overlayfs\"\n\n# Starling\n"
       "[[plugins.\"io.containerd.transfer.v1.local\".unpack_config]]\n  platform = \"linux\"\n  "
       "snapshotter = \"stargz\"\n"},
      {"tables of an inline list",
       "[plugins.\"io.containerd.transfer.v1.local\"]\nunpack_config = []\n", UnpackConfig(kPlugin),
       "[plugins.\"io.containerd.transfer.v1.local\"]\nunpack_config = [{ platform = \"linux\", "
       "snapshotter = \"stargz\" }, { platform = \"linux\", snapshotter = \"overlayfs\" }]\n"},
      {"tables of an inline list with some",
       "[plugins.\"io.containerd.transfer.v1.local\"]\nunpack_config = [{snapshotter = "
       "\"overlayfs\"}]\n",
       UnpackConfig(kPlugin),
       "[plugins.\"io.containerd.transfer.v1.local\"]\nunpack_config = [{snapshotter = "
       "\"overlayfs\"}, { platform = \"linux\", snapshotter = \"stargz\" }]\n"},
      {"a key of no table, above the tables", "# nerdctl\naddress = \"a\"\n[other]\nx = 1\n",
       ForNerdctl("stargz"),
       "# nerdctl\naddress = \"a\"\nsnapshotter = \"stargz\"\n[other]\nx = 1\n"},
      {"a key of no table, where there are only tables", "# first\n# second\n[other]\nx = 1\n",
       ForNerdctl("stargz"), "# first\n# second\nsnapshotter = \"stargz\"\n[other]\nx = 1\n"},
      {"behind text of several bytes a letter",
       "[proxy_plugins.stargz]\ntype = \"snapshot\"\n\"\xc3\xa4\" = 1\naddress = \"\xe2\x82\xac\" "
       "# \xc3\xa4\n",
       plugin,
       "[proxy_plugins.stargz]\ntype = \"snapshot\"\n\"\xc3\xa4\" = 1\naddress = \"/run/s.sock\" # "
       "\xc3\xa4\n"},
      {"carriage returns stay", "version = 2\r\n", ForNerdctl("stargz"),
       "version = 2\r\nsnapshotter = \"stargz\"\r\n"},
      {"a list without an item",
       "disabled_plugins = [\n  \"io.containerd.grpc.v1.cri\",\n  \"a.b\",\n] # end\n[x]\n",
       {.keys = {{{},
                  "disabled_plugins",
                  std::vector<std::string>{"io.containerd.grpc.v1.cri"},
                  WantedKey::Match::kExcludes}},
        .lists = {}},
       "disabled_plugins = [\"a.b\"] # end\n[x]\n"},
  };
  for (const Case& c : cases) {
    const std::string after = After(c.text, c.wanted);
    EXPECT_EQ(after, c.after) << c.name;
    // Once is enough.
    const StatusOr<TomlPlan> again = PlanToml(after, "c.toml", c.wanted, "");
    ASSERT_TRUE(again.ok()) << c.name << again.status();
    EXPECT_TRUE(again->empty()) << c.name;
  }
}

TEST(PlanToml, SaysWhereSomethingElseStands) {
  const StatusOr<TomlPlan> plan = PlanToml(
      "version = 2\n[proxy_plugins.stargz]\n  type = \"snapshot\"\n  address = \"/other\"\n",
      "c.toml", ProxyPlugin(kPlugin), "");
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_TRUE(plan->additions.empty());
  const std::vector<Conflict> wanted = {{.line = 4,
                                         .column = 13,
                                         .key = "proxy_plugins.stargz.address",
                                         .present = "\"/other\"",
                                         .wanted = "\"/run/s.sock\"",
                                         .replacement = {4, 1, {"  address = \"/run/s.sock\""}}}};
  EXPECT_EQ(plan->conflicts, wanted);
}

TEST(PlanToml, LeavesToAPersonWhatAProgramShouldNotChange) {
  const struct {
    const char* name;
    const char* text;
    const char* place;
  } cases[] = {
      {"an inline table", "proxy_plugins = { stargz = { type = \"snapshot\" } }\n", "c.toml:1:17"},
      {"no table at all", "proxy_plugins = 3\n", "c.toml:1:17"},
      {"dotted keys", "[proxy_plugins]\nstargz.type = \"snapshot\"\n", "c.toml"},
      {"a table where a value is wanted", "[proxy_plugins.stargz.address]\nx = 1\n", "c.toml:1:1"},
  };
  for (const auto& c : cases) {
    const StatusOr<TomlPlan> plan = PlanToml(c.text, "c.toml", ProxyPlugin(kPlugin), "");
    EXPECT_EQ(plan.status().code(), StatusCode::kFailedPrecondition) << c.name;
    EXPECT_TRUE(MessageOf(plan.status()).starts_with(c.place)) << c.name << plan.status();
  }
}

TEST(PlanToml, NamesThePlaceOfASyntaxError) {
  const StatusOr<TomlPlan> plan = PlanToml("a = 1\nb = \n", "c.toml", ProxyPlugin(kPlugin), "");
  EXPECT_EQ(plan.status().code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(MessageOf(plan.status()).starts_with("c.toml:2:")) << plan.status();
}

TEST(TomlLines, AreAFileOfTheirOwn) {
  Wanted wanted{.keys = {{{}, "version", int64_t{3}}}, .lists = {}};
  wanted.Add(Annotations(kPlugin));
  EXPECT_EQ(TomlLines(wanted),
            (std::vector<std::string>{"version = 3", "", "[proxy_plugins.stargz.exports]",
                                      "  enable_remote_snapshot_annotations = \"true\""}));
}

}  // namespace
}  // namespace starling::setup
