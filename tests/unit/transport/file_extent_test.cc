#include "transport/file_extent.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <map>

#include "base/temp_dir.h"

namespace starling::transport {
namespace {

class FileExtentTest : public ::testing::Test {
 protected:
  FileExtent Write(std::string_view content) {
    const auto path = dir_.path() / "file";
    std::ofstream(path, std::ios::binary) << content;
    return *OpenFileExtent(path);
  }
  TempDir dir_ = *TempDir::Make(std::filesystem::temp_directory_path(), "extent-");
};

/// Knows one blob, whatever its digest should be.
class OneBlobSource : public ExtentSource {
 public:
  OneBlobSource(FileExtent extent, const oci::Digest& digest)
      : extent_(std::move(extent)), digest_(digest) {}
  std::string Name() const override { return "one"; }
  StatusOr<oci::RawManifest> ReadTopManifest() override {
    return ReadManifest({.digest = digest_});
  }

 protected:
  StatusOr<FileExtent> Find(const oci::Digest& digest) override {
    if (digest != digest_) {
      return MakeError(StatusCode::kNotFound, "no such blob");
    }
    return extent_;
  }

 private:
  FileExtent extent_;
  oci::Digest digest_;
};

TEST_F(FileExtentTest, StreamsItsPartOnly) {
  FileExtent extent = Write("0123456789");
  extent.file_offset = 2;
  extent.size_bytes = 5;
  ExtentStream stream(extent);
  EXPECT_EQ(AsText(*ReadAll(stream, 100)), "23456");
  EXPECT_EQ(AsText(*ReadExtent(extent, 5)), "23456");
  EXPECT_EQ(ReadExtent(extent, 4).status().code(), StatusCode::kResourceExhausted);
}

TEST_F(FileExtentTest, RefusesWhatIsNoRegularFile) {
  const auto pipe = dir_.path() / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(OpenFileExtent(pipe).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(OpenFileExtent(dir_.path()).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(OpenFileExtent(dir_.path() / "none").status().code(), StatusCode::kNotFound);
}

TEST_F(FileExtentTest, ReadsAtRandomWithinTheExtent) {
  FileExtent extent = Write("0123456789");
  extent.file_offset = 2;
  extent.size_bytes = 5;
  const oci::Digest digest = oci::Digest::Of(AsBytes("23456"));
  OneBlobSource source(extent, digest);
  const auto opened = source.OpenBlob({.digest = digest}, 3);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(AsText(opened->tail), "456");
  EXPECT_EQ(opened->reader->SizeBytes(), 5U);
  EXPECT_EQ(AsText(*opened->reader->ReadAndWait({.blob_offset = 1, .size_bytes = 2})), "34");
  EXPECT_EQ(AsText(source.OpenBlob({.digest = digest}, 100)->tail), "23456");
  for (const oci::BlobRange range :
       {oci::BlobRange{4, 2}, oci::BlobRange{6, 0}, oci::BlobRange{~uint64_t{0}, 2},
        oci::BlobRange{1, ~uint64_t{0}}}) {
    EXPECT_EQ(opened->reader->ReadAndWait(range).status().code(), StatusCode::kOutOfRange);
  }
}

TEST_F(FileExtentTest, ReadsABlobFromAnOffset) {
  OneBlobSource source(Write("0123456789"), oci::Digest::Of(AsBytes("0123456789")));
  const oci::Descriptor blob{.digest = oci::Digest::Of(AsBytes("0123456789")), .size_bytes = 10};
  for (const uint64_t offset : {0, 4, 10}) {
    BytesSink sink;
    ASSERT_TRUE(source.ReadBlobFrom(blob, offset, sink).ok());
    EXPECT_EQ(AsText(sink.bytes()), std::string_view("0123456789").substr(offset));
  }
}

TEST_F(FileExtentTest, ChecksSizeAndDigest) {
  const FileExtent extent = Write("abc");
  const oci::Digest right = oci::Digest::Of(AsBytes("abc"));
  const oci::Digest wrong = oci::Digest::Of(AsBytes("abd"));
  const struct {
    std::string_view name;
    oci::Digest digest;
    uint64_t size_bytes;
    StatusCode want;
  } cases[] = {
      {"as described", right, 3, StatusCode::kOk},
      {"size unknown", right, 0, StatusCode::kOk},
      {"other size", right, 4, StatusCode::kDataLoss},
      {"other content", wrong, 3, StatusCode::kDataLoss},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    OneBlobSource source(extent, c.digest);
    const oci::Descriptor blob{.digest = c.digest, .size_bytes = c.size_bytes};
    BytesSink sink;
    EXPECT_EQ(source.ReadBlob(blob, sink).code(), c.want);
    EXPECT_EQ(source.ReadManifest(blob).status().code(), c.want);
  }
  OneBlobSource source(extent, right);
  EXPECT_EQ(source.BlobAt({.digest = wrong}).status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace starling::transport
