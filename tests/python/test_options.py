"""Each option of each method is in a table, and so is each error."""

from __future__ import annotations

import ast
import inspect
import sys
from functools import wraps
from pathlib import Path

import pytest
from test_image import PROJECTS, REFUSED, STEPS, write_model

import starling.image
from starling import FilePatternMatcher, Image, Secret
from starling.exceptions import FunctionError, InvalidError

SECRET = Secret.from_dict({"TOKEN": "t0ken"})
ECR = "000000000000.dkr.ecr.us-east-1.amazonaws.com/a:1"
GCP = "europe-docker.pkg.dev/p/r/a:1"
PYTHON = {"step": "add_python", "version": "3.12"}
LINES = {"step": "dockerfile_lines", "lines": ["RUN a"]}

# Bases, with the steps that they begin with.
BASES = [
    (lambda: Image.from_registry("a"), [{"step": "from", "image": "a"}]),
    (
        lambda: Image.from_registry("a", add_python="3.12", setup_dockerfile_commands=["RUN a"]),
        [{"step": "from", "image": "a"}, PYTHON, LINES],
    ),
    (
        lambda: Image.from_aws_ecr(ECR, add_python="3.12", setup_dockerfile_commands=["RUN a"]),
        [{"step": "from", "image": ECR}, PYTHON, LINES],
    ),
    (
        lambda: Image.from_gcp_artifact_registry(
            GCP, add_python="3.12", setup_dockerfile_commands=["RUN a"]
        ),
        [{"step": "from", "image": GCP}, PYTHON, LINES],
    ),
    (
        lambda: Image.from_dockerfile(
            "src/Dockerfile",
            context_dir="src",
            build_args={"A": "1"},
            target="build",
            ignore=["*.pyc"],
            add_python="3.12",
        ),
        [
            {
                "step": "dockerfile",
                "text": "FROM ubuntu:22.04 AS build\nRUN make\nFROM scratch\nCOPY app.py /\n",
                "target": "build",
                "build_arguments": {"A": "1"},
                "ignore": ["*.pyc"],
            },
            PYTHON,
        ],
    ),
    (lambda: Image.from_scratch(), [{"step": "from", "image": "scratch"}]),
    (
        lambda: Image.debian_slim(python_version="3.12.4"),
        [
            {"step": "from", "image": "python:3.12.4-slim-bookworm"},
            {"step": "apt", "packages": ["gcc", "gfortran", "build-essential"]},
            {
                "step": "pip",
                "packages": ["pip", "wheel", "uv"],
                "extra_options": ["--upgrade"],
            },
            {
                "step": "run",
                "commands": [
                    "echo 'debconf debconf/frontend select Noninteractive' | debconf-set-selections"
                ],
            },
            {"step": "cmd", "command": ["sleep", "172800"]},
        ],
    ),
    (
        lambda: Image.micromamba(python_version="3.12"),
        [
            {"step": "from", "image": "mambaorg/micromamba:2.1.1"},
            {"step": "shell", "command": ["/usr/local/bin/_dockerfile_shell.sh"]},
            {"step": "env", "variables": {"MAMBA_DOCKERFILE_ACTIVATE": "1"}},
            {
                "step": "micromamba",
                "packages": ["python=3.12", "pip"],
                "channels": ["conda-forge"],
            },
            {"step": "cmd", "command": ["sleep", "172800"]},
        ],
    ),
]

# Each method that makes a step which runs something, as little of it as there can be.
RUNS = {
    "apt_install": lambda i, **k: i.apt_install("a", **k),
    "pip_install": lambda i, **k: i.pip_install("a", **k),
    "pip_install_from_requirements": lambda i, **k: i.pip_install_from_requirements(
        "requirements.txt", **k
    ),
    "pip_install_from_pyproject": lambda i, **k: i.pip_install_from_pyproject(
        "pyproject.toml", **k
    ),
    "pip_install_private_repos": lambda i, **k: i.pip_install_private_repos(
        "github.com/a/b",
        git_user="me",
        **{**k, "secrets": [Secret.from_dict({"GITHUB_TOKEN": "x"}), *k.get("secrets", ())]},
    ),
    "uv_pip_install": lambda i, **k: i.uv_pip_install("a", **k),
    "uv_sync": lambda i, **k: i.uv_sync(**k),
    "poetry_install_from_file": lambda i, **k: i.poetry_install_from_file("pyproject.toml", **k),
    "micromamba_install": lambda i, **k: i.micromamba_install("a", **k),
    "run_commands": lambda i, **k: i.run_commands("a", **k),
    "run_function": lambda i, **k: i.run_function(write_model, **k),
    "dockerfile_commands": lambda i, **k: i.dockerfile_commands("RUN a", **k),
}

