"""What can go wrong, from one base class."""

from __future__ import annotations


class Error(Exception):
    """Of this package; its message says what to do."""


class InvalidError(Error):
    """An argument that cannot be what is meant."""


class SecretError(Error):
    """A secret that is not there, or lacks a variable."""


class FunctionError(Error):
    """A function that cannot be run in an image."""


class ProgramError(Error):
    """The program `starling` is not there, or failed."""

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
