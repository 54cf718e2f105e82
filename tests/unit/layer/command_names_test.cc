#include "layer/command_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace starling::layer {
namespace {

using Names = std::vector<std::string>;
using testing::ElementsAreArray;

Names Of(const std::string& run) {
  const std::string document =
      R"({"os":"linux","architecture":"amd64","rootfs":{"diff_ids":[]},"config":)" + run + "}";
  const auto config = oci::ImageConfig::Parse(AsBytes(document));
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? NamesInCommand(*config) : Names();
}

TEST(CommandNames, AreWhereItsWordsMayBe) {
  const struct {
    const char* name;
    const char* run;
    Names names;
  } cases[] = {
      {"nothing", R"({})", {}},
      {"a path", R"({"Cmd":["/app/server"]})", {"/app/server"}},
      {"a program and its script",
       R"({"Cmd":["node","server.js"],"Env":["A=PATH=/no","PATH=/usr/bin:/bin"],"WorkingDir":"/app"})",
       {"/usr/bin/node", "/bin/node", "/app/node", "/usr/bin/server.js", "/bin/server.js",
        "/app/server.js"}},
      {"below the working directory",
       R"({"Entrypoint":["./run"],"Cmd":["conf/app.toml"],"WorkingDir":"/app"})",
       {"/app/./run", "/app/conf/app.toml"}},
      {"options are none", R"({"Cmd":["/bin/x","-v","--file=/etc/x"]})", {"/bin/x"}},
      {"an empty word", R"({"Cmd":["/bin/x",""]})", {"/bin/x"}},
      {"a shell's script",
       R"({"Entrypoint":["/bin/sh","-c"],"Cmd":["exec /app/run \"$A\"; '/app/other'"],"Env":["PATH=/bin"]})",
       {"/bin/sh", "/bin/exec", "//exec", "/app/run", "/bin/A", "//A", "/app/other"}},
      {"a shell with several options",
       R"({"Cmd":["/bin/bash","-ec","/app/run&&/app/go"]})",
       {"/bin/bash", "/app/run", "/app/go"}},
      {"a shell's file", R"({"Cmd":["/bin/sh","/start.sh"]})", {"/bin/sh", "/start.sh"}},
  };
  for (const auto& [name, run, names] : cases) {
    EXPECT_THAT(Of(run), ElementsAreArray(names)) << name;
  }
}

TEST(CommandNames, WithoutPathAreWhereRuntimesLook) {
  EXPECT_THAT(Of(R"({"Cmd":["x"]})"),
              ElementsAreArray({"/usr/local/sbin/x", "/usr/local/bin/x", "/usr/sbin/x",
                                "/usr/bin/x", "/sbin/x", "/bin/x", "//x"}));
}

TEST(CommandNames, OfHostileCommandsAreFew) {
  std::string words;
  std::string path = "PATH=";
  for (int i = 0; i < 5000; ++i) {
    words += (i > 0 ? ",\"" : "\"") + std::string(1, 'x') + std::to_string(i) + "\"";
    path += "/p" + std::to_string(i) + ":";
  }
  EXPECT_LE(Of("{\"Cmd\":[" + words + "],\"Env\":[\"" + path + "\"]}").size(), 200U);
  EXPECT_EQ(Of("{\"Cmd\":[\"/" + std::string(5000, 'x') + "\"]}"), Names());
}

}  // namespace
}  // namespace starling::layer
