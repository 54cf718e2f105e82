#include "mount/diff_id_checks.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/clock.h"
#include "base/timer.h"
#include "tests/support/tar_builder.h"
#include "tests/support/written_layer.h"

namespace starling::mount {
namespace {

oci::Digest DigestOf(std::string_view text) { return oci::Digest::Of(AsBytes(text)); }

class DiffIdChecksTest : public testing_support::WrittenLayerFixture {
 protected:
  void SetUp() override {
    scheduler_ =
        layer::FetchScheduler::Make({.quiet = std::chrono::milliseconds(0)},
                                    {.clock = SystemClock(), .executor = cpu_, .timer = timer_});
    WriteAndOpen(testing_support::TarBuilder()
                     .Add({.name = "file", .content = std::string(300'000, 'x')})
                     .Add({.name = "other", .content = "other"})
                     .Finish(),
                 {.chunk_size_bytes = 64 << 10});
    KeepGaps();
    Start();
  }
  void TearDown() override {
    checks_->Close();
    scheduler_->Close();
    WrittenLayerFixture::TearDown();
  }
  void Start() {
    checks_ = std::make_unique<DiffIdChecks>(DiffIdChecks::Dependencies{
        .sources = [this](const std::string&) -> StatusOr<std::shared_ptr<oci::ImageSource>> {
          ++sources_asked_;
          return image_;
        },
        .layers = *layers_,
        .files = RealFileSystem(),
        .scheduler = scheduler_,
        .counters = counters_});
  }
  /// What `image` says of the layer.
  LayerSpec Spec(const std::string& image) const {
    return {.image = image, .layer = written_.digest, .toc = written_.toc_digest};
  }
  LayerSpec WithChain(const std::string& image, const oci::Digest& chain,
                      std::optional<oci::Digest> parent = std::nullopt) const {
    LayerSpec spec = Spec(image);
    spec.chain = chain;
    spec.parent_chain = parent;
    return spec;
  }
  /// An image with two layers, the upper one ours.
  LayerSpec WithConfig(const std::string& image, const oci::Digest& diff_id) {
    const std::string config = fmt::format(
        R"({{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{}","{}"]}}}})",
        DigestOf("below").ToString(), diff_id.ToString());
    oci::Manifest manifest;
    manifest.media_type = oci::media_type::kOciManifest;
    manifest.config = image_->Add(oci::media_type::kOciConfig, AsBytes(config));
    manifest.layers.resize(2);
    manifest.layers[0].media_type = oci::media_type::kOciLayerGzip;
    manifest.layers[0].digest = DigestOf("below blob");
    manifest.layers[0].size_bytes = 1;
    manifest.layers[1].media_type = oci::media_type::kOciLayerGzip;
    manifest.layers[1].digest = written_.digest;
    manifest.layers[1].size_bytes = blob_size_bytes_;
    LayerSpec spec = Spec(image);
    spec.manifest = image_->Add(manifest).digest;
    return spec;
  }
  void Check() { checks_->Check({.layer = layer_, .stored = stored_, .gaps = gaps_}); }
  DiffIdState StateAfterCheck() {
    Check();
    while (checks_->state(stored_->key()) == DiffIdState::kUnknown) {
      std::this_thread::yield();
    }
    return checks_->state(stored_->key());
  }
  std::string FileText() const {
    const auto text = ReadFile(RealFileSystem(), stored_->directory() / "diffid", 1000);
    return text.ok() ? std::string(AsText(*text)) : "";
  }

  ThreadTimer timer_;
  std::shared_ptr<layer::FetchScheduler> scheduler_;
  std::unique_ptr<DiffIdChecks> checks_;
  std::atomic<int> sources_asked_ = 0;
};

TEST_F(DiffIdChecksTest, AChainIdIsEnough) {
  const oci::Digest diff_id = written_.diff_id;
  const oci::Digest parent = DigestOf("parent");
  const oci::Digest chain = DigestOf(parent.ToString() + " " + diff_id.ToString());
  const struct {
    std::string_view name;
    LayerSpec promise;
    DiffIdState want;
  } cases[] = {
      {"the bottom", WithChain("a", diff_id), DiffIdState::kMatches},
      {"above others", WithChain("a", chain, parent), DiffIdState::kMatches},
      {"another bottom", WithChain("a", DigestOf("other")), DiffIdState::kDiffers},
      {"above something else", WithChain("a", chain, DigestOf("else")), DiffIdState::kDiffers},
      {"no promise", Spec("a"), DiffIdState::kNotChecked},
  };
  Complete();
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Start();
    checks_->Expect(c.promise);
    EXPECT_EQ(StateAfterCheck(), c.want);
    EXPECT_EQ(sources_asked_, 0);
    checks_->Forget(stored_->key());
    EXPECT_EQ(checks_->state(stored_->key()), DiffIdState::kUnknown);
  }
}

