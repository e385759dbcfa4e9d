#include "tools/man_page.h"

#include <sstream>

namespace tailrace::tools {
namespace {

// The text as groff prints it unchanged, also at the beginning of a line.
std::string Roff(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n')) out += "\\&";
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
  }
  return out;
}

// "tables create" for "/tables/create".
std::string Words(const std::string& path) {
  std::string words = path.substr(path.empty() ? 0 : 1);
  for (char& c : words) {
    if (c == '/') c = ' ';
  }
  return words;
}

void WriteOption(const OptionInfo& option, std::string& page) {
  page += ".TP\n";
  if (option.names.empty()) {
    page += "\\fI" + Roff(option.value) + "\\fR\n";
  } else {
    std::string names;
    for (const std::string& name : option.names) {
      names += (names.empty() ? "\\fB" : ", \\fB") + Roff(name) + "\\fR";
    }
    page += names + (option.value.empty() ? "" : " \\fI" + Roff(option.value) + "\\fR") + "\n";
  }
  page += Roff(option.description) + ".\n";
  if (!option.choices.empty()) {
    page += "One of";
    const char* before = " ";
    for (const std::string& choice : option.choices) {
      page += before + ("\\fB" + Roff(choice) + "\\fR");
      before = ", ";
    }
    page += ".\n";
  }
  if (!option.environment.empty()) {
    page += "The variable \\fB" + Roff(option.environment) + "\\fR stands for it.\n";
  }
  if (option.required && !option.names.empty()) page += "It must be given.\n";
}

// Lines as they are, without the reminder that each --help ends with.
void WriteDetails(const std::string& details, std::string& page) {
  std::istringstream lines(details);
  std::string kept;
  for (std::string line; std::getline(lines, line);) {
    if (line.find("see `tailrace --help`") == std::string::npos) kept += line + "\n";
  }
  while (kept.size() > 1 && kept[kept.size() - 2] == '\n') kept.pop_back();
  if (!kept.empty()) page += ".PP\n.nf\n" + Roff(kept) + ".fi\n";
}

void WriteCommand(const CommandAt& at, std::string& page) {
  const CommandInfo& command = *at.command;
  page += ".SS \"" + Roff("tailrace " + Words(at.path));
  for (const OptionInfo& positional : command.positionals) {
    const std::string name = Roff(positional.value);
    page += positional.required ? " " + name : " [" + name + "]";
  }
  page += "\"\n" + Roff(command.summary) + ".\n";
  for (const OptionInfo& positional : command.positionals) WriteOption(positional, page);
  for (const OptionInfo& option : command.options) WriteOption(option, page);
  WriteDetails(command.details, page);
}

}  // namespace

std::string ManPage(const CommandInfo& root, const std::string& version) {
  std::string page =
      ".\\\" Made by `tailrace man` from the command's own options.\n"
      ".TH TAILRACE 1 \"\" \"" +
      Roff(version) +
      "\" \"User Commands\"\n"
      ".SH NAME\ntailrace \\- tables of items whose every change feeds a stream\n"
      ".SH SYNOPSIS\n.B tailrace\n[\\fIoptions\\fR] \\fIcommand\\fR [\\fIarguments\\fR]\n"
      ".SH DESCRIPTION\n"
      "Tailrace keeps DynamoDB\\-style tables of items in a directory, the store, and every "
      "create, "
      "update\nand delete of an item in the table's change stream. This command works on a store: "
      "one process\nhas it open at a time. The library has more than the command; its "
      "documentation "
      "begins with\n\\fIdocs/README.md\\fR in the sources.\n"
      ".SH OPTIONS\nThey may stand before and behind the command.\n";
  for (const OptionInfo& option : root.options) WriteOption(option, page);
  page += ".SH COMMANDS\n";
  for (const CommandAt& at : AllCommands(root)) {
    if (!at.path.empty()) WriteCommand(at, page);
  }
  page += ".SH EXAMPLES AND EXIT STATUS\n";
  WriteDetails(root.details, page);
  return page;
}

}  // namespace tailrace::tools
