#include "mount/command_files.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/clock.h"
#include "tests/support/layer_of_files_fixture.h"
#include "tests/support/manual_executor.h"
#include "tests/support/memory_image.h"

namespace starling::mount {
namespace {

using testing_support::TarFile;

class CommandFilesTest : public testing_support::LayerOfFilesFixture {
 protected:
  struct Layer {
    std::shared_ptr<layer::LazyLayer> layer;
    std::shared_ptr<testing_support::MemoryBlob> blob;
  };
  void TearDown() override {
    for (const Layer& open : open_) {
      open.blob->Release();  // what waits there keeps the layer
      open.layer->Close();
    }
  }
  Layer Open(const std::vector<TarFile>& files) {
    OpenFiles(files, 1 << 20);
    open_.push_back({.layer = std::exchange(layer_, nullptr), .blob = blob_});
    open_.back().blob->Hold();
    return open_.back();
  }
  /// An image with this command.
  LayerSpec ImageOf(const std::string& command) {
    const auto config =
        source_->Add(oci::media_type::kOciConfig,
                     AsBytes(R"({"os":"linux","architecture":"amd64","rootfs":{"diff_ids":[]},)"
                             R"("config":{"Env":["PATH=/bin:/usr/bin"],"Cmd":[)" +
                             command + "]}}"));
    oci::Manifest manifest;
    manifest.media_type = oci::media_type::kOciManifest;
    manifest.config = config;
    return {.image = "registry.test/image:1", .manifest = source_->Add(manifest).digest};
  }
  void FetchFrom(const Layer& layer, const LayerSpec& spec) { files_.FetchFrom(layer.layer, spec); }
  /// Whether a request for that file has begun.
  static bool IsRequested(const Layer& layer, const std::string& path) {
    const auto found = layer::NamedFiles({path}).FindIn(layer.layer->index());
    EXPECT_EQ(found.size(), 1U) << path;
    const layer::ChunkTable& table = layer.layer->chunks();
    const uint32_t member = table.chunks()[table.Find(found.at(0)).first].member;
    const uint64_t blob_offset = table.members()[member].blob_offset;
    const auto ranges = layer.blob->ranges();
    return std::ranges::any_of(ranges, [&](const oci::BlobRange& range) {
      return range.blob_offset <= blob_offset && blob_offset < range.end();
    });
  }

  std::vector<Layer> open_;
  std::shared_ptr<testing_support::MemoryImageSource> source_ =
      std::make_shared<testing_support::MemoryImageSource>();
  ThreadTimer timer_;
  std::shared_ptr<layer::FetchScheduler> scheduler_ =
      layer::FetchScheduler::Make({}, {.clock = SystemClock(), .executor = cpu_, .timer = timer_});
  testing_support::ManualExecutor executor_;
  CommandFiles files_{{.sources = [this](const std::string&) { return source_; },
                       .scheduler = *scheduler_,
                       .executor = executor_}};
};

TEST_F(CommandFilesTest, ComeFromLayersOpenedBeforeAndAfterTheConfiguration) {
  const LayerSpec spec = ImageOf(R"("python3","/app/job.py")");
  const Layer first = Open({File("usr/bin/python3"), File("usr/bin/other")});
  const Layer second = Open({File("app/job.py"), File("app/other.py")});
  FetchFrom(first, spec);
  EXPECT_FALSE(IsRequested(first, "usr/bin/python3")) << "the caller waits for no registry";
  executor_.RunAll();
  EXPECT_TRUE(IsRequested(first, "usr/bin/python3"));
  FetchFrom(second, spec);
  EXPECT_TRUE(IsRequested(second, "app/job.py"));
  EXPECT_FALSE(IsRequested(first, "usr/bin/other"));
  EXPECT_FALSE(IsRequested(second, "app/other.py"));
}

TEST_F(CommandFilesTest, ALinkLeadsToALayerThatWasLookedAtBefore) {
  const LayerSpec spec = ImageOf(R"("python3")");
  const Layer file = Open({File("opt/python3.11")});
  const Layer link = Open({Link("usr/bin/python3", "/opt/python3.11")});
  FetchFrom(file, spec);
  executor_.RunAll();
  EXPECT_FALSE(IsRequested(file, "opt/python3.11"));
  FetchFrom(link, spec);
  EXPECT_TRUE(IsRequested(file, "opt/python3.11"));
}

TEST_F(CommandFilesTest, TheConfigurationIsReadOnceForEachImage) {
  const LayerSpec one = ImageOf(R"("one")");
  const LayerSpec two = ImageOf(R"("two")");
  const Layer layer = Open({File("bin/one"), File("bin/two")});
  for (int i = 0; i < 3; ++i) {
    FetchFrom(layer, one);
    executor_.RunAll();
  }
  EXPECT_EQ(source_->blobs_streamed(), 1);
  EXPECT_EQ(layer.blob->requests(), 1U);
  EXPECT_FALSE(IsRequested(layer, "bin/two"));
  FetchFrom(layer, two);
  executor_.RunAll();
  EXPECT_EQ(source_->blobs_streamed(), 2);
  EXPECT_TRUE(IsRequested(layer, "bin/two"));
}

TEST_F(CommandFilesTest, NothingComesWithoutAConfiguration) {
  const Layer layer = Open({File("bin/one")});
  FetchFrom(layer, {.image = "registry.test/image:1"});
  LayerSpec unknown = ImageOf(R"("one")");
  unknown.manifest = oci::Digest::Of(AsBytes("another"));
  FetchFrom(layer, unknown);
  executor_.RunAll();
  EXPECT_EQ(layer.blob->requests(), 0U);
}

TEST_F(CommandFilesTest, NoImageBringsMoreThanItMay) {
  std::string command;
  std::vector<TarFile> files;
  for (int i = 0; i < 4; ++i) {
    command += fmt::format("{}\"/bin/{}\"", i > 0 ? "," : "", i);
    files.push_back(File(fmt::format("bin/{}", i), CommandFiles::kMaxBytes * 3 / 8));
  }
  const Layer layer = Open(files);
  FetchFrom(layer, ImageOf(command));
  executor_.RunAll();
  EXPECT_TRUE(IsRequested(layer, "bin/0"));
  EXPECT_TRUE(IsRequested(layer, "bin/1"));
  EXPECT_FALSE(IsRequested(layer, "bin/2"));
  EXPECT_FALSE(IsRequested(layer, "bin/3"));
}

}  // namespace
}  // namespace starling::mount
