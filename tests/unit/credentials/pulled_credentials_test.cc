#include "credentials/pulled_credentials.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/copy_fd.h"
#include "tests/support/fake_transport.h"
#include "tests/support/manual_clock.h"

namespace starling::credentials {
namespace {

using registry::CredentialRequest;
using registry::Credentials;
using testing::HasSubstr;
using testing_support::ManualClock;

const CredentialRequest kApp{.registry = "r.example", .repository = "me/app"};
const CredentialRequest kSecret{.registry = "r.example", .repository = "me/secret"};
const CredentialRequest kOther{.registry = "r.example", .repository = "me/other"};

Credentials Login(const std::string& password) { return {.username = "me", .password = password}; }

/// Secrets that nothing outside of their text is needed for.
class Secrets {
 public:
  PulledCredentials::OpenSecret Opener() {
    return [this](const std::string& text,
                  const std::string& registry) -> StatusOr<std::shared_ptr<NamedSecret>> {
      ASSIGN_OR_RETURN(
          std::unique_ptr<NamedSecret> secret,
          NamedSecret::OfText("of a pull", AsBytes(text), registry,
                              {.environment = Environment(std::map<std::string, std::string>()),
                               .surroundings = Surroundings::kNone,
                               .files = RealFileSystem(),
                               .web = web_,
                               .clock = clock_}));
      return std::shared_ptr<NamedSecret>(std::move(secret));
    };
  }

