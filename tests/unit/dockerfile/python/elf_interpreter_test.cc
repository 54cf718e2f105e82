#include "dockerfile/python/elf_interpreter.h"

#include <fcntl.h>

#include "base/file_system.h"
#include "tests/unit/dockerfile/python/tree_fixture.h"

namespace starling::dockerfile::python {
namespace {

class ElfInterpreterTest : public TreeFixture {
 protected:
  StatusOr<std::optional<std::string>> Of(const std::string& content) const {
    Write("program", content);
    ASSIGN_OR_RETURN(const UniqueFd file, RealFileSystem().Open(Path("program"), O_RDONLY, 0));
    return InterpreterOf(file.get());
  }
};

TEST_F(ElfInterpreterTest, TellsHowAProgramIsLinked) {
  EXPECT_EQ(**Of(Program("/lib64/ld-linux-x86-64.so.2")), "/lib64/ld-linux-x86-64.so.2");
  EXPECT_EQ(*Of(Program("")), std::nullopt);
}

TEST_F(ElfInterpreterTest, RefusesWhatIsNoProgram) {
  const std::string good = Program("/lib/ld.so");
  struct Case {
    const char* name;
    std::string content;
  };
  const auto with = [&good](size_t offset, const std::string& bytes) {
    std::string changed = good;
    changed.replace(offset, bytes.size(), bytes);
    return changed;
  };
  constexpr size_t kSecondHeader = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr);
  const std::string far(8, '\x7f');
  const Case cases[] = {
      {"nothing", ""},
      {"a script", "#!/bin/sh\n" + std::string(100, 'x')},
      {"cut in its header", good.substr(0, 40)},
      {"cut in its table", good.substr(0, 100)},
      {"cut in its interpreter", good.substr(0, good.size() - 3)},
      {"of 32 bits", with(EI_CLASS, "\x01")},
      {"of the other byte order", with(EI_DATA, "\x02")},
      {"a table far away", with(offsetof(Elf64_Ehdr, e_phoff), far)},
      {"a table without end", with(offsetof(Elf64_Ehdr, e_phnum), "\xff\xff")},
      {"an interpreter far away", with(kSecondHeader + offsetof(Elf64_Phdr, p_offset), far)},
      {"an interpreter without end", with(kSecondHeader + offsetof(Elf64_Phdr, p_filesz), far)},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(Of(c.content).status().code(), StatusCode::kInvalidArgument) << c.name;
  }
}

}  // namespace
}  // namespace starling::dockerfile::python
