#include "dockerfile/python/base_facts.h"

#include <charconv>

#include "base/file_system.h"

namespace starling::dockerfile::python {
namespace {

constexpr uint64_t kMaxRecordBytes = 64;
constexpr std::string_view kPrograms = ".programs";

std::string RecordOf(const BasePrograms& programs) {
  return fmt::format("{}{}\n", programs.python ? "python " : "", programs.pip ? "pip" : "");
}

}  // namespace

std::optional<BaseLibc> BaseFacts::Find(const oci::Digest& manifest) const {
  const auto bytes = ReadFile(RealFileSystem(), directory_ / manifest.Hex(), kMaxRecordBytes);
  if (!bytes.ok()) {
    return std::nullopt;
  }
  std::string_view text = AsText(*bytes);
  if (text == "musl\n") {
    return BaseLibc{.libc = Libc::kMusl, .minor = {}};
  }
  if (text == "gnu\n") {
    return BaseLibc{.libc = Libc::kGnu, .minor = {}};
  }
  constexpr std::string_view kGnu = "gnu 2.";
  if (!text.starts_with(kGnu)) {
    return std::nullopt;
  }
  text.remove_prefix(kGnu.size());
  int minor = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), minor);
  if (error != std::errc() || std::string_view(end, text.data() + text.size()) != "\n") {
    return std::nullopt;
  }
  return BaseLibc{.libc = Libc::kGnu, .minor = minor};
}

Status BaseFacts::Remember(const oci::Digest& manifest, const BaseLibc& base) const {
  RETURN_IF_ERROR(MakeDirectories(directory_, 0700));
  const std::string text = base.minor ? fmt::format("{} 2.{}\n", NameOf(base.libc), *base.minor)
                                      : fmt::format("{}\n", NameOf(base.libc));
  return WriteFileAtomically(RealFileSystem(), directory_ / manifest.Hex(), AsBytes(text), 0600);
}

std::optional<BasePrograms> BaseFacts::FindPrograms(const oci::Digest& manifest) const {
  const auto bytes = ReadFile(
      RealFileSystem(), directory_ / (manifest.Hex() + std::string(kPrograms)), kMaxRecordBytes);
  if (!bytes.ok()) {
    return std::nullopt;
  }
  for (const BasePrograms& programs : {BasePrograms{false, false}, BasePrograms{false, true},
                                       BasePrograms{true, false}, BasePrograms{true, true}}) {
    if (AsText(*bytes) == RecordOf(programs)) {
      return programs;
    }
  }
  return std::nullopt;
}

Status BaseFacts::RememberPrograms(const oci::Digest& manifest,
                                   const BasePrograms& programs) const {
  RETURN_IF_ERROR(MakeDirectories(directory_, 0700));
  return WriteFileAtomically(RealFileSystem(),
                             directory_ / (manifest.Hex() + std::string(kPrograms)),
                             AsBytes(RecordOf(programs)), 0600);
}

}  // namespace starling::dockerfile::python
