from __future__ import annotations

import pytest

from starling import Secret
from starling.exceptions import InvalidError, SecretError


def test_from_name_reads_its_file(project):
    directory = project / "config" / "starling" / "secrets"
    directory.mkdir(parents=True)
    (directory / "aws.env").write_text("A=1\n")
    assert Secret.from_name("aws", required_keys=["A"]).variables() == {"A": "1"}
    with pytest.raises(SecretError, match="lacks B"):
        Secret.from_name("aws", required_keys=["A", "B"]).variables()
    with pytest.raises(SecretError, match=r"write its variables to .*other\.env"):
        Secret.from_name("other").variables()
    with pytest.raises(InvalidError):
        Secret.from_name("../aws")


def test_from_dotenv(project):
    (project / ".env").write_text(
        "# comment\nexport A=1 # one\nB='x # $y'\nC=\"a\\nb\"\n\nD=\nE=a=b\n"
    )
    want = {"A": "1", "B": "x # $y", "C": "a\nb", "D": "", "E": "a=b"}
    assert Secret.from_dotenv().variables() == want
    assert Secret.from_dotenv(project).variables() == want
    assert Secret.from_dotenv(project / ".env").variables() == want
    (project / "bad").write_text("A\n")
    with pytest.raises(SecretError, match="bad:1"):
        Secret.from_dotenv(filename="bad")
    with pytest.raises(SecretError, match="no absent"):
        Secret.from_dotenv(project, filename="absent")


def test_from_local_environ(monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "x")
    assert Secret.from_local_environ(["SOME_TOKEN"]).variables() == {"SOME_TOKEN": "x"}
    with pytest.raises(SecretError, match="NO_SUCH_TOKEN"):
        Secret.from_local_environ(["NO_SUCH_TOKEN"])
    with pytest.raises(InvalidError):
        Secret.from_local_environ("SOME_TOKEN")


def test_from_dict():
    secret = Secret.from_dict({"A": "hidden", "B": None})
    assert secret.variables() == {"A": "hidden"}
    assert "hidden" not in repr(secret)
    with pytest.raises(InvalidError):
        Secret.from_dict({"A": 1})
    with pytest.raises(InvalidError, match="no name of a variable"):
        Secret.from_dict({"A B": "1"}).variables()
