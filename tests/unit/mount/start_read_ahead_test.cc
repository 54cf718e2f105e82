#include "mount/start_read_ahead.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/manual_clock.h"
#include "tests/support/manual_executor.h"

namespace starling::mount {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using store::LayerKey;

constexpr uint64_t kMaxBytes = StartReadAhead::kMaxBytes;

oci::Digest Image(const std::string& name) { return oci::Digest::Of(AsBytes("image " + name)); }

LayerKey Layer(const std::string& name) {
  return {.layer = oci::Digest::Of(AsBytes(name)), .toc = oci::Digest::Of(AsBytes("toc"))};
}

/// A range of a layer in the order of need.
struct Need {
  std::string layer;
  layer::DataRange range;
  int first_need_ms = 0;
};

/// Notes what is read, as "layer" for its files and "layer address+size".
class StartReadAheadTest : public testing::Test {
 protected:
  void KeepProfile(const std::string& image, const std::vector<Need>& needs) {
    std::map<LayerKey, std::vector<layer::AccessRange>> by_layer;
    for (const Need& need : needs) {
      names_[Layer(need.layer)] = need.layer;
      by_layer[Layer(need.layer)].push_back(
          {.range = need.range, .first_need = milliseconds(need.first_need_ms)});
    }
    std::vector<layer::LayerAccess> layers;
    for (auto& [key, ranges] : by_layer) {
      layers.push_back({.key = key, .ranges = std::move(ranges)});
    }
    const auto profile = layer::AccessProfile::Make(Image(image), 1, std::move(layers));
    ASSERT_TRUE(profile.ok()) << profile.status();
    profiles_.emplace(Image(image), *profile);
  }
  void Start(const std::string& image, const std::vector<std::string>& layers) {
    std::vector<LayerKey> keys;
    for (const std::string& layer : layers) {
      names_[Layer(layer)] = layer;
      keys.push_back(Layer(layer));
    }
    ahead_.OnStart(Image(image), keys);
  }
  /// What is read because a read of `layer` waits.
  std::vector<std::string> ReadWhenWaiting(const std::string& layer) {
    const bool is_start = ahead_.OnDiskWait(Layer(layer));
    executor_.RunAll();
    EXPECT_EQ(is_start, !read_.empty());
    return std::exchange(read_, {});
  }

  testing_support::ManualClock clock_;
  testing_support::ManualExecutor executor_;
  std::map<oci::Digest, layer::AccessProfile> profiles_;
  std::map<LayerKey, std::string> names_;
  std::vector<std::string> read_;
  StartReadAhead ahead_{
      {.clock = clock_,
       .disk = executor_,
       .profile_of = [this](const oci::Digest& image) -> std::optional<layer::AccessProfile> {
         const auto found = profiles_.find(image);
         return found == profiles_.end() ? std::nullopt : std::optional(found->second);
       },
       .read_index = [this](const LayerKey& key) { read_.push_back(names_[key]); },
       .read_data =
           [this](const LayerKey& key, layer::DataRange range) {
             read_.push_back(
                 fmt::format("{} {}+{}", names_[key], range.data_address, range.size_bytes));
           }}};
};

TEST_F(StartReadAheadTest, ReadsWhatRunsNeededInItsOrderOverAllLayers) {
  KeepProfile("i", {{.layer = "base", .range = {0, 100}, .first_need_ms = 30},
                    {.layer = "base", .range = {8192, 10}, .first_need_ms = 10},
                    {.layer = "top", .range = {4096, 50}, .first_need_ms = 20}});
  Start("i", {"base", "top"});
  executor_.RunAll();
  EXPECT_EQ(read_, std::vector<std::string>()) << "nobody has waited";
  EXPECT_EQ(ReadWhenWaiting("top"),
            (std::vector<std::string>{"base", "top", "base 8192+10", "top 4096+50", "base 0+100"}));
}

TEST_F(StartReadAheadTest, OnlyTheFirstWaitOfAStart) {
  KeepProfile("i", {{.layer = "l", .range = {0, 1}}});
  KeepProfile("j", {{.layer = "l", .range = {4096, 2}}});
  const std::vector<std::string> of_i{"l", "l 0+1"};
  const std::vector<std::string> of_j{"l", "l 4096+2"};
  const std::vector<std::string> nothing;
  const struct {
    const char* name;
    std::vector<std::string> starts;  // images, all on the layer l
    seconds passed;
    std::vector<std::vector<std::string>> read;  // by each wait of l that follows
  } cases[] = {
      {"one", {"i"}, seconds(0), {of_i, nothing}},
      {"one that was asked for more than once", {"i", "i", "i"}, seconds(0), {of_i, nothing}},
      {"two images", {"i", "j"}, seconds(0), {of_i, of_j, nothing}},
      {"the end of its time", {"i"}, seconds(10), {of_i, nothing}},
      {"later", {"i"}, seconds(11), {nothing}},
      {"an image that nothing is known of", {"k"}, seconds(0), {{"l"}, nothing}},
  };
  for (const auto& [name, starts, passed, read] : cases) {
    SCOPED_TRACE(name);
    for (const std::string& image : starts) {
      Start(image, {"l"});
    }
    clock_.Advance(passed);
    EXPECT_EQ(ReadWhenWaiting("other"), nothing);
    for (const auto& expected : read) {
      EXPECT_EQ(ReadWhenWaiting("l"), expected);
    }
    clock_.Advance(seconds(20));
  }
}

TEST_F(StartReadAheadTest, AStartBringsNoMoreThanItsShareOfTheMemory) {
  KeepProfile("i", {{.layer = "l", .range = {0, kMaxBytes - 4096}, .first_need_ms = 1},
                    {.layer = "l", .range = {kMaxBytes, kMaxBytes / 2}, .first_need_ms = 2},
                    {.layer = "l", .range = {2 * kMaxBytes, 1}, .first_need_ms = 3}});
  Start("i", {"l"});
  EXPECT_EQ(ReadWhenWaiting("l"),
            (std::vector<std::string>{"l", fmt::format("l 0+{}", kMaxBytes - 4096),
                                      fmt::format("l {}+4096", kMaxBytes)}));
}

TEST_F(StartReadAheadTest, EndsWhenItIsClosed) {
  KeepProfile("i", {{.layer = "l", .range = {0, 1}}});
  Start("i", {"l"});
  EXPECT_TRUE(ahead_.OnDiskWait(Layer("l")));
  Start("i", {"l"});
  ahead_.Close();
  EXPECT_FALSE(ahead_.OnDiskWait(Layer("l")));
  executor_.RunAll();
  EXPECT_EQ(read_, std::vector<std::string>()) << "also what was posted";
}

}  // namespace
}  // namespace starling::mount
