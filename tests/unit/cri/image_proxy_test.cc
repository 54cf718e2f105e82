#include "cri/image_proxy.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <thread>

#include "api/cri/runtime/v1/image_service.pb.h"
#include "base/mutex.h"
#include "base/temp_dir.h"
#include "snapshotter/grpc_server.h"
#include "tests/support/manual_clock.h"

namespace starling::cri {
namespace {

using snapshotter::GrpcServer;
using snapshotter::UnixListener;
using testing_support::ManualClock;

constexpr const char* kPull = "/runtime.v1.ImageService/PullImage";

grpc::ByteBuffer BufferOf(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return {&slice, 1};
}

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  grpc::Slice slice;
  EXPECT_TRUE(buffer.DumpToSingleSlice(&slice).ok());
  return {reinterpret_cast<const char*>(slice.begin()), slice.size()};
}

/// Answers every message of every method with itself, and the method in front; ends as it is told.
class Echo : public grpc::CallbackGenericService {
 public:
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    return new Call(*this, *context);
  }
  void EndWith(const std::string& method, grpc::Status status) {
    MutexLock lock(mutex_);
    ends_[method] = std::move(status);
  }
  std::vector<std::string> headers() {
    MutexLock lock(mutex_);
    return headers_;
  }
  /// Until a call of /x/Hangs has come.
  void WaitUntilItHangs() {
    MutexLock lock(mutex_);
    while (!hangs_) {
      changed_.Wait(mutex_);
    }
  }
  void WaitUntilCancelled() {
    MutexLock lock(mutex_);
    while (!is_cancelled_) {
      changed_.Wait(mutex_);
    }
  }

 private:
  class Call : public grpc::ServerGenericBidiReactor {
   public:
    Call(Echo& echo, grpc::GenericCallbackServerContext& context)
        : echo_(echo), method_(context.method()) {
      for (const auto& [name, value] : context.client_metadata()) {
        if (name == "x-header") {
          MutexLock lock(echo_.mutex_);
          echo_.headers_.emplace_back(value.data(), value.size());
        }
      }
      context.AddInitialMetadata("x-initial", "1");
      context.AddTrailingMetadata("x-trailing", "2");
      StartRead(&buffer_);
    }
    void OnReadDone(bool ok) override {
      if (method_ == "/x/Hangs") {  // until it is cancelled
        Note(echo_.hangs_);
        return;
      }
      grpc::Status end = grpc::Status::OK;
      bool is_told = false;
      {
        MutexLock lock(echo_.mutex_);
        const auto found = echo_.ends_.find(method_);
        is_told = found != echo_.ends_.end();
        end = is_told ? found->second : end;
      }
      if (!ok || is_told) {
        Finish(end);
        return;
      }
      buffer_ = BufferOf(method_ + BytesOf(buffer_));
      StartWrite(&buffer_);
    }
    void OnWriteDone(bool ok) override {
      if (ok) StartRead(&buffer_);
    }
    void OnCancel() override {
      if (method_ == "/x/Hangs") {
        Note(echo_.is_cancelled_);
        Finish(grpc::Status::CANCELLED);
      }
    }
    void OnDone() override { delete this; }

   private:
    void Note(bool& what) {
      MutexLock lock(echo_.mutex_);
      what = true;
      echo_.changed_.NotifyAll();
    }

    Echo& echo_;
    const std::string method_;
    grpc::ByteBuffer buffer_;
  };

  Mutex mutex_;
  Condition changed_;
  std::map<std::string, grpc::Status> ends_ GUARDED_BY(mutex_);
  std::vector<std::string> headers_ GUARDED_BY(mutex_);
  bool hangs_ = false;         // with the mutex
  bool is_cancelled_ = false;  // with the mutex
};

class ImageProxyTest : public testing::Test {
 protected:
  ImageProxyTest()
      : containerd_(Serve("containerd.sock", echo_)),
        front_(Serve("images.sock", proxy_)),
        stub_(grpc::CreateCustomChannel("unix:" + Socket("images.sock"),
                                        grpc::InsecureChannelCredentials(), LargeMessages())) {}

  static grpc::ChannelArguments LargeMessages() {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(16 << 20);
    return arguments;
  }
  std::string Socket(const std::string& name) const { return directory_.path() / name; }
  std::unique_ptr<GrpcServer> Serve(const std::string& name,
                                    grpc::CallbackGenericService& service) {
    return *GrpcServer::Start({.others = &service}, *UnixListener::Bind(Socket(name)), {});
  }

