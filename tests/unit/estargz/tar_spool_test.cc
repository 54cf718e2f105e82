#include "estargz/tar_spool.h"

#include <gtest/gtest.h>

#include "base/temp_dir.h"
#include "tests/support/tar_builder.h"

namespace starling::estargz {
namespace {

using testing_support::TarBuilder;

TEST(TarSpool, GivesEntriesInTheirNewOrderAsTheyCame) {
  TarBuilder tar;
  tar.Add({.name = "a", .content = "of a"});
  tar.Add({.name = "b", .content = std::string(3'000'000, 'b'), .pax = {{"uid", "9"}}});
  const std::string bytes = tar.Finish();
  SpanSource source(AsBytes(bytes));
  TarReader reader(source);
  const StatusOr<TempDir> directory = TempDir::Make("/tmp", "starling-test-");
  ASSERT_TRUE(directory.ok());
  const auto spool = TarSpool::Make(reader, {"b"}, directory->path());
  ASSERT_TRUE(spool.ok()) << Describe(spool.status());
  EXPECT_TRUE(std::filesystem::is_empty(directory->path())) << "the file has no name";
  EXPECT_EQ((*spool)->prioritized_entries(), 1U);
  std::string want_header = bytes.substr(1024, 3 * 512);
  for (const std::string_view name : {"b", "a"}) {
    const auto entry = (*spool)->Next();
    ASSERT_TRUE(entry.ok() && *entry) << name;
    EXPECT_EQ((*entry)->name, name);
    EXPECT_EQ(AsText((*entry)->header), want_header);
    std::string content((*entry)->size_bytes, '\0');
    ASSERT_TRUE((*spool)->ReadPayload(std::as_writable_bytes(std::span(content))).ok());
    EXPECT_TRUE(content == (name == "a" ? "of a" : std::string(3'000'000, 'b')));
    want_header = bytes.substr(0, 512);
  }
  EXPECT_FALSE((*spool)->Next()->has_value());
}

}  // namespace
}  // namespace starling::estargz
