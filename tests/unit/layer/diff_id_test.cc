#include "layer/diff_id.h"

#include <fstream>
#include <thread>

#include "tests/support/gzip_text.h"
#include "tests/support/tar_builder.h"
#include "tests/support/written_layer.h"

namespace starling::layer {
namespace {

using estargz::WriteFormat;
using testing_support::Noise;
using testing_support::TarBuilder;

/// Entries of every kind, between and around contents of every size.
std::string OddTar() {
  TarBuilder tar;
  for (int i = 0; i < 40; ++i) {
    tar.Add({.name = fmt::format("before-{}", i), .type = '5', .mode = 0755});
  }
  tar.Add({.name = "replaced", .content = Noise(30'000, 1)})
      .Add({.name = "large", .content = Noise(700'000, 2)})
      .Add({.name = "zeros", .content = std::string(300'000, '\0')})
      .Add({.name = "one", .content = "1"})
      .Add({.name = "block", .content = Noise(512, 3)})
      .Add({.name = "hard", .type = '1', .link_name = "large"})
      .Add({.name = "link", .type = '2', .link_name = "one"})
      .Add({.name = "null", .type = '3', .device_major = 1, .device_minor = 3})
      .Add({.name = "empty"})
      .Add({.name = std::string(140, 'n') + "/" + std::string(140, 'n'),
            .content = Noise(9'000, 4),
            .pax = {{"comment", "c"}}})
      .Add({.name = "replaced", .content = Noise(20'000, 5)})
      .Add({.name = "last/one", .content = "last"});
  return tar.Finish();
}

class DiffIdTest : public testing_support::WrittenLayerFixture {
 protected:
  StatusOr<oci::Digest> Compute(bool is_stopped = false) {
    fetched_.clear();
    ASSIGN_OR_RETURN(const Gaps gaps,
                     Gaps::Open(RealFileSystem(), gaps_path_, layer_->chunks().members().size()));
    return ComputeDiffId({.stored = *stored_,
                          .table = layer_->chunks(),
                          .gaps = gaps,
                          .fetch =
                              [this](oci::BlobRange range) {
                                fetched_.push_back(range);
                                return reader_->ReadAndWait(range);
                              },
                          .is_stopped = [is_stopped] { return is_stopped; }});
  }
  uint64_t fetched_bytes() const {
    uint64_t bytes = 0;
    for (const oci::BlobRange& range : fetched_) {
      bytes += range.size_bytes;
    }
    return bytes;
  }

  std::vector<oci::BlobRange> fetched_;
};

TEST_F(DiffIdTest, IsThatOfTheBlobInEveryFormat) {
  const struct {
    std::string_view name;
    estargz::WriteOptions options;
  } cases[] = {
      {"eStargz", {.chunk_size_bytes = 64 << 10}},
      {"eStargz with shared members",
       {.chunk_size_bytes = 64 << 10, .shared_member_bytes = 128 << 10}},
      {"eStargz with a prefetch landmark",
       {.chunk_size_bytes = 64 << 10, .prioritized_files = {"one", "large"}}},
      {"zstd:chunked", {.format = WriteFormat::kStargzZstd, .chunk_size_bytes = 64 << 10}},
      {"zstd:chunked with a tar-split",
       {.format = WriteFormat::kContainersZstd, .chunk_size_bytes = 64 << 10}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    WriteAndOpen(OddTar(), c.options);
    KeepGaps();
    Complete();
    const auto diff_id = Compute();
    ASSERT_TRUE(diff_id.ok()) << diff_id.status();
    EXPECT_EQ(*diff_id, written_.diff_id);
    EXPECT_LE(fetched_.size(), 5U) << "the front, a landmark, the file that was replaced, the TOC";
    EXPECT_LT(fetched_bytes(), blob_size_bytes_ / 8);
    EXPECT_LT(std::filesystem::file_size(gaps_path_), 40'000U)
        << "30 KB of them are the replaced file";
    TearDown();
  }
}

TEST_F(DiffIdTest, WhatWasNotKeptIsFetchedAgain) {
  WriteAndOpen(OddTar(), {.chunk_size_bytes = 64 << 10});
  Complete();  // without a gap log
  auto diff_id = Compute();
  ASSERT_TRUE(diff_id.ok()) << diff_id.status();
  EXPECT_EQ(*diff_id, written_.diff_id);
  EXPECT_EQ(fetched_bytes(), blob_size_bytes_);
  EXPECT_EQ(fetched_.size(), 1U) << "in one go";
}

TEST_F(DiffIdTest, ADamagedRecordIsAsGoodAsNone) {
  WriteAndOpen(OddTar(), {.chunk_size_bytes = 64 << 10});
  KeepGaps();
  Complete();
  ASSERT_TRUE(Compute().ok());
  const uint64_t usual = fetched_bytes();
  const uint64_t size_bytes = std::filesystem::file_size(gaps_path_);
  for (const uint64_t at : {size_bytes / 4, size_bytes / 2, size_bytes - 1}) {
    SCOPED_TRACE(at);
    std::fstream file(gaps_path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at));
    const char byte = static_cast<char>(file.get() ^ 0x55);
    file.seekp(static_cast<std::streamoff>(at));
    file.put(byte);
    file.close();
    const auto diff_id = Compute();
    ASSERT_TRUE(diff_id.ok()) << diff_id.status();
    EXPECT_EQ(*diff_id, written_.diff_id);
    EXPECT_GE(fetched_bytes(), usual);
  }
  EXPECT_GT(fetched_bytes(), usual);
}

TEST_F(DiffIdTest, TooMuchIsNotFetchedAgain) {
  EXPECT_EQ(MaxDiffIdFetchBytes(1000), 1U << 20);
  EXPECT_EQ(MaxDiffIdFetchBytes(uint64_t{1} << 30), 128U << 20);
  WriteAndOpen(TarBuilder().Add({.name = "large", .content = Noise(18 << 20, 1)}).Finish(),
               {.chunk_size_bytes = 1 << 20});
  Complete();
  EXPECT_EQ(Compute().status().code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(fetched_.empty());
}

TEST_F(DiffIdTest, OtherBytesBetweenTheFilesAreAnotherDiffId) {
  // The TOC says nothing of an owner's name.
  const auto tar = [](const std::string& user) {
    return TarBuilder()
        .Add({.name = "a", .content = Noise(5000, 1)})
        .Add({.name = "b", .content = "b", .user_name = user})
        .Finish();
  };
  WriteAndOpen(tar("one"), {.chunk_size_bytes = 64 << 10});
  const oci::Digest one = written_.diff_id;
  TearDown();
  WriteAndOpen(tar("two"), {.chunk_size_bytes = 64 << 10});
  KeepGaps();
  Complete();
  const auto diff_id = Compute();
  ASSERT_TRUE(diff_id.ok()) << diff_id.status();
  EXPECT_NE(*diff_id, one);
  EXPECT_EQ(*diff_id, written_.diff_id);
}

TEST_F(DiffIdTest, ALayerThatLosesChunksMeanwhileHasNone) {
  WriteAndOpen(OddTar(), {.chunk_size_bytes = 64 << 10});
  KeepGaps();
  Complete();
  const Gaps gaps = *Gaps::Open(RealFileSystem(), gaps_path_, layer_->chunks().members().size());
  const auto diff_id =
      ComputeDiffId({.stored = *stored_,
                     .table = layer_->chunks(),
                     .gaps = gaps,
                     .fetch =
                         [this](oci::BlobRange range) {
                           EXPECT_TRUE(layer_->Evict(LazyLayer::Evictable::kAll, 1).ok());
                           return reader_->ReadAndWait(range);
                         },
                     .is_stopped = [] { return false; }});
  EXPECT_EQ(diff_id.status().code(), StatusCode::kFailedPrecondition) << diff_id.status();
}

TEST_F(DiffIdTest, FailuresAreTold) {
  WriteAndOpen(OddTar(), {.chunk_size_bytes = 64 << 10});
  KeepGaps();
  Complete();
  EXPECT_EQ(Compute(true).status().code(), StatusCode::kCancelled);
  const Gaps gaps = *Gaps::Open(RealFileSystem(), gaps_path_, layer_->chunks().members().size());
  const struct {
    std::string_view name;
    StatusOr<Bytes> answer;
    StatusCode want;
  } cases[] = {
      {"the registry is away", MakeError(StatusCode::kUnavailable, "away"),
       StatusCode::kUnavailable},
      {"nothing", Bytes(), StatusCode::kDataLoss},
      {"nothing that is compressed", Bytes(100'000, std::byte{'x'}), StatusCode::kDataLoss},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto diff_id = ComputeDiffId({.stored = *stored_,
                                        .table = layer_->chunks(),
                                        .gaps = gaps,
                                        .fetch =
                                            [&c](oci::BlobRange range) {
                                              StatusOr<Bytes> answer = c.answer;
                                              if (answer.ok() && !answer->empty()) {
                                                answer->resize(range.size_bytes, std::byte{'x'});
                                              }
                                              return answer;
                                            },
                                        .is_stopped = [] { return false; }});
    EXPECT_EQ(diff_id.status().code(), c.want) << diff_id.status();
  }
}

}  // namespace
}  // namespace starling::layer