  /// One unary call with the request's bytes as they go over the wire.
  grpc::Status Call(const std::string& method, const std::string& request, std::string& answer,
                    grpc::ClientContext& context) {
    grpc::CompletionQueue queue;
    const auto call = stub_.PrepareUnaryCall(&context, method, BufferOf(request), &queue);
    call->StartCall();
    grpc::ByteBuffer buffer;
    grpc::Status status;
    call->Finish(&buffer, &status, this);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    if (status.ok()) answer = BytesOf(buffer);
    return status;
  }
  grpc::Status Call(const std::string& method, const std::string& request, std::string& answer) {
    grpc::ClientContext context;
    return Call(method, request, answer, context);
  }
  static std::string PullOf(const std::string& image, const std::string& password) {
    ::runtime::v1::PullImageRequest pull;
    pull.mutable_image()->set_image(image);
    pull.mutable_auth()->set_username("me");
    pull.mutable_auth()->set_password(password);
    // Field 3, sandbox_config, which is not read here.
    return pull.SerializeAsString() + std::string("\x1a\x03\x0a\x01z", 5);
  }
  std::string Known(const std::string& repository) {
    const auto found = pulled_.Find({.registry = "r.example", .repository = repository});
    return found.ok() ? found->password : "";
  }

  TempDir directory_ = *TempDir::Make("/tmp", "proxy");
  ManualClock clock_;
  credentials::PulledCredentials pulled_{
      clock_, std::chrono::hours(1), [](const std::string&, const std::string&) {
        return StatusOr<std::shared_ptr<credentials::NamedSecret>>(
            MakeError(StatusCode::kUnimplemented, "no secrets come by the CRI"));
      }};
  Echo echo_;
  ImageProxy proxy_{directory_.path() / "containerd.sock", pulled_};
  std::unique_ptr<GrpcServer> containerd_;
  std::unique_ptr<GrpcServer> front_;
  grpc::GenericStub stub_;
};

TEST_F(ImageProxyTest, PassesBytesOfAnyMethod) {
  const std::string odd("\x00\xff not protobuf", 15);
  for (const char* method : {"/runtime.v1.ImageService/ListImages", "/runtime.v9.New/Method"}) {
    std::string answer;
    const grpc::Status status = Call(method, odd, answer);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(answer, method + odd);
  }
  std::string answer;
  const std::string large(10 << 20, 'x');
  ASSERT_TRUE(Call("/a/B", large, answer).ok());
  EXPECT_EQ(answer, "/a/B" + large);
}

