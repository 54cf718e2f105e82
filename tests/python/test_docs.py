"""The examples of docs/python.md run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs" / "python.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", DOCS.read_text(encoding="utf-8"), re.M | re.S)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_example(project, program, monkeypatch, number, tmp_path_factory):
    monkeypatch.setenv("FORGE_TOKEN", "t0ken")
    # Functions are looked up in files.
    file = tmp_path_factory.mktemp("example") / f"example_{number}.py"
    file.write_text(EXAMPLES[number])
    monkeypatch.syspath_prepend(str(file.parent))
    __import__(f"example_{number}")


def test_there_are_examples():
    assert len(EXAMPLES) >= 3
