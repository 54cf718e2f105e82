/// Texts that follow an instruction's line: RUN <<EOF.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dockerfile/syntax/position.h"

namespace starling::dockerfile::syntax {

struct Heredoc {
  /// The word that ends it, without quotes.
  std::string name;
  /// As written, with the tabs that `<<-` removes and the line ends of the file.
  std::string content;
  /// Of the content. Empty (line 0) before it was read.
  Range range;
  /// In front of `<<`; 0 when nothing stands there.
  int file_descriptor = 0;
  /// No part of the name was quoted: variables in the content count.
  bool expand = true;
  /// `<<-`: tabs at the start of the lines do not count.
  bool cut_tabs = false;

  /// What a reader of the heredoc sees, before variables are expanded.
  std::string Body() const;
};

/// The heredoc that `word` begins, [FD]<<[-]NAME, without its content; or nothing.
std::optional<Heredoc> ParseHeredoc(std::string_view word);

/// The heredocs that an instruction's text begins, in order. Quotes that do not match, which are
/// the shell's affair, mean: none.
std::vector<Heredoc> FindHeredocs(std::string_view instruction);

}  // namespace starling::dockerfile::syntax
