#include "fuse/connection.h"

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "fuse/id_mapping.h"
#include "fuse/kernel_abi.h"
#include "fuse/killed_thread.h"

namespace starling::fuse {
namespace {

/// As much as the kernel puts into one request: 256 pages.
constexpr unsigned kMaxRequestBytes = 1 << 20;
/// Reads on their way at once, for all layers together: as many as the kernel can count. What waits
/// for the network must not keep back what is held.
constexpr unsigned kMaxBackground = UINT16_MAX;
/// With so many of them the kernel reads ahead no more than it must.
constexpr unsigned kCongestionThreshold = 48;
/// About 31 years; the kernel takes it for ever.
constexpr double kForeverSeconds = 1e9;

double Seconds(Lifetime lifetime) { return lifetime == Lifetime::kForever ? kForeverSeconds : 0; }

struct stat StatOf(const Node& node) {
  const erofs::Attributes& from = node.attributes;
  struct stat out{};
  out.st_ino = node.id;
  out.st_mode = from.mode;
  out.st_nlink = from.nlink;
  out.st_uid = from.uid;
  out.st_gid = from.gid;
  out.st_rdev = makedev(from.device_major, from.device_minor);
  out.st_size = static_cast<off_t>(from.size_bytes);
  out.st_blksize = 4096;
  out.st_blocks = static_cast<blkcnt_t>((from.size_bytes + 511) / 512);
  const timespec modified{.tv_sec = from.modified_seconds, .tv_nsec = from.modified_nanoseconds};
  out.st_atim = modified;
  out.st_mtim = modified;
  out.st_ctim = modified;
  return out;
}

fuse_entry_param EntryOf(const Node& node, Lifetime lifetime) {
  fuse_entry_param out{};
  out.ino = node.id;
  out.attr = StatOf(node);
  out.attr_timeout = kForeverSeconds;
  out.entry_timeout = Seconds(lifetime);
  return out;
}

Connection& ConnectionOf(fuse_req_t request) {
  return *static_cast<Connection*>(fuse_req_userdata(request));
}

/// Says that a request could not be answered; other errors are answers.
bool IsFailure(int error_number) {
  for (const int answer : {ENOENT, ENODATA, ERANGE, ENOSYS, ENOTDIR, EINVAL, EINTR}) {
    if (error_number == answer) {
      return false;
    }
  }
  return true;
}

/// Answers through libfuse. Lives on the stack of one callback or, deferred, on the heap.
class RequestReply : public Reply {
 public:
  enum class Directories { kPlain, kPlus };
  explicit RequestReply(fuse_req_t request) : request_(request) {}
  RequestReply(fuse_req_t request, std::span<char> room, Directories directories)
      : request_(request), room_(room), directories_(directories) {}

  pid_t Asker() const override { return fuse_req_ctx(request_)->pid; }
  void Error(int error_number) override {
    if (ConnectionOf(request_).leaves_failures() && IsFailure(error_number)) {
      fuse_reply_none(request_);  // forgets it; the kernel sends it again
      return;
    }
    fuse_reply_err(request_, error_number);
  }
  void Entry(const Node& node, Lifetime lifetime) override {
    const fuse_entry_param entry = EntryOf(node, lifetime);
    fuse_reply_entry(request_, &entry);
  }
  void NoEntry(Lifetime lifetime) override {
    if (lifetime == Lifetime::kNone) {
      fuse_reply_err(request_, ENOENT);
      return;
    }
    fuse_entry_param entry{};  // node 0: remember that there is nothing
    entry.entry_timeout = Seconds(lifetime);
    fuse_reply_entry(request_, &entry);
  }
  void Attributes(const Node& node, Lifetime lifetime) override {
    const struct stat attributes = StatOf(node);
    fuse_reply_attr(request_, &attributes, Seconds(lifetime));
  }
  void Link(std::string_view target) override {
    fuse_reply_buf(request_, target.data(), target.size());
  }
  void Data(ByteSpan bytes) override {
    fuse_reply_buf(request_, reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  void XattrSize(size_t size_bytes) override { fuse_reply_xattr(request_, size_bytes); }
  void Size(const FileSystemSize& size) override {
    struct statvfs out{};
    out.f_bsize = 4096;
    out.f_frsize = 4096;
    out.f_blocks = size.data_bytes / 4096;
    out.f_files = size.inodes;
    out.f_namemax = 255;
    fuse_reply_statfs(request_, &out);
  }
  bool AddEntry(const DirectoryEntry& entry) override {
    name_.assign(entry.name);  // libfuse wants a terminated string
    fuse_entry_param parameters = EntryOf(entry.node, entry.lifetime);
    const std::span<char> room = room_.subspan(used_);
    const auto cookie = static_cast<off_t>(entry.next_cookie);
    size_t needed = 0;
    if (directories_ == Directories::kPlus) {
      if (name_ == "." || name_ == "..") {
        parameters.ino = 0;  // counts as no lookup
      }
      needed = fuse_add_direntry_plus(request_, room.data(), room.size(), name_.c_str(),
                                      &parameters, cookie);
    } else {
      needed = fuse_add_direntry(request_, room.data(), room.size(), name_.c_str(),
                                 &parameters.attr, cookie);
    }
    if (needed > room.size()) {
      return false;
    }
    used_ += needed;
    return true;
  }
  void Directory() override { fuse_reply_buf(request_, room_.data(), used_); }
  std::unique_ptr<Reply> Defer() override;

 private:
  fuse_req_t request_;
  std::span<char> room_;
  Directories directories_ = Directories::kPlain;
  size_t used_ = 0;
  std::string name_;
};

}  // namespace

class Connection::WaitingReply {
 public:
  WaitingReply(std::shared_ptr<Connection> connection, fuse_req_t request)
      : connection_(std::move(connection)), request_(request) {}
  ~WaitingReply() {
    MutexLock lock(connection_->waiting_mutex_);
    connection_->waiting_.erase(number_);
  }
  WaitingReply(const WaitingReply&) = delete;
  WaitingReply& operator=(const WaitingReply&) = delete;

