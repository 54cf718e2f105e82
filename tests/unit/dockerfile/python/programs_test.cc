#include "dockerfile/python/programs.h"

#include "tests/unit/dockerfile/python/tree_fixture.h"

namespace starling::dockerfile::python {
namespace {

class ProgramsTest : public TreeFixture {
 protected:
  std::string Found(const std::string& search_path) const {
    const auto found = FindPrograms(directory_.path(), search_path);
    return found.ok() ? fmt::format("{}{}", found->python ? "python " : "", found->pip ? "pip" : "")
                      : std::string(MessageOf(found.status()));
  }
};

TEST_F(ProgramsTest, AreThoseInPath) {
  const struct {
    const char* name;
    const char* script;
    const char* want;
  } cases[] = {
      {"nothing", "true", ""},
      {"both", "program usr/bin/python; program usr/bin/pip", "python pip"},
      {"in two directories", "program usr/local/bin/python; program usr/bin/pip", "python pip"},
      {"Debian's", "program usr/bin/python3.11; ln -s python3.11 usr/bin/python3", ""},
      {"a module that has no program",
       "program usr/local/bin/python; mkdir -p usr/local/lib/python3.11/site-packages/pip",
       "python pip"},
      {"Debian's module", "program usr/bin/python; mkdir -p usr/lib/python3/dist-packages/pip",
       "python pip"},
      {"behind links",
       "program opt/py/bin/python3.12; ln -s python3.12 opt/py/bin/python; ln -s "
       "/opt/py/bin/python usr/bin/python; mkdir -p opt/py/lib/python3.12/site-packages/pip",
       "python pip"},
      {"another Python's module",
       "program usr/local/bin/python; mkdir -p usr/lib/python3/dist-packages/pip", "python "},
      {"not executable", "touch usr/bin/python; mkdir usr/bin/pip", ""},
      {"a link to nowhere", "ln -s python3 usr/bin/python", ""},
      {"a link out of the tree", "ln -s ../../../../../../bin/sh usr/bin/python", ""},
      {"elsewhere", "program opt/bin/python", ""},
  };
  for (const auto& c : cases) {
    Run("rm -rf *; mkdir -p usr/bin usr/local/bin opt/bin; program() { mkdir -p $(dirname $1); "
        "touch $1; chmod 755 $1; }; " +
        std::string(c.script));
    EXPECT_EQ(Found("/usr/local/bin:relative::/usr/bin:"), c.want) << c.name;
  }
}

TEST_F(ProgramsTest, ReadsNoFile) {
  Run("mkdir -p usr/bin; touch usr/bin/python usr/bin/pip; chmod 111 usr/bin/*");
  // A pipe in their place would be waited for by who opens it to read.
  EXPECT_EQ(Found("/usr/bin"), "python pip");
  Run("rm usr/bin/*; mkfifo -m 755 usr/bin/python usr/bin/pip");
  EXPECT_EQ(Found("/usr/bin"), "");
}

}  // namespace
}  // namespace starling::dockerfile::python
