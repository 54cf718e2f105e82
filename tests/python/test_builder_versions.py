"""What the names of bases stand for in each version of the builder stays as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from starling import Image
from starling.exceptions import InvalidError
from starling.image import BUILDER_VERSIONS

FILES = Path(__file__).parent / "builder_versions"


def bases():
    made = {f"debian_slim {v}": Image.debian_slim(v) for v in ("3.10", "3.12.4", "3.13", "3.14")}
    made["micromamba 3.12"] = Image.micromamba("3.12")
    return made


@pytest.mark.parametrize("version", BUILDER_VERSIONS)
def test_bases_stay_as_they_were(monkeypatch, version):
    monkeypatch.setenv("STARLING_BUILDER_VERSION", str(version))
    recipes = {name: image.recipe() for name, image in bases().items()}
    assert recipes == json.loads((FILES / f"{version}.json").read_text())


@pytest.mark.parametrize("text", ["3", "0", "2025.06", "x", " 1"])
def test_a_version_that_is_not_known_is_refused(monkeypatch, text):
    monkeypatch.setenv("STARLING_BUILDER_VERSION", text)
    with pytest.raises(InvalidError, match=r"is not a version of the builder .* knows: 1, 2"):
        Image.from_scratch().recipe()


def test_the_program_knows_each_version(monkeypatch, real_program):
    for version in BUILDER_VERSIONS:
        monkeypatch.setenv("STARLING_BUILDER_VERSION", str(version))
        assert Image.from_scratch().to_dockerfile() == "FROM scratch\n"
