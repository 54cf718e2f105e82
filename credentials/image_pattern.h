/// How Kubernetes says which images credentials are for: "r.example", "*.r.example:5000/team",
/// "https://index.docker.io/v1/". Pure; patterns come from outside.
/// Source: Kubernetes, "Configure a kubelet image credential provider", and pkg/credentialprovider.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "registry/credentials.h"

namespace starling::credentials {

/// A login and the images that it is for.
struct PatternLogin {
  std::string pattern;
  registry::Credentials credentials;
};

/// Whether the pattern is for the image: as many parts of the host, each matching ('*', '?',
/// '[a-z]' stand for something within a part), the same port, and a path that the image's begins
/// with. Docker Hub goes by all of its names.
bool MatchesImage(std::string_view pattern, const registry::CredentialRequest& image);

/// Those for the image, in the order in which kubelet tries them: by the pattern, backwards, so
/// that a longer path goes first.
std::vector<PatternLogin> LoginsFor(const registry::CredentialRequest& image,
                                    std::vector<PatternLogin> logins);

}  // namespace starling::credentials
