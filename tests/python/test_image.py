from __future__ import annotations

import copy
import json
import sys

import pytest

import starling
from starling import FilePatternMatcher, Image, Secret
from starling.exceptions import Error, FunctionError, InvalidError
from starling.image import BUILDER_VERSIONS

TOKEN = Secret.from_dict({"GITHUB_TOKEN": "t0ken"})
SECRETS = [{"id": "GITHUB_TOKEN", "variable": "GITHUB_TOKEN"}]
HERE = "local-1"


def path(name):
    return {"context": HERE, "path": name}


def write_model():
    print("written")


# Each method with each option, and the step that it makes.
STEPS = [
    (lambda i: i.apt_install("git", ["curl"]), {"step": "apt", "packages": ["git", "curl"]}),
    (
        lambda i: i.apt_install("git", secrets=[TOKEN]),
        {"step": "apt", "packages": ["git"], "secrets": SECRETS},
    ),
    (
        lambda i: i.pip_install(
            "b",
            "a<2",
            find_links="f",
            index_url="i",
            extra_index_url="e",
            pre=True,
            extra_options="--no-deps --x='y z'",
            secrets=[TOKEN],
        ),
        {
            "step": "pip",
            "packages": ["b", "a<2"],
            "find_links": "f",
            "index_url": "i",
            "extra_index_url": "e",
            "pre": True,
            "extra_options": ["--no-deps", "--x=y z"],
            "secrets": SECRETS,
        },
    ),
    (
        lambda i: i.pip_install_from_requirements(
            "requirements.txt",
            "f",
            index_url="i",
            extra_index_url="e",
            pre=True,
            extra_options="--x",
        ),
        {
            "step": "pip",
            "requirements": [path("requirements.txt")],
            "find_links": "f",
            "index_url": "i",
            "extra_index_url": "e",
            "pre": True,
            "extra_options": ["--x"],
        },
    ),
    (
        lambda i: i.uv_pip_install(
            "b", find_links="f", index_url="i", extra_index_url="e", pre=True
        ),
        {
            "step": "uv_pip",
            "packages": ["b"],
            "find_links": "f",
            "index_url": "i",
            "extra_index_url": "e",
            "pre": True,
        },
    ),
    (
        lambda i: i.pip_install_private_repos(
            "github.com/o/b",
            "github.com/o/a@v1",
            git_user="me",
            find_links="f f",
            index_url="i",
            extra_index_url="e",
            pre=True,
            extra_options="--x 'y z'",
            secrets=[TOKEN],
        ),
        [
            {"step": "apt", "packages": ["git"]},
            {
                "step": "run",
                "commands": [
                    f'python -m pip install "git+https://me:$GITHUB_TOKEN@github.com/o/{name}" '
                    "--find-links 'f f' --index-url i --extra-index-url e --pre --x 'y z'"
                    for name in ("a@v1", "b")
                ],
                "secrets": SECRETS,
            },
        ],
    ),
    (
        lambda i: i.uv_pip_install(
            "polars", requirements=["requirements.txt"], uv_version="0.8.0", extra_options="--x"
        ),
        {
            "step": "uv_pip",
            "packages": ["polars"],
            "requirements": [path("requirements.txt")],
            "extra_options": ["--x"],
            "uv_version": "0.8.0",
        },
    ),
    (
        lambda i: i.poetry_install_from_file(
            "pyproject.toml",
            with_=["dev"],
            without=["docs"],
            only=["main"],
            poetry_version="~=1.7",
            old_installer=True,
        ),
        {
            "step": "poetry",
            "project": path("pyproject.toml"),
            "lock": path("poetry.lock"),
            "with": ["dev"],
            "without": ["docs"],
            "only": ["main"],
            "poetry_version": "~=1.7",
            "old_installer": True,
        },
    ),
    (
        lambda i: i.poetry_install_from_file(
            "pyproject.toml", ignore_lockfile=True, poetry_version=None
        ),
        {"step": "poetry", "project": path("pyproject.toml")},
    ),
    (
        lambda i: i.poetry_install_from_file("pyproject.toml", "src/other.lock"),
        {
            "step": "poetry",
            "project": path("pyproject.toml"),
            "lock": {"context": "local-2", "path": "other.lock"},
            "poetry_version": "latest",
        },
    ),
    (
        lambda i: i.micromamba_install("b", "a", spec_file="env.yml", channels=["conda-forge"]),
        {
            "step": "micromamba",
            "packages": ["b", "a"],
            "spec_file": path("env.yml"),
            "channels": ["conda-forge"],
        },
    ),
    (
        lambda i: i.micromamba_install("a", channels=["c"], micromamba_version="2.8.1-0"),
        {
            "step": "micromamba",
            "packages": ["a"],
            "channels": ["c"],
            "micromamba_version": "2.8.1-0",
        },
    ),
    (
        lambda i: i.run_commands("a && b", ["c"], secrets=[TOKEN]),
        {"step": "run", "commands": ["a && b", "c"], "secrets": SECRETS},
    ),
    (
        lambda i: i.dockerfile_commands("RUN a", ["USER b"]),
        {"step": "dockerfile_lines", "lines": ["RUN a", "USER b"]},
    ),
    (
        lambda i: i.dockerfile_commands("COPY app.py /"),
        {"step": "dockerfile_lines", "lines": ["COPY app.py /"], "context": HERE},
    ),
    (
        lambda i: i.dockerfile_commands("RUN a", secrets=[TOKEN]),
        {"step": "dockerfile_lines", "lines": ["RUN a"], "secrets": SECRETS},
    ),
    (
        lambda i: i.dockerfile_commands("COPY a /", "RUN b", context_dir="src", secrets=[TOKEN]),
        {
            "step": "dockerfile_lines",
            "lines": ["COPY a /", "RUN b"],
            "context": HERE,
            "secrets": SECRETS,
        },
    ),
    (
        lambda i: i.add_local_file("app.py", "/root/", copy=True),
        {"step": "copy", "source": path("app.py"), "destination": "/root/"},
    ),
    (
        lambda i: i.add_local_file("app.py", "/root/x.py"),
        {"step": "copy", "source": path("app.py"), "destination": "/root/x.py"},
    ),
    (
        lambda i: i.add_local_dir("src", "/app", ignore=["*.pyc", "!a"]),
        {"step": "copy", "source": path("."), "destination": "/app/", "ignore": ["*.pyc", "!a"]},
    ),
    (
        lambda i: i.add_local_dir("src", "/", ignore=~FilePatternMatcher("**/*.py")),
        {"step": "copy", "source": path("."), "destination": "/", "ignore": ["**", "!**/*.py"]},
    ),
    (
        lambda i: i.add_local_dir("src", "/app", ignore=lambda p: p.suffix == ".txt"),
        {"step": "copy", "source": path("."), "destination": "/app/", "ignore": ["data/b.txt"]},
    ),
    (
        lambda i: i.add_local_python_source("localpackage"),
        {
            "step": "copy",
            "source": path("."),
            "destination": "/root/localpackage/",
            "ignore": ["**", "!**/*.py"],
        },
    ),
    (
        lambda i: i.add_local_python_source("localpackage", copy=True, ignore=["data.txt"]),
        {
            "step": "copy",
            "source": path("."),
            "destination": "/root/localpackage/",
            "ignore": ["data.txt"],
        },
    ),
    (
        lambda i: i.add_local_dir("src", "/app/", copy=True),
        {"step": "copy", "source": path("."), "destination": "/app/"},
    ),
    (
        lambda i: i.run_function(write_model, args=[], kwargs={}),
        {
            "step": "python_function",
            "script": "from __future__ import annotations\n\n"
            'def write_model():\n    print("written")\n\nwrite_model()\n',
        },
    ),
    (
        lambda i: i.add_local_python_source("localmodule", copy=True),
        {"step": "copy", "source": path("localmodule.py"), "destination": "/root/localmodule.py"},
    ),
    (lambda i: i.env({"A": '$x "y"\n'}), {"step": "env", "variables": {"A": '$x "y"\n'}}),
    (lambda i: i.workdir("/a b"), {"step": "workdir", "path": "/a b"}),
    (lambda i: i.entrypoint(["/x.sh", '"']), {"step": "entrypoint", "command": ["/x.sh", '"']}),
    (lambda i: i.entrypoint([]), {"step": "entrypoint", "command": []}),
    (lambda i: i.cmd(["a"]), {"step": "cmd", "command": ["a"]}),
    (lambda i: i.shell(["/bin/bash", "-c"]), {"step": "shell", "command": ["/bin/bash", "-c"]}),
]


