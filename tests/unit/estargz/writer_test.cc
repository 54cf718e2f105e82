#include "estargz/writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "base/hex.h"
#include "estargz/decompress.h"
#include "estargz/footer.h"
#include "estargz/gzip_member.h"
#include "estargz/layer_tree.h"
#include "estargz/tar.h"
#include "estargz/toc.h"
#include "estargz/toc_writer.h"
#include "estargz/zstd_frame.h"
#include "tests/support/gzip.h"
#include "tests/support/tar_builder.h"

namespace starling::estargz {
namespace {

using testing_support::Gzip;
using testing_support::TarBuilder;
using testing_support::TarDialect;
using testing_support::TarFile;

struct Written {
  WrittenLayer layer;
  Bytes blob;
};

StatusOr<Written> Write(std::string_view input, const WriteOptions& options = {}) {
  SpanSource source(AsBytes(input));
  BytesSink sink;
  ASSIGN_OR_RETURN(const WrittenLayer layer, WriteLayer(source, sink, options));
  return Written{layer, std::move(sink.bytes())};
}

std::string Decompressed(ByteSpan blob) {
  SpanSource source(blob);
  DecompressedTar tar(source);
  const StatusOr<Bytes> bytes = ReadAll(tar, 1 << 30);
  EXPECT_TRUE(bytes.ok()) << Describe(bytes.status());
  return std::string(bytes.ok() ? AsText(*bytes) : "");
}

std::vector<std::string> NamesOf(std::string_view tar) {
  std::vector<std::string> names;
  SpanSource source(AsBytes(tar));
  TarReader reader(source);
  for (auto entry = reader.Next(); entry.ok() && *entry; entry = reader.Next()) {
    names.push_back((*entry)->name);
  }
  return names;
}

/// What our own reader makes of a blob.
struct ReadBack {
  LayerTree tree;
  FooterKind kind = FooterKind::kEstargz;
};

StatusOr<ReadBack> Open(const Written& written) {
  const ByteSpan blob = written.blob;
  ASSIGN_OR_RETURN(
      const Footer footer,
      ParseFooter(blob.last(std::min<size_t>(blob.size(), kMaxFooterBytes)), blob.size()));
  const ByteSpan stored = blob.subspan(footer.toc_offset, footer.toc_bytes);
  if (IsZstd(footer.kind) && oci::Digest::Of(stored) != written.layer.compressed_toc_digest) {
    return MakeError(StatusCode::kDataLoss, "the compressed TOC has another digest");
  }
  ASSIGN_OR_RETURN(const TocJson json, IsZstd(footer.kind)
                                           ? ExtractZstdToc(stored, footer.json_bytes)
                                           : ExtractToc(stored));
  if (json.digest != written.layer.toc_digest) {
    return MakeError(StatusCode::kDataLoss, "the TOC has another digest");
  }
  ASSIGN_OR_RETURN(Toc toc, Toc::Parse(json.json));
  ASSIGN_OR_RETURN(LayerTree tree, LayerTree::Build(std::move(toc), footer.payload_end));
  return ReadBack{std::move(tree), footer.kind};
}

/// Content of a regular file by its chunks, each checked against its digest.
std::string ContentOf(const ReadBack& layer, const Inode& inode, ByteSpan blob) {
  std::string content;
  GzipInflater inflater;
  ZstdDecoder decoder;
  for (uint32_t i = 0; i < inode.chunk_count; ++i) {
    const Chunk& chunk = layer.tree.chunks()[inode.first_chunk + i];
    Bytes bytes(chunk.size_bytes);
    EXPECT_EQ(chunk.file_offset, content.size());
    if (chunk.is_hole) {
      content.append(chunk.size_bytes, '\0');
      continue;
    }
    const ByteSpan member = blob.subspan(chunk.blob_offset, chunk.blob_size);
    if (IsZstd(layer.kind)) {
      Bytes room(chunk.inner_offset + chunk.size_bytes);
      EXPECT_TRUE(decoder.DecodePrefix(member, room.size(), room).ok());
      std::copy(room.end() - static_cast<ptrdiff_t>(bytes.size()), room.end(), bytes.begin());
    } else {
      EXPECT_TRUE(inflater.InflateRange(member, chunk.inner_offset, bytes).ok());
    }
    EXPECT_EQ(oci::Digest::Of(bytes), chunk.digest);
    content += AsText(bytes);
  }
  return content;
}

const Inode* Find(const LayerTree& tree, std::string_view path) {
  const Inode* inode = &tree.inodes()[LayerTree::kRoot];
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view component = path.substr(0, slash);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    const Inode* next = nullptr;
    for (const Child& child : inode->children) {
      if (child.name == component) {
        next = &tree.inodes()[child.inode];
      }
    }
    if (next == nullptr) {
      return nullptr;
    }
    inode = next;
  }
  return inode;
}

/// A layer of random files whose model is the list itself: names are unique, parents come first.
std::vector<TarFile> RandomFiles(std::mt19937& random) {
  const auto upto = [&random](uint32_t most) {
    return static_cast<uint32_t>(random() % (most + 1));
  };
  std::vector<TarFile> files;
  std::vector<std::string> directories{""};
  std::vector<std::string> regular;
  const uint32_t count = 1 + upto(60);
  for (uint32_t i = 0; i < count; ++i) {
    TarFile file{.mode = upto(07777),
                 .uid = upto(70000),
                 .gid = upto(3),
                 .modified_seconds = upto(2'000'000'000),
                 .user_name = upto(1) == 0 ? "" : "user"};
    const std::string stem = upto(9) == 0   ? std::string(110, 'n')
                             : upto(9) == 0 ? "\xff\x80"
                                            : "é\"\\";
    file.name =
        directories[upto(static_cast<uint32_t>(directories.size()) - 1)] + stem + std::to_string(i);
    if (upto(5) == 0) {
      file.pax.emplace_back("SCHILY.xattr.user.key",
                            std::string("\0\n\xff", 3) + std::to_string(i));
    }
    switch (upto(7)) {
      case 0:
        file.type = '5';
        file.name += '/';
        directories.push_back(file.name);
        break;
      case 1:
        file.type = '2';
        file.link_name = "../\xfe" + std::string(upto(150), 't');
        break;
      case 2:
        file.type = '3';
        file.device_major = 1 + upto(200);
        file.device_minor = upto(200000);
        break;
      case 3:
        if (!regular.empty()) {
          file.type = '1';
          file.link_name = regular[upto(static_cast<uint32_t>(regular.size()) - 1)];
          file.pax.clear();
          break;
        }
        [[fallthrough]];
      default:
        file.content.resize(upto(3) == 0 ? upto(40000) : upto(700));
        for (char& c : file.content) {
          c = static_cast<char>(random() % 7);
        }
        regular.push_back(file.name);
    }
    files.push_back(std::move(file));
  }
  return files;
}

std::string Tar(const std::vector<TarFile>& files, TarDialect dialect) {
  TarBuilder tar(dialect);
  for (const TarFile& file : files) {
    tar.Add(file);
  }
  return tar.Finish();
}

void ExpectSame(const TarFile& file, const ReadBack& layer, ByteSpan blob) {
  SCOPED_TRACE(file.name);
  std::string_view path = file.name;
  path.remove_suffix(path.ends_with('/') ? 1 : 0);
  const Inode* inode = Find(layer.tree, path);
  ASSERT_NE(inode, nullptr);
  if (file.type == '1') {
    EXPECT_EQ(inode, Find(layer.tree, file.link_name));
    return;
  }
  EXPECT_EQ(inode->mode & 07777, file.mode);
  EXPECT_EQ(inode->uid, file.uid);
  EXPECT_EQ(inode->gid, file.gid);
  EXPECT_EQ(inode->modified_seconds, file.modified_seconds);
  EXPECT_EQ(inode->symlink_target, file.link_name);
  EXPECT_EQ(inode->device_major, file.device_major);
  EXPECT_EQ(inode->device_minor, file.device_minor);
  EXPECT_EQ(inode->xattrs.size(), file.pax.size());
  for (const auto& xattr : inode->xattrs) {
    EXPECT_EQ(AsText(xattr.value), file.pax.front().second);
  }
  if (file.type == '0') {
    EXPECT_EQ(inode->size_bytes, file.content.size());
    EXPECT_EQ(ContentOf(layer, *inode, blob), file.content);
  }
}

/// The blob that one thread writes, once others have written the same and it was found to be what
/// is told of it.
StatusOr<Written> WriteByAnyNumberOfThreads(const std::string& tar, WriteOptions options) {
  options.threads = 1;
  StatusOr<Written> one = Write(tar, options);
  if (!one.ok()) {
    return one;
  }
  for (const size_t threads : {size_t{2}, size_t{5}}) {
    options.threads = threads;
    EXPECT_EQ(Write(tar, options)->blob, one->blob) << threads << " threads";
  }
  EXPECT_EQ(one->layer.size_bytes, one->blob.size());
  EXPECT_EQ(one->layer.digest, oci::Digest::Of(one->blob));
  const std::string whole = Decompressed(one->blob);
  EXPECT_EQ(one->layer.diff_id, oci::Digest::Of(AsBytes(whole)));
  EXPECT_EQ(one->layer.uncompressed_bytes, whole.size());
  return one;
}

TEST(WriteLayer, RandomLayersComeBackForAnyNumberOfThreads) {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const std::vector<TarFile> files = RandomFiles(random);
    const std::string tar = Tar(files, seed % 2 == 0 ? TarDialect::kUstar : TarDialect::kGnu);
    WriteOptions options{.chunk_size_bytes = 4096U << (seed % 3),
                         .shared_member_bytes = seed % 4 == 3 ? 20000U : 0U,
                         .threads = 1};
    const StatusOr<Written> one = WriteByAnyNumberOfThreads(tar, options);
    ASSERT_TRUE(one.ok()) << Describe(one.status());
    const std::string whole = Decompressed(one->blob);
    // The landmark's header and block, the input as it came, the TOC.
    EXPECT_EQ(whole.substr(1024, tar.size() - 1024), tar.substr(0, tar.size() - 1024));
    const std::vector<std::string> names = NamesOf(whole);
    EXPECT_EQ(names.size(), files.size() + 2);
    EXPECT_EQ(names.front(), kNoPrefetchLandmark);
    EXPECT_EQ(names.back(), kTocName);

    const StatusOr<ReadBack> layer = Open(*one);
    ASSERT_TRUE(layer.ok()) << Describe(layer.status());
    EXPECT_TRUE(layer->tree.no_prefetch());
    for (const TarFile& file : files) {
      ExpectSame(file, *layer, one->blob);
    }
  }
}

TEST(WriteLayer, RandomLayersComeBackFromZstd) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const bool containers = seed % 2 == 0;
    const std::vector<TarFile> files = RandomFiles(random);
    const std::string tar = Tar(files, seed % 4 < 2 ? TarDialect::kUstar : TarDialect::kGnu);
    WriteOptions options{
        .format = containers ? WriteFormat::kContainersZstd : WriteFormat::kStargzZstd,
        .chunk_size_bytes = 4096U << (seed % 3),
        .shared_member_bytes = !containers && seed % 8 > 5 ? 20000U : 0U,
        .threads = 1};
    const StatusOr<Written> one = WriteByAnyNumberOfThreads(tar, options);
    ASSERT_TRUE(one.ok()) << Describe(one.status());
    const std::string whole = Decompressed(one->blob);
    const size_t landmark_bytes = containers ? 0 : 1024;
    EXPECT_EQ(whole.substr(landmark_bytes), tar) << "the tar stays as it was, its end included";

