#include "layer/content_packer.h"

#include <gtest/gtest.h>

#include "base/temp_dir.h"
#include "estargz/toc.h"
#include "store/layer_store.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/tar_builder.h"

namespace starling::layer {
namespace {

using testing_support::FaultyFileSystem;
using testing_support::TarBuilder;

constexpr uint64_t kChunkBytes = 4 << 20;

class ContentPackerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto layers = store::LayerStore::Open(directory_.path() / "store", files_);
    ASSERT_TRUE(layers.ok()) << layers.status();
    layers_ = *std::move(layers);
    auto writer = layers_->Begin(kKey);
    ASSERT_TRUE(writer.ok()) << writer.status();
    writer_ = *std::move(writer);
  }
  /// Packs `tar` and returns the JSON.
  StatusOr<std::string> Pack(ContentPacker& packer, const std::string& tar) {
    SpanSource source(AsBytes(tar));
    estargz::TarReader reader(source);
    for (;;) {
      ASSIGN_OR_RETURN(std::optional<estargz::TarEntry> entry, reader.Next());
      if (!entry) {
        return packer.Finish();
      }
      RETURN_IF_ERROR(packer.Add(*std::move(entry), reader.tar_offset(), reader));
    }
  }

  ContentPacker::WriteBatch Write() {
    return
        [this](uint64_t address, ByteSpan bytes, auto) { return writer_->Write(address, bytes); };
  }

  const store::LayerKey kKey{.layer = oci::Digest::Of({}), .toc = oci::Digest::Of({})};
  TempDir directory_ = *TempDir::Make("/tmp", "content-packer-");
  FaultyFileSystem files_;
  std::unique_ptr<store::LayerStore> layers_;
  std::unique_ptr<store::LayerWriter> writer_;
  ThreadPool cpu_{"cpu", 2};
};

TEST_F(ContentPackerTest, FilesBeginAtBlocksAndChunksEndAfterFourMegabytes) {
  const std::string large(2 * kChunkBytes + 5, 'l');
  const std::string tar = TarBuilder()
                              .Add({.name = "a", .content = "a"})
                              .Add({.name = "d", .type = '5'})
                              .Add({.name = "large", .content = large})
                              .Add({.name = "b", .content = std::string(4097, 'b')})
                              .Add({.name = "last", .content = "z"})
                              .Finish();
  ContentPacker packer(Write(), cpu_, UINT64_MAX);
  const auto json = Pack(packer, tar);
  ASSERT_TRUE(json.ok()) << json.status();
  ASSERT_EQ(packer.placed().size(), 4U);
  const uint64_t behind_large = 4096 + 2 * kChunkBytes + 4096;
  const uint64_t addresses[] = {0, 4096, behind_large, behind_large + 8192};
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(packer.placed()[i].data_address, addresses[i]);
    EXPECT_EQ(tar[packer.placed()[i].inner_offset], "albz"[i]) << "where the tar has it";
  }
  const auto toc = estargz::Toc::Parse(AsBytes(*json));
  ASSERT_TRUE(toc.ok()) << toc.status();
  ASSERT_EQ(toc->entries().size(), 7U) << "two more for the large file's chunks";
  EXPECT_EQ(toc->entries()[2].chunk_digest, oci::Digest::Of(AsBytes(large).first(kChunkBytes)));
  EXPECT_EQ(toc->entries()[4].chunk_digest, oci::Digest::Of(AsBytes("lllll")));
  EXPECT_EQ(toc->entries()[4].inner_offset, packer.placed()[1].inner_offset + 2 * kChunkBytes);
  const auto stored = writer_->Commit(
      {.blob_size_bytes = 1, .data_size_bytes = behind_large + 8192 + 1, .chunk_count = 6},
      AsBytes("index"), AsBytes("table"));
  ASSERT_TRUE(stored.ok()) << stored.status();
  Bytes around(4096 + 3);
  ASSERT_TRUE((*stored)->Read(4096 + 2 * kChunkBytes + 3, around).ok());
  EXPECT_EQ(AsText(around), "ll" + std::string(4091, '\0') + std::string(6, 'b'));
}

TEST_F(ContentPackerTest, CountsWhatFilesTakeBeforeItReadsThem) {
  ContentPacker packer(Write(), cpu_, 8192);
  const auto json = Pack(packer, TarBuilder()
                                     .Add({.name = "a", .content = std::string(4097, 'a')})
                                     .Add({.name = "b", .content = "b"})
                                     .Finish());
  EXPECT_EQ(json.status().code(), StatusCode::kResourceExhausted) << json.status();
}

TEST_F(ContentPackerTest, AWriteThatFailsIsTheError) {
  files_.set_hook([](const FaultyFileSystem::Call& call) {
    return call.operation == FaultyFileSystem::Operation::kWrite
               ? MakeError(StatusCode::kResourceExhausted, "full")
               : OkStatus();
  });
  ContentPacker packer(Write(), cpu_, UINT64_MAX);
  const auto json = Pack(
      packer, TarBuilder().Add({.name = "a", .content = std::string(30'000'000, 'a')}).Finish());
  EXPECT_EQ(json.status().code(), StatusCode::kResourceExhausted) << json.status();
}

}  // namespace
}  // namespace starling::layer
