#!/usr/bin/env python3
"""The checks of documents find planted breaches: each case is a small tree and what must be said of it."""

import pathlib
import stat
import tempfile
import unittest

import docs
from planted_tree import planted_tree

SYMPTOMS = "### It hangs\n" * 20
FAULTS = "| fault | what a container sees | the test that proves it |\n|---|---|---|\n" + "| a | b | `Suite.Name` |\n" * 40
GOOD = {
    "README.md": "# One two\n[a](docs/reliability.md) [b](#one-two) [c](https://example)\n```\n[no link](x.md)\n```\n",
    "docs/reliability.md": FAULTS,
    "docs/registries.md": "# Tests\n| what | test |\n|---|---|\n| a | `unit.base`: `Suite.*`, `.Name`; `e2e.kill.tree` |\n",
    "docs/troubleshooting.md": SYMPTOMS + "```text\nnobody answers at ...\n```\n",
    "docs/configuration.md": '| key | default | meaning |\n|---|---|---|\n| `root` | `"/a"` | b |\n| `[fetch] one`, `two` | `0` | c |\n',
    "docs/migration.md": "`debug`\n| `retries` | `[fetch] one` |\n",
    "SECURITY.md": "**Content.** So.\n*Tests:* `Suite.Name`.\n\nMore.\n",
    "config/default.toml": 'root = "/a"\n[fetch]\none = 0\ntwo = 0\n',
    "config/settings.cc": 'std::vector<Rule> made = {\n        {"root", A},\n        {"fetch.one", B},\n        {"fetch.two",\n'
                          '         C},\n        // Keys of containerd-stargz-grpc that mean the same.\n        {"debug", D},\n',
    "config/stargz_import.cc": '    {"debug", "no"},\n    {"retries", "fetch", "one"},\n',
    "base/a.cc": 'Fail("nobody "\n     "answers at {}", path);\n',
    "tests/unit/base/CMakeLists.txt": "starling_test(NAME unit.base)",
    "tests/e2e/CMakeLists.txt": "  starling_e2e(kill tree)",
    "tests/unit/base/a_test.cc": "TEST_F(Suite,\n       Name) {}",
}


