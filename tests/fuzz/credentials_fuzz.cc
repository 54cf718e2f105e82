// Property: whatever AWS's and Google's files and services seem to say, keys and tokens that are
// taken are fit for a header, their times can be added to a clock, and no error holds the text.
#include <cstdlib>
#include <string>

#include "base/bytes.h"
#include "base/text.h"
#include "credentials/aws_answers.h"
#include "credentials/aws_config.h"
#include "credentials/azure.h"
#include "credentials/docker_config.h"
#include "credentials/ecr.h"
#include "credentials/google.h"
#include "credentials/google_key.h"
#include "credentials/named_secret.h"

namespace {

using namespace starling;               // NOLINT(google-build-using-namespace)
using namespace starling::credentials;  // NOLINT(google-build-using-namespace)

void Check(bool holds) {
  if (!holds) {
    std::abort();
  }
}

void CheckKeys(const StatusOr<AwsTemporaryKeys>& found) {
  if (found.ok()) {
    Check(!found->keys.access_key_id.empty() && IsOneWord(found->keys.secret_access_key) &&
          IsOneWord(found->keys.session_token));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ByteSpan bytes = std::as_bytes(std::span(data, size));
  const std::string_view text = AsText(bytes);
  CheckKeys(ParseAwsKeys(bytes));
  CheckKeys(ParseStsAnswer(bytes));
  const size_t longest_part = 200 + std::string_view("...").size();
  Check(StsErrorWords(bytes).size() <= 2 * longest_part + std::string_view(": ").size());
  if (const auto login = ParseEcrLogin(bytes); login.ok()) {
    Check(!login->username.empty() && IsOneWord(login->password));
  }
  if (const auto token = ParseGoogleToken(bytes); token.ok()) {
    Check(IsOneWord(token->text) && token->life >= std::chrono::seconds(0) &&
          token->life <= std::chrono::hours(24));
  }
  (void)ParseGoogleKey(bytes);
  const auto life = LifeOfAzureToken(text, {});
  Check(life >= std::chrono::seconds(0) && life <= std::chrono::hours(24));
  for (const AwsFile kind : {AwsFile::kConfig, AwsFile::kCredentials}) {
    AwsProfiles profiles;
    const Status read = ReadAwsProfiles(text, kind, profiles);
    Check(read.ok() || MessageOf(read).size() < 60);
  }
  if (const auto registry = ParseEcrHost(text); registry && !registry->is_public) {
    Check(registry->account.size() == 12 &&
          (text.ends_with("s.com") || text.ends_with(".cn") || text.ends_with(".aws")));
  }
  if (const auto secret = ParseSecret(bytes); secret.ok() && !secret->login.anonymous()) {
    Check(!secret->login.password.empty());
  }
  (void)FindInDockerConfig(text, "docker.io");
  return 0;
}
