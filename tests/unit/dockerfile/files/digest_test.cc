#include "dockerfile/files/digest.h"

#include <gmock/gmock.h>

#include "tests/unit/dockerfile/files/tree_fixture.h"

namespace starling::dockerfile::files {
namespace {

class DigestTest : public TreeFixture {
 protected:
  void SetUp() override {
    TreeFixture::SetUp();
    Run("cd from; mkdir -p d/sub; echo x >d/file; echo y >d/sub/other; ln -s file d/link");
  }
  oci::Digest Digest(const std::string& path, const std::string& root = "from",
                     const std::vector<std::string>& exclude = {}, bool zero_owners = true) {
    CopySource source;
    source.root = Path(root);
    source.path = path;
    source.is_pattern = path.find('*') != std::string::npos;
    source.zero_owners = zero_owners;
    ContentDigests contents(Path("none"));
    const auto digest = DigestOf(source, exclude, false, contents);
    EXPECT_TRUE(digest.ok()) << path << digest.status();
    return digest.ok() ? *digest : oci::Digest();
  }
};

TEST_F(DigestTest, TellsAllThatMakesADifferenceInAnImage) {
  const oci::Digest before = Digest("d");
  const char* changes[] = {"echo z >d/file",
                           "chmod 600 d/file",
                           "chmod 700 d/sub",
                           "mv d/file d/renamed",
                           "rm d/file",
                           "touch d/new",
                           "mkdir d/empty",
                           "ln -sf other d/link",
                           "rm d/link; touch d/link",
                           "setfattr -n user.a -v b d/file",
                           "mv d/sub/other d/other"};
  for (const char* change : changes) {
    Run("rm -rf copy; cp -a from copy; cd copy; " + std::string(change));
    EXPECT_NE(Digest("d", "copy"), before) << change;
  }
}

TEST_F(DigestTest, IsTheSameForACopyElsewhereAtAnotherTime) {
  Run("mkdir copy; cp -a from/d copy/d; find copy -exec touch -hd @1000 {} +; chown -R 5:6 copy");
  EXPECT_EQ(Digest("d", "copy"), Digest("d"));
  EXPECT_NE(Digest("d", "copy", {}, false), Digest("d", "from", {}, false));
}

TEST_F(DigestTest, TheNameOfALiteralSourceDoesNotCount) {
  Run("cp -a from/d from/e");
  EXPECT_EQ(Digest("d"), Digest("e"));
  EXPECT_NE(Digest("d*"), Digest("e*"));
}

TEST_F(DigestTest, WhatIsExcludedDoesNotCount) {
  const oci::Digest before = Digest("d", "from", {"sub"});
  Run("echo changed >from/d/sub/other");
  EXPECT_EQ(Digest("d", "from", {"sub"}), before);
}

TEST_F(DigestTest, ReadsAFileOnce) {
  // Old enough that it cannot change once more unseen.
  CopySource source;
  source.root = "/usr/share/base-files";
  uint64_t first_files = 0;
  oci::Digest first;
  {
    ContentDigests contents(Path("known"));
    first = *DigestOf(source, {}, false, contents);
    first_files = contents.read_files();
    EXPECT_GT(first_files, 0u);
    ASSERT_TRUE(contents.Save().ok());
  }
  ContentDigests contents(Path("known"));
  EXPECT_EQ(*DigestOf(source, {}, false, contents), first);
  EXPECT_EQ(contents.read_files(), 0u);
}

TEST_F(DigestTest, DoesNotBelieveAFileThatWasJustWritten) {
  CopySource source;
  source.root = from();
  ContentDigests contents(Path("known"));
  const oci::Digest first = *DigestOf(source, {}, false, contents);
  Run("printf 'z\\n' >from/d/file");  // the same size, perhaps the same time
  EXPECT_NE(*DigestOf(source, {}, false, contents), first);
}

TEST_F(DigestTest, ABrokenFileOfKnownDigestsIsNoHarm) {
  for (const char* script : {"printf xyz >known", "head -c 1000 /dev/urandom >known",
                             "mkdir -p known.d; ln -sfn known.d known"}) {
    Run(script);
    ContentDigests contents(Path("known"));
    CopySource source;
    source.root = from();
    EXPECT_TRUE(DigestOf(source, {}, false, contents).ok()) << script;
    Run("rm -rf known known.d");
  }
}

}  // namespace
}  // namespace starling::dockerfile::files
