from __future__ import annotations

from pathlib import Path

import pytest

from starling import FilePatternMatcher
from starling.exceptions import InvalidError
from starling.patterns import patterns_of


@pytest.mark.parametrize(
    ("patterns", "path", "ignored"),
    [
        (["*.pyc"], "a.pyc", True),
        (["*.pyc"], "b/a.pyc", False),
        (["**/*.pyc"], "b/c/a.pyc", True),
        (["**/*.pyc"], "a.pyc", True),
        (["build"], "build/x/y", True),
        (["build/"], "build/x", True),
        (["/build"], "build", True),
        (["a", "!a/b"], "a/b", False),
        (["!a", "a"], "a", True),
        (["a?[bc]"], "axb", True),
        (["a?[bc]"], "a/b", False),
        (["\\*"], "*", True),
        (["\\*"], "a", False),
        (["**"], "a/b", True),
        ([], "a", False),
    ],
)
def test_matching(patterns, path, ignored):
    matcher = FilePatternMatcher(*patterns)
    assert matcher(Path(path)) is ignored
    assert (~matcher)(path) is not ignored


def test_from_file(tmp_path):
    (tmp_path / "ignore").write_text("# comment\n*.log\n\n!keep.log\n")
    matcher = FilePatternMatcher.from_file(tmp_path / "ignore")
    assert matcher.patterns == ("*.log", "!keep.log")


def test_predicates_are_asked_about_each_file(tmp_path):
    for name in ("a.txt", "b[1].txt", "d/c.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    asked = []

    def ignore(path):
        asked.append(path.as_posix())
        return path.suffix == ".txt"

    assert patterns_of(ignore, tmp_path) == ["a.txt", "b\\[1].txt"]
    assert asked == ["a.txt", "b[1].txt", "d/c.py"]


def test_errors():
    with pytest.raises(InvalidError, match="without ']'"):
        FilePatternMatcher("[a")
    with pytest.raises(InvalidError, match="class that is none"):
        FilePatternMatcher("[z-a]")