@pytest.mark.parametrize(("make", "step"), STEPS)
def test_each_method_makes_its_step(project, base, make, step):
    recipe = make(base).recipe()
    assert recipe["version"] == 1
    assert recipe["builder_version"] == BUILDER_VERSIONS[-1]
    steps = step if isinstance(step, list) else [step]
    assert recipe["steps"] == [{"step": "from", "image": "ubuntu:22.04"}, *steps]


@pytest.mark.parametrize("make", [case[0] for case in STEPS])
def test_the_program_reads_each_recipe(project, base, real_program, make):
    image = make(base)
    values = [v for step in image.recipe()["steps"] for v in step.get("variables", {}).values()]
    if any("\n" in value for value in values):
        with pytest.raises(Error, match="line end"):
            image.to_dockerfile()
    else:
        assert image.to_dockerfile().startswith("FROM ubuntu:22.04\n")


# The same of methods that read TOML.
PROJECTS = [
    (
        lambda i: i.pip_install_from_pyproject("pyproject.toml", ["dev"]),
        {"step": "pip", "packages": ["numpy", "httpx>=0.27", "pytest"]},
    ),
    (
        lambda i: i.pip_install_from_pyproject(
            "pyproject.toml",
            find_links="f",
            index_url="i",
            extra_index_url="e",
            pre=True,
            extra_options="--x",
        ),
        {
            "step": "pip",
            "packages": ["numpy", "httpx>=0.27"],
            "find_links": "f",
            "index_url": "i",
            "extra_index_url": "e",
            "pre": True,
            "extra_options": ["--x"],
        },
    ),
    (
        lambda i: i.uv_sync(
            groups=["g"], extras=["e"], extra_options="--x", uv_version="0.8.0", frozen=True
        ),
        {
            "step": "uv_sync",
            "project": path("pyproject.toml"),
            "lock": path("uv.lock"),
            "groups": ["g"],
            "extras": ["e"],
            "frozen": True,
            "extra_options": ["--x"],
            "uv_version": "0.8.0",
        },
    ),
    (
        lambda i: i.uv_sync("./", frozen=False),
        {"step": "uv_sync", "project": path("pyproject.toml"), "lock": path("uv.lock")},
    ),
]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="reads TOML")
@pytest.mark.parametrize(("make", "step"), PROJECTS)
def test_each_project_makes_its_step(project, base, make, step):
    assert make(base).recipe()["steps"][1:] == [step]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="reads TOML")
