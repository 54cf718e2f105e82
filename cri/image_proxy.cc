#include "cri/image_proxy.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/mutex.h"
#include "containerd/channel.h"
#include "cri/pull_auth.h"

namespace starling::cri {
namespace {

/// Of the interface's two versions, which say the same by the same numbers.
constexpr std::array<std::string_view, 2> kPulls = {"/runtime.v1.ImageService/PullImage",
                                                    "/runtime.v1alpha2.ImageService/PullImage"};
/// A containerd that is started anew is found soon.
constexpr std::chrono::milliseconds kMaxReconnect(1000);

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (buffer.Dump(&slices).ok()) {
    for (const grpc::Slice& slice : slices) {
      bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    }
  }
  return bytes;
}

/// Whether a header is the caller's own word, and not one of the protocol that gRPC writes itself.
bool IsOfCaller(grpc::string_ref name) {
  return !name.starts_with(":") && !name.starts_with("grpc-") && name != "user-agent" &&
         name != "content-type" && name != "te";
}

std::string TextOf(grpc::string_ref text) { return {text.data(), text.size()}; }

/// One call on its way: what the client says goes to containerd, what containerd says to the
/// client, a message at a time in each direction. Deletes itself when both have ended.
class ProxiedCall {
 public:
  ProxiedCall(grpc::GenericCallbackServerContext& context, grpc::GenericStub& containerd,
              credentials::PulledCredentials& pulled)
      : context_(context),
        method_(context.method()),
        pulled_(pulled),
        is_pull_(std::ranges::find(kPulls, method_) != kPulls.end()),
        client_(*this),
        containerd_(*this) {
    for (const auto& [name, value] : context.client_metadata()) {
      if (IsOfCaller(name)) {
        onward_.AddMetadata(TextOf(name), TextOf(value));
      }
    }
    onward_.set_deadline(context.deadline());
    containerd.PrepareBidiStreamingCall(&onward_, method_, {}, &containerd_);
  }

  grpc::ServerGenericBidiReactor* Start() {
    // One for each direction: operations are begun by the other side's callbacks.
    containerd_.AddMultipleHolds(2);
    containerd_.StartCall();
    client_.StartRead(&from_client_);
    Leave(/*was_last=*/false);
    return &client_;
  }

 private:
  class Client : public grpc::ServerGenericBidiReactor {
   public:
    explicit Client(ProxiedCall& call) : call_(call) {}
    void OnReadDone(bool ok) override { call_.OnClientRead(ok); }
    void OnWriteDone(bool ok) override { call_.OnClientWritten(ok); }
    void OnCancel() override { call_.onward_.TryCancel(); }
    void OnDone() override { delete &call_; }

   private:
    ProxiedCall& call_;
  };

  class Containerd : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
   public:
    explicit Containerd(ProxiedCall& call) : call_(call) {}
    void OnReadInitialMetadataDone(bool ok) override { call_.OnAnswerBegins(ok); }
    void OnReadDone(bool ok) override { call_.OnAnswerRead(ok); }
    void OnWriteDone(bool ok) override { call_.OnRequestWritten(ok); }
    void OnDone(const grpc::Status& status) override { call_.OnEnd(status); }

   private:
    ProxiedCall& call_;
  };

  void OnClientRead(bool ok) {
    {
      MutexLock lock(mutex_);
      if (!requests_flow_) {
        return;
      }
      ++uses_;
    }
    if (!ok) {
      containerd_.StartWritesDone();
      Leave(/*was_last=*/true);
      return;
    }
    if (is_pull_) {
      Watch();
    }
    containerd_.StartWrite(&from_client_);
  }

  void OnRequestWritten(bool ok) {
    bool answers_ended = false;
    {
      MutexLock lock(mutex_);
      answers_ended = answers_ended_;
    }
    if (ok && !answers_ended) {
      client_.StartRead(&from_client_);
    }
    Leave(/*was_last=*/!ok);
  }

  void OnAnswerBegins(bool ok) {
    if (!ok) {
      EndAnswers();
      return;
    }
    for (const auto& [name, value] : onward_.GetServerInitialMetadata()) {
      if (IsOfCaller(name)) {
        context_.AddInitialMetadata(TextOf(name), TextOf(value));
      }
    }
    containerd_.StartRead(&from_containerd_);
  }

  void OnAnswerRead(bool ok) {
    if (ok) {
      client_.StartWrite(&from_containerd_);
    } else {
      EndAnswers();
    }
  }

  void OnClientWritten(bool ok) {
    if (ok) {
      containerd_.StartRead(&from_containerd_);
    } else {
      onward_.TryCancel();
      EndAnswers();
    }
  }

  /// Somebody who passes requests on does so no more.
  void Leave(bool was_last) {
    bool ends = false;
    {
      MutexLock lock(mutex_);
      --uses_;
      requests_ended_ = requests_ended_ || was_last;
      ends = RequestsEndNow();
    }
    if (ends) {
      containerd_.RemoveHold();
    }
  }

  /// No more answers come from containerd; whoever still waits for a request need not.
  void EndAnswers() {
    bool ends = false;
    {
      MutexLock lock(mutex_);
      answers_ended_ = true;
      ends = RequestsEndNow();
    }
    if (ends) {
      containerd_.RemoveHold();
    }
    containerd_.RemoveHold();
  }

  /// True once: when no request will go to containerd any more.
  bool RequestsEndNow() EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const bool ends = requests_flow_ && uses_ == 0 && (requests_ended_ || answers_ended_);
    requests_flow_ = requests_flow_ && !ends;
    return ends;
  }

  /// Both directions have ended, and the result is there.
  void OnEnd(const grpc::Status& status) {
    if (!status.ok()) {
      pulled_.Forget(ticket_);
    }
    for (const auto& [name, value] : onward_.GetServerTrailingMetadata()) {
      if (IsOfCaller(name)) {
        context_.AddTrailingMetadata(TextOf(name), TextOf(value));
      }
    }
    // The last word: the call may be deleted before this returns.
    client_.Finish(status);
  }

  void Watch() {
    auto auth = ReadPullAuth(BytesOf(from_client_));
    if (!auth.ok()) {
      log::Debug("the credentials of a pull are not used for its layers",
                 {{"error", Describe(auth.status())}});
    } else if (*auth) {
      ticket_ = pulled_.Remember((*auth)->whose, std::move((*auth)->credentials));
    }
  }

  grpc::GenericCallbackServerContext& context_;
  const std::string method_;  // gRPC borrows it
  credentials::PulledCredentials& pulled_;
  const bool is_pull_;
  credentials::PulledCredentials::Ticket ticket_ = 0;
  grpc::ClientContext onward_;
  grpc::ByteBuffer from_client_;
  grpc::ByteBuffer from_containerd_;
  Mutex mutex_;  // leaf
  bool requests_flow_ GUARDED_BY(mutex_) = true;
  int uses_ GUARDED_BY(mutex_) = 1;  // of both reactors by what passes requests on; first by Start
  bool requests_ended_ GUARDED_BY(mutex_) = false;
  bool answers_ended_ GUARDED_BY(mutex_) = false;
  Client client_;
  Containerd containerd_;
};

}  // namespace

ImageProxy::ImageProxy(const std::filesystem::path& containerd,
                       credentials::PulledCredentials& pulled)
    : containerd_(containerd::Dial(containerd, kMaxReconnect)), pulled_(pulled) {}

grpc::ServerGenericBidiReactor* ImageProxy::CreateReactor(
    grpc::GenericCallbackServerContext* context) {
  auto* const call = new ProxiedCall(*context, containerd_, pulled_);
  return call->Start();
}

}  // namespace starling::cri