    const StatusOr<ReadBack> layer = Open(*one);
    ASSERT_TRUE(layer.ok()) << Describe(layer.status());
    EXPECT_EQ(layer->kind,
              containers ? FooterKind::kZstdChunkedTarSplit : FooterKind::kZstdChunked);
    EXPECT_EQ(layer->tree.no_prefetch(), !containers);
    for (const TarFile& file : files) {
      ExpectSame(file, *layer, one->blob);
    }
  }
}

/// The tar that a tar-split makes of the layer's own files.
std::string Reassembled(const Written& written, const ReadBack& layer) {
  const FramedPart& part = written.layer.tar_split;
  Bytes lines(part.decompressed_bytes);
  EXPECT_TRUE(
      ZstdDecoder()
          .DecodeAll(ByteSpan(written.blob).subspan(part.blob_offset, part.stored_bytes), lines)
          .ok());
  std::string tar;
  std::istringstream text{std::string(AsText(lines))};
  for (std::string line; std::getline(text, line);) {
    const nlohmann::json entry = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (entry.value("type", 0) == 2) {
      tar += AsText(Base64Decode(entry.value("payload", "")).value_or(Bytes()));
    } else if (entry.value("size", 0) > 0) {
      tar += ContentOf(layer, *Find(layer.tree, CleanName(entry.value("name", ""))), written.blob);
    }
  }
  return tar;
}

