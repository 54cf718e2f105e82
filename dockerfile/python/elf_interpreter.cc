#include "dockerfile/python/elf_interpreter.h"

#include <elf.h>

#include <climits>
#include <cstring>

#include "base/file_system.h"

namespace starling::dockerfile::python {
namespace {

constexpr size_t kMaxProgramHeaders = 256;

template <typename T>
StatusOr<T> ReadStruct(int file, uint64_t offset) {
  T value{};
  RETURN_IF_ERROR(
      RealFileSystem().ReadAt(file, offset, std::as_writable_bytes(std::span(&value, 1))));
  return value;
}

Status NoProgram() { return MakeError(StatusCode::kInvalidArgument, "this is no program"); }

}  // namespace

StatusOr<std::optional<std::string>> InterpreterOf(int file) {
  const auto header = ReadStruct<Elf64_Ehdr>(file, 0);
  if (!header.ok() || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
      header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
      header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phnum > kMaxProgramHeaders ||
      header->e_phoff > INT64_MAX / 2) {
    return NoProgram();
  }
  for (size_t i = 0; i < header->e_phnum; ++i) {
    const auto program = ReadStruct<Elf64_Phdr>(file, header->e_phoff + i * sizeof(Elf64_Phdr));
    if (!program.ok()) {
      return NoProgram();
    }
    if (program->p_type != PT_INTERP) {
      continue;
    }
    if (program->p_filesz < 2 || program->p_filesz > PATH_MAX ||
        program->p_offset > INT64_MAX / 2) {
      return NoProgram();
    }
    std::string path(program->p_filesz, '\0');
    if (!RealFileSystem()
             .ReadAt(file, program->p_offset, std::as_writable_bytes(std::span(path)))
             .ok()) {
      return NoProgram();
    }
    path.resize(std::strlen(path.c_str()));
    return std::optional(std::move(path));
  }
  return std::optional<std::string>();
}

}  // namespace starling::dockerfile::python
