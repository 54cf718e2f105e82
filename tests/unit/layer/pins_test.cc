#include "layer/pins.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/temp_dir.h"
#include "tests/support/faulty_file_system.h"

namespace starling::layer {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing_support::FaultyFileSystem;

class PinsTest : public testing::Test {
 protected:
  std::unique_ptr<Pins> Open() {
    auto pins = Pins::Open(path_, files_);
    EXPECT_TRUE(pins.ok()) << pins.status();
    return pins.ok() ? *std::move(pins) : nullptr;
  }
  void Write(std::string_view text) {
    ASSERT_TRUE(WriteFileAtomically(RealFileSystem(), path_, AsBytes(text), 0600).ok());
  }

  TempDir directory_ = *TempDir::Make("/tmp", "pins-");
  std::filesystem::path path_ = directory_.path() / Pins::kFileName;
  FaultyFileSystem files_;
};

TEST_F(PinsTest, KeepsThemOverRestarts) {
  EXPECT_THAT(Open()->names(), IsEmpty());
  ASSERT_TRUE(Open()->Add("image two").ok());
  const auto pins = Open();
  ASSERT_TRUE(pins->Add("image one").ok());
  ASSERT_TRUE(pins->Add("image one").ok()) << "again";
  EXPECT_THAT(Open()->names(), ElementsAre("image one", "image two"));
  EXPECT_EQ(pins->Remove("image three").code(), StatusCode::kNotFound);
  ASSERT_TRUE(pins->Remove("image two").ok());
  EXPECT_THAT(pins->names(), ElementsAre("image one"));
  EXPECT_THAT(Open()->names(), ElementsAre("image one"));
}

TEST_F(PinsTest, RefusesWhatIsNoLine) {
  const auto pins = Open();
  for (const std::string& name : {std::string(), std::string("two\nlines"), std::string(5000, 'x'),
                                  std::string("\0", 1), std::string("\x1b[1m")}) {
    EXPECT_EQ(pins->Add(name).code(), StatusCode::kInvalidArgument) << name;
  }
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(PinsTest, ADamagedFileIsNoneOfOurs) {
  for (const std::string_view text :
       {"starling pins 2\n", "starling pins 1", "image\n", "starling pins 1\nima", "\n",
        "starling pins 1\n\n", "starling pins 1\nim\x01ge\n"}) {
    SCOPED_TRACE(text);
    Write(text);
    EXPECT_EQ(Pins::Open(path_, files_).status().code(), StatusCode::kDataLoss);
  }
  Write("");
  EXPECT_THAT(Open()->names(), IsEmpty());
}

TEST_F(PinsTest, WhatCannotBeWrittenIsNotPinned) {
  const auto pins = Open();
  ASSERT_TRUE(pins->Add("kept").ok());
  files_.set_free_bytes(3);
  EXPECT_EQ(pins->Add("not kept").code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(pins->names(), ElementsAre("kept"));
  EXPECT_THAT(Open()->names(), ElementsAre("kept"));
}

}  // namespace
}  // namespace starling::layer