# Bases whose registry may ask who asks.
LOGINS = [
    lambda **k: Image.from_registry("a", **k),
    lambda **k: Image.from_aws_ecr(ECR, **k),
    lambda **k: Image.from_gcp_artifact_registry(GCP, **k),
    lambda **k: Image.from_dockerfile("src/Dockerfile", **k),
]
FORCED = [
    *LOGINS,
    lambda **k: Image.from_scratch(**k),
    lambda **k: Image.debian_slim("3.12", **k),
    lambda **k: Image.micromamba("3.12", **k),
]
toml = pytest.mark.skipif(sys.version_info < (3, 11), reason="reads TOML")


@pytest.mark.parametrize(("make", "steps"), BASES)
def test_each_base_makes_its_steps(project, real_program, make, steps):
    assert make().recipe()["steps"] == steps
    assert make().to_dockerfile().startswith("FROM ")


@toml
@pytest.mark.parametrize("method", RUNS)
def test_a_step_has_its_secrets_and_variables(project, base, program, method):
    image = RUNS[method](base, secrets=[SECRET], env={"MODE": "debug"})
    uses = image.recipe()["steps"][-1]["secrets"]
    assert [use["variable"] for use in uses][-2:] == ["TOKEN", "MODE"]
    image.build()
    values = [v for k, v in program.call()["environment"].items() if k.startswith("STARLING_SEC")]
    assert values[-2:] == ["t0ken", "debug"]


@toml
@pytest.mark.parametrize("method", RUNS)
def test_a_step_can_be_forced(project, base, program, method):
    RUNS[method](base, force_build=True).build()
    assert "--no-cache" in program.call()["arguments"]


@pytest.mark.parametrize("make", FORCED)
def test_a_base_can_be_forced(project, program, make):
    make(force_build=True).run_commands("a").build()
    assert "--no-cache" in program.call()["arguments"]


@pytest.mark.parametrize("make", LOGINS)
def test_a_base_has_the_login_of_its_registry(project, program, make):
    make(secret=Secret.from_dict({"A": "b"})).build()
    assert program.call()["environment"]["STARLING_REGISTRY_SECRET"] == '{"A": "b"}'


def _methods():
    """The public methods that take options."""
    for name, member in vars(Image).items():
        function = getattr(member, "__func__", member)
        if not name.startswith("_") and inspect.isfunction(function):
            yield name, isinstance(member, classmethod), function


@toml
def test_each_option_is_in_a_table(project, base, program, monkeypatch):
    used = {}

    def recording(name, function, is_class_method):
        signature = inspect.signature(function)

        @wraps(function)
        def call(*args, **kwargs):
            used.setdefault(name, set()).update(signature.bind(*args, **kwargs).arguments)
            return function(*args, **kwargs)

        return classmethod(call) if is_class_method else call

    wanted = {}
    for name, is_class_method, function in list(_methods()):
        if name == "imports":  # has none
            continue
        wanted[name] = set(inspect.signature(function).parameters)
        monkeypatch.setattr(Image, name, recording(name, function, is_class_method))
    for make, _ in [*STEPS, *PROJECTS]:
        make(base)
    for make, _ in BASES:
        make()
    for make in RUNS.values():
        make(base, secrets=[SECRET], env={"A": "b"}, force_build=True)
    for make in FORCED:
        make(force_build=True)
    for make in LOGINS:
        make(secret=SECRET)
    # tests/python/test_program.py has what these do.
    places = {"contexts": {"a": "."}, "lock": "l", "locked": True, "options": []}
    base.build("tag", **places)
    base.push("tag", **places)
    base.run("command", **places)
    base.recipe()
    base.to_dockerfile()
    base.pipe(lambda image, a, b: image, 1, b=2)
    assert {name: options - used.get(name, set()) for name, options in wanted.items()} == {
        name: set() for name in wanted
    }


def _raises(path):
    """The lines of a module in which an error is raised."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
    }


@toml
def test_each_error_is_in_a_table(project, base, monkeypatch):
    path = Path(starling.image.__file__)
    seen = set()

    def trace(frame, event, argument):
        if frame.f_code.co_filename != str(path):
            return None
        if event == "line":
            seen.add(frame.f_lineno)
        return trace

    monkeypatch.setenv("STARLING_BUILDER_VERSION", "none")
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with pytest.raises(InvalidError):
            base.recipe()
        with pytest.raises(AttributeError):
            base.name = "a"
        monkeypatch.delenv("STARLING_BUILDER_VERSION")
        for make, _ in REFUSED:
            with pytest.raises((InvalidError, FunctionError)):
                make(base)
        # Python before 3.11 without tomli.
        monkeypatch.setattr(starling.image.importlib, "import_module", _no_module)
        with pytest.raises(InvalidError, match=r"Python 3\.11, or the package tomli"):
            base.uv_sync()
    finally:
        sys.settrace(before)
    assert _raises(path) - seen == set()


def _no_module(name):
    raise ModuleNotFoundError(name)


def test_matchers_are_values():
    assert repr(FilePatternMatcher("a", "!b")) == "FilePatternMatcher('a', '!b')"