TEST(WriteLayer, TheTarSplitMakesTheTarAgain) {
  TarBuilder tar;
  tar.Add({.name = "./", .type = '5', .mode = 0755});
  tar.Add({.name = "./a", .content = std::string(10'000, 'a') + std::string(9'000, '\0')});
  tar.Add({.name = "./empty"}).Add({.name = "./link", .type = '2', .link_name = "a"});
  tar.Add({.name = "./b", .content = std::string(512, 'b'), .pax = {{"mtime", "7.25"}}});
  const std::string input = tar.Finish() + std::string(8192, '\0');
  const StatusOr<Written> written = Write(
      input, {.format = WriteFormat::kContainersZstd, .chunk_size_bytes = 4096, .threads = 3});
  ASSERT_TRUE(written.ok()) << Describe(written.status());
  const StatusOr<ReadBack> layer = Open(*written);
  ASSERT_TRUE(layer.ok()) << Describe(layer.status());
  ASSERT_GT(written->layer.tar_split.stored_bytes, 0U);
  const std::string whole = Decompressed(written->blob);
  EXPECT_EQ(Reassembled(*written, *layer), whole);
  EXPECT_EQ(whole, input);
  const Inode& file = *Find(layer->tree, "a");
  ASSERT_EQ(file.chunk_count, 5U);
  EXPECT_FALSE(layer->tree.chunks()[file.first_chunk + 2].is_hole) << "the half is no hole";
  EXPECT_TRUE(layer->tree.chunks()[file.first_chunk + 3].is_hole);
}