  /// Makes `self` known. The signal may have come already.
  static void Register(const std::shared_ptr<WaitingReply>& self) {
    Connection& connection = *self->connection_;
    {
      MutexLock lock(connection.waiting_mutex_);
      self->number_ = connection.next_waiting_++;
      connection.waiting_.emplace(self->number_, self);
    }
    // libfuse tells at once of what came before, and then must still find the request.
    registers = Registers::kYes;
    fuse_req_interrupt_func(self->request_, &Connection::OnInterrupt,
                            reinterpret_cast<void*>(self->number_));
    if (std::exchange(registers, Registers::kNo) == Registers::kInterrupted) {
      self->AnswerIfKilled();
    }
  }

  void AnswerIfKilled() {
    if (IsBeingKilled(fuse_req_ctx(request_)->pid) && Claim()) {
      fuse_reply_err(request_, EINTR);
    }
  }

  /// True for the one who answers.
  bool Claim() { return !is_answered_.exchange(true); }

  enum class Registers { kNo, kYes, kInterrupted };
  static thread_local Registers registers;

 private:
  const std::shared_ptr<Connection> connection_;
  const fuse_req_t request_;
  uintptr_t number_ = 0;
  std::atomic<bool> is_answered_ = false;
};

thread_local Connection::WaitingReply::Registers Connection::WaitingReply::registers =
    Registers::kNo;

void Connection::OnInterrupt(fuse_req_t request, void* number) noexcept {
  if (WaitingReply::registers == WaitingReply::Registers::kYes) {
    WaitingReply::registers = WaitingReply::Registers::kInterrupted;
    return;
  }
  Connection& connection = ConnectionOf(request);
  std::shared_ptr<WaitingReply> reply;
  {
    MutexLock lock(connection.waiting_mutex_);
    const auto found = connection.waiting_.find(reinterpret_cast<uintptr_t>(number));
    reply = found == connection.waiting_.end() ? nullptr : found->second.lock();
  }
  if (reply) {
    reply->AnswerIfKilled();
  }
}

namespace {

/// An answer of the network's: whoever waits for it may be killed meanwhile.
class DeferredReply : public RequestReply {
 public:
  explicit DeferredReply(fuse_req_t request)
      : RequestReply(request),
        waiting_(std::make_shared<Connection::WaitingReply>(
            ConnectionOf(request).shared_from_this(), request)) {
    Connection::WaitingReply::Register(waiting_);
  }
  void Error(int error_number) override {
    if (waiting_->Claim()) {
      RequestReply::Error(error_number);
    }
  }
  void Data(ByteSpan bytes) override {
    if (waiting_->Claim()) {
      RequestReply::Data(bytes);
    }
  }

