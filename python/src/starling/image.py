"""Images as values: each method returns a new one."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, TypeVar, Union

# What only some steps need is imported by them: a rebuild spends much of its time here.
from starling.exceptions import InvalidError
from starling.patterns import FilePatternMatcher, Ignore, patterns_of
from starling.program import call
from starling.secret import Secret

if TYPE_CHECKING:
    from typing_extensions import Concatenate, ParamSpec

    P = ParamSpec("P")

R = TypeVar("R")
StrPath = Union[str, "os.PathLike[str]"]
Packages = Union[str, Sequence[str]]
Step = Mapping[str, Any]

RECIPE_VERSION = 1
# What the names of debian_slim and micromamba stand for below belongs to them, too.
BUILDER_VERSIONS = (1, 2)

# Of a series, the version whose image debian_slim takes; others are taken as they are named.
_DEBIAN_PYTHON = {
    "3.10": "3.10.17",
    "3.11": "3.11.12",
    "3.12": "3.12.10",
    "3.13": "3.13.3",
    "3.14": "3.14.2",
}
_DEBIAN = "bookworm"
_MICROMAMBA = "2.1.1"
# An image without a command of its own can be entered for two days.
_WAIT = ("sleep", "172800")

_ECR = re.compile(r"\d{12}\.dkr[.-]ecr(-fips)?\.[a-z0-9-]+\.(amazonaws\.com(\.cn)?|on\.aws)/.+")
_GCP = re.compile(r"([a-z0-9-]+-docker\.pkg\.dev|([a-z]+\.)?gcr\.io)/.+")
_REPOSITORY = re.compile(r"(github\.com|gitlab\.com)/[\w.-]+(/[\w.-]+)+(@[\w./-]+)?(#[\w=&.-]+)?\Z")
_GIT_TOKENS = {"github.com": "GITHUB_TOKEN", "gitlab.com": "GITLAB_TOKEN"}


class _SecretUse(NamedTuple):
    """The variable `variable` of `secret`, known to the recipe as `id`."""

    id: str
    secret: Secret
    variable: str


class _State(NamedTuple):
    steps: tuple[Step, ...] = ()
    # Copied behind all steps.
    last_steps: tuple[Step, ...] = ()
    contexts: tuple[str, ...] = ()  # directories; the name is local-N, from 1
    secrets: tuple[_SecretUse, ...] = ()
    main_context: str | None = None
    registry_secret: Secret | None = None
    force_build: bool = False


def _flatten(packages: Sequence[Packages], method: str, instead: str) -> list[str]:
    """`instead` says how options are given; `{}` in it stands for the one that was found."""
    flat: list[str] = []
    for item in packages:
        if isinstance(item, str):
            flat.append(item)
        elif isinstance(item, Sequence):
            flat.extend(item)
        else:
            raise InvalidError(f"{method}: {item!r} must be a text, or a list of texts")
    for package in flat:
        if not isinstance(package, str):
            raise InvalidError(f"{method}: {package!r} must be a text")
        if package.startswith("-"):
            raise InvalidError(
                f"{method}: {package!r} is an option and no package; {instead.format(package)}"
            )
    return flat


def _texts(values: Sequence[str], method: str) -> list[str]:
    if isinstance(values, str) or not all(isinstance(value, str) for value in values):
        raise InvalidError(f'{method} needs a list of texts, such as ["python", "-m", "app"]')
    return list(values)


def _step(kind: str, **members: Any) -> dict[str, Any]:
    """The step without members that say nothing."""
    return {"step": kind, **{k: v for k, v in members.items() if v not in (None, [], False)}}


def _index_options(
    find_links: str | None,
    index_url: str | None,
    extra_index_url: str | None,
    pre: bool,
    extra_options: str,
) -> dict[str, Any]:
    """What pip and uv have in common, as members of a step."""
    return {
        "find_links": find_links,
        "index_url": index_url,
        "extra_index_url": extra_index_url,
        "pre": pre,
        "extra_options": shlex.split(extra_options),
    }


def _toml(path: Path) -> dict[str, Any]:
    for name in ("tomllib", "tomli"):
        try:
            parser = importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        try:
            document: dict[str, Any] = parser.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InvalidError(f"{path}: {error}") from error
        return document
    raise InvalidError(f"reading {path.name} needs Python 3.11, or the package tomli")


def _lock_options(lock: StrPath | None, locked: bool) -> list[str]:
    options = [] if lock is None else ["--lock", os.fspath(lock)]
    return [*options, "--locked"] if locked else options


def _builder_version() -> int:
    """That of the environment, or the newest."""
    text = os.environ.get("STARLING_BUILDER_VERSION", "")
    if not text:
        return BUILDER_VERSIONS[-1]
    known = ", ".join(map(str, BUILDER_VERSIONS))
    if text not in known.split(", "):
        raise InvalidError(
            f"STARLING_BUILDER_VERSION: {text!r} is not a version of the builder that this package "
            f"knows: {known}"
        )
    return int(text)


def _upgrade(packages: list[str]) -> dict[str, Any]:
    if _builder_version() == 1:
        return _step("run", commands=["python -m pip install --upgrade " + " ".join(packages)])
    return _step("pip", packages=packages, extra_options=["--upgrade"])


def _file(path: StrPath, method: str) -> Path:
    absolute = Path(path).expanduser().absolute()
    if not absolute.is_file():
        raise InvalidError(f"{method}: {path} is no file")
    return absolute


def _directory(path: StrPath, method: str) -> Path:
    absolute = Path(path).expanduser().absolute()
    if not absolute.is_dir():
        raise InvalidError(f"{method}: {path} is no directory")
    return absolute


def _in_image(path: StrPath, method: str) -> str:
    text = path if isinstance(path, str) else PurePosixPath(path).as_posix()
    if not text.startswith("/"):
        raise InvalidError(f"{method}: {text!r} must be an absolute path in the image")
    return text


class Image:
    """An image as the steps that make it. Immutable: each method returns a new one.

    Nothing is built, and no file of a copied directory read, before build(), push() or run().
    """

    __slots__ = ("_state",)
    _state: _State

    def __init__(self, state: _State) -> None:
        object.__setattr__(self, "_state", state)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"an image does not change: {name}")

    def __reduce__(self) -> tuple[type[Image], tuple[_State]]:
        return type(self), (self._state,)

    @classmethod
    def from_registry(
        cls,
        tag: str,
        secret: Secret | None = None,
        *,
        setup_dockerfile_commands: Sequence[str] = (),
        force_build: bool = False,
        add_python: str | None = None,
    ) -> Image:
        """An image of a registry; `secret` has the registry's credentials, `add_python` puts a
        Python of that version below /usr/local."""
        image = cls(
            _State(
                steps=(_step("from", image=tag),),
                registry_secret=secret,
                force_build=force_build,
            )
        )
        if add_python is not None:
            image = image._with(_step("add_python", version=add_python))
        return image.dockerfile_commands(*setup_dockerfile_commands)

    @classmethod
    def from_aws_ecr(
        cls,
        tag: str,
        secret: Secret | None = None,
        *,
        setup_dockerfile_commands: Sequence[str] = (),
        force_build: bool = False,
        add_python: str | None = None,
    ) -> Image:
        """An image of AWS ECR. `secret` has AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
        AWS_REGION, or AWS_ROLE_ARN and AWS_REGION; without it, the machine's own are used."""
        if not _ECR.match(tag):
            raise InvalidError(
                f"from_aws_ecr: {tag!r} is no image of ECR: "
                "ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG"
            )
        return cls.from_registry(
            tag,
            secret,
            setup_dockerfile_commands=setup_dockerfile_commands,
            force_build=force_build,
            add_python=add_python,
        )

    @classmethod
    def from_gcp_artifact_registry(
        cls,
        tag: str,
        secret: Secret | None = None,
        *,
        setup_dockerfile_commands: Sequence[str] = (),
        force_build: bool = False,
        add_python: str | None = None,
    ) -> Image:
        """An image of Google's Artifact Registry. `secret` has SERVICE_ACCOUNT_JSON."""
        if not _GCP.match(tag):
            raise InvalidError(
                f"from_gcp_artifact_registry: {tag!r} is no image of Google's: "
                "REGION-docker.pkg.dev/PROJECT/REPOSITORY/NAME:TAG"
            )
        return cls.from_registry(
            tag,
            secret,
            setup_dockerfile_commands=setup_dockerfile_commands,
            force_build=force_build,
            add_python=add_python,
        )

    @classmethod
    def from_dockerfile(
        cls,
        path: StrPath,
        *,
        context_dir: StrPath | None = None,
        build_args: Mapping[str, str] | None = None,
        target: str | None = None,
        ignore: Ignore | None = None,
        secret: Secret | None = None,
        force_build: bool = False,
        add_python: str | None = None,
    ) -> Image:
        """What a Dockerfile makes. `context_dir` is its build context (default: the working
        directory), whose .dockerignore counts unless `ignore` says what is left out, as in
        add_local_dir; `secret` is for the registry of its images."""
        file = _file(path, "from_dockerfile")
        context = _directory(context_dir if context_dir is not None else ".", "from_dockerfile")
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InvalidError(f"from_dockerfile: {path} is not UTF-8") from error
        step = _step(
            "dockerfile",
            text=text,
            target=target,
            build_arguments=dict(build_args) if build_args else None,
        )
        if ignore is not None:
            step["ignore"] = patterns_of(ignore, context)
        image = cls(
            _State(
                steps=(step,),
                main_context=str(context),
                registry_secret=secret,
                force_build=force_build,
            )
        )
        return image if add_python is None else image._with(_step("add_python", version=add_python))

    @classmethod
    def from_scratch(cls, *, force_build: bool = False) -> Image:
        """Nothing at all."""
        return cls(_State(steps=(_step("from", image="scratch"),), force_build=force_build))

    @classmethod
    def debian_slim(cls, python_version: str | None = None, *, force_build: bool = False) -> Image:
        """Debian with a Python (default: the series that runs this) and compilers."""
        version = python_version or f"3.{sys.version_info.minor}"
        if not re.fullmatch(r"3\.\d+(\.\d+)?", version):
            raise InvalidError(
                f"debian_slim: {version!r} must be a series (3.12) or a version (3.12.10); for a "
                "free-threaded Python use from_registry(..., add_python=...)"
            )
        version = _DEBIAN_PYTHON.get(version, version)
        return cls.from_registry(f"python:{version}-slim-{_DEBIAN}", force_build=force_build)._with(
            _step("apt", packages=["gcc", "gfortran", "build-essential"]),
            _upgrade(["pip", "wheel", "uv"]),
            _step(
                "run",
                commands=[
                    "echo 'debconf debconf/frontend select Noninteractive' | debconf-set-selections"
                ],
            ),
            _step("cmd", command=list(_WAIT)),
        )

    @classmethod
    def micromamba(cls, python_version: str | None = None, *, force_build: bool = False) -> Image:
        """An image in which micromamba installs what it is told to, with Python and pip."""
        version = python_version or f"3.{sys.version_info.minor}"
        return cls.from_registry(
            f"mambaorg/micromamba:{_MICROMAMBA}", force_build=force_build
        )._with(
            {"step": "shell", "command": ["/usr/local/bin/_dockerfile_shell.sh"]},
            _step("env", variables={"MAMBA_DOCKERFILE_ACTIVATE": "1"}),
            _step("micromamba", packages=[f"python={version}", "pip"], channels=["conda-forge"]),
            _step("cmd", command=list(_WAIT)),
        )

    def apt_install(
        self,
        *packages: Packages,
        force_build: bool = False,
        env: Mapping[str, str | None] | None = None,
        secrets: Sequence[Secret] = (),
    ) -> Image:
        """Debian packages, in the order given."""
        flat = _flatten(packages, "apt_install", "use run_commands for options of apt-get")
        if not flat:
            return self
        image, uses = self._use(secrets, env)
        return image._with(_step("apt", packages=flat, secrets=uses), force_build=force_build)

    def pip_install(
        self,
        *packages: Packages,
        find_links: str | None = None,
        index_url: str | None = None,
        extra_index_url: str | None = None,
        pre: bool = False,
        extra_options: str = "",
        force_build: bool = False,
        env: Mapping[str, str | None] | None = None,
        secrets: Sequence[Secret] = (),
    ) -> Image:
        """Python packages, by the image's pip. `extra_options` are words as a shell splits them."""
        flat = _flatten(packages, "pip_install", "use extra_options={!r}")
        if not flat:
            return self
        image, uses = self._use(secrets, env)
        step = _step(
            "pip",
            packages=flat,
            **_index_options(find_links, index_url, extra_index_url, pre, extra_options),
            secrets=uses,
        )
        return image._with(step, force_build=force_build)

    def pip_install_from_requirements(
        self,
        requirements_txt: StrPath,
        find_links: str | None = None,
        *,
        index_url: str | None = None,
        extra_index_url: str | None = None,
        pre: bool = False,
        extra_options: str = "",
        force_build: bool = False,
        env: Mapping[str, str | None] | None = None,
        secrets: Sequence[Secret] = (),
    ) -> Image:
        """What a file of requirements names."""
        file = _file(requirements_txt, "pip_install_from_requirements")
        image, uses = self._use(secrets, env)
        image, path = image._context_path(file)
        step = _step(
            "pip",
            requirements=[path],
            **_index_options(find_links, index_url, extra_index_url, pre, extra_options),
            secrets=uses,
        )
        return image._with(step, force_build=force_build)

    def pip_install_from_pyproject(
        self,
        pyproject_toml: StrPath,
        optional_dependencies: Sequence[str] = (),
        *,
        find_links: str | None = None,
        index_url: str | None = None,
        extra_index_url: str | None = None,
        pre: bool = False,
        extra_options: str = "",
        force_build: bool = False,
        env: Mapping[str, str | None] | None = None,
        secrets: Sequence[Secret] = (),
    ) -> Image:
        """The dependencies of a project, and those of the named optional groups."""
        file = _file(pyproject_toml, "pip_install_from_pyproject")
        project = _toml(file).get("project", {})
        if "dependencies" not in project:
            raise InvalidError(
                f"pip_install_from_pyproject: {pyproject_toml} has no [project] dependencies; for "
                "poetry use poetry_install_from_file"
            )
        packages = list(project["dependencies"])
        optional = project.get("optional-dependencies", {})
        for group in optional_dependencies:
            if group not in optional:
                raise InvalidError(
                    f"pip_install_from_pyproject: {pyproject_toml} has no optional dependencies "
                    f"{group!r}; it has {', '.join(sorted(optional)) or 'none'}"
                )
            packages += optional[group]
        return self.pip_install(
            packages,
            find_links=find_links,
            index_url=index_url,
            extra_index_url=extra_index_url,
            pre=pre,
            extra_options=extra_options,
            force_build=force_build,
            env=env,
            secrets=secrets,
        )

    def pip_install_private_repos(
        self,
        *repositories: str,
        git_user: str,
        find_links: str | None = None,
        index_url: str | None = None,
        extra_index_url: str | None = None,
        pre: bool = False,
        extra_options: str = "",
        force_build: bool = False,
        env: Mapping[str, str | None] | None = None,
        secrets: Sequence[Secret] = (),
    ) -> Image:
        """Packages of private repositories, HOST/OWNER/NAME[@REF] of github.com and gitlab.com. The
        secrets must have GITHUB_TOKEN and GITLAB_TOKEN, as needed."""
        method = "pip_install_private_repos"
        if not repositories:
            return self
        image, uses = self._use(secrets, env)
        variables = {use["variable"] for use in uses}
        options = []
        for option, value in (
            ("--find-links", find_links),
            ("--index-url", index_url),
            ("--extra-index-url", extra_index_url),
        ):
            options += [option, shlex.quote(value)] if value is not None else []
        options += ["--pre"] if pre else []
        options += [shlex.quote(word) for word in shlex.split(extra_options)]
        commands = []
        for repository in sorted(repositories):
            if not _REPOSITORY.match(repository):
                raise InvalidError(
                    f"{method}: {repository!r} must be HOST/OWNER/NAME[@REF], HOST github.com or "
                    "gitlab.com"
                )
            token = _GIT_TOKENS[repository.split("/")[0]]
            if token not in variables:
                raise InvalidError(
                    f"{method}: {repository} needs {token} among the secrets: "
                    f'secrets=[Secret.from_local_environ(["{token}"])]'
                )
            # The shell of the step puts the token in.
            url = f'"git+https://{git_user}:${token}@{repository}"'
            commands.append(" ".join(["python -m pip install", url, *options]))
        if not re.fullmatch(r"[\w.-]+", git_user):
            raise InvalidError(f"{method}: {git_user!r} is no name of a user")
        return image._with(
            _step("apt", packages=["git"]),
            _step("run", commands=commands, secrets=uses),
            force_build=force_build,
        )

    def uv_pip_install(
        self,
        *packages: Packages,
        requirements: Sequence[StrPath] = (),
        find_links: str | None = None,
        index_url: str | None = None,
        extra_index_url: str | None = None,
        pre: bool = False,
        extra_options: str = "",
        uv_version: str | None = None,
        force_build: bool = False,
        env: Mapping[str, str | None] | None = None,
        secrets: Sequence[Secret] = (),
    ) -> Image:
        """Python packages, by uv."""
        flat = _flatten(packages, "uv_pip_install", "use extra_options={!r}")
        if isinstance(requirements, str):
            raise InvalidError(f"uv_pip_install: requirements must be a list: [{requirements!r}]")
        if not flat and not requirements:
            return self
        image, uses = self._use(secrets, env)
        paths = []
        for requirement in requirements:
            image, path = image._context_path(_file(requirement, "uv_pip_install"))
            paths.append(path)
        step = _step(
            "uv_pip",
            packages=flat,
            requirements=paths,
            **_index_options(find_links, index_url, extra_index_url, pre, extra_options),
            uv_version=uv_version,
            secrets=uses,
        )
        return image._with(step, force_build=force_build)

    def uv_sync(
        self,
        uv_project_dir: StrPath = "./",
        *,
        groups: Sequence[str] = (),
        extras: Sequence[str] = (),
        frozen: bool = True,
        extra_options: str = "",
        uv_version: str | None = None,
        force_build: bool = False,
        env: Mapping[str, str | None] | None = None,
        secrets: Sequence[Secret] = (),
    ) -> Image:
        """What the uv project in a directory asks for; by its uv.lock when there is one."""
        directory = _directory(uv_project_dir, "uv_sync")
        project = _file(directory / "pyproject.toml", "uv_sync")
        if "workspace" in _toml(project).get("tool", {}).get("uv", {}):
            raise InvalidError(
                f"uv_sync: {project} is a workspace; name the directory of one of its members"
            )
        image, uses = self._use(secrets, env)
        image, project_path = image._context_path(project)
        has_lock = (directory / "uv.lock").is_file()
        step = _step(
            "uv_sync",
            project=project_path,
            lock={**project_path, "path": "uv.lock"} if has_lock else None,
            groups=_texts(groups, "uv_sync(groups=)"),
            extras=_texts(extras, "uv_sync(extras=)"),
            frozen=frozen and has_lock,
            extra_options=shlex.split(extra_options),
            uv_version=uv_version,
            secrets=uses,
        )
        return image._with(step, force_build=force_build)

    def poetry_install_from_file(
        self,
        poetry_pyproject_toml: StrPath,
        poetry_lockfile: StrPath | None = None,
        *,
        ignore_lockfile: bool = False,
        force_build: bool = False,
        with_: Sequence[str] = (),
        without: Sequence[str] = (),
        only: Sequence[str] = (),
        poetry_version: str | None = "latest",
        old_installer: bool = False,
        env: Mapping[str, str | None] | None = None,
        secrets: Sequence[Secret] = (),
    ) -> Image:
        """The dependencies of a poetry project, by the poetry.lock beside it unless told otherwise.
        `poetry_version=None`: poetry is in the image already."""
        method = "poetry_install_from_file"
        project = _file(poetry_pyproject_toml, method)
        lock: Path | None = None
        if poetry_lockfile is not None:
            lock = _file(poetry_lockfile, method)
        elif not ignore_lockfile:
            lock = project.parent / "poetry.lock"
            if not lock.is_file():
                raise InvalidError(
                    f"{method}: there is no poetry.lock beside {poetry_pyproject_toml}; write one "
                    "(poetry lock), or say ignore_lockfile=True"
                )
        image, uses = self._use(secrets, env)
        image, project_path = image._context_path(project)
        lock_path = None
        if lock is not None:
            image, lock_path = image._context_path(lock)
        step = _step(
            "poetry",
            project=project_path,
            lock=lock_path,
            **{"with": _texts(with_, f"{method}(with_=)")},
            without=_texts(without, f"{method}(without=)"),
            only=_texts(only, f"{method}(only=)"),
            poetry_version=poetry_version,
            old_installer=old_installer,
            secrets=uses,
        )
        return image._with(step, force_build=force_build)

    def micromamba_install(
        self,
        *packages: Packages,
        spec_file: StrPath | None = None,
        channels: Sequence[str] = (),
        micromamba_version: str | None = None,
        force_build: bool = False,
        env: Mapping[str, str | None] | None = None,
        secrets: Sequence[Secret] = (),
    ) -> Image:
        """Conda packages, in the order given: by the image's micromamba, or on any image by that of
        `micromamba_version` ("latest": the newest known), below /opt/conda."""
        flat = _flatten(packages, "micromamba_install", "use run_commands for options")
        if not flat and spec_file is None:
            return self
        image, uses = self._use(secrets, env)
        path = None
        if spec_file is not None:
            image, path = image._context_path(_file(spec_file, "micromamba_install"))
        step = _step(
            "micromamba",
            packages=flat,
            spec_file=path,
            channels=_texts(channels, "micromamba_install(channels=)"),
            micromamba_version=micromamba_version,
            secrets=uses,
        )
        return image._with(step, force_build=force_build)

    def run_commands(
        self,
        *commands: Packages,
        force_build: bool = False,
        env: Mapping[str, str | None] | None = None,
        secrets: Sequence[Secret] = (),
    ) -> Image:
        """Commands of the image's shell, one RUN each."""
        flat: list[str] = []
        for command in commands:
            flat.extend([command] if isinstance(command, str) else command)
        if not flat:
            return self
        image, uses = self._use(secrets, env)
        return image._with(_step("run", commands=flat, secrets=uses), force_build=force_build)

    def run_function(
        self,
        raw_f: Callable[..., Any],
        *,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
        force_build: bool = False,
        env: Mapping[str, str | None] | None = None,
        secrets: Sequence[Secret] = (),
    ) -> Image:
        """Runs a Python function in the image and keeps what it writes, for example a model that it
        downloads. Its source and that of all it uses of its module are part of the cache's key."""
        from starling.functions import script_of

        script = script_of(raw_f, args, kwargs or {})
        image, uses = self._use(secrets, env)
        return image._with(
            _step("python_function", script=script, secrets=uses), force_build=force_build
        )

    def dockerfile_commands(
        self,
        *dockerfile_commands: Packages,
        context_dir: StrPath | None = None,
        force_build: bool = False,
        env: Mapping[str, str | None] | None = None,
        secrets: Sequence[Secret] = (),
    ) -> Image:
        """Instructions as in a Dockerfile. COPY is from `context_dir` (default: the working
        directory); each RUN has `env` and `secrets` in its environment."""
        lines: list[str] = []
        for item in dockerfile_commands:
            lines.extend([item] if isinstance(item, str) else item)
        if not lines:
            return self
        copies = any(
            re.match(r"\s*(copy|add)\b", line, re.I) for line in "\n".join(lines).split("\n")
        )
        image, uses = self._use(secrets, env)
        if context_dir is None and not copies:
            step = _step("dockerfile_lines", lines=lines, secrets=uses)
            return image._with(step, force_build=force_build)
        directory = _directory(
            context_dir if context_dir is not None else ".", "dockerfile_commands"
        )
        image, name = image._context(directory)
        return image._with(
            _step("dockerfile_lines", lines=lines, context=name, secrets=uses),
            force_build=force_build,
        )

    def add_local_file(
        self, local_path: StrPath, remote_path: StrPath, *, copy: bool = False
    ) -> Image:
        """A file of this machine; `remote_path` with a slash at the end is a directory.

        Without copy=True it comes behind all other steps, so none may follow."""
        file = _file(local_path, "add_local_file")
        destination = _in_image(remote_path, "add_local_file")
        image, path = self._context_path(file)
        return image._add_files(_step("copy", source=path, destination=destination), copy)

    def add_local_dir(
        self,
        local_path: StrPath,
        remote_path: StrPath,
        *,
        copy: bool = False,
        ignore: Ignore = (),
    ) -> Image:
        """What is in a directory of this machine, without what `ignore` says: patterns as in
        .dockerignore, a FilePatternMatcher, or a function of a path relative to the directory.

        Without copy=True it comes behind all other steps, so none may follow."""
        directory = _directory(local_path, "add_local_dir")
        destination = _in_image(remote_path, "add_local_dir")
        image, name = self._context(directory)
        step = _step(
            "copy",
            source={"context": name, "path": "."},
            destination=destination.rstrip("/") + "/",
            ignore=patterns_of(ignore, directory),
        )
        return image._add_files(step, copy)

    def add_local_python_source(
        self, *modules: str, copy: bool = False, ignore: Ignore | None = None
    ) -> Image:
        """Packages and modules that can be imported here, to /root; of packages only *.py, unless
        `ignore` says otherwise."""
        import importlib.util

        method = "add_local_python_source"
        ignored: Ignore = ~FilePatternMatcher("**/*.py") if ignore is None else ignore
        image = self
        for module in modules:
            try:
                spec = importlib.util.find_spec(module)
            except (ImportError, ValueError):
                spec = None
            if spec is None:
                raise InvalidError(f"{method}: there is no module {module!r} here")
            target = "/root/" + module.replace(".", "/")
            if spec.submodule_search_locations:
                for location in spec.submodule_search_locations:
                    image = image.add_local_dir(location, target, copy=copy, ignore=ignored)
            elif spec.origin is not None and spec.origin.endswith(".py"):
                image = image.add_local_file(spec.origin, target + ".py", copy=copy)
            else:
                raise InvalidError(f"{method}: {module!r} is not made of Python files")
        return image

    def env(self, vars: Mapping[str, str]) -> Image:
        """Variables of the image, literally: a `$` stays a `$`."""
        for name, value in vars.items():
            if not isinstance(value, str):
                raise InvalidError(f"env: the value of {name} must be a text, not {value!r}")
        return self._with(_step("env", variables=dict(vars))) if vars else self

    def workdir(self, path: StrPath) -> Image:
        """The working directory of the steps that follow, and of the image."""
        return self._with(_step("workdir", path=str(path)))

    def entrypoint(self, entrypoint_commands: Sequence[str]) -> Image:
        """What is started in front of the command; must end in `exec "$@"` when it is a script."""
        command = _texts(entrypoint_commands, "entrypoint")
        return self._with({"step": "entrypoint", "command": command})

    def cmd(self, cmd: Sequence[str]) -> Image:
        """What is run when nothing else is said."""
        return self._with({"step": "cmd", "command": _texts(cmd, "cmd")})

    def shell(self, shell_commands: Sequence[str]) -> Image:
        """The shell of the commands that follow."""
        return self._with({"step": "shell", "command": _texts(shell_commands, "shell")})

    def pipe(
        self, func: Callable[Concatenate[Image, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """`func(self, ...)`: a part of a recipe with a name of its own."""
        return func(self, *args, **kwargs)

    @contextmanager
    def imports(self) -> Iterator[None]:
        """For imports of what only the image has: here, their absence is no error."""
        with suppress(ImportError):
            yield

    def recipe(self) -> dict[str, Any]:
        """The recipe as JSON data. Same steps, same data; no value of a secret is in it.

        Its builder_version is STARLING_BUILDER_VERSION of the environment, or the newest."""
        steps = [*self._state.steps, *self._state.last_steps]
        copied: list[Any] = json.loads(json.dumps(steps))
        return {
            "version": RECIPE_VERSION,
            "builder_version": _builder_version(),
            "steps": copied,
        }

    def to_dockerfile(self) -> str:
        """The Dockerfile that says the same."""
        arguments = ["image", "from-recipe", "-", "--print=dockerfile"]
        return call(arguments, self._json(), {}, capture=True)

    def build(
        self,
        tag: str | None = None,
        *,
        contexts: Mapping[str, StrPath] | None = None,
        lock: StrPath | None = None,
        locked: bool = False,
        options: Sequence[str] = (),
    ) -> str:
        """Builds the image, names it `tag`, and returns its digest.

        `contexts` are further named build contexts. What the names of images, Pythons, downloads
        and branches stood for is written to the file `lock`; with `locked`, they stand for what it
        (or starling.lock) says. `options` are further ones of `starling build`."""
        import tempfile

        options = [*_lock_options(lock, locked), *options]
        with tempfile.TemporaryDirectory(prefix="starling-") as directory:
            result = Path(directory, "image")
            self._call("build", tag, [*options, "--iidfile", str(result)], contexts)
            return result.read_text(encoding="utf-8").strip() if result.exists() else ""

    def push(
        self,
        tag: str,
        *,
        contexts: Mapping[str, StrPath] | None = None,
        lock: StrPath | None = None,
        locked: bool = False,
        options: Sequence[str] = (),
    ) -> str:
        """Builds the image and stores it in the registry that `tag` names."""
        return self.build(
            tag, contexts=contexts, lock=lock, locked=locked, options=[*options, "--push"]
        )

    def run(
        self,
        *command: str,
        contexts: Mapping[str, StrPath] | None = None,
        lock: StrPath | None = None,
        locked: bool = False,
        options: Sequence[str] = (),
    ) -> None:
        """Builds the image and runs it (its own command, if none is given) in a container that is
        removed afterwards."""
        end = ["--", *command] if command else []
        self._call("run", None, [*_lock_options(lock, locked), *options], contexts, end)

    def _json(self) -> str:
        return json.dumps(self.recipe(), ensure_ascii=False, indent=2) + "\n"

    def _call(
        self,
        command: str,
        tag: str | None,
        options: Sequence[str],
        contexts: Mapping[str, StrPath] | None,
        end: Sequence[str] = (),
    ) -> None:
        state = self._state
        arguments = [command, "--recipe", "-"]
        arguments += ["--tag", tag] if tag is not None else []
        for number, directory in enumerate(state.contexts, start=1):
            arguments += ["--build-context", f"local-{number}={directory}"]
        for name, path in (contexts or {}).items():
            arguments += ["--build-context", f"{name}={Path(path).absolute()}"]
        environment = {}
        for number, use in enumerate(state.secrets, start=1):
            variable = f"STARLING_SECRET_{number}"
            environment[variable] = use.secret.variables()[use.variable]
            arguments += ["--secret", f"id={use.id},env={variable}"]
        if state.registry_secret is not None:
            environment["STARLING_REGISTRY_SECRET"] = json.dumps(state.registry_secret.variables())
            arguments += ["--registry-secret", "env:STARLING_REGISTRY_SECRET"]
        if state.force_build:
            arguments.append("--no-cache")
        arguments += options
        if state.main_context is not None:
            arguments.append(state.main_context)
        call([*arguments, *end], self._json(), environment, capture=False)

    def _with(self, *steps: Step, force_build: bool = False) -> Image:
        if self._state.last_steps:
            raise InvalidError(
                "add_local_* without copy=True comes behind all other steps, so none can follow; "
                "put it last, or say copy=True"
            )
        return Image(
            self._state._replace(
                steps=(*self._state.steps, *steps),
                force_build=self._state.force_build or force_build,
            )
        )

    def _add_files(self, step: Step, copy: bool) -> Image:
        if copy:
            return self._with(step)
        return Image(self._state._replace(last_steps=(*self._state.last_steps, step)))

    def _context(self, directory: Path) -> tuple[Image, str]:
        """The name of the context `directory`, which the returned image has."""
        contexts = self._state.contexts
        text = str(directory)
        if text not in contexts:
            contexts = (*contexts, text)
        name = f"local-{contexts.index(text) + 1}"
        return Image(self._state._replace(contexts=contexts)), name

    def _context_path(self, file: Path) -> tuple[Image, dict[str, str]]:
        image, name = self._context(file.parent)
        return image, {"context": name, "path": file.name}

    def _use(
        self, secrets: Sequence[Secret], env: Mapping[str, str | None] | None
    ) -> tuple[Image, list[dict[str, str]]]:
        """All variables of `secrets` and `env` for one step; later ones win."""
        chosen: dict[str, tuple[str, Secret]] = {}
        for secret in secrets:
            if not isinstance(secret, Secret):
                raise InvalidError(f"secrets= needs a list of Secret, not {secret!r}")
            prefix = f"{secret.name}." if secret.name else ""
            for variable in secret.variables():
                chosen[variable] = (prefix + variable, secret)
        for variable, value in (env or {}).items():
            if value is None:
                continue
            # A part of the id, so that a step with another value is another step.
            import hashlib

            digest = hashlib.sha256(value.encode()).hexdigest()[:16]
            chosen[variable] = (f"env.{variable}.{digest}", Secret.from_dict({variable: value}))
        uses = self._state.secrets
        members = []
        for variable, (wanted, secret) in chosen.items():
            use = self._find_use(uses, wanted, secret, variable)
            if use not in uses:
                uses = (*uses, use)
            members.append({"id": use.id, "variable": variable})
        return Image(self._state._replace(secrets=uses)), members

    @staticmethod
    def _find_use(
        uses: tuple[_SecretUse, ...], wanted: str, secret: Secret, variable: str
    ) -> _SecretUse:
        """A use of the id `wanted`, or of `wanted-N` when another secret has that one."""
        number = 1
        while True:
            use_id = wanted if number == 1 else f"{wanted}-{number}"
            other = next((use for use in uses if use.id == use_id), None)
            if other is None:
                return _SecretUse(use_id, secret, variable)
            if other.secret is secret or (
                secret.name == other.secret.name and (secret.name or wanted.startswith("env."))
            ):
                return other
            number += 1

    def __repr__(self) -> str:
        kinds = ", ".join(str(step["step"]) for step in self.recipe()["steps"])
        return f"Image({kinds})"