TEST(WriteLayer, TheDiffIdStaysForContainersWhereTheTarEndsInZeros) {
  TarBuilder tar;
  tar.Add({.name = "a", .content = std::string(700, 'a')}).Add({.name = "b"});
  struct Case {
    const char* name;
    std::string end;
    bool stays;
    std::vector<std::string> prioritized = {};
  };
  const Case cases[] = {
      {"two blocks", std::string(1024, '\0'), true},
      {"as GNU tar pads it", std::string(10240 - 512 - 3 * 512, '\0'), true},
      {"a megabyte", std::string(1 << 20, '\0'), true},
      {"more than that", std::string((1 << 20) + 512, '\0'), false},
      {"no end", "", false},
      {"one block", std::string(512, '\0'), false},
      {"something behind the end", std::string(4096, '\0') + "x", false},
      {"another order", std::string(1024, '\0'), false, {"b"}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const std::string input = tar.Unfinished() + c.end;
    const StatusOr<Written> written =
        Write(input, {.format = WriteFormat::kContainersZstd, .prioritized_files = c.prioritized});
    ASSERT_TRUE(written.ok()) << Describe(written.status());
    EXPECT_EQ(written->layer.diff_id == oci::Digest::Of(AsBytes(input)), c.stays);
    if (c.prioritized.empty()) {
      EXPECT_EQ(Decompressed(written->blob), c.stays ? input : tar.Finish());
    }
  }
}

TEST(WriteLayer, ContentHasFramesOfItsOwnForContainers) {
  TarBuilder tar;
  tar.Add({.name = "a", .content = std::string(700, 'a')}).Add({.name = "b", .content = "b"});
  const StatusOr<Written> written = Write(tar.Finish(), {.format = WriteFormat::kContainersZstd});
  ASSERT_TRUE(written.ok());
  std::vector<std::string> frames;
  for (ByteSpan left = ByteSpan(written->blob).first(written->layer.toc.blob_offset - 8);
       !left.empty();) {
    const size_t size = ZSTD_findFrameCompressedSize(left.data(), left.size());
    ASSERT_FALSE(ZSTD_isError(size));
    Bytes out(ZSTD_getFrameContentSize(left.data(), left.size()));
    ASSERT_TRUE(ZstdDecoder().DecodeAll(left.first(size), out).ok());
    frames.emplace_back(AsText(out));
    left = left.subspan(size);
  }
  ASSERT_EQ(frames.size(), 5U);
  EXPECT_EQ(frames[0].size(), 512U);
  EXPECT_EQ(frames[1], std::string(700, 'a'));
  EXPECT_EQ(frames[2].size(), 324U + 512U) << "padding and the next header";
  EXPECT_EQ(frames[3], "b");
  EXPECT_EQ(frames[4], std::string(511 + 1024, '\0'));
}

TEST(WriteLayer, LeavesTheTarSplitOutWhereItsReadersWouldRefuseIt) {
  const struct {
    std::string_view name;
    std::string tar;
    bool want;
  } cases[] = {
      {"a plain tar", TarBuilder().Add({.name = "f"}).Finish(), true},
      {"a name twice", TarBuilder().Add({.name = "f"}).Add({.name = "./f"}).Finish(), false},
      {"a name that is no UTF-8", TarBuilder().Add({.name = "\xff"}).Finish(), false},
      {"a global header", TarBuilder().AddPax('g', {{"comment", "c"}}).Add({.name = "f"}).Finish(),
       false},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const StatusOr<Written> written = Write(c.tar, {.format = WriteFormat::kContainersZstd});
    ASSERT_TRUE(written.ok()) << Describe(written.status());
    EXPECT_EQ(written->layer.tar_split != FramedPart(), c.want);
    EXPECT_EQ(Decompressed(written->blob), c.tar);
    EXPECT_TRUE(Open(*written).ok());
  }
}

TEST(WriteLayer, MembersStartAtChunksAndTheToc) {
  TarBuilder tar;
  tar.Add({.name = "a", .content = std::string(10000, 'a')});
  tar.Add({.name = "empty"}).Add({.name = "b", .content = "b"});
  const StatusOr<Written> written = Write(tar.Finish(), {.chunk_size_bytes = 4096});
  ASSERT_TRUE(written.ok());
  std::vector<std::string> members;
  ByteSpan left = written->blob;
  GzipInflater inflater;
  for (Bytes out(1 << 20); !left.empty();) {
    const StatusOr<InflatedMember> member = inflater.InflateMember(left, out);
    ASSERT_TRUE(member.ok()) << Describe(member.status());
    members.emplace_back(AsText(out).substr(0, member->decompressed_bytes));
    left = left.subspan(member->compressed_bytes);
  }
  ASSERT_EQ(members.size(), 8U);
  EXPECT_EQ(members[0].size(), 512U) << "the landmark's header";
  EXPECT_EQ(members[1].substr(0, 2), std::string_view("\x0f\0", 2));
  EXPECT_EQ(members[1].size(), 1024U) << "the landmark, padded, and the next header";
  EXPECT_EQ(members[2], std::string(4096, 'a'));
  EXPECT_EQ(members[3], std::string(4096, 'a'));
  EXPECT_EQ(members[4].size(), 10000 - 8192 + 240 + 2 * 512U);
  EXPECT_EQ(members[5].size(), 512U);
  EXPECT_TRUE(members[6].starts_with(kTocName));
  EXPECT_TRUE(members[6].ends_with(std::string(1024, '\0'))) << "the end of the archive";
  EXPECT_EQ(members[7], "") << "the footer";
}

TEST(WriteLayer, StoresIncompressibleChunksForAnyNumberOfThreads) {
  std::mt19937_64 random(7);
  std::string noise((3 << 20) + 12345, '\0');
  for (char& c : noise) {
    c = static_cast<char>(random());
  }
  const std::string text = noise.substr(0, 40000) + std::string(2 << 20, 't');
  TarBuilder tar;
  tar.Add({.name = "before", .content = "b"}).Add({.name = "noise", .content = noise});
  tar.Add({.name = "text", .content = text}).Add({.name = "noise2", .content = noise});
  const std::string input = tar.Finish();
  for (const uint64_t shared_member_bytes : {0, 1 << 20}) {
    SCOPED_TRACE(shared_member_bytes);
    WriteOptions options{
        .chunk_size_bytes = 1 << 20, .shared_member_bytes = shared_member_bytes, .threads = 1};
    const StatusOr<Written> one = Write(input, options);
    ASSERT_TRUE(one.ok()) << Describe(one.status());
    for (const size_t threads : {size_t{2}, size_t{7}}) {
      options.threads = threads;
      EXPECT_EQ(Write(input, options)->blob, one->blob) << threads << " threads";
    }
    EXPECT_NE(AsText(one->blob).find(noise.substr(1000, 60)), std::string_view::npos)
        << "content stands in the blob as it is";
    EXPECT_EQ(AsText(one->blob).find(std::string(60, 't')), std::string_view::npos);
    const StatusOr<ReadBack> layer = Open(*one);
    ASSERT_TRUE(layer.ok()) << Describe(layer.status());
    EXPECT_EQ(ContentOf(*layer, *Find(layer->tree, "noise"), one->blob), noise);
    EXPECT_EQ(ContentOf(*layer, *Find(layer->tree, "text"), one->blob), text);
    EXPECT_EQ(ContentOf(*layer, *Find(layer->tree, "noise2"), one->blob), noise);
  }
}

TEST(WriteLayer, SharedMembersAreSmallerAndStayWithinTheirSize) {
  TarBuilder tar;
  std::vector<std::string> contents;
  for (int i = 0; i < 300; ++i) {
    contents.push_back(fmt::format("def function_{}(argument):\n    return argument + {}\n", i, i));
    tar.Add({.name = fmt::format("f{}", i), .content = contents.back()});
  }
  const std::string input = tar.Finish();
  const StatusOr<Written> alone = Write(input);
  ASSERT_TRUE(alone.ok());
  for (const uint64_t shared_member_bytes : {4096, 65536}) {
    SCOPED_TRACE(shared_member_bytes);
    const StatusOr<Written> shared = Write(input, {.shared_member_bytes = shared_member_bytes});
    ASSERT_TRUE(shared.ok());
    EXPECT_LT(shared->blob.size(), alone->blob.size() * 3 / 4);
    const StatusOr<ReadBack> layer = Open(*shared);
    ASSERT_TRUE(layer.ok()) << Describe(layer.status());
    for (size_t i = 0; i < contents.size(); ++i) {
      const Inode& file = *Find(layer->tree, fmt::format("f{}", i));
      const Chunk& chunk = layer->tree.chunks()[file.first_chunk];
      EXPECT_LE(chunk.inner_offset + chunk.size_bytes, shared_member_bytes);
      EXPECT_EQ(ContentOf(*layer, file, shared->blob), contents[i]);
    }
  }
}

TEST(WriteLayer, TheTocIsCompressedWellAtAnyLevel) {
  TarBuilder tar;
  for (int i = 0; i < 500; ++i) {
    tar.Add({.name = fmt::format("usr/lib/python3/f{}.py", i), .content = std::to_string(i)});
  }
  const StatusOr<Written> written = Write(tar.Finish(), {.compression_level = 1});
  ASSERT_TRUE(written.ok());
  const ByteSpan blob = written->blob;
  const StatusOr<Footer> footer = ParseFooter(blob.last(kMaxFooterBytes), blob.size());
  ASSERT_TRUE(footer.ok());
  const ByteSpan toc = blob.subspan(footer->toc_offset, blob.size() - 51 - footer->toc_offset);
  const StatusOr<Bytes> tocs_tar = GzipInflater().InflateAll(toc, 1 << 20);
  ASSERT_TRUE(tocs_tar.ok());
  EXPECT_LE(toc.size(), Gzip(AsText(*tocs_tar), 9).size());
}

TEST(WriteLayer, ReadsEveryCompression) {
  const std::string tar = TarBuilder().Add({.name = "f", .content = "hello"}).Finish();
  const StatusOr<Written> plain = Write(tar);
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(Write(Gzip(tar))->blob, plain->blob);
  EXPECT_EQ(Write(Gzip(tar.substr(0, 700)) + Gzip(tar.substr(700)))->blob, plain->blob);
  EXPECT_EQ(Write(AsText(plain->blob))->blob, plain->blob) << "an eStargz is made anew";
}

TEST(WriteLayer, DropsFormerLandmarksAndTocInTheRootOnly) {
  TarBuilder tar;
  tar.Add({.name = "./.prefetch.landmark", .content = "x"});
  tar.Add({.name = ".no.prefetch.landmark", .content = "x"});
  tar.Add({.name = "/stargz.index.json", .content = "{}"});
  tar.Add({.name = "sub/stargz.index.json", .content = "{}"});
  EXPECT_EQ(NamesOf(Decompressed(Write(tar.Finish())->blob)),
            (std::vector<std::string>{".no.prefetch.landmark", "sub/stargz.index.json",
                                      "stargz.index.json"}));
}

TEST(WriteLayer, PutsPrioritizedFilesFirst) {
  TarBuilder tar;
  tar.AddPax('g', {{"comment", "c"}});
  tar.Add({.name = "z", .content = "z"});
  tar.Add({.name = "d/", .type = '5'}).Add({.name = "d/e/", .type = '5'});
  tar.Add({.name = "d/target", .content = "old"});
  tar.Add({.name = "d/target", .content = "target"});
  tar.Add({.name = "d/e/link", .type = '1', .link_name = "d/target"});
  tar.Add({.name = "loop1", .type = '1', .link_name = "loop1"});
  const WriteOptions options{.prioritized_files = {"/d/e/link", "not/here", "./z"}};
  const StatusOr<Written> written = Write(tar.Finish(), options);
  ASSERT_TRUE(written.ok()) << Describe(written.status());
  EXPECT_EQ(NamesOf(Decompressed(written->blob)),
            (std::vector<std::string>{"", "d/", "d/target", "d/e/", "d/e/link", "z",
                                      ".prefetch.landmark", "loop1", "stargz.index.json"}));

  tar = TarBuilder();
  tar.Add({.name = "cold", .content = "cold"}).Add({.name = "hot", .content = "hot"});
  const StatusOr<Written> small =
      Write(tar.Finish(), {.shared_member_bytes = 1 << 20, .prioritized_files = {"hot"}});
  ASSERT_TRUE(small.ok());
  const StatusOr<ReadBack> layer = Open(*small);
  ASSERT_TRUE(layer.ok()) << Describe(layer.status());
  ASSERT_TRUE(layer->tree.prefetch_end().has_value());
  const uint64_t end = *layer->tree.prefetch_end();
  EXPECT_LT(layer->tree.chunks()[Find(layer->tree, "hot")->first_chunk].blob_offset, end);
  EXPECT_GT(layer->tree.chunks()[Find(layer->tree, "cold")->first_chunk].blob_offset, end)
      << "the landmark shares its member with nobody";
}

TEST(WriteLayer, CutsFilesAsTheyAreNamed) {
  const std::string content(100'000, 'c');
  TarBuilder tar;
  tar.Add({.name = "./d/small", .content = content}).Add({.name = "large", .content = content});
  for (const WriteFormat format :
       {WriteFormat::kEstargz, WriteFormat::kStargzZstd, WriteFormat::kContainersZstd}) {
    const StatusOr<Written> written = Write(
        tar.Finish(),
        {.format = format, .chunk_size_bytes_of = {{"/d/small", 30'000}, {"not/here", 4096}}});
    ASSERT_TRUE(written.ok()) << Describe(written.status());
    const StatusOr<ReadBack> layer = Open(*written);
    ASSERT_TRUE(layer.ok()) << Describe(layer.status());
    EXPECT_EQ(Find(layer->tree, "d/small")->chunk_count, 4U);
    EXPECT_EQ(Find(layer->tree, "large")->chunk_count, 1U);
    EXPECT_EQ(ContentOf(*layer, *Find(layer->tree, "d/small"), written->blob), content);
  }
  EXPECT_EQ(Write(tar.Finish(), {.chunk_size_bytes_of = {{"large", 100}}}).status().code(),
            StatusCode::kInvalidArgument);
}

TEST(WriteLayer, RefusesToReorderWhatGlobalHeadersDescribe) {
  TarBuilder tar;
  tar.AddPax('g', {{"uid", "7"}}).Add({.name = "f"});
  EXPECT_TRUE(Write(tar.Finish()).ok());
  EXPECT_EQ(Write(tar.Finish(), {.prioritized_files = {"f"}}).status().code(),
            StatusCode::kUnimplemented);
}

TEST(WriteLayer, ManyEntriesWithoutContentDoNotGrowAMember) {
  TarBuilder tar;
  for (int i = 0; i < 5000; ++i) {
    tar.Add({.name = fmt::format("d{}/", i), .type = '5'});
  }
  tar.Add({.name = "last", .content = "x"});
  const StatusOr<Written> written = Write(tar.Finish());
  ASSERT_TRUE(written.ok());
  EXPECT_EQ(NamesOf(Decompressed(written->blob)).size(), 5003U);
  const StatusOr<ReadBack> layer = Open(*written);
  ASSERT_TRUE(layer.ok()) << Describe(layer.status());
  EXPECT_EQ(ContentOf(*layer, *Find(layer->tree, "last"), written->blob), "x");
}

TEST(WriteLayer, RefusesBadInput) {
  const std::string tar = TarBuilder().Add({.name = "f", .content = "hello"}).Finish();
  TarBuilder many_xattrs;
  TarFile file{.name = "f"};
  for (int i = 0; i < 300; ++i) {
    file.pax.emplace_back(fmt::format("SCHILY.xattr.user.{}", i), "v");
  }
  const struct {
    std::string_view name;
    std::string input;
    WriteOptions options;
    StatusCode want;
  } cases[] = {
      {"truncated tar", tar.substr(0, 600), {}, StatusCode::kDataLoss},
      {"truncated gzip", Gzip(tar).substr(0, 60), {}, StatusCode::kDataLoss},
      {"no tar", std::string(2000, 'x'), {}, StatusCode::kDataLoss},
      {"root is a file", TarBuilder().Add({.name = "./"}).Finish(), {}, StatusCode::kDataLoss},
      {"component too long",
       TarBuilder().Add({.name = std::string(256, 'c')}).Finish(),
       {},
       StatusCode::kResourceExhausted},
      {"too many xattrs", TarBuilder().Add(file).Finish(), {}, StatusCode::kResourceExhausted},
      {"level", tar, {.compression_level = 13}, StatusCode::kInvalidArgument},
      {"level of zstd",
       tar,
       {.format = WriteFormat::kStargzZstd, .compression_level = 20},
       StatusCode::kInvalidArgument},
      {"shared for containers",
       tar,
       {.format = WriteFormat::kContainersZstd, .shared_member_bytes = 1},
       StatusCode::kInvalidArgument},
      {"threads", tar, {.threads = 0}, StatusCode::kInvalidArgument},
      {"chunk", tar, {.chunk_size_bytes = 100}, StatusCode::kInvalidArgument},
      {"shared", tar, {.shared_member_bytes = (4 << 20) + 1}, StatusCode::kInvalidArgument},
      {"no spool",
       tar,
       {.prioritized_files = {"f"}, .spool_directory = "/nonexistent"},
       StatusCode::kNotFound},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(Write(c.input, c.options).status().code(), c.want);
  }
}

TEST(WriteLayer, PassesOnWhatTheSinkSays) {
  class FullSink : public ByteSink {
   public:
    Status Write(ByteSpan) override {
      return MakeError(StatusCode::kResourceExhausted, "disk full");
    }
  };
  const std::string tar = TarBuilder().Add({.name = "f", .content = "hello"}).Finish();
  SpanSource source(AsBytes(tar));
  FullSink sink;
  EXPECT_EQ(WriteLayer(source, sink, {}).status().code(), StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace starling::estargz
