"""Which files of a directory do not belong to an image."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import Union

from starling.exceptions import InvalidError

# Larger trees are no build context that a predicate should be asked about file by file.
_MAX_FILES = 100_000


def _expression(pattern: str) -> re.Pattern[str]:
    """`*` and `?` stop at slashes, `**` does not; a backslash protects the next character."""
    text = ""
    at = 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            text += "(?:.*/)?"
            at += 3
        elif pattern.startswith("**", at):
            text += ".*"
            at += 2
        elif pattern[at] == "*":
            text += "[^/]*"
            at += 1
        elif pattern[at] == "?":
            text += "[^/]"
            at += 1
        elif pattern[at] == "[":
            end = pattern.find("]", at + 2)
            if end < 0:
                raise InvalidError(f"the pattern {pattern!r} has a '[' without ']'")
            text += "[" + pattern[at + 1 : end].replace("\\", "\\\\") + "]"
            at = end + 1
        else:
            if pattern[at] == "\\" and at + 1 < len(pattern):
                at += 1
            text += re.escape(pattern[at])
            at += 1
    try:
        return re.compile(text + r"(?:/.*)?\Z", re.DOTALL)
    except re.error as error:
        raise InvalidError(f"the pattern {pattern!r} has a class that is none: {error}") from error


def _clean(pattern: str) -> str:
    negated = pattern.startswith("!")
    path = os.path.normpath(pattern[1:].strip() if negated else pattern.strip())
    return ("!" if negated else "") + path.lstrip("/")


class FilePatternMatcher:
    """Patterns of an ignore file: the last one that matches a path or a directory above it counts.

    `~matcher` ignores what `matcher` does not: `ignore=~FilePatternMatcher("**/*.py")` takes
    nothing but Python files.
    """

    def __init__(self, *patterns: str) -> None:
        self.patterns: tuple[str, ...] = tuple(_clean(p) for p in patterns if p.strip())
        self._rules = [(not p.startswith("!"), _expression(p.lstrip("!"))) for p in self.patterns]

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> FilePatternMatcher:
        """The patterns of an ignore file; `#` in the first column begins a comment."""
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        return cls(*(line for line in lines if not line.startswith("#")))

    def __call__(self, path: str | os.PathLike[str]) -> bool:
        """Whether `path`, relative to the directory, is ignored."""
        text = PurePath(path).as_posix()
        ignored = False
        for ignores, expression in self._rules:
            if expression.match(text):
                ignored = ignores
        return ignored

    def __invert__(self) -> FilePatternMatcher:
        flipped = (p[1:] if p.startswith("!") else "!" + p for p in self.patterns)
        return FilePatternMatcher("**", *flipped)

    def __repr__(self) -> str:
        return f"FilePatternMatcher({', '.join(map(repr, self.patterns))})"


Ignore = Union[Sequence[str], FilePatternMatcher, Callable[[Path], bool]]


def _literal(path: str) -> str:
    return re.sub(r"([\\*?\[!])", r"\\\1", path)


def patterns_of(ignore: Ignore, directory: Path) -> list[str]:
    """`ignore` as patterns; a predicate is asked about every file below `directory`."""
    if isinstance(ignore, str):
        raise InvalidError(f"ignore={ignore!r} must be a list of patterns: [{ignore!r}]")
    if isinstance(ignore, FilePatternMatcher):
        return list(ignore.patterns)
    if not callable(ignore):
        return list(FilePatternMatcher(*ignore).patterns)
    patterns = []
    count = 0
    for parent, directories, files in os.walk(directory):
        directories.sort()
        for name in sorted(files):
            count += 1
            if count > _MAX_FILES:
                raise InvalidError(
                    f"{directory} has more than {_MAX_FILES} files, too many to ask a function "
                    "about; give ignore= a list of patterns"
                )
            path = Path(parent, name).relative_to(directory)
            if ignore(path):
                patterns.append(_literal(path.as_posix()))
    return patterns
