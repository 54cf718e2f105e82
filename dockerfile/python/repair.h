/// What a released tree of Python lacks at the place where it is used.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/status.h"

namespace starling::dockerfile::python {

/// Changes when trees are repaired in another way.
inline constexpr int kRepairVersion = 2;

/// Where releases believe that they are.
inline constexpr std::string_view kBuildPrefix = "/install";

/// In site-packages: what Python executes at its start to find a system's certificates.
inline constexpr std::string_view kCertificatesName = "starling-certificates.pth";

/// `text` with the build's prefix replaced by `prefix` wherever it is a whole path or begins one.
std::string ReplacePrefix(std::string_view text, std::string_view prefix);

/// `text`, of a Makefile or of values for one, with the compilers of the machine that built it
/// (clang, /tools/llvm/bin/llvm-ar) replaced by the names that every system has (cc, ar), and
/// without the options that other compilers than that clang refuse.
std::string ReplaceTools(std::string_view text);

/// Makes the tree at `tree` (bin/, lib/) one that works at `prefix`: paths and compilers in what
/// sysconfig, Makefiles, pkg-config and scripts read, and the names python, python3, pip and pip3.
/// Its OpenSSL looks for certificates in /etc/ssl alone; at its start Python names those of a
/// system that has them elsewhere (SSL_CERT_FILE). Times of files stay, and a directory gets that
/// of the youngest file in it, so that the same release gives the same tree everywhere. Errors:
/// kFailedPrecondition for a tree without a Python, or one that can load no extension modules
/// because it is linked statically.
Status RepairTree(const std::filesystem::path& tree, int minor, std::string_view prefix);

}  // namespace starling::dockerfile::python