 private:
  ManualClock clock_;
  testing_support::FakeTransport transport_{
      clock_, [](const registry::HttpRequest&) -> StatusOr<registry::HttpResponse> {
        return MakeError(StatusCode::kUnavailable, "nobody");
      }};
  WebClient web_{{.transport = transport_, .clock = clock_}};
};

class Pulled : public testing::Test {
 protected:
  std::string Find(const CredentialRequest& request) {
    const auto found = pulled_.Find(request);
    return found.ok() ? found->password : "";
  }
  ManualClock clock_;
  Secrets secrets_;
  PulledCredentials pulled_{clock_, std::chrono::hours(1), secrets_.Opener()};
};

TEST_F(Pulled, AreForTheirRepositoryAlone) {
  pulled_.Remember(kApp, Login("p"));
  EXPECT_EQ(Find(kApp), "p");
  EXPECT_EQ(Find(kOther), "");
  EXPECT_EQ(Find({.registry = "r.example", .repository = ""}), "");
  EXPECT_EQ(Find({.registry = "other.example", .repository = "me/app"}), "");
  const Status none = pulled_.Find(kOther).status();
  EXPECT_EQ(none.code(), StatusCode::kNotFound);
  EXPECT_THAT(Describe(none), HasSubstr("no pull of r.example/me/other"));
}

TEST_F(Pulled, TheNewestComeFirst) {
  pulled_.Remember(kApp, Login("old"));
  pulled_.Remember(kApp, Login("new"));
  EXPECT_EQ(Find(kApp), "new");
  pulled_.Remember(kApp, Login("old"));
  EXPECT_EQ(Find(kApp), "old");
}

TEST_F(Pulled, APullThatFailsLeavesWhatWasThere) {
  const auto good = pulled_.Remember(kApp, Login("good"));
  EXPECT_NE(good, 0u);
  const auto wrong = pulled_.Remember(kApp, Login("wrong"));
  EXPECT_EQ(Find(kApp), "wrong");
  pulled_.Forget(wrong);
  EXPECT_EQ(Find(kApp), "good");
  // Its failure says nothing about credentials that served before.
  pulled_.Forget(pulled_.Remember(kApp, Login("good")));
  EXPECT_EQ(Find(kApp), "good");
  pulled_.Forget(pulled_.Remember(kOther, Login("x")));
  EXPECT_EQ(Find(kOther), "");
}

TEST_F(Pulled, ThoseThatAreRefusedGoToTheEnd) {
  pulled_.Remember(kApp, Login("a"));
  pulled_.Remember(kApp, Login("b"));
  pulled_.Refused(kApp, Login("b"));
  EXPECT_EQ(Find(kApp), "a");
  pulled_.Refused(kApp, Login("a"));
  EXPECT_EQ(Find(kApp), "b") << "a refusal may be part of an outage";
  pulled_.Refused(kOther, Login("a"));
}

TEST_F(Pulled, AreForgottenInTime) {
  pulled_.Remember(kApp, Login("p"));
  clock_.Advance(std::chrono::minutes(40));
  pulled_.Remember(kApp, Login("p"));
  clock_.Advance(std::chrono::minutes(40));
  EXPECT_EQ(Find(kApp), "p") << "an hour after the last pull";
  clock_.Advance(std::chrono::minutes(20));
  EXPECT_EQ(Find(kApp), "");
}

TEST_F(Pulled, AreBounded) {
  for (int number = 0; number < 6; ++number) {
    pulled_.Remember(kApp, Login(std::to_string(number)));
  }
  for (const char* refused : {"5", "4", "3"}) {
    pulled_.Refused(kApp, Login(refused));
  }
  EXPECT_EQ(Find(kApp), "2");
  pulled_.Refused(kApp, Login("2"));
  EXPECT_EQ(Find(kApp), "5") << "0 and 1 have gone";
  for (size_t number = 0; number < PulledCredentials::kMaxRepositories; ++number) {
    clock_.Advance(std::chrono::milliseconds(1));
    pulled_.Remember({.registry = "r", .repository = std::to_string(number)}, Login("p"));
  }
  EXPECT_EQ(Find(kApp), "");
  EXPECT_EQ(Find({.registry = "r", .repository = "0"}), "p");
  EXPECT_EQ(pulled_.Remember(kApp, Login(std::string(PulledCredentials::kMaxBytes, 'x'))), 0u);
  EXPECT_EQ(Find(kApp), "");
  EXPECT_EQ(pulled_.Remember(kApp, {.username = "me"}), 0u);
}

TEST_F(Pulled, ASecretIsForItsRepositoryAndReadAsAnywhere) {
  const std::pair<const char*, const char*> cases[] = {
      {"me:hunter2\n", "hunter2"},
      {R"({"username": "me", "password": "hunter3"})", "hunter3"},
      {R"({"REGISTRY_USERNAME": "me", "REGISTRY_PASSWORD": "hunter4"})", "hunter4"},
      {R"({"auths": {"r.example": {"auth": "bWU6aHVudGVyNQ=="}}})", "hunter5"}};
  for (const auto& [text, password] : cases) {
    ASSERT_TRUE(pulled_.RememberSecret(kApp, text).ok()) << text;
    EXPECT_EQ(Find(kApp), password);
    EXPECT_EQ(Find(kOther), "");
  }
  const Status unreadable = pulled_.RememberSecret(kApp, "hunter6");
  EXPECT_EQ(unreadable.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(MessageOf(unreadable).find("hunter6"), std::string_view::npos);
  EXPECT_EQ(
      pulled_.RememberSecret(kApp, "u:" + std::string(PulledCredentials::kMaxBytes, 'x')).code(),
      StatusCode::kResourceExhausted);
  EXPECT_EQ(Find(kApp), "hunter5");
}

TEST_F(Pulled, ASecretThatIsRefusedGoesToTheEnd) {
  pulled_.Remember(kApp, Login("of the CRI"));
  ASSERT_TRUE(pulled_.RememberSecret(kApp, "me:first").ok());
  ASSERT_TRUE(pulled_.RememberSecret(kApp, "me:second").ok());
  ASSERT_TRUE(pulled_.RememberSecret(kApp, "me:second").ok());
  for (const char* password : {"second", "first", "of the CRI", "second"}) {
    EXPECT_EQ(Find(kApp), password);
    pulled_.Refused(kApp, Login(password));
  }
}

class PulledMemory : public testing::Test {
 protected:
  PulledCredentials Next(std::chrono::seconds max_age = std::chrono::hours(1)) {
    return {clock_, max_age, secrets_.Opener(), *CopyFd(memory_.get())};
  }
  ManualClock clock_;
  Secrets secrets_;
  UniqueFd memory_ = *PulledCredentials::NewMemory();
};

TEST_F(PulledMemory, OutlivesTheProcess) {
  const Credentials odd{.username =
                            "m\xff"
                            "e",
                        .password = std::string("\0\n\"", 3),
                        .identity_token = "i",
                        .registry_token = "r"};
  {
    auto first = Next();
    first.Remember(kApp, Login("old"));
    first.Remember(kApp, odd);
    first.Remember(kOther, Login("x"));
    first.Forget(first.Remember(kOther, Login("wrong")));
    ASSERT_TRUE(first.RememberSecret(kSecret, "me:hunter2").ok());
  }
  auto second = Next();
  EXPECT_TRUE(second.Find(kApp)->SameAs(odd));
  EXPECT_EQ(second.Find(kOther)->password, "x");
  EXPECT_EQ(second.Find(kSecret)->password, "hunter2");
  second.Refused(kApp, odd);
  EXPECT_EQ(second.Find(kApp)->password, "old");
  clock_.Advance(std::chrono::minutes(30));
  EXPECT_TRUE(Next().Find(kApp).ok());
  EXPECT_FALSE(Next(std::chrono::minutes(30)).Find(kApp).ok());
}

TEST_F(PulledMemory, ThatIsHalfWrittenIsForgotten) {
  Next().Remember(kApp, Login("p"));
  const off_t size = ::lseek(memory_.get(), 0, SEEK_END);
  ASSERT_GT(size, 100);
  for (const off_t cut : {off_t{0}, off_t{1}, off_t{40}, size - 1}) {
    Next().Remember(kApp, Login("p"));
    ASSERT_TRUE(Next().Find(kApp).ok());
    ASSERT_EQ(::ftruncate(memory_.get(), cut), 0);
    EXPECT_FALSE(Next().Find(kApp).ok()) << cut;
  }
  Next().Remember(kApp, Login("p"));
  ASSERT_EQ(::pwrite(memory_.get(), "X", 1, size - 3), 1);
  EXPECT_FALSE(Next().Find(kApp).ok());
}

}  // namespace
}  // namespace starling::credentials
