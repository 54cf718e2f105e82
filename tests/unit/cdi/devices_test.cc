#include "cdi/devices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/temp_dir.h"

namespace starling::cdi {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class DevicesTest : public ::testing::Test {
 protected:
  /// A file with devices that each set DEVICE to their place.
  void Write(const std::string& file, const std::string& kind,
             const std::vector<std::string>& names) {
    std::filesystem::create_directories((directory_.path() / file).parent_path());
    std::ofstream out(directory_.path() / file);
    out << "cdiVersion: 0.6.0\nkind: " << kind << "\ncontainerEdits: {env: ['FILE=" << file
        << "']}\ndevices:\n";
    for (const std::string& name : names) {
      out << "- name: '" << name << "'\n  annotations: {org.mobyproject.buildkit.device.class: '"
          << name.substr(0, 1) << "'}\n  containerEdits: {env: ['DEVICE=" << file << " " << name
          << "']}\n";
    }
  }
  Devices Read() const {
    return Devices::Read(
        {directory_.path() / "etc", directory_.path() / "run", directory_.path() / "missing"});
  }
  std::vector<std::string> Names(const std::string& name) const {
    std::vector<std::string> names;
    const auto found = Read().Find(name);
    EXPECT_TRUE(found.ok()) << found.status();
    for (const Devices::Found& one : found.value_or(std::vector<Devices::Found>())) {
      names.push_back(one.name);
    }
    return names;
  }
  std::vector<std::string> Environment(const std::vector<std::string>& names) const {
    const auto edits = Read().EditsFor(names);
    EXPECT_TRUE(edits.ok()) << edits.status();
    return edits.value_or(Edits()).environment;
  }

  TempDir directory_ = *TempDir::Make("/tmp", "cdi-");
};

TEST_F(DevicesTest, FindsByNameKindAndClass) {
  Write("etc/a.yaml", "v.com/gpu", {"b1", "a2", "b2"});
  Write("etc/b.json", "v.com/other", {"x"});
  EXPECT_THAT(Names("v.com/gpu=b1"), ElementsAre("v.com/gpu=b1"));
  EXPECT_THAT(Names("v.com/gpu"), ElementsAre("v.com/gpu=a2"));
  EXPECT_THAT(Names("v.com/gpu=*"), ElementsAre("v.com/gpu=a2", "v.com/gpu=b1", "v.com/gpu=b2"));
  EXPECT_THAT(Names("v.com/gpu=b"), ElementsAre("v.com/gpu=b1", "v.com/gpu=b2"));
  EXPECT_THAT(Names("v.com/gpu=c"), IsEmpty());
  EXPECT_THAT(Names("v.com/none"), IsEmpty());
  EXPECT_THAT(Names("v.com/other=x"), ElementsAre("v.com/other=x"));
  for (const char* name : {"", "gpu", "v.com/gpu=-", "v.com/gpu=a=b"}) {
    EXPECT_EQ(Read().Find(name).status().code(), StatusCode::kInvalidArgument) << name;
  }
}

TEST_F(DevicesTest, GivesTheEditsOfAFileOnce) {
  Write("etc/a.yaml", "v.com/gpu", {"0", "1"});
  EXPECT_THAT(Environment({"v.com/gpu=1", "v.com/gpu=0", "v.com/gpu=1"}),
              ElementsAre("FILE=etc/a.yaml", "DEVICE=etc/a.yaml 1", "DEVICE=etc/a.yaml 0"));
  EXPECT_THAT(Environment({}), IsEmpty());
  EXPECT_EQ(Read().EditsFor({"v.com/gpu=2"}).status().code(), StatusCode::kNotFound);
}

TEST_F(DevicesTest, LaterDirectoriesCount) {
  Write("etc/a.yaml", "v.com/gpu", {"0", "1"});
  Write("run/a.yaml", "v.com/gpu", {"0"});
  EXPECT_THAT(Environment({"v.com/gpu=0"}), ElementsAre("FILE=run/a.yaml", "DEVICE=run/a.yaml 0"));
  EXPECT_THAT(Names("v.com/gpu=*"), ElementsAre("v.com/gpu=0", "v.com/gpu=1"));
}

TEST_F(DevicesTest, TwoOfOneNameAreNone) {
  Write("etc/a.yaml", "v.com/gpu", {"0", "1"});
  Write("etc/b.yaml", "v.com/gpu", {"0"});
  EXPECT_THAT(Names("v.com/gpu=*"), ElementsAre("v.com/gpu=1"));
  EXPECT_EQ(Read().EditsFor({"v.com/gpu=0"}).status().code(), StatusCode::kNotFound);
  // A later directory decides.
  Write("run/c.yaml", "v.com/gpu", {"0"});
  EXPECT_THAT(Environment({"v.com/gpu=0"}), ElementsAre("FILE=run/c.yaml", "DEVICE=run/c.yaml 0"));
}

TEST_F(DevicesTest, AFileThatIsBrokenTakesNoOtherWithIt) {
  Write("etc/a.yaml", "v.com/gpu", {"0"});
  std::ofstream(directory_.path() / "etc/broken.json") << "{";
  std::ofstream(directory_.path() / "etc/README") << "not a description";
  EXPECT_THAT(Names("v.com/gpu=*"), ElementsAre("v.com/gpu=0"));
}

}  // namespace
}  // namespace starling::cdi
