/// Descriptors with a name and a value, and how they get from one process to another.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "keeper/state.h"

namespace starling::keeper {

struct Kept {
  std::string name;  // as Entry::name
  Bytes value;
  UniqueFd fd;
};

/// The one of that name; null without one. Borrowed from `kept`.
const Kept* FindKept(const std::vector<Kept>& kept, std::string_view name);
Kept* FindKept(std::vector<Kept>& kept, std::string_view name);

/// A file in memory that says what `kept` are: names, values and descriptors' numbers.
StatusOr<UniqueFd> WriteState(const std::vector<Kept>& kept);
/// What such a file says. Borrows it.
StatusOr<std::vector<Entry>> ReadState(int state);
/// Takes the descriptors that a process which executed this program left open, by the file that it
/// wrote. What this process executes does not inherit them again.
StatusOr<std::vector<Kept>> TakeInherited(UniqueFd state);
/// Programs that this process executes get none of its present descriptors but the standard ones.
Status SetNoneInherited();
/// Whether programs that this process executes get the descriptor.
Status SetInherited(int fd, bool is_inherited);

/// One end of a socket between the keeper and its server. Threads: one at a time for each
/// direction.
class Channel {
 public:
  static StatusOr<std::pair<Channel, Channel>> MakePair();
  explicit Channel(UniqueFd fd) : fd_(std::move(fd)) {}

  /// The server asks for copies of `kept` to be kept for its successor, in the place of all that
  /// were kept before.
  Status SendKept(const std::vector<Kept>& kept);
  /// The server serves.
  Status SendReady();

  struct Message {
    enum class Kind { kKept, kReady, kEnd } kind = Kind::kEnd;  // kEnd: the other end is gone
    std::vector<Kept> kept;
  };
  /// Blocks for the next message. kDataLoss for one that the other end cannot have sent.
  StatusOr<Message> Receive();

  int fd() const { return fd_.get(); }
  UniqueFd TakeFd() { return std::move(fd_); }

 private:
  UniqueFd fd_;
};

}  // namespace starling::keeper
