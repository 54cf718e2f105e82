// Layers as the kernel shows them.
#include "mount/layer_host.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <future>
#include <sstream>
#include <thread>

#include "base/temp_dir.h"
#include "estargz/gzip_layer_index.h"
#include "layer/cache.h"
#include "layer/gzip_index_store.h"
#include "layer/profile_store.h"
#include "layer/status.h"
#include "oci/manifest.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/file_tree.h"
#include "tests/support/gunzip.h"
#include "tests/support/gzip.h"
#include "tests/support/lazy_image.h"
#include "tests/support/private_mounts.h"

namespace starling::mount {
namespace {

using testing_support::LazyImage;
using testing_support::LazyLayerBlob;
using testing_support::ReadWhole;
using testing_support::Shell;
using testing_support::TreeComparison;

/// Everything that a layer can hold; $1 is an empty directory.
constexpr std::string_view kMakeTree = R"sh(
  cd "$TREE"
  umask 022
  mkdir -p d/e many usr/bin
  printf 'hello' > d/hello
  ln d/hello d/hard
  ln d/hello usr/bin/hard
  ln -s ../d/hello d/e/link
  ln -s "$(printf 'x%.0s' $(seq 300))" d/long-link
  head -c 3000000 /dev/urandom > big
  seq 100000 > text
  : > empty
  mknod null c 1 3
  mknod block b 7 200
  mkfifo pipe
  cp /bin/true usr/bin/suid; chown 12:34 usr/bin/suid; chmod 6755 usr/bin/suid
  mkdir sticky; chmod 1777 sticky; chown 65534:65534 sticky
  for i in $(seq 700); do printf "$i" > "many/file-with-a-name-of-some-length-$i"; done
  mkdir -p "$(printf 'n%.0s' $(seq 255))"
  touch -h -d @1234567890 d/hello d/e/link d big many null
  touch -d @0 empty
)sh";

/// Opening a layer brings its last 256 KiB: of this one the file's beginning is not among them.
constexpr std::string_view kLargerThanItsTail = "head -c 600000 /dev/urandom > $TREE/f";

class LayerHostFixture : public testing_support::PrivateMountsFixture {
 protected:
  virtual DataPlane Plane() const = 0;
  void SetUp() override {
    if (Plane() == DataPlane::kErofs && !testing_support::KernelKnowsFileSystem("erofs")) {
      GTEST_SKIP() << "this kernel has no erofs";
    }
    auto directory = TempDir::Make("/tmp", "layer-host-");
    ASSERT_TRUE(directory.ok()) << directory.status();
    directory_.emplace(*std::move(directory));
    StartHost();
  }
  void TearDown() override {
    host_.reset();
    // Below our own directory: other servers of this machine are none of ours.
    EXPECT_EQ(ReadWhole("/proc/self/mounts").find(directory_->path().native()), std::string::npos)
        << "something is still mounted";
  }

  std::filesystem::path Path(const std::string& name) const { return directory_->path() / name; }
  StatusOr<std::unique_ptr<LayerHost>> MakeHost(DataPlane plane, ErofsProbe probe = ProbeErofs) {
    return LayerHost::Start({.root = Path("host"),
                             .max_store_bytes = max_store_bytes_,
                             .checkpoint_bytes = checkpoint_bytes_,
                             .fetch = fetch_,
                             .data_plane = plane,
                             .mount_grace = mount_grace_,
                             .merge_from_layers = 2},
                            HostDependencies(std::move(probe)));
  }
  LayerHost::Dependencies HostDependencies(ErofsProbe probe = ProbeErofs) {
    return {.sources = [image = image_](const std::string&)
                -> StatusOr<std::shared_ptr<oci::ImageSource>> { return image; },
            .files = *files_,
            .probe = std::move(probe),
            .find_gzip_indexes = find_gzip_indexes_};
  }
  void StartHost() {
    auto host = MakeHost(Plane());
    ASSERT_TRUE(host.ok()) << host.status();
    host_ = *std::move(host);
  }
  void AdoptHost(Handover handover) {
    auto host = LayerHost::Adopt({.root = Path("host"),
                                  .max_store_bytes = max_store_bytes_,
                                  .mount_grace = mount_grace_,
                                  .merge_from_layers = 2},
                                 HostDependencies(), std::move(handover));
    ASSERT_TRUE(host.ok()) << host.status();
    host_ = *std::move(host);
  }
  /// The kernel's list of them, in which each mount has a number of its own.
  std::string MountsOfHost() const {
    std::istringstream lines(ReadWhole("/proc/self/mountinfo"));
    std::string mounts;
    for (std::string line; std::getline(lines, line);) {
      mounts += line.find(Path("host").native()) == std::string::npos ? "" : line + "\n";
    }
    return mounts;
  }
  /// Runs `script` with $TREE an empty directory, unpacks its tar to `name` and makes a layer of
  /// it.
  LazyLayerBlob MakeLayer(const std::string& name, std::string_view script,
                          uint64_t chunk_size_bytes = 64 << 10) {
    const auto made = Path(name + ".made");
    const auto tar = Path(name + ".tar");
    std::filesystem::create_directories(made);
    std::filesystem::create_directories(Path(name));
    Shell(fmt::format("TREE={}; {}", made.native(), script));
    Shell(
        fmt::format("tar --xattrs --xattrs-include='*' -C {} -cf {} . && "
                    "tar --xattrs --xattrs-include='*' -C {} --same-owner -xpf {}",
                    made.native(), tar.native(), Path(name).native(), tar.native()));
    auto layer = testing_support::MakeLazyLayer(ReadWhole(tar), chunk_size_bytes);
    EXPECT_TRUE(layer.ok()) << layer.status();
    return layer.ok() ? *std::move(layer) : LazyLayerBlob{};
  }
  /// The same as an ordinary gzip layer.
  LazyLayerBlob MakePlainLayer(const std::string& name, std::string_view script) {
    MakeLayer(name, script);
    const std::string zipped = testing_support::Gzip(ReadWhole(Path(name + ".tar")));
    const oci::Digest digest = oci::Digest::Of(AsBytes(zipped));
    return {.blob = ToBytes(zipped), .digest = digest, .toc = digest};
  }
  /// A layer's directory in the host's store.
  std::filesystem::path Stored(const LazyLayerBlob& layer) const {
    return Path("host/store") / (layer.digest.Hex() + "." + layer.toc.Hex());
  }
  static LayerSpec SpecOf(const LazyLayerBlob& layer, Reader reader = Reader::kContainer) {
    return {.image = "image",
            .layer = layer.digest,
            .toc = layer.toc,
            .size_bytes = layer.blob.size(),
            .reader = reader};
  }
  /// A host that fetches all of its layers when nothing else is to be done.
  void StartCompletingHost() {
    host_.reset();
    fetch_.background = true;
    StartHost();
  }
  std::filesystem::path MountLayer(uint64_t number, const LazyLayerBlob& layer) {
    const auto mounted = host_->Mount(number, SpecOf(layer));
    EXPECT_TRUE(mounted.ok()) << mounted.status();
    return mounted.ok() ? mounted->path : std::filesystem::path();
  }
  /// Until `blob` has been asked more than `before` times.
  static bool WaitForRequest(const testing_support::MemoryBlob& blob, size_t before = 0) {
    return WaitUntil([&] { return blob.requests() > before; });
  }
  static bool WaitUntil(const std::function<bool()>& is_so) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!is_so()) {
      if (std::chrono::steady_clock::now() > deadline) {
        return false;
      }
      std::this_thread::yield();
    }
    return true;
  }
  static int ReadError(const std::filesystem::path& path) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) {
      return errno;
    }
    std::string buffer(1 << 20, '\0');
    ssize_t size = 0;
    while ((size = ::read(fd.get(), buffer.data(), buffer.size())) > 0) {
    }
    return size < 0 ? errno : 0;
  }

  std::optional<TempDir> directory_;
  std::function<StatusOr<std::vector<estargz::GzipLayerIndex>>(const LayerSpec&)>
      find_gzip_indexes_;
  FetchPolicy fetch_{.keep_gzip_indexes = true};  // of hosts that are made from now on
  uint64_t max_store_bytes_ = 0;
  uint64_t checkpoint_bytes_ = 256 << 20;
  std::chrono::milliseconds mount_grace_{0};
  FileSystem* files_ = &RealFileSystem();  // of hosts that are made from now on
  std::shared_ptr<LazyImage> image_ = std::make_shared<LazyImage>();
  std::unique_ptr<LayerHost> host_;
};

/// What must be so however layers are shown.
class LayerHostTest : public LayerHostFixture, public testing::WithParamInterface<DataPlane> {
 protected:
  DataPlane Plane() const override { return GetParam(); }
  /// Where a layer appears below the host's root; `fuse` is l or x.
  std::filesystem::path Shown(const std::string& fuse, uint64_t number) const {
    const std::string directory = GetParam() == DataPlane::kErofs ? "e" : fuse;
    return Path("host") / directory / std::to_string(number);
  }
  /// What the files of the store take of the disk.
  uint64_t StoreBytes() const {
    uint64_t bytes = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(Path("host/store"))) {
      struct stat status{};
      if (::stat(entry.path().c_str(), &status) == 0) {
        bytes += static_cast<uint64_t>(status.st_blocks) * 512;
      }
    }
    return bytes;
  }
};

const auto kBothPlanes = testing::Values(DataPlane::kTree, DataPlane::kErofs);

std::string NameOfPlane(const testing::TestParamInfo<DataPlane>& plane) {
  return plane.param == DataPlane::kTree ? "Tree" : "Erofs";
}

INSTANTIATE_TEST_SUITE_P(Planes, LayerHostTest, kBothPlanes, NameOfPlane);

TEST_P(LayerHostTest, ShowsWhatTarUnpacks) {
  const LazyLayerBlob layer = MakeLayer("tree", kMakeTree);
  const auto blob = image_->Add(layer);
  const auto path = MountLayer(7, layer);
  EXPECT_EQ(path, Shown("l", 7));
  EXPECT_EQ(host_->counters().blob_requests, 1U) << "footer and TOC come together";
  TreeComparison comparison;
  comparison.CompareBelow(Path("tree"), path);
  EXPECT_GT(comparison.compared(), 700U);
  const uint64_t after_reading = host_->counters().blob_requests;
  EXPECT_GT(after_reading, 1U);
  EXPECT_LT(after_reading, 20U) << "3 MB in members of up to 64 KiB";
  // Held data costs nothing, from the page cache or without it.
  Shell(
      fmt::format("tar -C {} -cf /dev/null . && echo 3 > /proc/sys/vm/drop_caches", path.native()));
  TreeComparison().CompareBelow(Path("tree"), path);
  EXPECT_EQ(host_->counters().blob_requests, after_reading);
}

TEST_P(LayerHostTest, ALayerWhoseIndexTheDiskDoesNotGiveCostsNobodyElse) {
  for (const std::string file : {"index", "chunks"}) {
    SCOPED_TRACE(file);
    const LazyLayerBlob layer = MakeLayer("tree-" + file, kMakeTree);
    const LazyLayerBlob other = MakeLayer("other-" + file, "cd $TREE; seq 100000 > text");
    image_->Add(layer);
    image_->Add(other);
    const auto path = MountLayer(1, layer);
    const auto other_path = MountLayer(2, other);
    ReadWhole(path / "text");
    // A file that is cut under its mapping answers as one does that the disk does not give.
    std::filesystem::resize_file(Stored(layer) / file, 0);
    Shell("echo 3 > /proc/sys/vm/drop_caches");
    for (int time = 0; time < 2; ++time) {
      const int error = ReadError(path / "big");
      // Of a cut index the kernel's own reader says that it is corrupt.
      EXPECT_TRUE(error == EIO || (error == EUCLEAN && GetParam() == DataPlane::kErofs)) << error;
    }
    EXPECT_TRUE(ReadWhole(other_path / "text") == ReadWhole(Path("other-" + file) / "text"));
    // Mounted next, it is whole again, under its earlier number, too.
    const auto anew = MountLayer(3, layer);
    TreeComparison().CompareBelow(Path("tree-" + file), anew);
    TreeComparison().CompareBelow(Path("tree-" + file), path);
    for (const uint64_t number : {1, 2, 3}) {
      EXPECT_TRUE(host_->Unmount(number, LayerHost::Data::kDiscard).ok());
    }
  }
}