TEST_F(DiffIdChecksTest, WithoutOneTheConfigurationIsReadOnce) {
  Complete();
  checks_->Expect(WithConfig("a", written_.diff_id));
  EXPECT_EQ(StateAfterCheck(), DiffIdState::kMatches);
  EXPECT_EQ(image_->blobs_streamed(), 1);
  EXPECT_EQ(StateAfterCheck(), DiffIdState::kMatches);
  checks_->Close();
  EXPECT_EQ(image_->blobs_streamed(), 1);
  // A configuration of something else, and one that is not there.
  Start();
  checks_->Expect(WithConfig("b", DigestOf("other")));
  EXPECT_EQ(StateAfterCheck(), DiffIdState::kDiffers);
  Start();
  LayerSpec lost = Spec("c");
  lost.manifest = DigestOf("no such manifest");
  checks_->Expect(lost);
  EXPECT_EQ(StateAfterCheck(), DiffIdState::kNotChecked);
}

TEST_F(DiffIdChecksTest, IsComputedOnceForEver) {
  Complete();
  EXPECT_TRUE(std::filesystem::exists(gaps_path_));
  checks_->Expect(WithChain("a", written_.diff_id));
  EXPECT_EQ(StateAfterCheck(), DiffIdState::kMatches);
  checks_->Close();
  EXPECT_EQ(FileText(), written_.diff_id.ToString());
  EXPECT_FALSE(std::filesystem::exists(gaps_path_)) << "has served";
  const uint64_t requests = counters_.requests;
  Start();
  checks_->Expect(WithChain("b", DigestOf("other")));
  EXPECT_EQ(StateAfterCheck(), DiffIdState::kDiffers);
  EXPECT_EQ(counters_.requests, requests);
  // A damaged file is as good as none; the layer is small enough to be fetched again.
  ASSERT_TRUE(WriteFileAtomically(RealFileSystem(), stored_->directory() / "diffid",
                                  AsBytes("sha256:nonsense"), 0600)
                  .ok());
  Start();
  checks_->Expect(WithChain("a", written_.diff_id));
  EXPECT_EQ(StateAfterCheck(), DiffIdState::kMatches);
  EXPECT_EQ(FileText(), written_.diff_id.ToString());
}

TEST_F(DiffIdChecksTest, ADifferenceIsToldOnceForEachImage) {
  Complete();
  testing::internal::CaptureStderr();
  checks_->Expect(WithConfig("registry.test/bad:1", DigestOf("other")));
  checks_->Expect(WithChain("registry.test/good:1", written_.diff_id));
  checks_->Expect(WithChain("registry.test/worse:1", DigestOf("worse")));
  EXPECT_EQ(StateAfterCheck(), DiffIdState::kDiffers);
  Check();
  checks_->Close();
  const std::string log = testing::internal::GetCapturedStderr();
  size_t errors = 0;
  for (size_t at = log.find("\"error\""); at != std::string::npos;
       at = log.find("\"error\"", at + 1)) {
    ++errors;
  }
  EXPECT_EQ(errors, 2U) << log;
  for (const std::string& part :
       {std::string("registry.test/bad:1"), std::string("registry.test/worse:1"),
        written_.digest.ToString(), written_.diff_id.ToString(), DigestOf("other").ToString(),
        std::string("built or converted anew")}) {
    EXPECT_NE(log.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(log.find("registry.test/good"), std::string::npos);
}

TEST_F(DiffIdChecksTest, WhatIsNotCompleteOrNotShownWaits) {
  checks_->Expect(WithChain("a", written_.diff_id));
  Check();  // nothing is held yet
  Complete();
  Check();
  while (checks_->state(stored_->key()) == DiffIdState::kUnknown) {
    std::this_thread::yield();
  }
  checks_->Close();
  std::filesystem::remove(stored_->directory() / "diffid");
  Start();
  Check();  // nobody shows it
  checks_->Close();
  EXPECT_EQ(FileText(), "");
}

TEST_F(DiffIdChecksTest, EndsWhileItWaitsForTheLink) {
  Complete();
  for (const bool is_closed : {true, false}) {
    const auto urgent = scheduler_->Begin("", oci::FetchClass::kDemand, 1 << 30);
    Start();
    checks_->Expect(WithChain("a", written_.diff_id));
    Check();
    if (!is_closed) {
      checks_->Forget(stored_->key());
    }
    checks_->Close();
    EXPECT_EQ(FileText(), "");
  }
}

}  // namespace
}  // namespace starling::mount