def test_projects_are_read_here(project, base):
    (project / "uv.lock").unlink()
    assert "frozen" not in base.uv_sync().recipe()["steps"][1]
    (project / "pyproject.toml").write_text("[tool.uv.workspace]\nmembers = []\n")
    with pytest.raises(InvalidError, match="workspace"):
        base.uv_sync()
    with pytest.raises(InvalidError, match="no \\[project\\] dependencies"):
        base.pip_install_from_pyproject("pyproject.toml")
    (project / "pyproject.toml").write_text("[")
    with pytest.raises(InvalidError, match=r"pyproject\.toml"):
        base.uv_sync()


def test_bases(project, real_program):
    text = Image.debian_slim("3.12").to_dockerfile()
    assert text.startswith("FROM python:3.12.10-slim-bookworm\n")
    assert text.endswith('CMD ["sleep","172800"]\n')
    assert Image.debian_slim("3.9.1").recipe()["steps"][0]["image"] == "python:3.9.1-slim-bookworm"
    mamba = Image.micromamba("3.11").to_dockerfile().splitlines()
    assert mamba[0] == "FROM mambaorg/micromamba:2.1.1"
    assert "RUN micromamba install python=3.11 pip -c conda-forge --yes" in mamba
    assert Image.from_scratch().recipe()["steps"] == [{"step": "from", "image": "scratch"}]
    google = "europe-docker.pkg.dev/project/repository/name:tag"
    assert Image.from_gcp_artifact_registry(google).recipe()["steps"][0]["image"] == google
    whole = Image.from_dockerfile(
        "src/Dockerfile", target="build", build_args={"A": "1"}, add_python="3.12"
    )
    assert whole.to_dockerfile().startswith("FROM ubuntu:22.04 AS build\nRUN make\nCOPY --link")
    ignores = [
        (None, "absent"),
        ([], []),
        (["*.pyc", "!a.pyc"], ["*.pyc", "!a.pyc"]),
        (FilePatternMatcher("data"), ["data"]),
        (lambda p: p.suffix == ".txt", ["data/b.txt"]),
    ]
    for ignore, patterns in ignores:
        image = Image.from_dockerfile("src/Dockerfile", context_dir="src", ignore=ignore)
        assert image.recipe()["steps"][0].get("ignore", "absent") == patterns
        assert image.to_dockerfile().startswith("FROM ubuntu:22.04 AS build\n")
    setup = Image.from_registry("alpine", setup_dockerfile_commands=["RUN a"])
    assert setup.to_dockerfile() == "FROM alpine\nRUN a\n"


