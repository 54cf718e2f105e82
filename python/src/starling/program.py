"""Calls the program `starling`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

from starling.exceptions import ProgramError


def _find(name: str) -> str | None:
    """As shutil.which, which takes longer to import than to run."""
    directories = [""] if os.sep in name else os.get_exec_path()
    for directory in directories:
        path = os.path.join(directory, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def find_program() -> str:
    """The program that STARLING names, or `starling` in PATH."""
    named = os.environ.get("STARLING")
    found = _find(named or "starling")
    if found is None:
        raise ProgramError(
            f"STARLING={named} is no program"
            if named
            else "the program `starling` is not in PATH; install it, or name it in STARLING"
        )
    return found


def call(
    arguments: Sequence[str],
    recipe: str,
    environment: Mapping[str, str],
    *,
    capture: bool,
) -> str:
    """Runs `starling ARGUMENTS` with `recipe` on standard input and `environment` added to ours.

    Returns what it wrote to standard output, when `capture` says so. Raises ProgramError when it
    fails; its messages have gone to standard error then, or are in the exception.
    """
    finished = subprocess.run(
        [find_program(), *arguments],
        input=recipe,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE if capture else None,
        stderr=subprocess.PIPE if capture else None,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if finished.returncode != 0:
        message = (finished.stderr or "").strip()
        raise ProgramError(
            message or f"starling {arguments[0]} ended with {finished.returncode}",
            finished.returncode,
        )
    return finished.stdout or ""
