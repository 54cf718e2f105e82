#include "mount/layer_places.h"

#include <gtest/gtest.h>

#include "tests/support/lazy_layer_fixture.h"
#include "tests/support/manual_executor.h"
#include "tests/support/tar_builder.h"

namespace starling::mount {
namespace {

using testing_support::TarBuilder;

class LayerPlacesTest : public testing_support::LazyLayerFixture {
 protected:
  void SetUp() override {
    OpenLayer(TarBuilder().Add({.name = "f", .content = "content"}).Finish(), 4096);
    places_ = Make();
  }
  std::shared_ptr<LayerPlaces> Make() {
    return LayerPlaces::Make(
        {.places = [this](const std::string& image) -> StatusOr<std::vector<oci::BlobPlace>> {
           ++looks_;
           RETURN_IF_ERROR(broken_);
           std::vector<oci::BlobPlace> places;
           for (const std::string& host : hosts_) {
             places.push_back({.name = image + " by " + host,
                               .open = [this](const oci::Descriptor&) { return blob_; }});
           }
           return places;
         },
         .sources = [this](const std::string&) -> StatusOr<std::shared_ptr<oci::ImageSource>> {
           return std::shared_ptr<oci::ImageSource>(&image_, [](oci::ImageSource*) {});
         },
         .executor = executor_,
         .timer = timer_});
  }
  LayerSpec Spec(const std::string& image) const {
    LayerSpec spec;
    spec.image = image;
    spec.layer = layer_->key().layer;
    return spec;
  }
  /// What the layer is read from first, after the configuration was looked at once more.
  std::string AfterALook() {
    timer_.Advance(LayerPlaces::kBetweenLooks);
    executor_.RunAll();
    return layer_->PreferredSource().name;
  }

  testing_support::ManualClock clock_;
  testing_support::ManualTimer timer_{clock_};
  testing_support::ManualExecutor executor_;
  std::vector<std::string> hosts_;
  Status broken_;
  int looks_ = 0;
  std::shared_ptr<LayerPlaces> places_;
};

TEST_F(LayerPlacesTest, ALayerFollowsTheConfiguration) {
  places_->Add(layer_, Spec("r.test/a:1"));
  EXPECT_EQ(layer_->PreferredSource().name, "r.test/a:1") << "its source";
  EXPECT_EQ(layer_->PreferredSource().host, "r.test");
  EXPECT_FALSE(places_->HasSeveral("r.test/a:1"));
  hosts_ = {"mirror", "r.test"};
  EXPECT_TRUE(places_->HasSeveral("r.test/a:1"));
  EXPECT_EQ(AfterALook(), "r.test/a:1 by mirror");
  hosts_ = {"other", "r.test"};
  EXPECT_EQ(AfterALook(), "r.test/a:1 by other");
  EXPECT_EQ(layer_->PreferredSource().image, "r.test/a:1");
  hosts_ = {};
  EXPECT_EQ(AfterALook(), "r.test/a:1");
}

TEST_F(LayerPlacesTest, ABrokenConfigurationChangesNothing) {
  hosts_ = {"mirror", "r.test"};
  places_->Add(layer_, Spec("r.test/a:1"));
  broken_ = MakeError(StatusCode::kInvalidArgument, "hosts.toml:1:1");
  EXPECT_EQ(AfterALook(), "r.test/a:1 by mirror");
  broken_ = OkStatus();
  hosts_ = {"other"};
  EXPECT_EQ(AfterALook(), "r.test/a:1 by other");
}

TEST_F(LayerPlacesTest, ASecondImageStandsBehindTheFirst) {
  places_->Add(layer_, Spec("r.test/a:1"));
  places_->Add(layer_, Spec("r.test/b:1"));
  places_->Add(layer_, Spec("r.test/b:1"));
  hosts_ = {"mirror"};
  EXPECT_EQ(AfterALook(), "r.test/a:1 by mirror");
  EXPECT_EQ(looks_, 3 + 2) << "one for each layer that came, and one for each image";
}

TEST_F(LayerPlacesTest, NobodyLooksWithoutLayers) {
  places_->Add(layer_, Spec("r.test/a:1"));
  layer_->Close();
  layer_ = nullptr;
  timer_.Advance(LayerPlaces::kBetweenLooks);
  executor_.RunAll();
  EXPECT_EQ(looks_, 1);
  EXPECT_FALSE(timer_.RunNext()) << "no look is to come";
}

TEST_F(LayerPlacesTest, NobodyLooksAfterTheEnd) {
  places_->Add(layer_, Spec("r.test/a:1"));
  places_->Close();
  timer_.Advance(LayerPlaces::kBetweenLooks);
  executor_.RunAll();
  EXPECT_EQ(looks_, 1);
}

}  // namespace
}  // namespace starling::mount
