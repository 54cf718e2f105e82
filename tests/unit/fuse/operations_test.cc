#include "fuse/operations.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <future>

#include "tests/support/lazy_layer_fixture.h"
#include "tests/support/tar_builder.h"

namespace starling::fuse {
namespace {

using testing_support::TarBuilder;

/// What was answered, as text: "error 2", "data hello". Deferred answers arrive at the same place.
struct Answer {
  std::promise<std::string> promise;
  std::future<std::string> future = promise.get_future();
  std::vector<std::string> names;
  std::vector<uint64_t> cookies;
  Node node;
  Lifetime lifetime = Lifetime::kNone;
};

class FakeReply : public Reply {
 public:
  explicit FakeReply(std::shared_ptr<Answer> answer, size_t room = 1000)
      : answer_(std::move(answer)), room_(room) {}

  void Error(int error_number) override { Say(fmt::format("error {}", error_number)); }
  void Entry(const Node& node, Lifetime lifetime) override { SayNode("entry", node, lifetime); }
  void NoEntry(Lifetime lifetime) override {
    answer_->lifetime = lifetime;
    Say("no entry");
  }
  void Attributes(const Node& node, Lifetime lifetime) override {
    SayNode("attributes", node, lifetime);
  }
  void Link(std::string_view target) override { Say(fmt::format("link {}", target)); }
  void Data(ByteSpan bytes) override { Say(fmt::format("data {}", AsText(bytes))); }
  void XattrSize(size_t size_bytes) override { Say(fmt::format("size {}", size_bytes)); }
  void Size(const FileSystemSize& size) override {
    Say(fmt::format("{} bytes {} inodes", size.data_bytes, size.inodes));
  }
  bool AddEntry(const DirectoryEntry& entry) override {
    if (answer_->names.size() == room_) {
      return false;
    }
    answer_->names.emplace_back(entry.name);
    answer_->cookies.push_back(entry.next_cookie);
    answer_->node = entry.node;
    answer_->lifetime = entry.lifetime;
    return true;
  }
  void Directory() override { Say("directory"); }
  std::unique_ptr<Reply> Defer() override { return std::make_unique<FakeReply>(answer_); }

 private:
  void Say(std::string text) { answer_->promise.set_value(std::move(text)); }
  void SayNode(std::string text, const Node& node, Lifetime lifetime) {
    answer_->node = node;
    answer_->lifetime = lifetime;
    Say(std::move(text));
  }

  const std::shared_ptr<Answer> answer_;
  const size_t room_;
};

class OperationsTest : public testing_support::LazyLayerFixture {
 protected:
  static constexpr uint64_t kLayer = 5;

  void SetUp() override {
    const std::string tar = TarBuilder()
                                .Add({.name = "d", .type = '5', .mode = 0750, .uid = 3, .gid = 4})
                                .Add({.name = "d/file", .content = "hello world", .mode = 04755})
                                .Add({.name = "d/link", .type = '2', .link_name = "file"})
                                .Add({.name = "d/hard", .type = '1', .link_name = "d/file"})
                                .Add({.name = "x", .pax = {{"SCHILY.xattr.user.color", "blue"}}})
                                .Finish();
    ASSERT_NO_FATAL_FAILURE(OpenLayer(tar, 4096));
    ASSERT_TRUE(table_.Add(kLayer, layer_).ok());
  }
  template <typename Call>
  std::string Ask(const Call& call, size_t room = 1000) {
    answer_ = std::make_shared<Answer>();
    FakeReply reply(answer_, room);
    call(reply);
    return answer_->future.get();
  }
  std::string Lookup(NodeId directory, std::string_view name) {
    return Ask([&](Reply& reply) { operations_.Lookup(directory, name, reply); });
  }
  NodeId Find(NodeId directory, std::string_view name) {
    EXPECT_EQ(Lookup(directory, name), "entry") << name;
    return answer_->node.id;
  }
  NodeId LayerRoot() { return Find(kRootNode, "5"); }
  NodeId File() { return Find(Find(LayerRoot(), "d"), "file"); }
  std::string Read(NodeId node, uint64_t file_offset, uint64_t size_bytes) {
    return Ask([&](Reply& reply) { operations_.Read(node, file_offset, size_bytes, reply); });
  }