TEST_P(LayerHostTest, CountsAndTellsWhatBecomesOfItsLayers) {
  const auto layer = MakeLayer("one", R"sh(
    head -c 600000 /dev/urandom > $TREE/large
    mkdir $TREE/d; head -c 400000 /dev/urandom > $TREE/d/other)sh");
  const auto plain = MakePlainLayer("two", "echo plain > $TREE/p");
  const auto blob = image_->Add(layer);
  image_->Add(plain);
  const HostState before = host_->state();
  EXPECT_EQ(before.shown_layers, 0U);
  EXPECT_EQ(before.total_bytes, 0U);
  const auto root = MountLayer(1, layer);
  MountLayer(2, plain);
  EXPECT_EQ(host_
                ->Mount(3, {.image = "image",
                            .layer = oci::Digest::Of(AsBytes("none")),
                            .toc = oci::Digest::Of(AsBytes("none of it"))})
                .status()
                .code(),
            StatusCode::kNotFound);
  EXPECT_EQ(ReadWhole(root / "d" / "other"), ReadWhole(Path("one") / "d" / "other"));

  const auto traced = host_->status().SlowReads();
  ASSERT_EQ(traced->fallbacks.size(), 1U);
  EXPECT_EQ(traced->fallbacks[0].image, "image");
  EXPECT_EQ(traced->fallbacks[0].layer, oci::Digest::Of(AsBytes("none")));
  EXPECT_EQ(traced->fallbacks[0].reason.code(), StatusCode::kNotFound);
  const MountCounters& mounts = host_->mount_counters();
  EXPECT_EQ(mounts.lazy.snapshot().count(), 1U);
  EXPECT_EQ(mounts.whole.snapshot().count(), 1U);
  EXPECT_EQ(mounts.failed.snapshot().count(), 1U);
  EXPECT_EQ(mounts.failures[static_cast<size_t>(StatusCode::kNotFound)], 1U);
  const HostState now = host_->state();
  EXPECT_EQ(now.shown_layers, 2U);
  EXPECT_EQ(now.waiting_layers, 0U);
  EXPECT_EQ(now.images, 1U);
  EXPECT_EQ(now.total_bytes, 600'000U + 400'000U + 6U);
  EXPECT_GE(now.held_bytes, 400'006U);
  EXPECT_GT(now.disk_bytes, 400'000U);
  EXPECT_EQ(now.max_disk_bytes, 0U);
  EXPECT_EQ(now.trees, GetParam() == DataPlane::kTree ? 2U : 0U);
  EXPECT_EQ(now.erofs_over_fuse + now.erofs_stored, GetParam() == DataPlane::kErofs ? 2U : 0U);
  EXPECT_EQ(now.merged_chains, 0U);

  // What is told is of one moment each.
  while (host_->state().held_bytes < now.total_bytes) {
    std::this_thread::yield();
  }
  const auto statuses = host_->status().Layers();
  ASSERT_TRUE(statuses.ok()) << statuses.status();
  ASSERT_EQ(statuses->size(), 2U);
  const layer::LayerStatus& lazy = statuses->front();
  const layer::LayerStatus& whole = statuses->back();
  EXPECT_EQ(lazy.key.layer, layer.digest);
  EXPECT_EQ(lazy.images, std::vector<std::string>{"image"});
  EXPECT_TRUE(lazy.is_new);
  EXPECT_FALSE(lazy.is_whole);
  ASSERT_TRUE(lazy.decision.has_value());
  EXPECT_GE(lazy.use.needed_bytes, 400'000U);
  EXPECT_EQ(lazy.use.held_bytes + whole.use.held_bytes, host_->state().held_bytes);
  EXPECT_EQ(lazy.use.blob_bytes, layer.blob.size());
  EXPECT_TRUE(whole.is_whole);
  EXPECT_TRUE(whole.is_complete);
  EXPECT_EQ(whole.cost_bytes(), plain.blob.size());
  const layer::FetchCounters& fetches = host_->fetch_counters();
  EXPECT_EQ(lazy.use.fetched_bytes() + whole.use.fetched_bytes(), fetches.bytes);
  EXPECT_GT(fetches.waited_reads.snapshot().count(), 0U);
  ASSERT_FALSE(lazy.worst_reads.empty());
  for (const layer::NamedRead& named : lazy.worst_reads) {
    EXPECT_EQ(named.file, "/d/other");
  }
  EXPECT_TRUE(host_->status().SlowReads().ok());
}

TEST_P(LayerHostTest, ServesXattrs) {
  const LazyLayerBlob layer = MakeLayer("tree", R"(
    cd "$TREE"; mkdir d; echo x > d/f; echo y > plain
    python3 - <<'END'
import os
os.setxattr('d/f', 'user.color', b'red\0blue'); os.setxattr('d', 'user.empty', b'')
os.setxattr('d/f', 'security.capability', bytes.fromhex('0100000200200000000000000000000000000000'))
END
  )");
  image_->Add(layer);
  const auto path = MountLayer(1, layer);
  EXPECT_EQ(path, Shown("x", 1)) << "on the connection that is asked for xattrs";
  TreeComparison().CompareBelow(Path("tree"), path);
  EXPECT_EQ(testing_support::XattrsOf(path / "d/f").size(), 2U);
  char small[2];
  EXPECT_EQ(::lgetxattr((path / "d/f").c_str(), "user.color", small, sizeof small), -1);
  EXPECT_EQ(errno, ERANGE);
  EXPECT_EQ(::lgetxattr((path / "plain").c_str(), "user.color", small, sizeof small), -1);
  EXPECT_EQ(errno, ENODATA);
}

TEST_P(LayerHostTest, WorksUnderOverlayfs) {
  const LazyLayerBlob base = MakeLayer("base", kMakeTree);
  const LazyLayerBlob changes = MakeLayer("changes", R"(
    cd "$TREE"; mkdir d many; : > .wh.text; : > many/.wh..wh..opq; echo new > many/new; echo more > d/more
  )");
  image_->Add(base);
  image_->Add(changes);
  const auto lower = MountLayer(1, base);
  const auto upper = MountLayer(2, changes);
  EXPECT_EQ(upper, Shown("x", 2)) << "opaque directories are xattrs";
  const auto target = Path("merged");
  Shell(
      fmt::format("cd {}; mkdir merged rw; mount -t tmpfs tmpfs rw; mkdir rw/u rw/w; "
                  "mount -t overlay overlay -o lowerdir={}:{},upperdir=rw/u,workdir=rw/w merged",
                  directory_->path().native(), upper.native(), lower.native()));
  EXPECT_FALSE(std::filesystem::exists(target / "text")) << "whiteout";
  EXPECT_EQ(testing_support::NamesIn(target / "many"), std::vector<std::string>{"new"}) << "opaque";
  EXPECT_EQ(ReadWhole(target / "d/hello"), "hello");
  EXPECT_EQ(ReadWhole(target / "d/more"), "more\n");
  Shell(
      fmt::format("cd {}; echo world >> d/hello; mv big renamed; rm d/long-link; rm -r many; "
                  "mkdir many; chown 1:1 usr/bin/suid; test ! -e many/new",
                  target.native()));
  EXPECT_EQ(ReadWhole(target / "d/hello"), "helloworld\n");
  EXPECT_TRUE(ReadWhole(target / "renamed") == ReadWhole(Path("base") / "big"));
  EXPECT_FALSE(std::filesystem::exists(target / "d/long-link"));
  EXPECT_EQ(ReadWhole(lower / "d/hello"), "hello") << "the layer itself never changes";
  Shell(fmt::format("umount {} {}", target.native(), Path("rw").native()));
}

TEST_P(LayerHostTest, KeepsDataOverARestartWithoutTheNetwork) {
  const LazyLayerBlob layer =
      MakeLayer("tree", "cd $TREE; seq 1000 > a; head -c 2000000 /dev/urandom > z");
  const auto blob = image_->Add(layer);
  ReadWhole(MountLayer(1, layer) / "a");
  host_.reset();
  StartHost();
  const int opened = image_->opened();
  const size_t requests = blob->requests();
  EXPECT_EQ(
      host_->Restore(9, {.image = "image", .layer = layer.toc, .toc = layer.toc}).status().code(),
      StatusCode::kNotFound);
  const auto restored = host_->Restore(1, SpecOf(layer));
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_EQ(ReadWhole(restored->path / "a"), ReadWhole(Path("tree") / "a"));
  EXPECT_EQ(image_->opened(), opened);
  EXPECT_EQ(blob->requests(), requests);
  EXPECT_EQ(host_->counters().blob_requests, 0U);
  EXPECT_TRUE(ReadWhole(restored->path / "z") == ReadWhole(Path("tree") / "z"));
  EXPECT_GT(host_->counters().blob_requests, 0U) << "what is absent is fetched again";
}

TEST_P(LayerHostTest, ShowsAPlainLayerAsAWhole) {
  const LazyLayerBlob layer = MakePlainLayer("tree", kMakeTree);
  const auto blob = image_->Add(layer);
  const auto path = MountLayer(7, layer);
  EXPECT_EQ(path, Shown("l", 7));
  const uint64_t requests = host_->counters().blob_requests;
  EXPECT_EQ(host_->counters().blob_bytes, layer.blob.size()) << "every byte once";
  TreeComparison comparison;
  comparison.CompareBelow(Path("tree"), path);
  EXPECT_GT(comparison.compared(), 700U);
  // From the disk alone, also in the next life.
  host_.reset();
  StartHost();
  const auto restored = host_->Restore(7, SpecOf(layer));
  ASSERT_TRUE(restored.ok()) << restored.status();
  TreeComparison().CompareBelow(Path("tree"), restored->path);
  EXPECT_EQ(host_->counters().blob_requests, 0U);
  EXPECT_EQ(image_->opened() + blob->requests(), requests);
}

TEST_P(LayerHostTest, APlainLayerThatLosesAPartIsFetchedAgain) {
  fetch_.keep_gzip_indexes = false;
  host_.reset();
  StartHost();
  const LazyLayerBlob layer = MakePlainLayer("tree", kMakeTree);
  image_->Add(layer);
  const auto path = MountLayer(1, layer);
  const auto data = Stored(layer) / "data";
  {
    const UniqueFd fd(::open(data.c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(::pwrite(fd.get(), "spoiled", 7, 100'000), 7);
  }
  layer::Verification result;
  const Status verified =
      host_->cache().Verify(std::nullopt, [&](const layer::Verification& so_far) {
        result = so_far;
        return true;
      });
  ASSERT_TRUE(verified.ok()) << verified;
  EXPECT_EQ(result.wrong_chunks, 1U);
  EXPECT_EQ(result.mended_chunks, 1U) << result.problem;
  EXPECT_EQ(host_->counters().blob_bytes, 2 * layer.blob.size());
  Shell("echo 3 > /proc/sys/vm/drop_caches");
  TreeComparison().CompareBelow(Path("tree"), path);
}

TEST_P(LayerHostTest, PlainLayersThatWereBegunAreJoined) {
  const LazyLayerBlob one = MakePlainLayer("one", "cd $TREE; head -c 2000000 /dev/urandom > one");
  const LazyLayerBlob two = MakePlainLayer("two", "cd $TREE; head -c 2000000 /dev/urandom > two");
  const auto first = image_->Add(one);
  const auto second = image_->Add(two);
  second->Hold();
  host_->BeginAhead({{SpecOf(one), SpecOf(two)}});
  TreeComparison().CompareBelow(Path("one"), MountLayer(1, one));
  ASSERT_TRUE(WaitForRequest(*second));
  auto mounting = std::async(std::launch::async, [&] { return MountLayer(2, two); });
  second->Release();
  TreeComparison().CompareBelow(Path("two"), mounting.get());
  EXPECT_EQ(image_->opened(), 2);
  EXPECT_EQ(host_->counters().blob_bytes, one.blob.size() + two.blob.size());
  // What is shown, or stored, is not begun again.
  host_->BeginAhead({{SpecOf(one), SpecOf(two)}});
  EXPECT_TRUE(host_->Unmount(2, LayerHost::Data::kDiscard).ok());
  EXPECT_EQ(image_->opened(), 2);
}

TEST_P(LayerHostTest, APlainLayerThatTheNodeHasADescriptionOfIsLazy) {
  const LazyLayerBlob layer = MakePlainLayer("tree", kMakeTree);
  image_->Add(layer);
  SpanSource bytes(layer.blob);
  const auto description =
      estargz::IndexGzipLayer(bytes, layer.digest, {.spacing_bytes = 64 << 10});
  ASSERT_TRUE(description.ok()) << description.status();
  layer::GzipIndexStore descriptions(Path("host") / layer::GzipIndexStore::kDirectoryName,
                                     RealFileSystem());
  ASSERT_TRUE(descriptions.Add(*description).ok());
  host_->BeginAhead({{SpecOf(layer)}});
  const auto path = MountLayer(7, layer);
  EXPECT_EQ(host_->counters().blob_requests, 0U) << "nothing is asked for before it is read";
  TreeComparison comparison;
  comparison.CompareBelow(Path("tree"), path);
  EXPECT_GT(comparison.compared(), 700U);
  EXPECT_GT(host_->counters().blob_requests, 0U);
  host_.reset();
  StartHost();
  const auto restored = host_->Restore(7, SpecOf(layer));
  ASSERT_TRUE(restored.ok()) << restored.status();
  TreeComparison().CompareBelow(Path("tree"), restored->path);
  EXPECT_EQ(host_->counters().blob_requests, 0U);
}

TEST_P(LayerHostTest, APlainLayerThatWasFetchedAsAWholeIsLazyTheNextTime) {
  const LazyLayerBlob layer = MakePlainLayer("tree", kMakeTree);
  image_->Add(layer);
  const auto whole = host_->Mount(1, SpecOf(layer));
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_TRUE(whole->is_whole);
  ASSERT_TRUE(host_->Unmount(1, LayerHost::Data::kDiscard).ok());
  host_.reset();  // what was begun is finished
  StartHost();
  const auto path = MountLayer(2, layer);
  EXPECT_EQ(host_->counters().blob_requests, 0U) << "nothing is asked for before it is read";
  TreeComparison().CompareBelow(Path("tree"), path);
  EXPECT_GT(host_->counters().blob_requests, 0U);
  // A layer that is stored needs its description no more.
  std::filesystem::remove_all(Path("host") / layer::GzipIndexStore::kDirectoryName);
  host_.reset();
  StartHost();
  const auto restored = host_->Restore(2, SpecOf(layer));
  ASSERT_TRUE(restored.ok()) << restored.status();
  TreeComparison().CompareBelow(Path("tree"), restored->path);
  EXPECT_EQ(host_->counters().blob_requests, 0U);
}

TEST_P(LayerHostTest, KeepsNoDescriptionsWhenTold) {
  host_.reset();
  fetch_.keep_gzip_indexes = false;
  StartHost();
  const LazyLayerBlob layer = MakePlainLayer("tree", "cd $TREE; seq 1000 > a");
  image_->Add(layer);
  MountLayer(1, layer);
  host_.reset();
  EXPECT_FALSE(std::filesystem::exists(Path("host") / layer::GzipIndexStore::kDirectoryName));
}

TEST_P(LayerHostTest, AnIndexThatIsFoundMeanwhileMakesALayerLazy) {
  const LazyLayerBlob layer = MakePlainLayer("tree", kMakeTree);
  const auto blob = image_->Add(layer);
  SpanSource bytes(layer.blob);
  const auto description =
      estargz::IndexGzipLayer(bytes, layer.digest, {.spacing_bytes = 64 << 10});
  ASSERT_TRUE(description.ok()) << description.status();
  host_.reset();
  std::promise<void> fetching;
  std::atomic<int> asked = 0;
  find_gzip_indexes_ =
      [&, waits = fetching.get_future().share()](
          const LayerSpec& spec) -> StatusOr<std::vector<estargz::GzipLayerIndex>> {
    EXPECT_EQ(spec.layer, layer.digest);
    ++asked;
    waits.wait();
    std::vector<estargz::GzipLayerIndex> found;
    found.push_back(*estargz::GzipLayerIndex::Parse(
        Bytes(description->bytes().begin(), description->bytes().end())));
    return found;
  };
  StartHost();
  LayerSpec spec = SpecOf(layer);
  spec.manifest = oci::Digest::Of(AsBytes("manifest"));
  blob->Hold();
  host_->BeginAhead({{spec}});
  auto mounting = std::async(std::launch::async, [&] { return host_->Mount(1, spec); });
  EXPECT_TRUE(WaitForRequest(*blob)) << "the fetch does not wait for the answer";
  fetching.set_value();
  const auto mounted = mounting.get();
  ASSERT_TRUE(mounted.ok()) << mounted.status();
  EXPECT_FALSE(mounted->is_whole);
  blob->Release();
  TreeComparison().CompareBelow(Path("tree"), mounted->path);
  EXPECT_EQ(asked, 1);
}

TEST_P(LayerHostTest, WithoutAttachedIndexesALayerIsFetchedAsAWhole) {
  const LazyLayerBlob layer = MakePlainLayer("tree", "cd $TREE; seq 1000 > a");
  image_->Add(layer);
  for (const StatusCode answer : {StatusCode::kNotFound, StatusCode::kUnavailable}) {
    host_.reset();
    fetch_.keep_gzip_indexes = false;
    find_gzip_indexes_ =
        [answer](const LayerSpec&) -> StatusOr<std::vector<estargz::GzipLayerIndex>> {
      return MakeError(answer, "no");
    };
    StartHost();
    LayerSpec spec = SpecOf(layer);
    spec.manifest = oci::Digest::Of(AsBytes("manifest"));
    host_->BeginAhead({{spec}});
    const auto mounted = host_->Mount(1, spec);
    ASSERT_TRUE(mounted.ok()) << mounted.status();
    EXPECT_TRUE(mounted->is_whole);
    ASSERT_TRUE(host_->Unmount(1, LayerHost::Data::kDiscard).ok());
  }
}

TEST_P(LayerHostTest, DecidesOnceHowALayerIsFetched) {
  const LazyLayerBlob small = MakeLayer("small", "head -c 100000 /dev/urandom > $TREE/f");
  const LazyLayerBlob large = MakeLayer("large", "head -c 9000000 /dev/urandom > $TREE/f");
  image_->Add(small);
  image_->Add(large);
  host_.reset();
  fetch_.background = true;
  fetch_.preference = layer::FetchPreference::kAuto;
  StartHost();
  const auto note = [&](const LazyLayerBlob& layer) {
    return ReadWhole(Stored(layer) / "fetching");
  };
  MountLayer(1, small);
  MountLayer(2, large);
  host_.reset();
  EXPECT_EQ(note(small).substr(0, 7), "eager: ") << note(small);
  EXPECT_EQ(note(large), "lazy: nothing is known of what its runs need\n");
  const std::string before = note(small);
  StartHost();
  ASSERT_TRUE(host_->Restore(1, SpecOf(small)).ok());
  host_.reset();
  EXPECT_EQ(note(small), before);
  fetch_.preference = layer::FetchPreference::kLazy;
  StartHost();
  ASSERT_TRUE(host_->Restore(1, SpecOf(small)).ok());
  host_.reset();
  EXPECT_EQ(note(small), "lazy: as configured\n") << "the operator has changed their mind";
}

TEST_P(LayerHostTest, AnEagerLayerComesWithoutBeingRead) {
  const LazyLayerBlob layer = MakeLayer("tree", "head -c 3000000 /dev/urandom > $TREE/f");
  image_->Add(layer);
  host_.reset();
  fetch_.background = true;
  fetch_.preference = layer::FetchPreference::kEager;
  StartHost();
  MountLayer(1, layer);
  EXPECT_TRUE(WaitUntil([&] { return host_->counters().blob_bytes >= 3'000'000; }))
      << "it does not come";
}

TEST_P(LayerHostTest, OfWhatOnlyBuildsUseNothingIsFetchedThatIsNotRead) {
  const auto random = [this](const std::string& name, int size_bytes) {
    LazyLayerBlob layer =
        MakeLayer(name, fmt::format("head -c {} /dev/urandom > $TREE/f", size_bytes));
    image_->Add(layer);
    return layer;
  };
  const LazyLayerBlob base = random("base", 9'000'000);
  const LazyLayerBlob other = random("other", 1'000'000);
  const LazyLayerBlob last = random("last", 1'000'000);
  StartCompletingHost();
  ASSERT_TRUE(host_->Mount(1, SpecOf(base, Reader::kBuild)).ok());
  const auto bytes = [this] { return host_->counters().blob_bytes; };
  // Background work is done in turn: that of the first layer would come before the others'.
  MountLayer(2, other);
  ASSERT_TRUE(WaitUntil([&] { return bytes() >= 1'000'000; }));
  EXPECT_LT(bytes(), 3'000'000U) << "by being mounted";
  host_->ShowChain(std::vector<uint64_t>{1}, Reader::kBuild);
  MountLayer(3, last);
  ASSERT_TRUE(WaitUntil([&] { return bytes() >= 2'000'000; }));
  EXPECT_LT(bytes(), 4'000'000U) << "by a step of a build";
  host_->ShowChain(std::vector<uint64_t>{1});
  EXPECT_TRUE(WaitUntil([&] { return bytes() >= 11'000'000; })) << "a container was started on it";
}

TEST_P(LayerHostTest, WhatAnyProgramNeedsFirstComesWithTheLayerOfABuild) {
  const LazyLayerBlob base = MakeLayer("base", R"sh(
    cd "$TREE"; mkdir -p lib/x86_64-linux-gnu
    head -c 1000000 /dev/urandom > lib/x86_64-linux-gnu/libc.so.6
    head -c 5000000 /dev/urandom > other
  )sh");
  image_->Add(base);
  const auto mounted = host_->Mount(1, SpecOf(base, Reader::kBuild));
  ASSERT_TRUE(mounted.ok()) << mounted.status();
  // The blob's last 256 KiB came for its TOC.
  ASSERT_TRUE(WaitUntil([&] { return host_->counters().blob_bytes >= 700'000; }));
  ReadWhole(mounted->path / "lib/x86_64-linux-gnu/libc.so.6");
  EXPECT_LT(host_->counters().blob_bytes, 2'000'000U);
}

TEST_P(LayerHostTest, ALayerThatIsForContainersTooIsFetched) {
  const LazyLayerBlob base = MakeLayer("base", "head -c 5000000 /dev/urandom > $TREE/f");
  image_->Add(base);
  StartCompletingHost();
  ASSERT_TRUE(host_->Mount(1, SpecOf(base, Reader::kBuild)).ok());
  MountLayer(2, base);
  ASSERT_TRUE(host_->Mount(3, SpecOf(base, Reader::kBuild)).ok());
  EXPECT_TRUE(WaitUntil([&] { return host_->counters().blob_bytes >= 5'000'000; }));
}

TEST_P(LayerHostTest, APlainLayerThatAPowerLossTookIsFetchedAgain) {
  const LazyLayerBlob layer = MakePlainLayer("tree", "cd $TREE; seq 1000 > a");
  image_->Add(layer);
  MountLayer(1, layer);
  host_.reset();
  const auto stored = Stored(layer);
  std::filesystem::remove(stored / "present.synced");
  Shell(fmt::format("printf 'another boot' > {}", (stored / "boot").native()));
  StartHost();
  EXPECT_TRUE(host_->Restore(1, SpecOf(layer)).ok()) << "all of it is there, as it turned out";
  EXPECT_EQ(host_->counters().blob_requests, 0U);
  host_.reset();
  std::filesystem::remove(stored / "present.synced");
  Shell(fmt::format("printf 'another boot' > {}; truncate -s 0 {}; truncate -s 4096 {}",
                    (stored / "boot").native(), (stored / "data").native(),
                    (stored / "data").native()));
  StartHost();
  const auto restored = host_->Restore(1, SpecOf(layer));
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_EQ(host_->counters().blob_requests, 0U);
  TreeComparison().CompareBelow(Path("tree"), restored->path);
  EXPECT_EQ(host_->counters().blob_bytes, layer.blob.size());
}

TEST_P(LayerHostTest, APlainLayerThatCannotBeReadLeavesNothing) {
  LazyLayerBlob layer = MakePlainLayer("tree", "cd $TREE; seq 1000 > a");
  layer.blob[layer.blob.size() / 2] ^= std::byte{1};
  image_->Add(layer);
  EXPECT_EQ(host_->Mount(1, SpecOf(layer)).status().code(), StatusCode::kDataLoss);
  EXPECT_EQ(testing_support::NamesIn(Path("host") / "store"),
            (std::vector<std::string>{"lock", "version"}));
}

TEST_P(LayerHostTest, SharesOneLayerUnderTwoNumbers) {
  const LazyLayerBlob layer = MakeLayer("tree", "cd $TREE; seq 1000 > a; echo b > b");
  image_->Add(layer);
  const auto first = MountLayer(1, layer);
  const auto second = MountLayer(2, layer);
  ReadWhole(first / "a");
  ReadWhole(first / "b");  // now nothing is left to be read ahead
  const uint64_t requests = host_->counters().blob_requests;
  EXPECT_EQ(ReadWhole(second / "a"), ReadWhole(Path("tree") / "a"));
  EXPECT_EQ(host_->counters().blob_requests, requests);
  EXPECT_EQ(host_->Mount(2, SpecOf(layer)).status().code(), StatusCode::kAlreadyExists);
  EXPECT_TRUE(host_->Unmount(1, LayerHost::Data::kDiscard).ok());
  EXPECT_FALSE(std::filesystem::exists(first));
  EXPECT_EQ(ReadWhole(second / "a"), ReadWhole(Path("tree") / "a")) << "still shown, so still held";
  EXPECT_TRUE(host_->Unmount(2, LayerHost::Data::kDiscard).ok());
  EXPECT_EQ(host_->Unmount(2, LayerHost::Data::kDiscard).code(), StatusCode::kNotFound);
  EXPECT_EQ(host_->Restore(3, SpecOf(layer)).status().code(), StatusCode::kNotFound) << "discarded";
}

TEST_P(LayerHostTest, WhatAnotherLayerHoldsIsNotFetchedAgain) {
  constexpr std::string_view kEightOfTen = R"sh(
    cd "$TREE"; for i in $(seq 8); do seq ${i}000000 ${i}080000 | tac > common-$i; done;
  )sh";
  const auto with = [&](int first, int last) {
    return fmt::format("{} for i in $(seq {} {}); do seq ${{i}}400000 ${{i}}480000 > own-$i; done",
                       kEightOfTen, first, last);
  };
  const LazyLayerBlob one = MakeLayer("one", with(11, 12));
  const LazyLayerBlob other = MakeLayer("other", with(13, 14));
  image_->Add(one);
  const auto blob = image_->Add(other);
  const auto path = MountLayer(1, one);
  TreeComparison().CompareBelow(Path("one"), path);
  // They are kept by a thread that nobody waits for.
  const auto digests = Stored(one) / "digests";
  ASSERT_TRUE(WaitUntil([&] { return std::filesystem::exists(digests); }));
  const auto other_path = MountLayer(2, other);
  const uint64_t before = host_->counters().blob_bytes;
  TreeComparison().CompareBelow(Path("other"), other_path);
  const uint64_t fetched = host_->counters().blob_bytes - before;
  EXPECT_LT(fetched, blob->SizeBytes() * 3 / 10) << "of " << blob->SizeBytes();
  EXPECT_GT(fetched, blob->SizeBytes() / 10) << "what did not come with its tail";
}

TEST_P(LayerHostTest, KeepsItsStoreBelowTheCapWhileReadersGoOn) {
  max_store_bytes_ = 4 << 20;
  host_.reset();
  StartHost();
  const std::vector<std::string> names = {"one", "two", "three"};
  std::vector<std::filesystem::path> paths;
  for (const std::string& name : names) {
    const LazyLayerBlob layer = MakeLayer(
        name, "cd \"$TREE\"; for i in $(seq 8); do head -c 500000 /dev/urandom > f$i; done");
    image_->Add(layer);
    paths.push_back(MountLayer(paths.size() + 1, layer));
  }
  for (int round = 0; round < 3; ++round) {
    for (size_t i = 0; i < paths.size(); ++i) {
      Shell("echo 3 > /proc/sys/vm/drop_caches");  // so that reads come to us
      TreeComparison().CompareBelow(Path(names[i]), paths[i]);
      EXPECT_LT(StoreBytes(), max_store_bytes_ + max_store_bytes_ / 10);
    }
  }
  EXPECT_GT(StoreBytes(), max_store_bytes_ / 2) << "and it is used";
}

TEST_P(LayerHostTest, PlainLayersAreEvictedAndFetchedAgain) {
  max_store_bytes_ = 8 << 20;
  host_.reset();
  StartHost();
  const std::vector<std::string> names = {"one", "two", "three"};
  std::vector<LazyLayerBlob> layers;
  std::vector<std::filesystem::path> paths;
  for (const std::string& name : names) {
    layers.push_back(MakePlainLayer(
        name, "cd \"$TREE\"; for i in $(seq 8); do head -c 500000 /dev/urandom > f$i; done"));
    image_->Add(layers.back());
    paths.push_back(MountLayer(paths.size() + 1, layers.back()));
    EXPECT_LE(StoreBytes(), max_store_bytes_);
  }
  const auto compare = [&] {
    for (size_t i = 0; i < paths.size(); ++i) {
      Shell("echo 3 > /proc/sys/vm/drop_caches");  // so that reads come to us
      TreeComparison().CompareBelow(Path(names[i]), paths[i]);
      EXPECT_LE(StoreBytes(), max_store_bytes_);
    }
  };
  compare();
  EXPECT_GT(host_->counters().blob_bytes,
            layers[0].blob.size() + layers[1].blob.size() + layers[2].blob.size());
  const auto cache = host_->cache().List();
  ASSERT_TRUE(cache.ok()) << cache.status();
  for (const layer::CachedLayer& layer : cache->layers) {
    EXPECT_TRUE(layer.pins.empty()) << layer.pins.front();
    EXPECT_TRUE(layer.is_complete || layer.held_bytes == 0)
        << "all of it or nothing: " << layer.held_bytes;
  }
  // What is not there is no less shown in the next life.
  host_.reset();
  StartHost();
  for (size_t i = 0; i < paths.size(); ++i) {
    const auto restored = host_->Restore(i + 1, SpecOf(layers[i]));
    ASSERT_TRUE(restored.ok()) << restored.status();
    paths[i] = restored->path;
  }
  EXPECT_EQ(host_->counters().blob_requests, 0U);
  compare();
}

TEST_P(LayerHostTest, PinsAreKeptAndADamagedFileOfThemStopsNothing) {
  LazyLayerBlob layer = MakeLayer("tree", "cd $TREE; seq 1000 > a");
  image_->Add(layer);
  MountLayer(1, layer);
  EXPECT_EQ(host_->cache().Pin("image").value(), 1U);
  host_.reset();
  StartHost();
  EXPECT_EQ(host_->cache().List()->pins,
            std::vector<std::string>{"docker.io/library/image:latest"});
  host_.reset();
  const auto pins = Path("host/store/pins");
  std::filesystem::resize_file(pins, 5);
  StartHost();
  EXPECT_TRUE(host_->cache().List()->pins.empty());
  EXPECT_TRUE(std::filesystem::exists(pins.native() + ".damaged"));
  EXPECT_TRUE(host_->Restore(1, SpecOf(layer)).ok());
}

TEST_P(LayerHostTest, TheImagesOfALayerAreThoseAboveItToo) {
  const LazyLayerBlob below = MakeLayer("below", "cd $TREE; seq 1000 > a");
  const LazyLayerBlob above = MakeLayer("above", "cd $TREE; seq 1000 > b");
  image_->Add(below);
  image_->Add(above);
  LayerSpec first = SpecOf(below);
  first.image = "registry.example/one:1";
  first.chain = oci::Digest::Of(AsBytes("chain 1"));
  LayerSpec second = SpecOf(above);
  second.image = "registry.example/two:1";
  second.chain = oci::Digest::Of(AsBytes("chain 2"));
  second.parent_chain = first.chain;
  ASSERT_TRUE(host_->Mount(1, first).ok());
  ASSERT_TRUE(host_->Mount(2, second).ok());
  const auto state = host_->cache().List();
  ASSERT_TRUE(state.ok()) << state.status();
  for (const layer::CachedLayer& layer : state->layers) {
    EXPECT_EQ(layer.images, layer.key.layer == above.digest
                                ? std::vector<std::string>{second.image}
                                : (std::vector<std::string>{first.image, second.image}));
  }
  EXPECT_EQ(host_->cache().Pin(second.image).value(), 2U);
  EXPECT_EQ(host_->cache().Clear()->content_bytes, 0U);
  EXPECT_TRUE(host_->Unmount(2, LayerHost::Data::kDiscard).ok());
  EXPECT_EQ(host_->cache().List()->layers.at(0).images, std::vector<std::string>{first.image});
}

TEST_P(LayerHostTest, OnAFullDiskReadersGoOn) {
  host_.reset();
  Shell(
      fmt::format("mkdir -p {0}/host && truncate -s 4M {0}/disk && "
                  "mkfs.ext4 -q -m 0 -O ^has_journal {0}/disk && mount -o loop {0}/disk {0}/host",
                  directory_->path().native()));
  StartHost();
  const LazyLayerBlob layer = MakeLayer(
      "tree", "cd \"$TREE\"; for i in $(seq 12); do head -c 500000 /dev/urandom > f$i; done");
  image_->Add(layer);
  const auto path = MountLayer(1, layer);
  for (int round = 0; round < 2; ++round) {
    Shell("echo 3 > /proc/sys/vm/drop_caches");  // so that reads come to us
    TreeComparison().CompareBelow(Path("tree"), path);
  }
  const auto state = host_->cache().List();
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_GT(state->layers.at(0).held_bytes, 0U);
  EXPECT_LT(state->layers.at(0).held_bytes, 4U << 20);
  host_.reset();
  Shell(fmt::format("umount {}", Path("host").native()));
}

TEST_P(LayerHostTest, CheckpointsAreMadeWhileItRuns) {
  host_.reset();
  checkpoint_bytes_ = 1;
  StartHost();
  const LazyLayerBlob layer =
      MakeLayer("tree", "cd \"$TREE\"; head -c 500000 /dev/urandom > f; seq 100 > g");
  image_->Add(layer);
  const auto path = MountLayer(1, layer);
  EXPECT_EQ(ReadWhole(path / "f"), ReadWhole(Path("tree") / "f"));
  const auto stored = Stored(layer);
  EXPECT_TRUE(WaitUntil([&] { return std::filesystem::exists(stored / "present.synced"); }));
}

TEST_P(LayerHostTest, ALossOfPowerCostsOnlyWhatItTook) {
  const LazyLayerBlob layer = MakeLayer(
      "tree", "cd \"$TREE\"; for i in $(seq 8); do head -c 300000 /dev/urandom > f$i; done");
  image_->Add(layer);
  TreeComparison().CompareBelow(Path("tree"), MountLayer(1, layer));
  host_.reset();
  const auto stored = Stored(layer);
  std::filesystem::remove(stored / "present.synced");
  Shell(fmt::format("printf 'another boot' > {}", (stored / "boot").native()));
  // As if one block had not been written.
  Shell(fmt::format("dd if=/dev/zero of={} bs=4096 count=1 seek=100 conv=notrunc 2>/dev/null",
                    (stored / "data").native()));
  StartHost();
  const auto restored = host_->Restore(1, SpecOf(layer));
  ASSERT_TRUE(restored.ok()) << restored.status();
  TreeComparison().CompareBelow(Path("tree"), restored->path);
  EXPECT_GT(host_->counters().blob_bytes, 0U);
  EXPECT_LT(host_->counters().blob_bytes, 600'000U);
}

TEST_P(LayerHostTest, ImagesThatShareFilesTakeOneRoomWhereBlocksAreShared) {
  if (!testing_support::KernelKnowsFileSystem("xfs")) {
    GTEST_SKIP() << "this kernel has no xfs";
  }
  host_.reset();
  fetch_.background = true;  // so that all of both is held
  Shell(
      fmt::format("mkdir -p {0}/host && truncate -s 400M {0}/disk && "
                  "mkfs.xfs -q -m reflink=1 {0}/disk && mount -o loop {0}/disk {0}/host",
                  directory_->path().native()));
  StartHost();
  // Of ten files of 2 MiB each eight are the same.
  constexpr std::string_view kTree = R"sh(
    cd "$TREE"; cp {}/common-* .; for i in 1 2; do head -c 2097152 /dev/urandom > own-$i; done)sh";
  Shell(fmt::format("cd {} && for i in $(seq 8); do head -c 2097152 /dev/urandom > common-$i; done",
                    directory_->path().native()));
  const auto tree = fmt::format(fmt::runtime(kTree), directory_->path().native());
  const LazyLayerBlob one = MakeLayer("one", tree);
  const LazyLayerBlob other = MakeLayer("other", tree);
  image_->Add(one);
  image_->Add(other);
  const auto free_bytes = [&] {
    Shell(fmt::format("sync -f {}", Path("host").native()));
    struct statvfs space{};
    EXPECT_EQ(::statvfs(Path("host").c_str(), &space), 0);
    return space.f_bfree * space.f_frsize;
  };
  const auto complete = [&](const LazyLayerBlob& layer) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (true) {
      const auto state = host_->cache().List();
      ASSERT_TRUE(state.ok()) << state.status();
      const auto found =
          std::ranges::find(state->layers, store::LayerKey{.layer = layer.digest, .toc = layer.toc},
                            &layer::CachedLayer::key);
      ASSERT_NE(found, state->layers.end());
      if (found->is_complete) {
        return;
      }
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  };
  MountLayer(1, one);
  complete(one);
  const auto digests = Stored(one) / "digests";
  ASSERT_TRUE(WaitUntil([&] { return std::filesystem::exists(digests); }));
  const uint64_t free_before = free_bytes();
  const uint64_t fetched_before = host_->counters().blob_bytes;
  const auto path = MountLayer(2, other);
  complete(other);
  EXPECT_LT(host_->counters().blob_bytes - fetched_before, other.blob.size() / 4);
  EXPECT_LT(free_before - free_bytes(), 5U << 20) << "of 20 MiB";
  TreeComparison().CompareBelow(Path("other"), path);
  host_.reset();
  Shell(fmt::format("umount {}", Path("host").native()));
}

TEST_P(LayerHostTest, ParallelMountsAndReadersGetTheirOwnBytes) {
  std::vector<LazyLayerBlob> layers;
  for (int i = 0; i < 4; ++i) {
    layers.push_back(
        MakeLayer(fmt::format("t{}", i), "cd $TREE; head -c 1500000 /dev/urandom > data"));
    image_->Add(layers.back());
  }
  std::vector<std::future<bool>> readers;
  for (uint64_t i = 0; i < 8; ++i) {
    readers.push_back(std::async(std::launch::async, [&, i] {
      const auto mounted = host_->Mount(i + 1, SpecOf(layers[i % 4]));
      return mounted.ok() && ReadWhole(mounted->path / "data") ==
                                 ReadWhole(Path(fmt::format("t{}", i % 4)) / "data");
    }));
  }
  for (auto& reader : readers) {
    EXPECT_TRUE(reader.get());
  }
  EXPECT_EQ(image_->opened(), 4) << "one open for each layer";
}

TEST_P(LayerHostTest, TheFirstMountOpensTheLayersAbove) {
  constexpr int kLayers = 5;
  std::vector<LazyLayerBlob> layers;
  std::vector<oci::Digest> digests;
  oci::Manifest manifest{.media_type = std::string(oci::media_type::kOciManifest)};
  manifest.config = {.media_type = std::string(oci::media_type::kOciConfig),
                     .digest = oci::Digest::Of(AsBytes("{}")),
                     .size_bytes = 2};
  for (int i = 0; i < kLayers; ++i) {
    layers.push_back(MakeLayer(fmt::format("t{}", i), fmt::format("echo {} > $TREE/f", i)));
    image_->Add(layers.back());
    digests.push_back(layers.back().digest);
    manifest.layers.push_back({.media_type = std::string(oci::media_type::kOciLayerGzip),
                               .digest = layers.back().digest,
                               .size_bytes = layers.back().blob.size()});
    manifest.layers.back().annotations["containerd.io/snapshot/stargz/toc.digest"] =
        layers.back().toc.ToString();
  }
  const std::string json = manifest.ToJson();
  const oci::Digest digest = oci::Digest::Of(AsBytes(json));
  image_->SetManifest({.media_type = manifest.media_type,
                       .digest = digest,
                       .bytes = Bytes(AsBytes(json).begin(), AsBytes(json).end())});
  const auto ask = [&](size_t i) {
    return LayerSpec{.image = "image",
                     .layer = layers[i].digest,
                     .toc = layers[i].toc,
                     .manifest = digest,
                     .image_layers = {digests.begin() + static_cast<ptrdiff_t>(i), digests.end()}};
  };
  ASSERT_TRUE(host_->Mount(1, ask(0)).ok());
  image_->WaitUntilOpened(kLayers);
  for (size_t i = 1; i + 1 < layers.size(); ++i) {
    const auto mounted = host_->Mount(i + 1, ask(i));
    ASSERT_TRUE(mounted.ok()) << mounted.status();
    EXPECT_EQ(ReadWhole(mounted->path / "f"), fmt::format("{}\n", i));
  }
  EXPECT_EQ(image_->opened(), kLayers) << "each once";
  EXPECT_EQ(image_->manifests_read(), 1);
  // Nobody mounts the last one; what is shown stays.
  host_.reset();
  StartHost();
  ASSERT_TRUE(host_->Restore(1, ask(0)).ok());
  const size_t last = layers.size() - 1;
  ASSERT_TRUE(host_->Restore(last + 1, ask(last)).ok()) << "its opening has ended with the host";
  ASSERT_TRUE(host_->Unmount(last + 1, LayerHost::Data::kKeep).ok());
  ASSERT_TRUE(host_->DiscardUnshown().ok());
  EXPECT_EQ(host_->Restore(last + 1, ask(last)).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(host_->Restore(2, ask(1)).status().code(), StatusCode::kNotFound);
  ASSERT_TRUE(host_->Restore(9, ask(0)).ok());
  EXPECT_EQ(image_->opened(), kLayers);
}

TEST_P(LayerHostTest, EndsWithLayersThatNobodyMounted) {
  std::vector<LayerSpec> specs;
  for (int i = 0; i < 3; ++i) {
    const LazyLayerBlob layer =
        MakeLayer(fmt::format("t{}", i), fmt::format("echo {} > $TREE/f", i));
    image_->Add(layer);
    specs.push_back(SpecOf(layer));
  }
  host_->OpenAhead(specs);
  image_->WaitUntilOpened(1);
  host_.reset();
  EXPECT_EQ(image_->manifests_read(), 0);
}

TEST_P(LayerHostTest, BrokenBytesFailTheirFileAlone) {
  const LazyLayerBlob layer = MakeLayer("tree", R"(cd "$TREE"
    head -c 600000 /dev/urandom > a; head -c 600000 /dev/urandom > b; head -c 600000 /dev/urandom > c)");
  const auto blob = image_->Add(layer);
  // Whatever order the files have in the blob, its middle is in one of them.
  blob->Spoil(layer.blob.size() / 2);
  const auto path = MountLayer(1, layer);
  int broken = 0;
  for (const char* name : {"a", "b", "c"}) {
    const int error = ReadError(path / name);
    EXPECT_TRUE(error == 0 || error == EIO) << strerror(error);
    broken += error == EIO ? 1 : 0;
    if (error == 0) {
      EXPECT_TRUE(ReadWhole(path / name) == ReadWhole(Path("tree") / name));
    }
  }
  EXPECT_EQ(broken, 1);
}

TEST_P(LayerHostTest, FailuresAreForgotten) {
  const LazyLayerBlob layer = MakeLayer("tree", kLargerThanItsTail);
  const auto blob = image_->Add(layer);
  const auto path = MountLayer(1, layer);
  // One failure may be tried again within a read, and a read ahead of the one that is asked for.
  for (int i = 0; i < 20; ++i) {
    blob->FailNext(MakeError(StatusCode::kDeadlineExceeded, "away"));
  }
  int failed = 0;
  int error = EIO;
  for (int i = 0; i < 20 && error != 0; ++i) {
    error = ReadError(path / "f");
    EXPECT_TRUE(error == 0 || error == EIO) << strerror(error);
    failed += error == EIO ? 1 : 0;
  }
  EXPECT_GT(failed, 0);
  EXPECT_EQ(error, 0);
  EXPECT_TRUE(ReadWhole(path / "f") == ReadWhole(Path("tree") / "f"));
}

TEST_P(LayerHostTest, ATruncatedBlobServesWhatItHas) {
  const LazyLayerBlob layer = MakeLayer("tree", R"(cd "$TREE"
    head -c 900000 /dev/urandom > a; head -c 900000 /dev/urandom > b)");
  const auto blob = image_->Add(layer);
  const auto path = MountLayer(1, layer);
  blob->TruncateAt(layer.blob.size() * 3 / 4);
  EXPECT_EQ((ReadError(path / "a") == 0) + (ReadError(path / "b") == 0), 1);
}

TEST_P(LayerHostTest, RefusesWhatCannotBeVerified) {
  const LazyLayerBlob layer = MakeLayer("tree", "echo x > $TREE/f");
  image_->Add(layer);
  LayerSpec spec = SpecOf(layer);
  spec.toc = {};
  EXPECT_EQ(host_->Mount(1, spec).status().code(), StatusCode::kInvalidArgument);
  spec.toc = oci::Digest::Of(AsBytes("another"));
  EXPECT_EQ(host_->Mount(1, spec).status().code(), StatusCode::kDataLoss);
  spec = SpecOf(layer);
  spec.size_bytes += 1;
  EXPECT_EQ(host_->Mount(1, spec).status().code(), StatusCode::kDataLoss);
  LazyLayerBlob plain{
      .blob = ToBytes(std::string(1000, 'x')), .digest = layer.toc, .toc = layer.digest};
  image_->Add(plain);
  EXPECT_EQ(host_->Mount(1, SpecOf(plain)).status().code(), StatusCode::kNotFound);
  EXPECT_TRUE(host_->Mount(1, SpecOf(layer)).ok()) << "a failed number is free again";
  EXPECT_EQ(host_->Mount(0, SpecOf(layer)).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(host_->Mount(1ULL << 23, SpecOf(layer)).status().code(), StatusCode::kInvalidArgument);
}

TEST_P(LayerHostTest, ACompleteLayerIsHeldAgainstItsDiffId) {
  const LazyLayerBlob layer = MakeLayer("tree", kMakeTree);
  image_->Add(layer);
  const auto tar = testing_support::Gunzip(layer.blob);
  ASSERT_TRUE(tar.has_value());
  host_.reset();
  fetch_.background = true;
  StartHost();
  LayerSpec right = SpecOf(layer);
  right.chain = oci::Digest::Of(AsBytes(*tar));
  const auto state_of = [this](uint64_t number) {
    WaitUntil([&] { return host_->diff_id_state(number) != DiffIdState::kUnknown; });
    return host_->diff_id_state(number);
  };
  EXPECT_EQ(host_->diff_id_state(1), DiffIdState::kUnknown) << "nothing is shown";
  ASSERT_TRUE(host_->Mount(1, right).ok());
  EXPECT_EQ(state_of(1), DiffIdState::kMatches);

  // After a restart, and for an image that says something else, without any request.
  host_.reset();
  StartHost();
  LayerSpec wrong = right;
  wrong.image = "wrong";
  wrong.chain = oci::Digest::Of(AsBytes("other"));
  const auto restored = host_->Restore(1, wrong);
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_EQ(state_of(1), DiffIdState::kDiffers);
  EXPECT_EQ(host_->counters().blob_requests, 0U);
  TreeComparison().CompareBelow(Path("tree"), restored->path);
  EXPECT_TRUE(host_->Unmount(1, LayerHost::Data::kDiscard).ok());
}

TEST_P(LayerHostTest, ASecondPullPrefetchesWhatTheFirstRunNeeded) {
  const LazyLayerBlob layer = MakeLayer("tree", R"(cd "$TREE"
      head -c 3000000 /dev/urandom > first; head -c 3000000 /dev/urandom > second)");
  image_->Add(layer);
  host_.reset();
  fetch_.record_profiles = true;
  StartHost();
  LayerSpec spec = SpecOf(layer);
  spec.manifest = oci::Digest::Of(AsBytes("manifest"));
  const auto pull = [&](uint64_t number) {
    const auto mounted = host_->Mount(number, spec);
    EXPECT_TRUE(mounted.ok()) << mounted.status();
    return mounted->path;
  };
  ReadWhole(pull(1) / "second");
  ASSERT_TRUE(host_->Unmount(1, LayerHost::Data::kDiscard).ok());
  layer::ProfileStore profiles(Path("host") / layer::ProfileStore::kDirectoryName,
                               RealFileSystem());
  const auto kept = profiles.Find(*spec.manifest);
  ASSERT_TRUE(kept.ok()) << kept.status();
  EXPECT_GE(kept->needed_bytes(), 3000000U);
  EXPECT_LT(kept->needed_bytes(), 3600000U) << "of the file that was read";

  // The data is gone; before anybody reads, what was needed comes again, and nothing else.
  const uint64_t before = host_->counters().blob_bytes;
  const auto path = pull(2);
  ASSERT_TRUE(WaitUntil([&] { return host_->counters().blob_bytes - before >= 3000000; }))
      << "no prefetch";
  ReadWhole(path / "second");
  EXPECT_LT(host_->counters().blob_bytes - before, 4000000U);
  ASSERT_TRUE(host_->Unmount(2, LayerHost::Data::kDiscard).ok());
  EXPECT_EQ(profiles.Find(*spec.manifest)->runs(), 2U);

  // A pull that nothing runs from says nothing.
  pull(3);
  ASSERT_TRUE(host_->Unmount(3, LayerHost::Data::kDiscard).ok());
  EXPECT_EQ(profiles.Find(*spec.manifest)->runs(), 2U);
}

/// The kernel has nothing of layers' data in its memory, ever.
class ColdFileSystem : public testing_support::FaultyFileSystem {
 public:
  StatusOr<size_t> ReadCached(int, uint64_t, std::span<std::byte>) override { return size_t{0}; }
  size_t ReadsAhead(const std::filesystem::path& file) const {
    return static_cast<size_t>(std::ranges::count(calls(), Call{Operation::kReadAhead, file}));
  }
};

class ColdLayerHostTest : public LayerHostTest {
 protected:
  void SetUp() override {
    files_ = &cold_;
    fetch_.record_profiles = true;
    max_store_bytes_ = 1 << 30;  // the kernel does not read complete layers without the host
    LayerHostTest::SetUp();
  }

  ColdFileSystem cold_;
};

INSTANTIATE_TEST_SUITE_P(Planes, ColdLayerHostTest, kBothPlanes, NameOfPlane);

TEST_P(ColdLayerHostTest, AStartThatWaitsForTheDiskHasWhatRunsNeedReadAhead) {
  const LazyLayerBlob base = MakeLayer("base", kLargerThanItsTail);
  const LazyLayerBlob top =
      MakeLayer("top", "head -c 5000 /dev/urandom > $TREE/program; cd $TREE; seq 100000 > unread");
  std::vector<std::filesystem::path> paths;
  uint64_t number = 0;
  for (const LazyLayerBlob& layer : {base, top}) {
    image_->Add(layer);
    LayerSpec spec = SpecOf(layer);
    spec.manifest = oci::Digest::Of(AsBytes("manifest"));
    const auto mounted = host_->Mount(++number, spec);
    ASSERT_TRUE(mounted.ok()) << mounted.status();
    paths.push_back(mounted->path);
  }
  ReadWhole(paths[0] / "f");
  ReadWhole(paths[1] / "program");
  const std::vector<uint64_t> chain{1, 2};
  Shell("echo 3 > /proc/sys/vm/drop_caches");
  const size_t before = cold_.ReadsAhead(Stored(base) / "data");
  host_->ShowChain(chain, Reader::kBuild);
  ReadWhole(paths[1] / "program");
  EXPECT_EQ(cold_.ReadsAhead(Stored(base) / "data"), before) << "a step of a build is no run";

  Shell("echo 3 > /proc/sys/vm/drop_caches");
  host_->ShowChain(chain);
  ReadWhole(paths[1] / "program");
  EXPECT_TRUE(WaitUntil([&] { return cold_.ReadsAhead(Stored(base) / "data") > before; }))
      << "of a layer that nobody reads now";
  for (const std::string file : {"index", "chunks"}) {
    EXPECT_EQ(cold_.ReadsAhead(Stored(base) / file), 1U) << file;
  }
}

TEST_P(LayerHostTest, EndsWhileReadersWait) {
  const LazyLayerBlob layer = MakeLayer("tree", kLargerThanItsTail);
  const auto blob = image_->Add(layer);
  const auto path = MountLayer(1, layer);
  blob->Hold();
  auto reader = std::async(std::launch::async, [&] { return ReadError(path / "f"); });
  ASSERT_TRUE(WaitForRequest(*blob));
  host_.reset();
  EXPECT_NE(reader.get(), 0);
  blob->Release();
}

TEST_P(LayerHostTest, ASuccessorGoesOnWithWhatIsMountedAndAsked) {
  const LazyLayerBlob warm = MakeLayer("warm", "seq 2000 > $TREE/f");
  const LazyLayerBlob cold = MakeLayer("cold", kLargerThanItsTail);
  image_->Add(warm);
  const auto blob = image_->Add(cold);
  const auto warm_path = MountLayer(1, warm);
  const auto cold_path = MountLayer(2, cold);
  const std::string held = ReadWhole(warm_path / "f");
  const UniqueFd open(::open((cold_path / "f").c_str(), O_RDONLY | O_CLOEXEC));
  blob->Hold();
  const size_t requests = blob->requests();
  auto reader = std::async(std::launch::async, [&] { return ReadWhole(cold_path / "f"); });
  ASSERT_TRUE(WaitForRequest(*blob, requests));
  auto handover = host_->CopyHandover();
  ASSERT_TRUE(handover.ok()) << handover.status();
  ASSERT_TRUE(host_->Release().ok());
  const std::string mounts = MountsOfHost();
  host_.reset();
  EXPECT_EQ(MountsOfHost(), mounts) << "all is left as it is";
  EXPECT_EQ(reader.wait_for(std::chrono::seconds(0)), std::future_status::timeout);

  AdoptHost(*std::move(handover));
  const auto restored = host_->Restore(1, SpecOf(warm));
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_EQ(restored->path, warm_path);
  EXPECT_EQ(host_->Restore(2, SpecOf(cold))->path, cold_path);
  EXPECT_EQ(host_->counters().blob_requests, 0U) << "never asks the network";
  ASSERT_TRUE(host_->Serve().ok());
  EXPECT_EQ(ReadWhole(warm_path / "f"), held) << "while what is fetched waits";
  blob->Release();
  const std::string wanted = ReadWhole(Path("cold") / "f");
  EXPECT_EQ(reader.get(), wanted) << "the read began before";
  std::string part(1000, '\0');
  EXPECT_EQ(::pread(open.get(), part.data(), part.size(), 200000), 1000);
  EXPECT_EQ(part, wanted.substr(200000, 1000));
  TreeComparison().CompareBelow(Path("warm"), warm_path);
  TreeComparison().CompareBelow(Path("cold"), cold_path);
  const LazyLayerBlob next = MakeLayer("next", "echo next > $TREE/f");
  image_->Add(next);
  EXPECT_EQ(ReadWhole(MountLayer(3, next) / "f"), "next\n");
  EXPECT_TRUE(host_->Unmount(1, LayerHost::Data::kDiscard).ok());
  EXPECT_EQ(ReadError(warm_path / "f"), ENOENT);
}

TEST_P(LayerHostTest, WhatFailsWhileAHostEndsIsLeftToItsSuccessor) {
  const LazyLayerBlob layer = MakeLayer("tree", kLargerThanItsTail);
  const auto blob = image_->Add(layer);
  const auto path = MountLayer(1, layer);
  blob->Hold();
  auto reader = std::async(std::launch::async, [&] { return ReadWhole(path / "f"); });
  ASSERT_TRUE(WaitForRequest(*blob));
  host_->LeaveFailures();
  blob->FailNext(MakeError(StatusCode::kUnavailable, "the network was stopped"));
  blob->Release();
  auto handover = host_->CopyHandover();
  ASSERT_TRUE(host_->Release().ok());
  host_.reset();
  AdoptHost(*std::move(handover));
  ASSERT_TRUE(host_->Restore(1, SpecOf(layer)).ok());
  ASSERT_TRUE(host_->Serve().ok());
  EXPECT_EQ(reader.get(), ReadWhole(Path("tree") / "f"));
}

TEST_P(LayerHostTest, ASuccessorWithACapKeepsWhatTheKernelReadsWithoutIt) {
  const std::string_view script =
      "cd \"$TREE\"; for i in $(seq 8); do head -c 500000 /dev/urandom > f$i; done";
  const LazyLayerBlob complete = MakeLayer("complete", script);
  const LazyLayerBlob other = MakeLayer("other", script);
  image_->Add(complete);
  image_->Add(other);
  const auto path = MountLayer(1, complete);
  TreeComparison().CompareBelow(Path("complete"), path);
  ASSERT_TRUE(host_->Unmount(1, LayerHost::Data::kKeep).ok());
  // Held as a whole when it is shown: an EROFS mount is over the stored file then.
  const auto again = MountLayer(2, complete);
  auto handover = host_->CopyHandover();
  ASSERT_TRUE(host_->Release().ok());
  host_.reset();
  max_store_bytes_ = 4 << 20;
  AdoptHost(*std::move(handover));
  ASSERT_TRUE(host_->Restore(2, SpecOf(complete)).ok());
  ASSERT_TRUE(host_->Serve().ok());
  const auto other_path = MountLayer(3, other);
  TreeComparison().CompareBelow(Path("other"), other_path);
  Shell("sync; echo 3 > /proc/sys/vm/drop_caches");
  TreeComparison().CompareBelow(Path("complete"), again);
}

TEST_P(LayerHostTest, ASuccessorThatDoesNotComeToServeLeavesEverything) {
  const LazyLayerBlob layer = MakeLayer("tree", "seq 2000 > $TREE/f");
  image_->Add(layer);
  const auto path = MountLayer(1, layer);
  auto first = host_->CopyHandover();
  auto second = host_->CopyHandover();
  ASSERT_TRUE(first.ok() && second.ok());
  ASSERT_TRUE(host_->Release().ok());
  host_.reset();
  const std::string mounts = MountsOfHost();
  AdoptHost(*std::move(first));
  ASSERT_TRUE(host_->Restore(1, SpecOf(layer)).ok());
  host_.reset();
  EXPECT_EQ(MountsOfHost(), mounts);
  AdoptHost(*std::move(second));
  ASSERT_TRUE(host_->Restore(1, SpecOf(layer)).ok());
  ASSERT_TRUE(host_->Serve().ok());
  TreeComparison().CompareBelow(Path("tree"), path);
}

TEST_P(LayerHostTest, WhereTheMountsAreGoneASuccessorMountsAnew) {
  const LazyLayerBlob layer = MakeLayer("tree", "seq 2000 > $TREE/f");
  image_->Add(layer);
  MountLayer(1, layer);
  auto handover = host_->CopyHandover();
  ASSERT_TRUE(handover.ok()) << handover.status();
  host_.reset();
  AdoptHost(*std::move(handover));
  const auto restored = host_->Restore(1, SpecOf(layer));
  ASSERT_TRUE(restored.ok()) << restored.status();
  ASSERT_TRUE(host_->Serve().ok());
  TreeComparison().CompareBelow(Path("tree"), restored->path);
}

TEST_P(LayerHostTest, WhatIsHeldIsReadableWhileManyWait) {
  constexpr int kReaders = 120;  // more than the 64 reads that other FUSE servers allow at once
  const LazyLayerBlob layer = MakeLayer("tree",
                                        fmt::format(R"(cd "$TREE"; seq 2000 > held
    for i in $(seq {}); do head -c 140000 /dev/urandom > f$i; done)",
                                                    kReaders),
                                        1 << 20);
  const auto blob = image_->Add(layer);
  const auto path = MountLayer(1, layer);
  const std::string held = ReadWhole(path / "held");
  EXPECT_EQ(held, ReadWhole(Path("tree") / "held"));
  blob->Hold();
  std::vector<std::future<int>> readers;
  for (int i = 1; i <= kReaders; ++i) {
    readers.push_back(std::async(std::launch::async,
                                 [&path, i] { return ReadError(path / fmt::format("f{}", i)); }));
  }
  const auto control = Path("control");
  std::filesystem::create_directories(control);
  Shell(fmt::format("mount -t fusectl c {}", control.native()));
  struct stat root{};
  EXPECT_EQ(::stat(Path("host/l").c_str(), &root), 0);
  const auto waiting = control / std::to_string(minor(root.st_dev)) / "waiting";
  // What the first read fetched of its neighbours is not waited for.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  int waits = 0;
  while (waits < 70 && std::chrono::steady_clock::now() < deadline) {
    waits = std::atoi(ReadWhole(waiting).c_str());
  }
  EXPECT_GE(waits, 70);
  Shell("echo 1 > /proc/sys/vm/drop_caches");
  auto reader = std::async(std::launch::async, [&] { return ReadWhole(path / "held"); });
  EXPECT_EQ(reader.wait_for(std::chrono::seconds(20)), std::future_status::ready);
  blob->Release();
  EXPECT_EQ(reader.get(), held);
  for (auto& waiter : readers) {
    EXPECT_EQ(waiter.get(), 0);
  }
  Shell("umount " + control.native());
}

TEST_P(LayerHostTest, ListsItsLayers) {
  const LazyLayerBlob layer = MakeLayer("tree", "echo x > $TREE/f");
  image_->Add(layer);
  MountLayer(10, layer);
  MountLayer(9, layer);
  const auto directory = Shown("l", 1).parent_path();
  EXPECT_EQ(testing_support::NamesIn(directory), (std::vector<std::string>{"10", "9"}));
  EXPECT_FALSE(std::filesystem::exists(directory / "8"));
  MountLayer(8, layer);
  EXPECT_TRUE(std::filesystem::exists(directory / "8")) << "absence is not remembered";
  struct statfs size{};
  ASSERT_EQ(::statfs((directory / "9/f").c_str(), &size), 0);
  EXPECT_EQ(size.f_namelen, 255);
  EXPECT_GT(size.f_files, 0U);
}

TEST_P(LayerHostTest, SaysWhatIsMissing) {
  const auto host = LayerHost::Start({.root = Path("other"), .fuse_device = Path("no-such-device")},
                                     {.sources = nullptr, .files = RealFileSystem()});
  EXPECT_EQ(host.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(MessageOf(host.status()).find("modprobe fuse"), std::string_view::npos)
      << host.status();
}

TEST_P(LayerHostTest, RemovesWhatADeadServerLeft) {
  host_.reset();
  std::filesystem::create_directories(Path("host/l"));
  {
    const UniqueFd device(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
    const std::string options =
        fmt::format("fd={},rootmode=40000,user_id=0,group_id=0", device.get());
    ASSERT_EQ(::mount("starling", Path("host/l").c_str(), "fuse.starling", 0, options.c_str()), 0);
  }
  Shell(
      fmt::format("cd {}; mkdir -p host/e/1 host/e/2 host/e/probe-x; "
                  "mount -t tmpfs t host/e/1; mount -t tmpfs t host/e/2; mount -t tmpfs t host/e/2",
                  directory_->path().native()));
  StartHost();
  EXPECT_EQ(ReadWhole("/proc/self/mounts").find(Path("host/e").native()), std::string::npos);
  const LazyLayerBlob layer = MakeLayer("tree", "echo x > $TREE/f");
  image_->Add(layer);
  EXPECT_EQ(ReadWhole(MountLayer(1, layer) / "f"), "x\n");
}

/// EROFS alone.
class ErofsLayerHostTest : public LayerHostFixture {
 protected:
  DataPlane Plane() const override { return DataPlane::kErofs; }

  static dev_t DeviceOf(const std::filesystem::path& path) {
    struct stat status{};
    EXPECT_EQ(::stat(path.c_str(), &status), 0) << path << ": " << strerror(errno);
    return status.st_dev;
  }
  /// Until another mount is at `path` than the one with `device`.
  static bool WaitForAnotherMount(const std::filesystem::path& path, dev_t device) {
    return WaitUntil([&] { return DeviceOf(path) != device; });
  }
  static void DropCaches() { Shell("sync; echo 3 > /proc/sys/vm/drop_caches"); }
  std::filesystem::path OverlayOver(const std::filesystem::path& lower, const std::string& name) {
    Shell(fmt::format("cd {}; mkdir {} {}.empty; mount -t overlay o -o lowerdir={}:{}.empty {}",
                      directory_->path().native(), name, name, lower.native(), name, name));
    return Path(name);
  }
};

TEST_F(ErofsLayerHostTest, WhatAnotherLayerHoldsIsStoredOnceWhereFilesShareBlocks) {
  if (!testing_support::KernelKnowsFileSystem("xfs")) {
    GTEST_SKIP() << "this kernel has no xfs";
  }
  host_.reset();
  Shell(
      fmt::format("mkdir -p {0}/host && truncate -s 400M {0}/disk && "
                  "mkfs.xfs -q -m reflink=1 {0}/disk && mount -o loop {0}/disk {0}/host",
                  directory_->path().native()));
  StartHost();
  const auto used_bytes = [&] {
    Shell(fmt::format("sync -f {}", Path("host").native()));
    struct statvfs space{};
    EXPECT_EQ(::statvfs(Path("host").c_str(), &space), 0);
    return (space.f_blocks - space.f_bfree) * space.f_frsize;
  };
  // Ten files of about 1 MB, of which eight are the same in both.
  const auto with = [&](int first_own) {
    return fmt::format(
        "cd \"$TREE\"; for i in $(seq 8) {} {}; do seq ${{i}}000000 ${{i}}120000 | tac > f$i; done",
        first_own, first_own + 1);
  };
  const LazyLayerBlob one = MakeLayer("one", with(11));
  const LazyLayerBlob other = MakeLayer("other", with(13));
  image_->Add(one);
  image_->Add(other);
  TreeComparison().CompareBelow(Path("one"), MountLayer(1, one));
  const auto digests = Stored(one) / "digests";
  ASSERT_TRUE(WaitUntil([&] { return std::filesystem::exists(digests); }));
  const uint64_t used_before = used_bytes();
  const uint64_t fetched_before = host_->counters().blob_bytes;
  TreeComparison().CompareBelow(Path("other"), MountLayer(2, other));
  EXPECT_LT(host_->counters().blob_bytes - fetched_before, other.blob.size() / 2);
  EXPECT_LT(used_bytes() - used_before, 3'000'000U) << "of 10 MB";
  host_.reset();
  Shell(fmt::format("umount {}", Path("host").native()));
}

TEST_F(ErofsLayerHostTest, ACompleteLayerNeedsNoServer) {
  const LazyLayerBlob layer = MakeLayer("tree", kMakeTree);
  image_->Add(layer);
  const auto path = MountLayer(1, layer);
  const auto other = MountLayer(2, layer);
  const dev_t over_fuse = DeviceOf(path);
  const dev_t other_over_fuse = DeviceOf(other);
  const UniqueFd open_before(::open((path / "d/hello").c_str(), O_RDONLY | O_CLOEXEC));
  const auto overlay_before = OverlayOver(path, "before");
  TreeComparison().CompareBelow(Path("tree"), path);  // reads everything

  ASSERT_TRUE(WaitForAnotherMount(path, over_fuse));
  EXPECT_TRUE(WaitForAnotherMount(other, other_over_fuse)) << "under every number";
  host_->OnComplete({.layer = layer.digest, .toc = layer.toc});  // again: changes nothing
  const auto overlay_after = OverlayOver(path, "after");
  TreeComparison().CompareBelow(Path("tree"), overlay_after);
  char text[5];
  EXPECT_EQ(::pread(open_before.get(), text, sizeof text, 0), 5) << "goes on with the old mount";
  EXPECT_EQ(ReadWhole(overlay_before / "text"), ReadWhole(Path("tree") / "text"));

  host_.reset();
  EXPECT_FALSE(std::filesystem::exists(path));
  DropCaches();
  TreeComparison().CompareBelow(Path("tree"), overlay_after);
  Shell(fmt::format("umount {} {}", overlay_before.native(), overlay_after.native()));
}

TEST_F(ErofsLayerHostTest, AMountThatIsAboutToBeUsedIsNotReplaced) {
  mount_grace_ = std::chrono::hours(1);
  host_.reset();
  StartHost();
  const LazyLayerBlob used = MakeLayer("used", kLargerThanItsTail);
  const LazyLayerBlob other = MakeLayer("other", kLargerThanItsTail);
  image_->Add(used);
  image_->Add(other);
  const auto used_path = MountLayer(1, used);
  const auto other_path = MountLayer(2, other);
  const dev_t used_before = DeviceOf(used_path);
  const dev_t other_before = DeviceOf(other_path);
  EXPECT_EQ(host_->ShowChain(std::vector<uint64_t>{1}), std::nullopt);
  TreeComparison().CompareBelow(Path("used"), used_path);
  host_->OnComplete({.layer = used.digest, .toc = used.toc});
  TreeComparison().CompareBelow(Path("other"), other_path);
  // They are replaced one after the other.
  ASSERT_TRUE(WaitForAnotherMount(other_path, other_before));
  EXPECT_EQ(DeviceOf(used_path), used_before);
}

TEST_F(ErofsLayerHostTest, ARestartShowsACompleteLayerFromItsFiles) {
  const LazyLayerBlob layer = MakeLayer("tree", kMakeTree);
  image_->Add(layer);
  TreeComparison().CompareBelow(Path("tree"), MountLayer(1, layer));
  host_.reset();
  StartHost();
  const auto restored = host_->Restore(1, SpecOf(layer));
  ASSERT_TRUE(restored.ok()) << restored.status();
  const auto overlay = OverlayOver(restored->path, "overlay");
  host_.reset();
  TreeComparison().CompareBelow(Path("tree"), overlay);
  Shell("umount " + overlay.native());
}

/// Chains of two layers, merged.
class ChainLayerHostTest : public ErofsLayerHostTest {
 protected:
  /// Of `chain`, bottom first, by the kernel's overlayfs.
  std::filesystem::path OverlayOf(const std::vector<std::filesystem::path>& chain) {
    std::string lower;
    for (const std::filesystem::path& layer : chain) {
      lower = layer.native() + (lower.empty() ? "" : ":") + lower;
    }
    Shell(fmt::format("mkdir -p {0}; mount -t overlay o -o lowerdir={1} {0}",
                      Path("expected").native(), lower));
    return Path("expected");
  }
  LazyLayerBlob MakeChanges() {
    return MakeLayer("changes", R"(cd "$TREE"
      mkdir d many; : > .wh.text; : > many/.wh..wh..opq; echo new > many/new; echo more > d/more)");
  }

  const std::vector<uint64_t> kChain = {1, 2};
};

TEST_F(ChainLayerHostTest, IsWhatTheOverlayOfItsLayersIs) {
  const LazyLayerBlob base = MakeLayer("base", kMakeTree);
  const LazyLayerBlob changes = MakeChanges();
  image_->Add(base);
  image_->Add(changes);
  const auto expected = OverlayOf({MountLayer(1, base), MountLayer(2, changes)});
  const uint64_t requests = host_->counters().blob_requests;
  const auto path = host_->ShowChain(kChain);
  ASSERT_TRUE(path.has_value());
  EXPECT_EQ(*path, Path("host/m/2"));
  EXPECT_EQ(host_->counters().blob_requests, requests) << "never asks the network";
  EXPECT_EQ(testing_support::NamesIn(*path / "many"), std::vector<std::string>{"new"});
  TreeComparison().CompareBelow(expected, *path);
  EXPECT_EQ(host_->ShowChain(kChain), path);
  Shell("umount " + expected.native());
}

TEST_F(ChainLayerHostTest, ACompleteChainNeedsNoServer) {
  const LazyLayerBlob base = MakeLayer("base", kMakeTree);
  const LazyLayerBlob changes = MakeChanges();
  image_->Add(base);
  image_->Add(changes);
  const auto lower = MountLayer(1, base);
  const auto upper = MountLayer(2, changes);
  const auto path = host_->ShowChain(kChain);
  ASSERT_TRUE(path.has_value());
  const dev_t over_fuse = DeviceOf(*path);
  const auto before = OverlayOver(*path, "before");
  // Each layer's files, by way of the layers: that completes the chain, too.
  TreeComparison().CompareBelow(Path("base"), lower);
  Shell(fmt::format("find {} -type f -exec cat {{}} + > /dev/null", upper.native()));
  ASSERT_TRUE(WaitForAnotherMount(*path, over_fuse));
  const auto after = OverlayOver(*path, "after");
  const auto expected = OverlayOf({lower, upper});
  TreeComparison().CompareBelow(expected, before);
  Shell("umount " + expected.native());
  host_.reset();
  EXPECT_FALSE(std::filesystem::exists(*path));
  DropCaches();
  EXPECT_EQ(ReadWhole(after / "d/more"), "more\n");
  EXPECT_TRUE(ReadWhole(after / "big") == ReadWhole(Path("base") / "big"));
  Shell(fmt::format("umount {} {}", before.native(), after.native()));
}

TEST_F(ChainLayerHostTest, IsRefusedWhereThereIsNone) {
  const LazyLayerBlob base = MakeLayer("base", "echo x > $TREE/f");
  const LazyLayerBlob changes = MakeLayer("changes", "echo y > $TREE/g");
  image_->Add(base);
  image_->Add(changes);
  MountLayer(1, base);
  EXPECT_EQ(host_->ShowChain({}), std::nullopt);
  EXPECT_EQ(host_->ShowChain(std::span(kChain).first(1)), std::nullopt) << "it has a directory";
  EXPECT_EQ(host_->ShowChain(kChain), std::nullopt) << "the second is not shown";
  MountLayer(2, changes);
  EXPECT_EQ(host_->ShowChain(kChain), Path("host/m/2"));
  EXPECT_TRUE(host_->Unmount(1, LayerHost::Data::kDiscard).ok());
  EXPECT_FALSE(std::filesystem::exists(Path("host/m/2"))) << "no mount outlives its layers";
  EXPECT_EQ(host_->ShowChain(kChain), std::nullopt);
  host_.reset();
  auto tree = MakeHost(DataPlane::kTree);
  ASSERT_TRUE(tree.ok()) << tree.status();
  host_ = *std::move(tree);
  MountLayer(1, base);
  MountLayer(2, changes);
  EXPECT_EQ(host_->ShowChain(kChain), std::nullopt);
}

TEST_F(ChainLayerHostTest, ComesBackAfterARestartWithoutTheNetwork) {
  const LazyLayerBlob base = MakeLayer("base", kLargerThanItsTail);
  const LazyLayerBlob changes = MakeLayer("changes", "seq 2000 > $TREE/g");
  image_->Add(base);
  image_->Add(changes);
  MountLayer(1, base);
  MountLayer(2, changes);
  const auto path = host_->ShowChain(kChain);
  ASSERT_TRUE(path.has_value());
  const std::string held = ReadWhole(*path / "f") + ReadWhole(*path / "g");
  host_.reset();
  StartHost();
  ASSERT_TRUE(host_->Restore(1, SpecOf(base)).ok());
  ASSERT_TRUE(host_->Restore(2, SpecOf(changes)).ok());
  EXPECT_EQ(host_->ShowChain(kChain), path);
  EXPECT_EQ(ReadWhole(*path / "f") + ReadWhole(*path / "g"), held);
  EXPECT_EQ(host_->counters().blob_requests, 0U);
}

TEST_F(ChainLayerHostTest, ASuccessorGoesOnWithIt) {
  const LazyLayerBlob base = MakeLayer("base", kLargerThanItsTail);
  const LazyLayerBlob changes = MakeLayer("changes", "head -c 600000 /dev/urandom > $TREE/g");
  image_->Add(base);
  image_->Add(changes);
  MountLayer(1, base);
  MountLayer(2, changes);
  const auto path = host_->ShowChain(kChain);
  ASSERT_TRUE(path.has_value());
  auto handover = host_->CopyHandover();
  ASSERT_TRUE(host_->Release().ok());
  host_.reset();
  const std::string mounts = MountsOfHost();
  AdoptHost(*std::move(handover));
  ASSERT_TRUE(host_->Restore(1, SpecOf(base)).ok());
  ASSERT_TRUE(host_->Restore(2, SpecOf(changes)).ok());
  ASSERT_TRUE(host_->Serve().ok());
  EXPECT_EQ(host_->ShowChain(kChain), path);
  EXPECT_EQ(MountsOfHost(), mounts) << "no mount was needed";
  EXPECT_EQ(ReadWhole(*path / "f"), ReadWhole(Path("base") / "f"));
  EXPECT_EQ(ReadWhole(*path / "g"), ReadWhole(Path("changes") / "g"));
  EXPECT_TRUE(host_->Unmount(1, LayerHost::Data::kDiscard).ok());
  EXPECT_FALSE(std::filesystem::exists(*path / "f")) << "it goes with any of its layers";
}

TEST_F(ChainLayerHostTest, ASuccessorHidesOneWhoseLayersItDoesNotKnow) {
  const LazyLayerBlob base = MakeLayer("base", kLargerThanItsTail);
  const LazyLayerBlob changes = MakeLayer("changes", "seq 2000 > $TREE/g");
  image_->Add(base);
  image_->Add(changes);
  MountLayer(1, base);
  MountLayer(2, changes);
  const auto path = host_->ShowChain(kChain);
  ASSERT_TRUE(path.has_value());
  const auto overlay = OverlayOver(*path, "container");
  auto handover = host_->CopyHandover();
  ASSERT_TRUE(host_->Release().ok());
  host_.reset();
  Shell(fmt::format("echo x > {}", Path("host/m/2.layers").native()));
  AdoptHost(*std::move(handover));
  ASSERT_TRUE(host_->Restore(1, SpecOf(base)).ok());
  ASSERT_TRUE(host_->Restore(2, SpecOf(changes)).ok());
  ASSERT_TRUE(host_->Serve().ok());
  EXPECT_FALSE(std::filesystem::exists(*path / "f"));
  EXPECT_EQ(ReadWhole(overlay / "f"), ReadWhole(Path("base") / "f")) << "who has it keeps it";
  EXPECT_EQ(host_->ShowChain(kChain), path) << "made anew";
  Shell("umount " + overlay.native());
}

TEST_F(ChainLayerHostTest, ManyAskForItWhileALayerGoes) {
  const LazyLayerBlob base = MakeLayer("base", "echo x > $TREE/f");
  const LazyLayerBlob changes = MakeLayer("changes", "echo y > $TREE/g");
  image_->Add(base);
  image_->Add(changes);
  for (int round = 0; round < 10; ++round) {
    MountLayer(1, base);
    MountLayer(2, changes);
    std::vector<std::future<void>> askers;
    for (int i = 0; i < 4; ++i) {
      askers.push_back(std::async(std::launch::async, [this] { host_->ShowChain(kChain); }));
    }
    EXPECT_TRUE(host_->Unmount(2, LayerHost::Data::kKeep).ok());
    for (auto& asker : askers) {
      asker.get();
    }
    EXPECT_FALSE(std::filesystem::exists(Path("host/m/2")));
    EXPECT_TRUE(host_->Unmount(1, LayerHost::Data::kKeep).ok());
  }
}

TEST_F(ErofsLayerHostTest, WithoutTheServerNothingIsWrong) {
  const LazyLayerBlob layer = MakeLayer(
      "tree", "cd $TREE; mkdir d; seq 1000 > d/a; head -c 2000000 /dev/urandom > z", 1 << 20);
  image_->Add(layer);
  const auto overlay = OverlayOver(MountLayer(1, layer), "overlay");
  const std::string held = ReadWhole(overlay / "d/a");
  host_.reset();
  EXPECT_EQ(ReadWhole(overlay / "d/a"), held) << "what the kernel remembers";
  EXPECT_EQ(testing_support::NamesIn(overlay), (std::vector<std::string>{"d", "z"}));
  EXPECT_EQ(std::filesystem::file_size(overlay / "z"), 2000000U);
  const int error = ReadError(overlay / "z");
  EXPECT_TRUE(error == EIO || error == ENOTCONN) << strerror(error);
  Shell("umount " + overlay.native());
}

TEST_F(ErofsLayerHostTest, AnUnknownOrIncompleteLayerStays) {
  const LazyLayerBlob layer = MakeLayer("tree", kLargerThanItsTail);
  image_->Add(layer);
  const auto path = MountLayer(1, layer);
  const dev_t device = DeviceOf(path);
  host_->OnComplete({.layer = layer.toc, .toc = layer.digest});
  host_->OnComplete({.layer = layer.digest, .toc = layer.toc});
  EXPECT_TRUE(host_->Unmount(1, LayerHost::Data::kKeep).ok());
  host_->OnComplete({.layer = layer.digest, .toc = layer.toc});
  EXPECT_EQ(DeviceOf(MountLayer(2, layer)) == 0, false);
  EXPECT_NE(device, 0U);
}

TEST_F(ErofsLayerHostTest, TheProbeDecides) {
  const LazyLayerBlob layer = MakeLayer("tree", kMakeTree);
  image_->Add(layer);
  host_.reset();
  const Status no = MakeError(StatusCode::kUnimplemented, "not in this kernel");
  const auto refuse = [&](const auto&...) {
    return ErofsSupport{.over_fuse = no, .replacing = no};
  };
  EXPECT_EQ(MakeHost(DataPlane::kErofs, refuse).status().code(), StatusCode::kFailedPrecondition);
  auto tree = MakeHost(DataPlane::kAuto, refuse);
  ASSERT_TRUE(tree.ok()) << tree.status();
  host_ = *std::move(tree);
  EXPECT_EQ(host_->data_plane().plane, DataPlane::kTree);
  EXPECT_NE(host_->data_plane().reason.find("not in this kernel"), std::string::npos);
  EXPECT_EQ(MountLayer(1, layer), Path("host/l/1"));
  host_.reset();
  auto best = MakeHost(DataPlane::kAuto);
  ASSERT_TRUE(best.ok()) << best.status();
  host_ = *std::move(best);
  EXPECT_EQ(host_->data_plane().plane, DataPlane::kErofs);
  EXPECT_EQ(MountLayer(1, layer), Path("host/e/1"));
}

TEST_F(ErofsLayerHostTest, WithoutReplacingACompleteLayerGoesOnOverFuse) {
  const LazyLayerBlob layer = MakeLayer("tree", kMakeTree);
  image_->Add(layer);
  host_.reset();
  auto host = MakeHost(DataPlane::kErofs, [](const auto&...) {
    return ErofsSupport{.replacing = MakeError(StatusCode::kUnimplemented, "old kernel")};
  });
  ASSERT_TRUE(host.ok()) << host.status();
  host_ = *std::move(host);
  const auto path = MountLayer(1, layer);
  const dev_t device = DeviceOf(path);
  TreeComparison().CompareBelow(Path("tree"), path);
  host_->OnComplete({.layer = layer.digest, .toc = layer.toc});
  TreeComparison().CompareBelow(Path("tree"), path);
  EXPECT_EQ(DeviceOf(path), device);
}

TEST_F(ErofsLayerHostTest, ALayerThatCannotBeMountedIsATree) {
  const LazyLayerBlob layer = MakeLayer("tree", kMakeTree);
  image_->Add(layer);
  // In the way of the mount point.
  Shell(fmt::format("echo x > {}", Path("host/e/3").native()));
  const auto path = MountLayer(3, layer);
  EXPECT_EQ(path, Path("host/l/3"));
  TreeComparison().CompareBelow(Path("tree"), path);
  EXPECT_TRUE(host_->Unmount(3, LayerHost::Data::kDiscard).ok());
}

}  // namespace
}  // namespace starling::mount
