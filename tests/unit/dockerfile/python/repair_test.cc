#include "dockerfile/python/repair.h"

#include <gmock/gmock.h>

#include "tests/unit/dockerfile/python/tree_fixture.h"

namespace starling::dockerfile::python {
namespace {

using ::testing::HasSubstr;

TEST(ReplacePrefix, ReplacesWholePathsAlone) {
  struct Case {
    const char* name;
    const char* text;
    const char* want;
  };
  const Case cases[] = {
      {"alone", "/install", "/usr/local"},
      {"a path below", "'/install/bin/python3'", "'/usr/local/bin/python3'"},
      {"an assignment", "prefix=/install\n", "prefix=/usr/local\n"},
      {"several", "/install /install/lib", "/usr/local /usr/local/lib"},
      {"an option of the compiler", "-I/install/include -L/install/lib",
       "-I/usr/local/include -L/usr/local/lib"},
      {"an option with =", "--prefix=/install'", "--prefix=/usr/local'"},
      {"the linker's", "-Wl,-rpath,/install/lib", "-Wl,-rpath,/usr/local/lib"},
      {"a program of that name", "/usr/bin/install -c", "/usr/bin/install -c"},
      {"a name that goes on", "/install-sh /installed /install_x",
       "/install-sh /installed /install_x"},
      {"a relative path", "./install/lib", "./install/lib"},
      {"nothing", "", ""},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(ReplacePrefix(c.text, "/usr/local"), c.want) << c.name;
  }
}

TEST(ReplaceTools, NamesCompilersThatAreThere) {
  struct Case {
    const char* name;
    const char* text;
    const char* want;
  };
  const Case cases[] = {
      {"a compiler", "'CC': 'clang -pthread',", "'CC': 'cc -pthread',"},
      {"of C++", "'CXX': 'clang++ -pthread'", "'CXX': 'c++ -pthread'"},
      {"with its directory", "AR=/tools/llvm/bin/llvm-ar", "AR=ar"},
      {"of musl", "CC=\tmusl-clang -pthread", "CC=\tcc -pthread"},
      {"in an assignment in quotes", "\"'CC=clang' 'CFLAGS= \"", "\"'CC=cc' 'CFLAGS= \""},
      {"a word that begins like one", "code.profclangd clangd clang-format",
       "code.profclangd clangd clang-format"},
      {"a word that ends like one", "myclang my/clang", "myclang my/clang"},
      {"options of that clang", "'-fPIC -fdebug-default-version=4 -O3 -flto=thin '",
       "'-fPIC  -O3  '"},
      {"directories of that machine", "'-I/tools/deps/include -L/tools/deps/lib -lm'", "'  -lm'"},
      {"a profile", "'-g -fprofile-instr-use=code.profclangd'", "'-g '"},
      {"options of all", "-flto -Wl,--exclude-libs,ALL", "-flto -Wl,--exclude-libs,ALL"},
      {"nothing", "", ""},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(ReplaceTools(c.text), c.want) << c.name;
  }
}

class RepairTest : public TreeFixture {
 protected:
  void SetUp() override {
    Write("bin/python3.12", Program("/lib64/ld-linux-x86-64.so.2"));
    Write("bin/pip3.12", "#!/install/bin/python3.12\nimport sys\n");
    Write("bin/python3.12-config", "#!/bin/sh\nprefix=\"/install\"\nCC=clang\n");
    Write("bin/binary", std::string("\x7f") + "ELF /install/lib");
    Write("lib/python3.12/_sysconfigdata__linux_x86_64-linux-gnu.py",
          "build_time_vars = {'CC': 'clang',\n 'LIBDIR': '/install/lib'}\n");
    Write("lib/python3.12/config-3.12-x86_64-linux-gnu/Makefile",
          "prefix=\t/install\nCC=\tclang\n");
    Write("lib/python3.12/os.py", "# /install clang\n");
    Write("lib/python3.12/__pycache__/_sysconfigdata__linux_x86_64-linux-gnu.cpython-312.pyc", "x");
    Write("lib/python3.12/__pycache__/os.cpython-312.pyc", "x");
    Write("lib/pkgconfig/python-3.12.pc", "prefix=/install\n");
    Run("ln -s python3.12 bin/python3; ln -s python-3.12.pc lib/pkgconfig/python3.pc; "
        "chmod 755 bin/*; find . -exec touch -h -d @1000 {} +; touch -d @2000 "
        "lib/python3.12/os.py");
  }
  Status Repair() const { return RepairTree(directory_.path(), 12, "/usr/local"); }
  int64_t TimeOf(const std::string& name) const {
    struct stat attributes{};
    EXPECT_EQ(::lstat(Path(name).c_str(), &attributes), 0) << name;
    return attributes.st_mtim.tv_sec;
  }
};

TEST_F(RepairTest, ChangesWhatSaysWhereItIs) {
  ASSERT_TRUE(Repair().ok()) << Repair();
  struct Case {
    const char* file;
    std::string want;
  };
  const Case cases[] = {
      {"bin/pip3.12", "#!/usr/local/bin/python3.12\nimport sys\n"},
      {"bin/python3.12-config", "#!/bin/sh\nprefix=\"/usr/local\"\nCC=cc\n"},
      {"bin/binary", std::string("\x7f") + "ELF /install/lib"},
      {"lib/python3.12/_sysconfigdata__linux_x86_64-linux-gnu.py",
       "build_time_vars = {'CC': 'cc',\n 'LIBDIR': '/usr/local/lib'}\n"},
      {"lib/python3.12/config-3.12-x86_64-linux-gnu/Makefile", "prefix=\t/usr/local\nCC=\tcc\n"},
      {"lib/python3.12/os.py", "# /install clang\n"},
      {"lib/pkgconfig/python-3.12.pc", "prefix=/usr/local\n"},
      {"lib/pkgconfig/python3.pc", "prefix=/usr/local\n"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(Content(c.file), c.want) << c.file;
  }
  struct stat attributes{};
  ASSERT_EQ(::stat(Path("bin/pip3.12").c_str(), &attributes), 0);
  EXPECT_EQ(attributes.st_mode & 07777U, 0755U);
}

TEST_F(RepairTest, RemovesWhatWasCompiledFromTheFormerText) {
  ASSERT_TRUE(Repair().ok());
  EXPECT_FALSE(std::filesystem::exists(
      Path("lib/python3.12/__pycache__/_sysconfigdata__linux_x86_64-linux-gnu.cpython-312.pyc")));
  EXPECT_TRUE(std::filesystem::exists(Path("lib/python3.12/__pycache__/os.cpython-312.pyc")));
}

TEST_F(RepairTest, MakesTheNamesThatPeopleType) {
  ASSERT_TRUE(Repair().ok());
  EXPECT_EQ(std::filesystem::read_symlink(Path("bin/python")), "python3");
  EXPECT_EQ(std::filesystem::read_symlink(Path("bin/pip3")), "pip3.12");
  EXPECT_EQ(std::filesystem::read_symlink(Path("bin/pip")), "pip3");
  EXPECT_EQ(TimeOf("bin/python"), 1000);
}

TEST_F(RepairTest, LeavesNamesThatAreThere) {
  Write("bin/pip", "#!/bin/sh\n");
  Run("ln -s python3.12 bin/python");
  ASSERT_TRUE(Repair().ok());
  EXPECT_EQ(std::filesystem::read_symlink(Path("bin/python")), "python3.12");
  EXPECT_TRUE(std::filesystem::is_regular_file(Path("bin/pip")));
}

TEST_F(RepairTest, WithoutPipMakesNoneOfItsNames) {
  Run("rm bin/pip3.12");
  ASSERT_TRUE(Repair().ok());
  EXPECT_FALSE(std::filesystem::is_symlink(Path("bin/pip")));
}

TEST_F(RepairTest, TimesAreThoseOfTheRelease) {
  ASSERT_TRUE(Repair().ok());
  EXPECT_EQ(TimeOf("bin/pip3.12"), 1000);
  EXPECT_EQ(TimeOf("bin"), 1000);
  EXPECT_EQ(TimeOf("lib/pkgconfig"), 1000);
  EXPECT_EQ(TimeOf("lib/python3.12"), 2000);
  EXPECT_EQ(TimeOf("lib"), 2000);
  EXPECT_EQ(TimeOf("."), 2000);
}

TEST_F(RepairTest, NamesTheCertificatesOfSystemsThatHaveThemElsewhere) {
  Run("mkdir lib/python3.12/site-packages; touch -d @500 lib/python3.12/site-packages");
  ASSERT_TRUE(Repair().ok());
  const std::string name = "lib/python3.12/site-packages/starling-certificates.pth";
  EXPECT_EQ(TimeOf(name), 1000);
  EXPECT_EQ(TimeOf("lib/python3.12/site-packages"), 1000);
  const std::string line = Content(name);
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1) << "site executes single lines";
  struct Case {
    const char* name;
    const char* there;        // a file
    const char* environment;  // NAME=value
    const char* want;         // of SSL_CERT_FILE
  };
  const Case cases[] = {
      {"Fedora", "pki/tls/certs/ca-bundle.crt", "A=1", "pki/tls/certs/ca-bundle.crt"},
      {"Debian", "ssl/certs/ca-certificates.crt", "A=1", "None"},
      {"a system that has both", "ssl/cert.pem pki/tls/certs/ca-bundle.crt", "A=1", "None"},
      {"a file of the user's", "pki/tls/certs/ca-bundle.crt", "SSL_CERT_FILE=/mine", "/mine"},
      {"a directory of the user's", "pki/tls/certs/ca-bundle.crt", "SSL_CERT_DIR=/mine", "None"},
      {"none", "", "A=1", "None"},
  };
  for (const Case& c : cases) {
    // The same line for another place.
    std::string here = line;
    for (size_t at = here.find("/etc/"); at != std::string::npos; at = here.find("/etc/", at + 1)) {
      here.replace(at, 5, "etc/");
    }
    Run("rm -rf etc; mkdir -p etc/ssl/certs etc/pki/tls/certs");
    Run(fmt::format("for f in {}; do touch etc/$f; done", c.there));
    Write("line.py", here + "print(os.environ.get('SSL_CERT_FILE'))\n");
    Run(fmt::format("env -i PATH=$PATH {} python3 line.py | sed 's|^etc/||' >said", c.environment));
    EXPECT_EQ(Content("said"), std::string(c.want) + "\n") << c.name;
  }
}

TEST_F(RepairTest, FreeThreadedOnesHaveALibraryOfTheirOwn) {
  Write("lib/python3.12t/_sysconfig_vars_t_linux_x86_64-linux-gnu.json",
        R"({"CC": "clang", "prefix": "/install"})");
  ASSERT_TRUE(Repair().ok());
  EXPECT_EQ(Content("lib/python3.12t/_sysconfig_vars_t_linux_x86_64-linux-gnu.json"),
            R"({"CC": "cc", "prefix": "/usr/local"})");
}

TEST_F(RepairTest, RefusesATreeThatCannotWork) {
  struct Case {
    const char* name;
    std::string script;
    const char* want;
  };
  const Case cases[] = {
      {"no Python", "rm bin/python3.12", "there is no bin/python3"},
      {"no bin", "rm -r bin", "there is no bin/python3"},
      {"linked statically", "cp static bin/python3.12", "linked statically"},
      {"a script", "echo '#!/bin/sh' >bin/python3.12", "bin/python3: this is no program"},
  };
  for (const Case& c : cases) {
    Run("rm -rf bin lib");
    SetUp();
    Write("static", Program(""));
    Run(c.script);
    const Status repaired = Repair();
    EXPECT_FALSE(repaired.ok()) << c.name;
    EXPECT_THAT(std::string(MessageOf(repaired)), HasSubstr(c.want)) << c.name;
  }
}

TEST_F(RepairTest, LinksLeadNowhere) {
  const TempDir outside = *TempDir::Make("/tmp", "outside-");
  const auto target = (outside.path() / "script").native();
  testing_support::Shell("printf '#!/install' >" + target);
  Run("ln -s " + target + " bin/script; rm -r lib/pkgconfig; ln -s " + outside.path().native() +
      " lib/pkgconfig; cp " + target + " " + (outside.path() / "a.pc").native());
  Repair().IgnoreError();
  EXPECT_EQ(testing_support::ReadWhole(target), "#!/install");
  EXPECT_EQ(testing_support::ReadWhole(outside.path() / "a.pc"), "#!/install");
}

}  // namespace
}  // namespace starling::dockerfile::python