REFUSED = [
    (lambda i: i.pip_install("a", "--pre"), "'--pre' is an option.*extra_options='--pre'"),
    (lambda i: i.apt_install("-y"), "'-y' is an option.*run_commands"),
    (lambda i: i.uv_pip_install(["-U"]), "'-U' is an option"),
    (lambda i: i.pip_install_from_requirements("absent.txt"), "absent.txt is no file"),
    (lambda i: i.add_local_dir("absent", "/x"), "absent is no directory"),
    (lambda i: i.add_local_dir("src", "x"), "absolute path"),
    (lambda i: i.add_local_dir("src", "/x", ignore="*.pyc"), "must be a list"),
    (lambda i: i.add_local_file("app.py", "x"), "absolute path"),
    (lambda i: i.add_local_file("app.py", "/x").run_commands("a"), "copy=True"),
    (lambda i: i.add_local_python_source("no_such_module"), "no module 'no_such_module'"),
    (lambda i: i.add_local_python_source("sys"), "not made of Python files"),
    (lambda i: i.entrypoint("a b"), "needs a list of texts"),
    (lambda i: i.cmd([1]), "needs a list of texts"),
    (lambda i: i.env({"A": 1}), "the value of A must be a text"),
    (lambda i: i.run_commands("a", secrets=["b"]), "needs a list of Secret"),
    (lambda i: i.poetry_install_from_file("src/a.py"), "no poetry.lock beside"),
    (
        lambda i: i.pip_install_private_repos("github.com/a/b", git_user="u"),
        "needs GITHUB_TOKEN among the secrets",
    ),
    (
        lambda i: i.pip_install_private_repos("a/b", git_user="u", secrets=[TOKEN]),
        "HOST/OWNER/NAME",
    ),
    (lambda i: Image.from_aws_ecr("ubuntu:22.04"), "no image of ECR"),
    (lambda i: Image.from_gcp_artifact_registry("ubuntu:22.04"), "no image of Google's"),
    (lambda i: Image.debian_slim("3.14t"), "free-threaded"),
    (lambda i: Image.debian_slim("latest"), "must be a series"),
    (lambda i: Image.from_dockerfile("absent"), "absent is no file"),
    (lambda i: Image.from_dockerfile("src/binary"), "src/binary is not UTF-8"),
    (lambda i: i.pip_install(1), "1 must be a text, or a list of texts"),
    (lambda i: i.apt_install(["a", 1]), "1 must be a text"),
    (
        lambda i: i.pip_install_from_pyproject("pyproject.toml", ["absent"]),
        "no optional dependencies 'absent'; it has dev",
    ),
    (
        lambda i: i.pip_install_from_pyproject("poetry.lock"),
        "has no \\[project\\] dependencies; for poetry use poetry_install_from_file",
    ),
    (
        lambda i: i.pip_install_private_repos("github.com/a/b", git_user="a b", secrets=[TOKEN]),
        "'a b' is no name of a user",
    ),
    (lambda i: i.uv_pip_install(requirements="r.txt"), r"must be a list: \['r.txt'\]"),
    (lambda i: i.uv_sync("workspace"), "is a workspace; name the directory of one of its members"),
    (lambda i: i.uv_sync("broken"), r"broken/pyproject\.toml: "),
    (lambda i: i.micromamba_install("-y"), "'-y' is an option.*use run_commands"),
    (lambda i: i.run_function(print), "no function that was defined by `def`"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_errors_say_what_to_do(project, base, make, message):
    with pytest.raises((InvalidError, FunctionError), match=message):
        make(base)


def test_nothing_to_install_is_the_same_image(project, base):
    assert base.pip_install() is base
    assert base.apt_install([]) is base
    assert base.uv_pip_install() is base
    assert base.run_commands() is base
    assert base.env({}) is base


def test_images_do_not_change(project, base):
    base.pip_install("a").recipe()["steps"].clear()
    more = base.pip_install("a")
    assert len(base.recipe()["steps"]) == 1
    assert len(more.recipe()["steps"]) == 2
    with pytest.raises(AttributeError):
        base._state = more._state
    assert repr(more) == "Image(from, pip)"
    assert copy.deepcopy(more).recipe() == more.recipe()


def test_one_context_for_one_directory(project, base):
    image = (
        base.add_local_dir("src", "/a", copy=True)
        .add_local_file("app.py", "/b", copy=True)
        .add_local_file("src/a.py", "/c", copy=True)
    )
    contexts = [step["source"]["context"] for step in image.recipe()["steps"][1:]]
    assert contexts == ["local-1", "local-2", "local-1"]
    assert str(project) not in json.dumps(image.recipe())


def test_private_repositories_get_the_token_of_the_step(base, real_program):
    image = base.pip_install_private_repos(
        "github.com/owner/name@v1", git_user="me", pre=True, secrets=[TOKEN]
    )
    assert image.to_dockerfile().splitlines()[-1] == (
        "RUN --mount=type=secret,id=GITHUB_TOKEN,env=GITHUB_TOKEN,required=true python -m pip "
        'install "git+https://me:$GITHUB_TOKEN@github.com/owner/name@v1" --pre'
    )


def test_a_variable_of_one_step_is_a_part_of_its_key(base):
    def secret_of(value):
        image = base.run_commands("make", env={"MODE": value, "NONE": None})
        return image.recipe()["steps"][1]["secrets"]

    assert secret_of("debug") == secret_of("debug")
    assert secret_of("debug") != secret_of("release")
    assert [use["variable"] for use in secret_of("debug")] == ["MODE"]


def test_different_secrets_of_one_variable_have_different_ids(base):
    image = base.run_commands("a", secrets=[Secret.from_dict({"K": "1"})]).run_commands(
        "b", secrets=[Secret.from_dict({"K": "2"})]
    )
    ids = [step["secrets"][0]["id"] for step in image.recipe()["steps"][1:]]
    assert ids == ["K", "K-2"]


def test_functions_become_scripts(base, real_program):
    image = base.run_function(write_model)
    assert image.recipe()["steps"][1]["script"] == (
        "from __future__ import annotations\n\n"
        'def write_model():\n    print("written")\n\nwrite_model()\n'
    )
    assert "RUN <<'EOF'\n#!/usr/bin/env python\n" in image.to_dockerfile()


def test_composition(base):
    def with_tools(image, *names):
        return image.apt_install(*names)

    assert base.pipe(with_tools, "git").recipe()["steps"][1]["packages"] == ["git"]
    with base.imports():
        import no_such_module_anywhere  # noqa: F401
    with pytest.raises(ValueError), base.imports():
        raise ValueError


def test_the_package_has_what_it_says():
    for name in starling.__all__:
        assert getattr(starling, name) is not None
