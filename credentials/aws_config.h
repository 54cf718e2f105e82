#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/status.h"

namespace starling::credentials {

/// The settings of one profile, by their names in lower case.
using AwsProfile = std::map<std::string, std::string>;
/// By the profiles' names.
using AwsProfiles = std::map<std::string, AwsProfile>;

/// Which of AWS's two files a text is: their sections are named differently.
enum class AwsFile { kConfig, kCredentials };

/// Reads ~/.aws/config or ~/.aws/credentials into `profiles`, over what is there: the credentials
/// file is read last, and wins. Sections that are no profiles and nested settings are passed over.
/// kInvalidArgument as "line N: what", without the line's text.
/// Source: AWS SDKs and Tools Reference Guide, "Format of the shared config and credentials files".
Status ReadAwsProfiles(std::string_view text, AwsFile file, AwsProfiles& profiles);

}  // namespace starling::credentials
