#include "manual/man_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/text.h"

namespace starling::manual {
namespace {

constexpr std::string_view kExample = "Example:";

/// Text that no request of roff can be read from; dashes stay dashes, so that they can be copied.
std::string Escaped(std::string_view text) {
  std::string escaped;
  bool line_begins = true;
  for (const char c : text) {
    if (line_begins && (c == '.' || c == '\'')) {
      escaped += "\\&";
    }
    switch (c) {
      case '\\':
        escaped += "\\e";
        break;
      case '-':
        escaped += "\\-";
        break;
      // A quoted argument of a macro ends at a quotation mark.
      case '"':
        escaped += "\\(dq";
        break;
      // Where a long address or list may go on in the next line.
      case '/':
      case ',':
        escaped += c;
        escaped += "\\:";
        break;
      default:
        escaped += c;
    }
    line_begins = c == '\n';
  }
  return escaped;
}

std::string Bold(std::string_view text) { return "\\fB" + Escaped(text) + "\\fR"; }

std::string Italic(std::string_view text) { return "\\fI" + Escaped(text) + "\\fR"; }

std::string Synopsis(const Command& command) {
  std::string text = Bold(command.name);
  if (!command.options.empty()) {
    text += fmt::format(" [{}]", Italic("OPTIONS"));
  }
  if (!command.commands.empty()) {
    return text + " " + Italic("COMMAND") + " ...";
  }
  for (const Option& argument : command.arguments) {
    const std::string name = Italic(argument.value) + (argument.repeated ? " ..." : "");
    text += argument.required ? " " + name : " [" + name + "]";
  }
  return text;
}

std::string Entry(const Option& option) {
  std::string text = ".TP\n";
  if (option.names.empty()) {
    text += Italic(option.value);
  }
  for (size_t i = 0; i < option.names.size(); ++i) {
    text += (i == 0 ? "" : ", ") + Bold(option.names[i]);
    if (!option.value.empty()) {
      text += " " + Italic(option.value);
    }
  }
  text += "\n" + Escaped(option.description);
  std::vector<std::string> notes;
  if (!option.choices.empty()) {
    std::string all;
    for (const std::string& choice : option.choices) {
      all += (all.empty() ? "" : ", ") + choice;
    }
    notes.push_back("one of " + all);
  }
  if (option.repeated) {
    notes.emplace_back("may be repeated");
  }
  if (!option.default_value.empty()) {
    notes.push_back("default " + option.default_value);
  }
  if (!option.environment.empty()) {
    notes.push_back("environment " + option.environment);
  }
  for (size_t i = 0; i < notes.size(); ++i) {
    text += (i == 0 ? " (" : "; ") + Escaped(notes[i]);
  }
  return text + (notes.empty() ? "\n" : ")\n");
}

void AddEntries(std::string_view title, const std::vector<Option>& options, std::string& page) {
  if (options.empty()) {
    return;
  }
  page += fmt::format(".SH {}\n", title);
  for (const Option& option : options) {
    page += Entry(option);
  }
}

struct Footer {
  std::vector<std::string> lines;
  std::vector<std::string> examples;
};

// An example goes on in lines that are indented below it.
Footer SplitFooter(std::string_view text) {
  Footer footer;
  bool in_example = false;
  while (!text.empty()) {
    const std::string_view line = TakeLine(text);
    if (line.starts_with(kExample)) {
      in_example = true;
      const size_t begin = line.find_first_not_of(' ', kExample.size());
      if (begin != std::string_view::npos) {
        footer.examples.emplace_back(line.substr(begin));
      }
    } else if (in_example && line.starts_with(' ')) {
      footer.examples.emplace_back(line.substr(line.find_first_not_of(' ') == std::string_view::npos
                                                   ? line.size()
                                                   : line.find_first_not_of(' ')));
    } else {
      in_example = false;
      footer.lines.emplace_back(line);
    }
  }
  return footer;
}

}  // namespace

std::string PageName(const Command& command) {
  std::string name = command.name;
  std::replace(name.begin(), name.end(), ' ', '-');
  return name;
}

std::string ManPage(const Command& command, const ManPageSettings& settings) {
  const std::string name = PageName(command);
  std::string title = name;
  std::transform(title.begin(), title.end(), title.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  const Footer footer = SplitFooter(command.footer);
  std::string page = fmt::format(".TH \"{}\" {} \"{}\" \"{}\"\n", Escaped(title), settings.section,
                                 Escaped(settings.date), Escaped(settings.version));
  // Paths and digests are not to be hyphenated, and lines with them cannot be stretched.
  page += ".nh\n.ad l\n";
  page += fmt::format(".SH NAME\n{} \\- {}\n", Escaped(name), Escaped(command.description));
  page += fmt::format(".SH SYNOPSIS\n{}\n", Synopsis(command));
  if (!footer.lines.empty()) {
    page += ".SH DESCRIPTION\n";
    for (const std::string& line : footer.lines) {
      page += line.empty() ? ".PP\n" : Escaped(line) + "\n";
    }
  }
  if (!command.commands.empty()) {
    page += ".SH COMMANDS\n";
    for (const Command& below : command.commands) {
      page += fmt::format(".TP\n{}({})\n{}\n", Bold(PageName(below)), settings.section,
                          Escaped(below.description));
    }
  } else {
    AddEntries("ARGUMENTS", command.arguments, page);
  }
  AddEntries("OPTIONS", command.options, page);
  if (!footer.examples.empty()) {
    page += ".SH EXAMPLES\n.nf\n";
    for (const std::string& line : footer.examples) {
      page += Escaped(line) + "\n";
    }
    page += ".fi\n";
  }
  if (!settings.above.empty()) {
    page += fmt::format(".SH SEE ALSO\n{}({})\n", Bold(settings.above), settings.section);
  }
  return page;
}

}  // namespace starling::manual