 private:
  const std::shared_ptr<Connection::WaitingReply> waiting_;
};

std::unique_ptr<Reply> RequestReply::Defer() { return std::make_unique<DeferredReply>(request_); }

/// Memory for one directory answer, kept for the thread's next one.
std::span<char> DirectoryRoom(size_t size_bytes) {
  thread_local std::vector<char> memory;
  if (memory.size() < size_bytes) {
    memory.resize(size_bytes);
  }
  return {memory.data(), size_bytes};
}

void OnInit(void*, fuse_conn_info* connection) noexcept {
  connection->want |=
      connection->capable & (FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO | FUSE_CAP_PARALLEL_DIROPS |
                             FUSE_CAP_NO_OPEN_SUPPORT | FUSE_CAP_NO_OPENDIR_SUPPORT |
                             FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_READDIRPLUS);
  // Always the long form of readdir: a stat of everything is what follows. Content never changes,
  // so nothing is to be invalidated. Splicing gains nothing here.
  connection->want &=
      ~static_cast<unsigned>(FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_AUTO_INVAL_DATA |
                             FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
  connection->max_readahead = UINT32_MAX >> 1;
  connection->max_write = kMaxRequestBytes;  // libfuse derives the pages of a read from it
  connection->max_background = kMaxBackground;
  connection->congestion_threshold = kCongestionThreshold;
}

void OnLookup(fuse_req_t request, fuse_ino_t directory, const char* name) noexcept {
  RequestReply reply(request);
  ConnectionOf(request).operations().Lookup(directory, name, reply);
}

void OnGetAttributes(fuse_req_t request, fuse_ino_t node, fuse_file_info*) noexcept {
  RequestReply reply(request);
  ConnectionOf(request).operations().GetAttributes(node, reply);
}

void OnReadLink(fuse_req_t request, fuse_ino_t node) noexcept {
  RequestReply reply(request);
  ConnectionOf(request).operations().ReadLink(node, reply);
}

/// ENOSYS to OPEN and OPENDIR: the kernel keeps caches over opens and never asks again.
void OnOpen(fuse_req_t request, fuse_ino_t, fuse_file_info*) noexcept {
  fuse_reply_err(request, ENOSYS);
}

/// Sent for each close() until it is answered so.
void OnFlush(fuse_req_t request, fuse_ino_t, fuse_file_info*) noexcept {
  fuse_reply_err(request, ENOSYS);
}

void OnRead(fuse_req_t request, fuse_ino_t node, size_t size_bytes, off_t file_offset,
            fuse_file_info*) noexcept {
  RequestReply reply(request);
  ConnectionOf(request).operations().Read(node, static_cast<uint64_t>(file_offset), size_bytes,
                                          reply);
}

void OnReadDirectory(fuse_req_t request, fuse_ino_t directory, size_t size_bytes, off_t cookie,
                     fuse_file_info*) noexcept {
  RequestReply reply(request, DirectoryRoom(size_bytes), RequestReply::Directories::kPlain);
  ConnectionOf(request).operations().ReadDirectory(directory, static_cast<uint64_t>(cookie), reply);
}

void OnReadDirectoryPlus(fuse_req_t request, fuse_ino_t directory, size_t size_bytes, off_t cookie,
                         fuse_file_info*) noexcept {
  RequestReply reply(request, DirectoryRoom(size_bytes), RequestReply::Directories::kPlus);
  ConnectionOf(request).operations().ReadDirectory(directory, static_cast<uint64_t>(cookie), reply);
}

void OnGetXattr(fuse_req_t request, fuse_ino_t node, const char* name, size_t room_bytes) noexcept {
  RequestReply reply(request);
  ConnectionOf(request).operations().GetXattr(node, name, room_bytes, reply);
}

void OnListXattrs(fuse_req_t request, fuse_ino_t node, size_t room_bytes) noexcept {
  RequestReply reply(request);
  ConnectionOf(request).operations().ListXattrs(node, room_bytes, reply);
}

void OnStatfs(fuse_req_t request, fuse_ino_t node) noexcept {
  RequestReply reply(request);
  ConnectionOf(request).operations().GetSize(node, reply);
}

/// Node ids mean the same for ever, so there is nothing to forget.
void OnForget(fuse_req_t request, fuse_ino_t, uint64_t) noexcept { fuse_reply_none(request); }
void OnForgetMany(fuse_req_t request, size_t, fuse_forget_data*) noexcept {
  fuse_reply_none(request);
}

fuse_lowlevel_ops CallbackTable() {
  fuse_lowlevel_ops callbacks{};
  callbacks.init = OnInit;
  callbacks.lookup = OnLookup;
  callbacks.forget = OnForget;
  callbacks.forget_multi = OnForgetMany;
  callbacks.getattr = OnGetAttributes;
  callbacks.readlink = OnReadLink;
  callbacks.open = OnOpen;
  callbacks.opendir = OnOpen;
  callbacks.flush = OnFlush;
  callbacks.read = OnRead;
  callbacks.readdir = OnReadDirectory;
  callbacks.readdirplus = OnReadDirectoryPlus;
  callbacks.getxattr = OnGetXattr;
  callbacks.listxattr = OnListXattrs;
  callbacks.statfs = OnStatfs;
  return callbacks;
}

size_t TotalBytes(const iovec* parts, int count) {
  size_t total = 0;
  for (int i = 0; i < count; ++i) {
    total += parts[i].iov_len;
  }
  return total;
}

ssize_t ReadRequest(int fd, void* buffer, size_t size_bytes, void*) noexcept {
  return ::read(fd, buffer, size_bytes);
}

Status CheckInit(ByteSpan request) {
  kernel_abi::InHeader header;
  if (request.size() < sizeof header) {
    return MakeError(StatusCode::kInternal, "fuse: a request without header");
  }
  std::memcpy(&header, request.data(), sizeof header);
  if (header.opcode != kernel_abi::kOpInit) {
    return MakeError(StatusCode::kInternal,
                     fmt::format("fuse: request {} where INIT should be", header.opcode));
  }
  return OkStatus();
}

}  // namespace

StatusOr<std::shared_ptr<Connection>> Connection::Make(UniqueFd fd, const Operations& operations) {
  std::shared_ptr<Connection> connection(new Connection(fd.get(), operations));
  char name[] = "starling";
  char* arguments[] = {name, nullptr};
  fuse_args args = FUSE_ARGS_INIT(1, arguments);
  const fuse_lowlevel_ops callbacks = CallbackTable();
  connection->session_ = fuse_session_new(&args, &callbacks, sizeof callbacks, connection.get());
  fuse_opt_free_args(&args);
  if (connection->session_ == nullptr) {
    return MakeError(StatusCode::kInternal, "fuse: no session could be made");
  }
  // Our own functions move the bytes, so that an answer can be held back.
  fuse_custom_io io{};
  io.writev = Connection::Write;
  io.read = ReadRequest;
  if (const int result = fuse_session_custom_io(connection->session_, &io, fd.get()); result != 0) {
    return ErrnoError(-result, "fuse: adopt the device");
  }
  fd.Release();
  return connection;
}

Connection::~Connection() {
  if (session_ != nullptr) {
    fuse_session_destroy(session_);  // closes the descriptor
  }
}

ssize_t Connection::Write(int fd, iovec* parts, int count, void* connection) noexcept {
  const auto& self = *static_cast<const Connection*>(connection);
  const auto all = static_cast<ssize_t>(TotalBytes(parts, count));
  if (self.is_abandoned_.load(std::memory_order_relaxed) ||
      self.is_replaying_.load(std::memory_order_relaxed)) {
    return all;
  }
  const ssize_t written =
      self.is_negotiating_.load(std::memory_order_relaxed)
          ? WriteInitAnswer(fd, self.init_request_, {parts, static_cast<size_t>(count)})
          : ::writev(fd, parts, count);
  // The caller was interrupted, or the mount is gone: nobody is left to hear the answer.
  const bool has_listener =
      written >= 0 || (errno != ENOENT && errno != ENODEV && errno != ECONNABORTED);
  return has_listener ? written : all;
}

/// libfuse before 3.18 does not know of mapped IDs, so its answer is completed.
ssize_t Connection::WriteInitAnswer(int fd, ByteSpan request, std::span<const iovec> parts) {
  Bytes answer;
  for (const iovec& part : parts) {
    const auto* bytes = static_cast<const std::byte*>(part.iov_base);
    answer.insert(answer.end(), bytes, bytes + part.iov_len);
  }
  AllowIdMapping(request, answer);
  return ::write(fd, answer.data(), answer.size());
}

Status Connection::Negotiate() {
  Bytes request(kReceiveBytes);
  ssize_t size = 0;
  do {
    size = ::read(fd_, request.data(), request.size());
  } while (size < 0 && errno == EINTR);
  if (size < 0) {
    return ErrnoError(errno, "fuse: read the first request");
  }
  request.resize(static_cast<size_t>(size));
  request.shrink_to_fit();
  RETURN_IF_ERROR(CheckInit(request));
  init_request_ = request;
  is_negotiating_.store(true);
  Process(request);
  is_negotiating_.store(false);
  return OkStatus();
}

Status Connection::Renegotiate(Bytes init_request) {
  RETURN_IF_ERROR(CheckInit(init_request));
  init_request_ = init_request;
  is_replaying_.store(true);
  Process(init_request);
  is_replaying_.store(false);
  return OkStatus();
}

void Connection::AskForUnanswered() const {
  const kernel_abi::OutHeader resend{.size_bytes = sizeof resend,
                                     .error = kernel_abi::kNotifyResend};
  if (::write(fd_, &resend, sizeof resend) != sizeof resend) {
    log::Warning("the kernel cannot send requests again; readers that waited may hang",
                 {{"error", strerror(errno)}});
  }
}

void Connection::Process(std::span<std::byte> request) const {
  fuse_buf buffer{};
  buffer.size = request.size();
  buffer.mem = request.data();
  fuse_session_process_buf(session_, &buffer);
}

void Connection::ForgetName(const std::string& name) const {
  // ENOENT: the kernel does not know it.
  fuse_lowlevel_notify_inval_entry(session_, kRootNode, name.c_str(), name.size());
}

}  // namespace starling::fuse
