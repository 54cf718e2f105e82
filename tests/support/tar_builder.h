/// Tars for tests, in any dialect.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace starling::testing_support {

enum class TarDialect { kUstar, kGnu, kV7 };

struct TarFile {
  std::string name;
  char type = '0';
  std::string content;
  uint32_t mode = 0644;
  uint32_t uid = 0;
  uint32_t gid = 0;
  int64_t modified_seconds = 0;  // not negative
  std::string link_name;
  std::string user_name;
  std::string group_name;
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  /// Records of a PAX header in front of the entry.
  std::vector<std::pair<std::string, std::string>> pax;
};

class TarBuilder {
 public:
  explicit TarBuilder(TarDialect dialect = TarDialect::kUstar) : dialect_(dialect) {}

  /// Names that are too long for the header go where the dialect puts them.
  TarBuilder& Add(const TarFile& file) {
    TarFile copy = file;
    if (dialect_ == TarDialect::kGnu) {
      AddGnuLongName('L', copy.name);
      AddGnuLongName('K', copy.link_name);
    } else {
      if (copy.name.size() > 100) copy.pax.emplace_back("path", copy.name);
      if (copy.link_name.size() > 100) copy.pax.emplace_back("linkpath", copy.link_name);
    }
    if (!copy.pax.empty()) AddPax('x', copy.pax);
    AddBlocks(Header(copy, dialect_), copy.content);
    return *this;
  }
  /// A PAX header: 'x' for the next entry, 'g' for all that follow.
  TarBuilder& AddPax(char type, const std::vector<std::pair<std::string, std::string>>& records) {
    std::string text;
    for (const auto& [key, value] : records) text += Record(key, value);
    AddBlocks(Header({.name = "pax", .type = type, .content = text}, TarDialect::kUstar), text);
    return *this;
  }
  /// `header` is 512 bytes; the content is padded.
  TarBuilder& AddBlocks(const std::string& header, const std::string& content) {
    tar_ += header + content;
    tar_.resize((tar_.size() + 511) / 512 * 512, '\0');
    return *this;
  }

  /// With the end-of-archive blocks.
  std::string Finish() const { return tar_ + std::string(1024, '\0'); }
  const std::string& Unfinished() const { return tar_; }

  /// One header with what fits into its fields.
  static std::string Header(const TarFile& file, TarDialect dialect) {
    std::string header(512, '\0');
    const auto put = [&header](size_t at, std::string_view text) {
      header.replace(at, text.size(), text);
    };
    put(0, std::string_view(file.name).substr(0, 100));
    put(100, fmt::format("{:07o}", file.mode));
    put(108, fmt::format("{:07o}", file.uid));
    put(116, fmt::format("{:07o}", file.gid));
    put(124, fmt::format("{:011o}", file.content.size()));
    put(136, fmt::format("{:011o}", file.modified_seconds));
    header[156] = file.type;
    put(157, std::string_view(file.link_name).substr(0, 100));
    if (dialect != TarDialect::kV7) {
      put(257, dialect == TarDialect::kGnu ? std::string_view("ustar  \0", 8)
                                           : std::string_view("ustar\00000", 8));
      put(265, std::string_view(file.user_name).substr(0, 31));
      put(297, std::string_view(file.group_name).substr(0, 31));
      put(329, fmt::format("{:07o}", file.device_major));
      put(337, fmt::format("{:07o}", file.device_minor));
    }
    return Sign(std::move(header));
  }
  /// The header with the checksum that its bytes ask for.
  static std::string Sign(std::string header) {
    header.replace(148, 8, 8, ' ');
    unsigned sum = 0;
    for (const char c : header) sum += static_cast<unsigned char>(c);
    header.replace(148, 8, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
    return header;
  }
  /// "LENGTH KEY=VALUE\n".
  static std::string Record(std::string_view key, std::string_view value) {
    const size_t rest = key.size() + value.size() + 3;
    size_t length = rest + 1;
    while (fmt::format("{}", length).size() + rest != length) ++length;
    return fmt::format("{} {}={}\n", length, key, value);
  }

 private:
  void AddGnuLongName(char type, const std::string& name) {
    if (name.size() > 100) {
      const std::string text = name + '\0';
      AddBlocks(Header({.name = "././@LongLink", .type = type, .content = text}, TarDialect::kGnu),
                text);
    }
  }

  TarDialect dialect_;
  std::string tar_;
};

}  // namespace starling::testing_support
