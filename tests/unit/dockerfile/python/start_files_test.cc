#include "dockerfile/python/start_files.h"

#include <gmock/gmock.h>

#include "tests/unit/dockerfile/python/tree_fixture.h"

namespace starling::dockerfile::python {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class StartFilesTest : public TreeFixture {
 protected:
  std::vector<std::string> Of(int minor) const { return StartFiles(directory_.path(), minor); }
};

TEST_F(StartFilesTest, AreTheProgramItsLibraryAndTheFirstModules) {
  for (const char* file :
       {"bin/python3.12", "lib/libpython3.12.so.1.0", "lib/python3.12/encodings/__init__.py",
        "lib/python3.12/encodings/utf_8.py", "lib/python3.12/os.py", "lib/python3.12/json.py",
        "lib/python3.12/site-packages/starling-certificates.pth"}) {
    Write(file, "x");
  }
  EXPECT_THAT(Of(12), ElementsAre("bin/python3.12", "lib/libpython3.12.so.1.0",
                                  "lib/python3.12/encodings/__init__.py",
                                  "lib/python3.12/encodings/utf_8.py",
                                  "lib/python3.12/site-packages/starling-certificates.pth"));
  EXPECT_THAT(Of(13), IsEmpty());
}

TEST_F(StartFilesTest, OlderOnesReadMoreModules) {
  Write("bin/python3.9", "x");
  Write("lib/python3.9/os.py", "x");
  Write("lib/python3.9/encodings/__init__.py", "x");
  EXPECT_THAT(Of(9), ElementsAre("bin/python3.9", "lib/python3.9/encodings/__init__.py",
                                 "lib/python3.9/os.py"));
}

TEST_F(StartFilesTest, FreeThreadedOnesHaveNamesOfTheirOwn) {
  Write("bin/python3.14t", "x");
  Write("lib/python3.14t/encodings/aliases.py", "x");
  EXPECT_THAT(Of(14), ElementsAre("bin/python3.14t", "lib/python3.14t/encodings/aliases.py"));
}

TEST_F(StartFilesTest, LinksAreNoneOfThem) {
  Write("bin/python", "x");
  Run("ln -s python bin/python3.12");
  EXPECT_THAT(Of(12), IsEmpty());
}

}  // namespace
}  // namespace starling::dockerfile::python
