#!/usr/bin/env python3
"""The checks find planted breaches: each case is a small tree and what must be said of it."""

import unittest

import check
from planted_tree import planted_tree

GOOD = {
    "base/CMakeLists.txt": "starling_module(NAME base HEADERS a.h SOURCES a.cc)",
    "base/a.h": "#include <string>\n",
    "base/a.cc": '#include "base/a.h"\n',
    "oci/CMakeLists.txt": "starling_module(NAME oci\n  HEADERS b.h\n  DEPENDS base)",
    "oci/b.h": '#include "base/a.h"\n',
    "tests/unit/base/a_test.cc": "",
    "ARCHITECTURE.md": "<!-- modules -->\n```\nbase <-\noci <- base\n```\n",
}


class Checks(unittest.TestCase):
    def breaches(self, function, changes):
        with planted_tree(check, {**GOOD, **changes}):
            return list(function(check.declared_modules()))

    def test_accepts_a_tree_in_order(self):
        for function in (check.check_layering, check.check_fences, check.check_diagram,
                         check.check_tests, check.check_includes):
            self.assertEqual(self.breaches(function, {}), [], function.__name__)

    def test_finds_planted_breaches(self):
        cases = [
            ("upward include", check.check_layering, {"base/a.cc": '#include "oci/b.h"\n'},
             "base includes oci/b.h"),
            ("relative include", check.check_layering, {"oci/b.h": '#include "a.h"\n'},
             "no path from the root"),
            ("library beyond its fence", check.check_fences,
             {"oci/b.h": "#include <curl/curl.h>\n"}, "belongs to dockerfile/context, registry only"),
            ("stale diagram", check.check_diagram,
             {"ARCHITECTURE.md": "<!-- modules -->\n```\nbase <-\noci <-\n```\n"},
             "but the tree says base"),
            ("missing module", check.check_diagram,
             {"ARCHITECTURE.md": "<!-- modules -->\n```\nbase <-\n```\n"}, "oci is not in the diagram"),
            ("another header before a source's own", check.check_includes,
             {"base/a.cc": '#include <string>\n#include "base/a.h"\n'}, "base/a.cc:1: does not include its own"),
            ("a header that was parsed beforehand", check.check_includes,
             {"oci/b.h": '#include "base/a.h"\nstd::vector<std::string> Names();  // std::map\n'},
             "oci/b.h: uses std::vector without <vector>"),
            ("source without a test", check.check_tests,
             {"base/CMakeLists.txt": "starling_module(NAME base SOURCES a.cc c.cc)"}, "base/c.cc"),
        ]
        for name, function, changes, want in cases:
            with self.subTest(name):
                found = self.breaches(function, changes)
                self.assertEqual(len(found), 1, found)
                self.assertIn(want, found[0])


if __name__ == "__main__":
    unittest.main()
