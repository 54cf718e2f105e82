"""Values that a build needs and that no image keeps."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from starling.exceptions import InvalidError, SecretError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def secrets_directory() -> Path:
    """Where `Secret.from_name` looks: one file NAME.env for each secret."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return Path(base, "starling", "secrets")


def _read_dotenv(path: Path) -> dict[str, str]:
    """NAME=VALUE lines; quotes around a value do not belong to it, `export` in front is ignored."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SecretError(f"{path}: {error.strerror}") from error
    values = {}
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        name = name.removeprefix("export ").strip()
        value = value.strip()
        if not equals or not _VARIABLE.match(name):
            raise SecretError(f"{path}:{number}: this must be NAME=VALUE")
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            quote = value[0]
            value = value[1:-1]
            if quote == '"':
                value = re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m[1], m[1]), value)
        else:
            value = re.split(r"\s+#", value, maxsplit=1)[0]
        values[name] = value
    return values


class Secret:
    """Variables of the environment that a step or a registry gets, and the image does not.

    Values are handed to the program `starling` in the environment of its process: they are in no
    argument, no file, no recipe and no cache's key.
    """

    def __init__(self, name: str, read: Callable[[], Mapping[str, str]]) -> None:
        self._name = name
        self._read = read

    @classmethod
    def from_name(cls, name: str, *, required_keys: Sequence[str] = ()) -> Secret:
        """The secret in the file NAME.env of `secrets_directory()`, read when it is needed."""
        if not _NAME.match(name):
            raise InvalidError(f"{name!r} is no name of a secret: letters, digits and ._-")
        required = tuple(required_keys)

        def read() -> Mapping[str, str]:
            path = secrets_directory() / f"{name}.env"
            if not path.exists():
                raise SecretError(f"there is no secret {name!r}; write its variables to {path}")
            values = _read_dotenv(path)
            missing = [key for key in required if key not in values]
            if missing:
                raise SecretError(
                    f"the secret {name!r} lacks {', '.join(missing)}; add it to {path}"
                )
            return values

        return cls(name, read)

    @classmethod
    def from_dict(cls, values: Mapping[str, str | None]) -> Secret:
        """These variables; those that are None are left out."""
        kept: dict[str, str] = {}
        for key, value in values.items():
            if value is None:
                continue
            if not isinstance(key, str) or not isinstance(value, str):
                raise InvalidError("Secret.from_dict needs texts as keys and values")
            kept[key] = value
        return cls("", lambda: kept)

    @classmethod
    def from_dotenv(
        cls, path: str | os.PathLike[str] | None = None, *, filename: str = ".env"
    ) -> Secret:
        """The variables of the file `filename`, in `path` (a file or a directory) or in the working
        directory or the nearest one above it."""
        start = Path(path) if path is not None else Path.cwd()
        if start.is_file():
            start, filename = start.parent, start.name
        places = [start, *(start.resolve().parents if path is None else ())]
        found = next((d / filename for d in places if (d / filename).is_file()), None)
        if found is None:
            raise SecretError(f"there is no {filename} in {start}")
        values = _read_dotenv(found)
        return cls("", lambda: values)

    @classmethod
    def from_local_environ(cls, env_keys: Sequence[str]) -> Secret:
        """These variables of this process's environment."""
        if isinstance(env_keys, str):
            raise InvalidError(f"from_local_environ needs a list: [{env_keys!r}]")
        missing = [key for key in env_keys if key not in os.environ]
        if missing:
            raise SecretError(f"the environment has no {', '.join(missing)}")
        values = {key: os.environ[key] for key in env_keys}
        return cls("", lambda: values)

    @property
    def name(self) -> str:
        """The name of `from_name`, else empty."""
        return self._name

    def variables(self) -> dict[str, str]:
        """The values. Raises SecretError when the secret is not there."""
        values = dict(self._read())
        for key in values:
            if not _VARIABLE.match(key):
                raise InvalidError(f"{key!r} is no name of a variable")
        return values

    def __repr__(self) -> str:
        return f"Secret({self._name!r})" if self._name else "Secret(...)"