TEST_F(ImageProxyTest, PassesHeadersAndErrors) {
  echo_.EndWith("/a/Fails", {grpc::StatusCode::NOT_FOUND, "no such image", "details"});
  grpc::ClientContext context;
  context.AddMetadata("x-header", "of the client");
  std::string answer;
  const grpc::Status failed = Call("/a/Fails", "", answer, context);
  EXPECT_EQ(failed.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(failed.error_message(), "no such image");
  EXPECT_EQ(failed.error_details(), "details");
  EXPECT_THAT(echo_.headers(), testing::ElementsAre("of the client"));
  EXPECT_EQ(context.GetServerTrailingMetadata().count("x-trailing"), 1u);
  grpc::ClientContext good;
  ASSERT_TRUE(Call("/a/Works", "", answer, good).ok());
  EXPECT_EQ(good.GetServerInitialMetadata().count("x-initial"), 1u);
  EXPECT_EQ(good.GetServerTrailingMetadata().count("x-trailing"), 1u);
}

TEST_F(ImageProxyTest, RemembersWhatAPullBrings) {
  std::string answer;
  const std::string request = PullOf("r.example/me/app:1", "hunter2");
  ASSERT_TRUE(Call(kPull, request, answer).ok());
  EXPECT_EQ(answer, kPull + request) << "not a byte is changed";
  EXPECT_EQ(Known("me/app"), "hunter2");
  EXPECT_EQ(Known("me/other"), "");
  ASSERT_TRUE(
      Call("/runtime.v1alpha2.ImageService/PullImage", PullOf("r.example/me/old:1", "x"), answer)
          .ok());
  EXPECT_EQ(Known("me/old"), "x");
  // Another method's bytes are nobody's business.
  ASSERT_TRUE(
      Call("/runtime.v1.ImageService/RemoveImage", PullOf("r.example/me/z:1", "x"), answer).ok());
  EXPECT_EQ(Known("me/z"), "");
  ASSERT_TRUE(Call(kPull, "\xff\xff", answer).ok()) << "what it means is containerd's to say";
}

TEST_F(ImageProxyTest, ForgetsWhatAFailedPullBrought) {
  std::string answer;
  ASSERT_TRUE(Call(kPull, PullOf("r.example/me/app:1", "good"), answer).ok());
  echo_.EndWith(kPull, {grpc::StatusCode::UNAUTHENTICATED, "no"});
  EXPECT_FALSE(Call(kPull, PullOf("r.example/me/app:1", "wrong"), answer).ok());
  EXPECT_EQ(Known("me/app"), "good");
}

TEST_F(ImageProxyTest, PassesStreams) {
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  const auto wait = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    return ok;
  };
  auto stream = stub_.PrepareCall(&context, "/x/Streams", &queue);
  stream->StartCall(nullptr);
  ASSERT_TRUE(wait());
  for (int number = 0; number < 100; ++number) {
    stream->Write(BufferOf(std::to_string(number)), nullptr);
    ASSERT_TRUE(wait());
    grpc::ByteBuffer answer;
    stream->Read(&answer, nullptr);
    ASSERT_TRUE(wait());
    EXPECT_EQ(BytesOf(answer), "/x/Streams" + std::to_string(number));
  }
  stream->WritesDone(nullptr);
  ASSERT_TRUE(wait());
  grpc::Status status;
  stream->Finish(&status, nullptr);
  ASSERT_TRUE(wait());
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(ImageProxyTest, EndsAStreamThatContainerdEnds) {
  echo_.EndWith("/x/Ends", {grpc::StatusCode::ABORTED, "enough"});
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  auto stream = stub_.PrepareCall(&context, "/x/Ends", &queue);
  void* tag = nullptr;
  bool ok = false;
  stream->StartCall(nullptr);
  queue.Next(&tag, &ok);
  stream->Write(BufferOf("a"), nullptr);
  queue.Next(&tag, &ok);
  // The client does not say that it is done.
  grpc::Status status;
  stream->Finish(&status, nullptr);
  queue.Next(&tag, &ok);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED);
}

TEST_F(ImageProxyTest, CancelsWhatTheClientCancels) {
  grpc::ClientContext context;
  std::thread client([&] {
    std::string answer;
    EXPECT_EQ(Call("/x/Hangs", "", answer, context).error_code(), grpc::StatusCode::CANCELLED);
  });
  echo_.WaitUntilItHangs();
  context.TryCancel();
  client.join();
  echo_.WaitUntilCancelled();
  grpc::ClientContext in_time;
  in_time.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(50));
  std::string answer;
  EXPECT_EQ(Call("/x/Hangs", "", answer, in_time).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
}

TEST_F(ImageProxyTest, ContainerdMayBeAway) {
  containerd_.reset();
  std::string answer;
  EXPECT_EQ(Call(kPull, PullOf("r.example/me/app:1", "x"), answer).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Known("me/app"), "");
  Echo again;
  containerd_ = Serve("containerd.sock", again);
  // It is dialled again when gRPC's pause between two attempts has passed.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  grpc::Status status(grpc::StatusCode::UNAVAILABLE, "");
  while (!status.ok() && std::chrono::steady_clock::now() < deadline) {
    status = Call("/a/B", "", answer);
  }
  EXPECT_TRUE(status.ok()) << status.error_message();
  containerd_.reset();
}

TEST_F(ImageProxyTest, ServesManyAtOnce) {
  std::vector<std::thread> clients;
  for (int client = 0; client < 8; ++client) {
    clients.emplace_back([this, client] {
      for (int number = 0; number < 50; ++number) {
        std::string answer;
        const std::string name = fmt::format("r.example/me/{}-{}:1", client, number);
        EXPECT_TRUE(Call(kPull, PullOf(name, "x"), answer).ok());
      }
    });
  }
  for (std::thread& client : clients) {
    client.join();
  }
  EXPECT_EQ(Known("me/7-49"), "x");
}

}  // namespace
}  // namespace starling::cri