  LayerTable table_;
  Operations operations_{table_, Operations::Xattrs::kServed};
  std::shared_ptr<Answer> answer_;
};

TEST_F(OperationsTest, FindsLayersByNumberAndForgetsThemAtOnce) {
  EXPECT_EQ(Lookup(kRootNode, "5"), "entry");
  EXPECT_EQ(answer_->lifetime, Lifetime::kNone);
  EXPECT_EQ(LayerNumberOf(answer_->node.id), kLayer);
  for (const std::string_view name : {"05", "+5", "", "6", "5x", "-5", "99999999999999999999999"}) {
    EXPECT_EQ(Lookup(kRootNode, name), "no entry") << name;
    EXPECT_EQ(answer_->lifetime, Lifetime::kNone);
  }
  const NodeId file = File();
  table_.Remove(kLayer);
  EXPECT_EQ(Lookup(kRootNode, "5"), "no entry");
  EXPECT_EQ(Read(file, 0, 10), fmt::format("error {}", ESTALE));
}

TEST_F(OperationsTest, AnswersInsideALayerLastForEver) {
  const NodeId directory = Find(LayerRoot(), "d");
  EXPECT_EQ(answer_->lifetime, Lifetime::kForever);
  EXPECT_EQ(answer_->node.attributes.mode, S_IFDIR | 0750U);
  EXPECT_EQ(answer_->node.attributes.uid, 3U);
  EXPECT_EQ(Lookup(directory, "missing"), "no entry");
  EXPECT_EQ(answer_->lifetime, Lifetime::kForever);
  const NodeId file = Find(directory, "file");
  EXPECT_EQ(answer_->node.attributes.mode, S_IFREG | 04755U);
  EXPECT_EQ(Find(directory, "hard"), file) << "hardlinks are one node";
  EXPECT_EQ(answer_->node.attributes.nlink, 2U);
  EXPECT_EQ(Ask([&](Reply& reply) { operations_.GetAttributes(file, reply); }), "attributes");
  EXPECT_EQ(answer_->node.id, file);
  const NodeId link = Find(directory, "link");
  EXPECT_EQ(Ask([&](Reply& reply) { operations_.ReadLink(link, reply); }), "link file");
}

TEST_F(OperationsTest, ReadsAbsentDataOnceAndHeldDataAtOnce) {
  const NodeId file = File();
  blob_->Hold();
  answer_ = std::make_shared<Answer>();
  {
    FakeReply reply(answer_);
    operations_.Read(file, 6, 100, reply);  // returns although nothing has arrived
  }
  const auto deferred = answer_;
  EXPECT_EQ(blob_->requests(), 1U);
  blob_->Release();
  EXPECT_EQ(deferred->future.get(), "data world");
  EXPECT_EQ(Read(file, 0, 5), "data hello");
  EXPECT_EQ(Read(file, 11, 5), "data ");
  EXPECT_EQ(Read(file, UINT64_MAX, 5), "data ");
  EXPECT_EQ(blob_->requests(), 1U);
  EXPECT_EQ(Read(LayerRoot(), 0, 5), fmt::format("error {}", EINVAL));
}

TEST_F(OperationsTest, AFailedReadIsEio) {
  const NodeId file = File();
  blob_->FailNext(MakeError(StatusCode::kUnavailable, "away"));
  EXPECT_EQ(Read(file, 0, 5), fmt::format("error {}", EIO));
  EXPECT_EQ(Read(file, 0, 5), "data hello");
}

TEST_F(OperationsTest, ShowsTheDataDeviceAsAFile) {
  const NodeId device = Find(kRootNode, "5.data");
  EXPECT_EQ(answer_->lifetime, Lifetime::kNone);
  EXPECT_EQ(answer_->node.attributes.mode, S_IFREG | 0400U);
  EXPECT_EQ(answer_->node.attributes.size_bytes, 4096U);
  EXPECT_EQ(Ask([&](Reply& reply) { operations_.GetAttributes(device, reply); }), "attributes");
  EXPECT_EQ(answer_->node.attributes.size_bytes, 4096U);
  for (const std::string_view name : {"6.data", ".data", "05.data", "5.data.data", "5.datax"}) {
    EXPECT_EQ(Lookup(kRootNode, name), "no entry") << name;
  }
  // The layer's data ends within the block; what follows is zeros, fetched or held.
  const std::string block = "data hello world" + std::string(4096 - 11, '\0');
  EXPECT_EQ(Read(device, 0, 100000), block);
  EXPECT_EQ(blob_->requests(), 1U);
  EXPECT_EQ(Read(device, 0, 4096), block);
  EXPECT_EQ(Read(device, 6, 5), "data world");
  EXPECT_EQ(Read(device, 4096, 1), "data ");
  EXPECT_EQ(blob_->requests(), 1U);
  EXPECT_EQ(Ask([&](Reply& reply) { operations_.GetXattr(device, "user.color", 9, reply); }),
            fmt::format("error {}", ENODATA));
  EXPECT_EQ(Ask([&](Reply& reply) { operations_.ListXattrs(device, 9, reply); }), "data ");
  table_.Remove(kLayer);
  EXPECT_EQ(Read(device, 0, 10), fmt::format("error {}", ESTALE));
}

TEST_F(OperationsTest, HasAFileToProbe) {
  const NodeId probe = Find(kRootNode, kProbeName);
  EXPECT_EQ(answer_->node.attributes.size_bytes, ProbeContent().size());
  EXPECT_EQ(Ask([&](Reply& reply) { operations_.GetAttributes(probe, reply); }), "attributes");
  EXPECT_EQ(Read(probe, 0, 100000), fmt::format("data {}", AsText(ProbeContent())));
  EXPECT_EQ(Read(probe, 4000, 96), fmt::format("data {}", AsText(ProbeContent().subspan(4000))));
  EXPECT_EQ(Read(probe, 4096, 1), "data ");
  EXPECT_EQ(Ask([&](Reply& reply) { operations_.GetXattr(probe, "user.color", 9, reply); }),
            fmt::format("error {}", ENODATA));
}

TEST_F(OperationsTest, ListsDirectoriesInPieces) {
  const NodeId directory = Find(LayerRoot(), "d");
  std::vector<std::string> names;
  uint64_t cookie = 0;
  for (int calls = 0; calls < 10; ++calls) {
    Ask([&](Reply& reply) { operations_.ReadDirectory(directory, cookie, reply); }, 2);
    if (answer_->names.empty()) {
      break;
    }
    names.insert(names.end(), answer_->names.begin(), answer_->names.end());
    cookie = answer_->cookies.back();
    EXPECT_EQ(answer_->lifetime, Lifetime::kForever);
  }
  std::ranges::sort(names);
  EXPECT_EQ(names, (std::vector<std::string>{".", "..", "file", "hard", "link"}));
}

TEST_F(OperationsTest, ListsLayersInPieces) {
  ASSERT_TRUE(table_.Add(12, layer_).ok());
  std::vector<std::string> names;
  uint64_t cookie = 0;
  for (int calls = 0; calls < 10; ++calls) {
    Ask([&](Reply& reply) { operations_.ReadDirectory(kRootNode, cookie, reply); }, 1);
    if (answer_->names.empty()) {
      break;
    }
    names.push_back(answer_->names[0]);
    cookie = answer_->cookies[0];
    EXPECT_EQ(answer_->lifetime, Lifetime::kNone);
  }
  EXPECT_EQ(names, (std::vector<std::string>{".", "..", "5", "12"}));
}

TEST_F(OperationsTest, AnswersXattrs) {
  const NodeId node = Find(LayerRoot(), "x");
  const auto get = [&](std::string_view name, size_t room) {
    return Ask([&](Reply& reply) { operations_.GetXattr(node, name, room, reply); });
  };
  const auto list = [&](size_t room) {
    return Ask([&](Reply& reply) { operations_.ListXattrs(node, room, reply); });
  };
  EXPECT_EQ(get("user.color", 0), "size 4");
  EXPECT_EQ(get("user.color", 4), "data blue");
  EXPECT_EQ(get("user.color", 3), fmt::format("error {}", ERANGE));
  EXPECT_EQ(get("user.none", 100), fmt::format("error {}", ENODATA));
  EXPECT_EQ(list(0), "size 11");
  EXPECT_EQ(list(100), std::string("data user.color\0", 16));
  const Operations without(table_, Operations::Xattrs::kNone);
  EXPECT_EQ(Ask([&](Reply& reply) { without.GetXattr(node, "user.color", 9, reply); }),
            fmt::format("error {}", ENOSYS));
  EXPECT_EQ(Ask([&](Reply& reply) { without.ListXattrs(node, 9, reply); }), "data ");
  EXPECT_EQ(Ask([&](Reply& reply) { without.ListXattrs(node, 0, reply); }), "size 0");
}

TEST_F(OperationsTest, TellsSizes) {
  const NodeId file = File();
  const std::string size = Ask([&](Reply& reply) { operations_.GetSize(file, reply); });
  EXPECT_EQ(size, "4096 bytes 5 inodes");
}

TEST(LayerTable, ChecksNumbers) {
  LayerTable table;
  EXPECT_EQ(table.Add(0, nullptr).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(table.Add(kMaxLayerNumber + 1, nullptr).code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(table.Add(kMaxLayerNumber, nullptr).ok());
  EXPECT_EQ(table.Add(kMaxLayerNumber, nullptr).code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(table.Numbers(), std::vector<uint64_t>{kMaxLayerNumber});
}

}  // namespace
}  // namespace starling::fuse
