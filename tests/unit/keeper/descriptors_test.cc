#include "keeper/descriptors.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace starling::keeper {
namespace {

/// The read end of a pipe that holds `text`.
UniqueFd PipeWith(std::string_view text) {
  int ends[2] = {-1, -1};
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  EXPECT_EQ(::write(ends[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  ::close(ends[1]);
  return UniqueFd(ends[0]);
}

std::string ReadFrom(const UniqueFd& fd) {
  char text[64];
  const ssize_t size = ::read(fd.get(), text, sizeof text);
  return {text, size < 0 ? 0 : static_cast<size_t>(size)};
}

std::vector<Kept> SomeKept() {
  std::vector<Kept> kept;
  kept.push_back({.name = "one", .value = ToBytes("first"), .fd = PipeWith("1")});
  kept.push_back({.name = "two", .value = {}, .fd = PipeWith("2")});
  return kept;
}

TEST(Inherited, IsTakenByTheStateFile) {
  std::vector<Kept> kept = SomeKept();
  auto state = WriteState(kept);
  ASSERT_TRUE(state.ok()) << state.status();
  for (Kept& one : kept) {
    ASSERT_TRUE(SetInherited(one.fd.get(), true).ok());
    EXPECT_EQ(::fcntl(one.fd.get(), F_GETFD), 0);
    one.fd.Release();  // as execve leaves them
  }
  const auto taken = TakeInherited(*std::move(state));
  ASSERT_TRUE(taken.ok()) << taken.status();
  ASSERT_EQ(taken->size(), 2U);
  const Kept* one = FindKept(*taken, "one");
  ASSERT_NE(one, nullptr);
  EXPECT_EQ(AsText(one->value), "first");
  EXPECT_EQ(::fcntl(one->fd.get(), F_GETFD), FD_CLOEXEC) << "goes no further";
  EXPECT_EQ(ReadFrom(one->fd), "1");
  EXPECT_EQ(ReadFrom(FindKept(*taken, "two")->fd), "2");
  EXPECT_EQ(FindKept(*taken, "three"), nullptr);
}

TEST(Inherited, RefusesStatesThatCannotBe) {
  const struct {
    std::string_view name;
    std::vector<Entry> entries;
  } kCases[] = {
      {"a standard stream", {{.name = "a", .value = {}, .fd = 1}}},
      {"no open descriptor", {{.name = "a", .value = {}, .fd = 100'000}}},
  };
  for (const auto& c : kCases) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    ::close(ends[0]);
    ::close(ends[1]);
    std::vector<Kept> kept;
    auto state = WriteState(kept);
    ASSERT_TRUE(state.ok());
    const Bytes bytes = *Encode(c.entries);
    ASSERT_EQ(::pwrite(state->get(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
    EXPECT_FALSE(TakeInherited(*std::move(state)).ok()) << c.name;
  }
  EXPECT_FALSE(TakeInherited(UniqueFd()).ok());
  EXPECT_EQ(TakeInherited(PipeWith("x")).status().code(), StatusCode::kInternal) << "no file";
}

TEST(Channel, CarriesDescriptors) {
  auto ends = Channel::MakePair();
  ASSERT_TRUE(ends.ok()) << ends.status();
  {
    const std::vector<Kept> kept = SomeKept();
    ASSERT_TRUE(ends->first.SendKept(kept).ok());
  }
  ASSERT_TRUE(ends->first.SendReady().ok());
  const auto message = ends->second.Receive();
  ASSERT_TRUE(message.ok()) << message.status();
  ASSERT_EQ(message->kind, Channel::Message::Kind::kKept);
  ASSERT_EQ(message->kept.size(), 2U);
  EXPECT_EQ(message->kept[0].name, "one");
  EXPECT_EQ(AsText(message->kept[0].value), "first");
  EXPECT_EQ(::fcntl(message->kept[0].fd.get(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(ReadFrom(message->kept[0].fd), "1");
  EXPECT_EQ(ReadFrom(message->kept[1].fd), "2");
  EXPECT_EQ(ends->second.Receive()->kind, Channel::Message::Kind::kReady);
  ends->first = Channel(UniqueFd());
  EXPECT_EQ(ends->second.Receive()->kind, Channel::Message::Kind::kEnd);
  EXPECT_FALSE(ends->second.SendReady().ok()) << "nobody is there, and no signal comes";
}

TEST(Channel, RefusesWhatAServerDoesNotSend) {
  const Bytes state = *Encode({{.name = "a", .value = {}, .fd = 0}});
  const std::string with_state = "K" + std::string(AsText(state));
  const struct {
    std::string_view name;
    std::string message;
  } kCases[] = {
      {"an unknown kind", "x"},
      {"a state without its descriptors", with_state},
      {"half a state", with_state.substr(0, with_state.size() - 1)},
      {"more than ready", "Rx"},
      {"too much", std::string(2 * kMaxStateBytes, 'K')},
  };
  for (const auto& c : kCases) {
    auto ends = Channel::MakePair();
    ASSERT_TRUE(ends.ok());
    ASSERT_EQ(::send(ends->first.fd(), c.message.data(), c.message.size(), 0),
              static_cast<ssize_t>(c.message.size()));
    EXPECT_EQ(ends->second.Receive().status().code(), StatusCode::kDataLoss) << c.name;
  }
}

}  // namespace
}  // namespace starling::keeper