class Checks(unittest.TestCase):
    def breaches(self, function, changes, *arguments):
        with planted_tree(docs, {**GOOD, **changes}):
            return list(function(*arguments))

    def test_accepts_a_tree_in_order(self):
        for function in (docs.check_links, docs.check_tests, docs.check_errors, docs.check_settings):
            self.assertEqual(self.breaches(function, {}), [], function.__name__)

    def test_finds_planted_breaches(self):
        cases = [
            ("no file", docs.check_links, {"README.md": "[a](docs/b.md)"}, "README.md:1: docs/b.md is not there"),
            ("no anchor", docs.check_links, {"README.md": "# A\n[a](#b)"}, "README.md:2: #b: no such heading"),
            ("no picture", docs.check_links, {"README.md": '<img src="a.svg">'}, "a.svg is not there"),
            ("a source names no document", docs.check_links, {"base/a.cc": "// See docs/gone.md."}, "base/a.cc:1: docs/gone.md"),
            ("no such test", docs.check_tests, {"docs/reliability.md": FAULTS + "| a | b | `Suite.Other` |\n"}, "no test Suite.Other"),
            ("no test at all", docs.check_tests, {"docs/reliability.md": FAULTS + "| a | b | none |\n"}, "no test is named"),
            ("too few faults", docs.check_tests, {"docs/reliability.md": FAULTS.removesuffix("| a | b | `Suite.Name` |\n")}, "39 faults, not 40"),
            ("no such plane", docs.check_tests, {"docs/registries.md": "| what | test |\n|---|---|\n| a | `e2e.kill` |\n"},
             "docs/registries.md:3: no test e2e.kill"),
            ("a promise without its test", docs.check_tests, {"SECURITY.md": "*Tests:* `Gone.*`\n"}, "SECURITY.md: no test Gone.*"),
            ("an error that nobody prints", docs.check_errors, {"docs/troubleshooting.md": SYMPTOMS + "```text\nnobody listens at ...\n```\n"},
             'no source says "nobody listens at"'),
            ("an error that is too short", docs.check_errors, {"docs/troubleshooting.md": SYMPTOMS + "```text\n... at ...\n```\n"},
             "says too little"),
            ("too few symptoms", docs.check_errors, {"docs/troubleshooting.md": "### It hangs\n```text\nnobody answers at ...\n```\n"},
             "1 symptoms, not 20"),
            ("a key without a word", docs.check_settings, {"config/default.toml": 'root = "/a"\n[fetch]\none = 0\ntwo = 0\nthree = 1\n',
                                                           "config/settings.cc": GOOD["config/settings.cc"].replace(
                                                               "        // Keys", '        {"fetch.three", E},\n        // Keys')},
             "says nothing of [fetch] three"),
            ("a key that only the code has", docs.check_settings, {"config/settings.cc": GOOD["config/settings.cc"].replace(
                "        // Keys", '        {"fetch.three", E},\n        // Keys')}, "only one of them has [fetch] three"),
            ("another default", docs.check_settings, {"docs/configuration.md": GOOD["docs/configuration.md"].replace("/a", "/b")},
             'the default of root is "/a"'),
            ("a key that is gone", docs.check_settings, {"docs/configuration.md": GOOD["docs/configuration.md"] + "| `old` | `1` | d |\n"},
             "there is no old"),
            ("a key of theirs", docs.check_settings, {"docs/migration.md": "| `retries` | `[fetch] one` |\n"}, "says nothing of debug"),
            ("a key that became another", docs.check_settings, {"docs/migration.md": "`debug`\n| `retries` | `[fetch] two` |\n"},
             "retries is [fetch] one"),
        ]
        for name, function, changes, want in cases:
            with self.subTest(name):
                found = self.breaches(function, changes)
                self.assertEqual(len(found), 1, found)
                self.assertIn(want, found[0])

    def test_draws_the_pictures(self):
        draw = 'import pathlib, sys\npathlib.Path(sys.argv[1], "a.svg").write_text("a")\n'
        tree = {"docs/pictures/draw.py": draw, "docs/pictures/a.svg": "a"}
        self.assertEqual(self.breaches(docs.check_pictures, tree), [])
        found = self.breaches(docs.check_pictures, {**tree, "docs/pictures/a.svg": "b", "docs/pictures/b.svg": ""})
        self.assertEqual(len(found), 2, found)
        self.assertIn("a.svg: docs/pictures/draw.py draws another one", found[0])
        self.assertIn("b.svg: nothing draws it", found[1])

    def test_finds_the_commands_of_a_block(self):
        block = docs.split_document(
            "```sh\nA=b starling pull a:1 && sudo x; starling 'c d' # comment\ncat >f <<'D'\nstarling no\nD\n"
            "source <(starling completion bash)\nstarling copy \\\n  a b >out\nnerdctl starling\n```\n")[1][0]
        self.assertEqual([words for _, words in docs.command_lines(block)],
                         [["starling", "pull", "a:1"], ["starling", "c d"], ["starling", "completion", "bash"], ["starling", "copy", "a", "b"]])

    def test_asks_the_program(self):
        with tempfile.TemporaryDirectory() as directory:
            program = pathlib.Path(directory) / "starling"
            program.write_text('#!/bin/sh\n[ "$2" != wrong ] || { echo "no wrong" >&2; exit 2; }\n'
                               '[ "$2" != less ] || { echo "IMAGE is required" >&2; exit 2; }\n')
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
            lines = "starling right\n" * 49
            found = self.breaches(docs.check_commands, {"README.md": f"```\n{lines}starling wrong\n```\n"}, str(program))
            self.assertEqual(found, ["README.md:51: starling wrong: no wrong"])
            sentence = "`starling less`, `starling wrong` and `starling COMMAND`"
            found = self.breaches(docs.check_commands, {"README.md": f"{sentence}\n```\n{lines}starling right\n```\n"}, str(program))
            self.assertEqual(found, ["README.md:1: starling wrong: no wrong"])
            found = self.breaches(docs.check_commands, {"README.md": f"```\n{lines}```\n"}, str(program))
            self.assertEqual(found, ["only 49 command lines were found"])


if __name__ == "__main__":
    unittest.main()
