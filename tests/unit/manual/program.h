/// A command line with all kinds of options, for the tests of what is made of one.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <vector>

namespace starling::manual {

class Program {
 public:
  Program() : app("Does things", "prog") {
    app.set_help_flag("-h,--help", "Print this");
    app.footer("Of all.");
    CLI::App* const run = app.add_subcommand("run", "Runs 'it'");
    run->add_option("IMAGE", image_, "What to run")->required();
    run->add_option("ARGUMENT", arguments_, "For it");
    run->add_option("-n,--name", name_, "Called so")->envname("PROG_NAME")->default_str("x-1");
    run->add_option("--label", labels_, "Put on it: [a] \\ 'b'");
    run->add_flag("--quiet", quiet_, "Says nothing");
    run->add_option("--secret-thing", hidden_, "Hidden")->group("");
    run->footer(".starts with a dot\nand goes on.\nExample: prog run -n a img\n  prog run b");
    CLI::App* const store = app.add_subcommand("store", "What is kept");
    CLI::App* const show = store->add_subcommand("show", "Shows it");
    show->add_option("--format", format_, "How")->check(CLI::IsMember({"json", "text"}));
    show->add_option("--level", level_, "How much")
        ->transform(CLI::CheckedTransformer(std::map<std::string, int>{{"less", 1}, {"more", 2}}));
    app.add_subcommand("ghost", "Not seen")->group("");
  }

  CLI::App app;

 private:
  std::string image_;
  std::string name_;
  std::string hidden_;
  std::string format_;
  std::vector<std::string> arguments_;
  std::vector<std::string> labels_;
  bool quiet_ = false;
  int level_ = 0;
};

}  // namespace starling::manual
