#pragma once

#include <elf.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/temp_dir.h"
#include "tests/support/file_tree.h"

namespace starling::dockerfile::python {

/// As much of a program as tells how it is linked: statically without an interpreter.
inline std::string Program(const std::string& interpreter) {
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phoff = sizeof(header);
  header.e_phnum = 2;
  Elf64_Phdr load{};
  load.p_type = PT_LOAD;
  Elf64_Phdr named{};
  named.p_type = interpreter.empty() ? PT_NOTE : PT_INTERP;
  named.p_offset = sizeof(header) + 2 * sizeof(load);
  named.p_filesz = interpreter.size() + 1;
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
  bytes.append(reinterpret_cast<const char*>(&load), sizeof(load));
  bytes.append(reinterpret_cast<const char*>(&named), sizeof(named));
  return bytes + interpreter + '\0';
}

/// A directory with files.
class TreeFixture : public ::testing::Test {
 protected:
  std::filesystem::path Path(const std::string& name) const { return directory_.path() / name; }
  void Write(const std::string& name, const std::string& content) const {
    std::filesystem::create_directories(Path(name).parent_path());
    std::ofstream(Path(name), std::ios::binary) << content;
  }
  std::string Content(const std::string& name) const {
    return testing_support::ReadWhole(Path(name));
  }
  void Run(const std::string& script) const {
    testing_support::Shell("cd " + directory_.path().native() + "; umask 022; " + script);
  }

  TempDir directory_ = *TempDir::Make("/tmp", "python-");
};

}  // namespace starling::dockerfile::python
