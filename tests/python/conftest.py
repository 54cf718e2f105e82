"""A program in the place of `starling`, which notes how it was called."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path

import pytest

import starling

REAL_PROGRAM = os.environ.get("STARLING") or shutil.which("starling")

FAKE = """#!/usr/bin/env python3
import json, os, sys
with open(os.environ["FAKE_CALL"], "w") as file:
    json.dump({"arguments": sys.argv[1:], "recipe": json.loads(sys.stdin.read()),
               "environment": {k: v for k, v in os.environ.items() if k.startswith("STARLING_")}},
              file)
if "--iidfile" in sys.argv:
    with open(sys.argv[sys.argv.index("--iidfile") + 1], "w") as file:
        file.write("sha256:" + "ab" * 32 + "\\n")
if "FAKE_ERROR" in os.environ:
    sys.stderr.write(os.environ["FAKE_ERROR"])
    sys.exit(1)
print("FROM fake")
"""


class FakeProgram:
    def __init__(self, directory: Path) -> None:
        self.path = directory / "starling"
        self.path.write_text(FAKE)
        self.path.chmod(self.path.stat().st_mode | stat.S_IXUSR)
        self.call_file = directory / "call.json"

    def call(self) -> dict:
        return json.loads(self.call_file.read_text())

    def options(self, name: str) -> list[str]:
        arguments = self.call()["arguments"]
        return [arguments[i + 1] for i, word in enumerate(arguments) if word == name]


@pytest.fixture
def program(tmp_path_factory, monkeypatch):
    fake = FakeProgram(tmp_path_factory.mktemp("program"))
    monkeypatch.setenv("STARLING", str(fake.path))
    monkeypatch.setenv("FAKE_CALL", str(fake.call_file))
    return fake


@pytest.fixture
def real_program(monkeypatch):
    if REAL_PROGRAM is None:
        pytest.skip("the program starling was not built")
    monkeypatch.setenv("STARLING", REAL_PROGRAM)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A working directory with one file of each kind."""
    files = {
        "requirements.txt": "polars\n",
        "pyproject.toml": '[project]\nname = "app"\ndependencies = ["numpy", "httpx>=0.27"]\n'
        '[project.optional-dependencies]\ndev = ["pytest"]\n',
        "poetry.lock": "",
        "uv.lock": "",
        "env.yml": "dependencies: []\n",
        "app.py": "print('app')\n",
        "src/a.py": "",
        "src/a.pyc": "",
        "src/other.lock": "",
        "src/data/b.txt": "",
        "src/Dockerfile": "FROM ubuntu:22.04 AS build\nRUN make\nFROM scratch\nCOPY app.py /\n",
        "localpackage/__init__.py": "",
        "localpackage/data.txt": "",
        "localmodule.py": "",
        "workspace/pyproject.toml": "[tool.uv.workspace]\nmembers = []\n",
        "broken/pyproject.toml": "[",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "src/binary").write_bytes(b"\xff")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


@pytest.fixture
def base():
    return starling.Image.from_registry("ubuntu:22.04")
