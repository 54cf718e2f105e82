from __future__ import annotations

import json
from pathlib import Path

import pytest

from starling import Image, Secret
from starling.exceptions import ProgramError, SecretError


def test_build_hands_over_contexts_and_secrets(project, program):
    image = (
        Image.from_registry("a", secret=Secret.from_dict({"REGISTRY_USERNAME": "me"}))
        .add_local_dir("src", "/app", copy=True)
        .run_commands("b", secrets=[Secret.from_dict({"TOKEN": "s3cret value"})])
        .add_local_file("app.py", "/root/")
    )
    assert image.build("app:1", contexts={"python-3.11": "tree"}) == "sha256:" + "ab" * 32
    call = program.call()
    assert call["arguments"][:5] == ["build", "--recipe", "-", "--tag", "app:1"]
    assert program.options("--build-context") == [
        f"local-1={project / 'src'}",
        f"local-2={project}",
        f"python-3.11={project / 'tree'}",
    ]
    assert program.options("--secret") == ["id=TOKEN,env=STARLING_SECRET_1"]
    assert program.options("--registry-secret") == ["env:STARLING_REGISTRY_SECRET"]
    assert call["environment"]["STARLING_SECRET_1"] == "s3cret value"
    assert json.loads(call["environment"]["STARLING_REGISTRY_SECRET"]) == {
        "REGISTRY_USERNAME": "me"
    }
    assert call["recipe"] == image.recipe()
    assert "s3cret" not in json.dumps([call["arguments"], call["recipe"]])


def test_push_and_run(project, program):
    image = Image.from_dockerfile("src/Dockerfile", context_dir="src")
    image.push("host/app:1")
    assert "--push" in program.call()["arguments"]
    assert program.call()["arguments"][-1] == str(project / "src")
    image.run("python", "-c", "print(1)")
    arguments = program.call()["arguments"]
    assert arguments[:3] == ["run", "--recipe", "-"]
    assert arguments[-5:] == [str(project / "src"), "--", "python", "-c", "print(1)"]


def test_force_build_stays(program):
    image = Image.from_scratch().apt_install("a", force_build=True).apt_install("b")
    image.build()
    assert "--no-cache" in program.call()["arguments"]
    Image.from_scratch().build()
    assert "--no-cache" not in program.call()["arguments"]


def test_secrets_are_read_when_they_are_needed(project, program):
    image = Image.from_registry("a", secret=Secret.from_name("absent"))
    assert image.to_dockerfile() == "FROM fake\n"
    with pytest.raises(SecretError, match="no secret 'absent'"):
        image.build()


def test_failures_are_exceptions(program, monkeypatch):
    monkeypatch.setenv("FAKE_ERROR", "starling image: no such thing\n")
    with pytest.raises(ProgramError, match=r"^starling image: no such thing$") as caught:
        Image.from_scratch().to_dockerfile()
    assert caught.value.exit_code == 1
    with pytest.raises(ProgramError, match="starling build ended with 1"):
        Image.from_scratch().build()
    monkeypatch.setenv("STARLING", "/no/such/program")
    with pytest.raises(ProgramError, match="STARLING=/no/such/program is no program"):
        Image.from_scratch().build()
    monkeypatch.delenv("STARLING")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ProgramError, match="is not in PATH"):
        Image.from_scratch().build()


@pytest.mark.parametrize(
    ("keywords", "options"),
    [
        ({}, []),
        ({"lock": "app.lock"}, ["--lock", "app.lock"]),
        ({"lock": Path("app.lock"), "locked": True}, ["--lock", "app.lock", "--locked"]),
        ({"locked": True}, ["--locked"]),
    ],
)
def test_locks_are_options_of_the_program(program, keywords, options):
    image = Image.from_scratch()
    for call in (image.build, lambda **k: image.push("h/a:1", **k), lambda **k: image.run(**k)):
        call(**keywords)
        arguments = program.call()["arguments"]
        found = [
            word
            for i, word in enumerate(arguments)
            if word in ("--lock", "--locked") or (i and arguments[i - 1] == "--lock")
        ]
        assert found == options
