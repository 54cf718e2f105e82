"""A function as a script that runs on its own."""

from __future__ import annotations

import ast
import builtins
import inspect
import symtable
import textwrap
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starling.exceptions import FunctionError

_MAX_LITERAL_BYTES = 64 * 1024


def _literal(value: object, what: str) -> str:
    """`value` as an expression that gives it back."""
    text = repr(value)
    try:
        same = bool(ast.literal_eval(text) == value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        same = False
    if not same:
        raise FunctionError(
            f"{what} is a {type(value).__name__}, which has no text that means it; make it of "
            "numbers, texts, lists and dictionaries, or make it inside of the function"
        )
    if len(text) > _MAX_LITERAL_BYTES:
        raise FunctionError(f"{what} is too large for a script; put it into a file of the image")
    return text


def _global_names(table: symtable.SymbolTable, top: bool) -> set[str]:
    names = set()
    for symbol in table.get_symbols():
        if (top and symbol.is_referenced()) or (not top and symbol.is_global()):
            names.add(symbol.get_name())
    for child in table.get_children():
        names |= _global_names(child, False)
    return names


def _source_of(definition: Callable[..., Any] | type) -> str:
    """Its text without decorators, from the first column."""
    try:
        text = textwrap.dedent(inspect.getsource(definition))
    except (OSError, TypeError) as error:
        raise FunctionError(f"{definition!r} has no source text; define it in a file") from error
    node = ast.parse(text).body[0]
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        raise FunctionError(f"{definition!r} must be defined by `def`")
    return "\n".join(text.splitlines()[node.lineno - 1 : node.end_lineno]) + "\n"


class _Script:
    def __init__(self, module: str | None) -> None:
        self._module = module
        self._imports: set[str] = set()
        self._values: dict[str, str] = {}
        self._definitions: dict[str, str] = {}

    def add_definition(
        self, name: str, definition: Callable[..., Any] | type, scope: Mapping[str, Any]
    ) -> None:
        if name in self._definitions:
            return
        source = _source_of(definition)
        self._definitions[name] = source
        table = symtable.symtable("from __future__ import annotations\n" + source, name, "exec")
        for used in sorted(_global_names(table, True)):
            if used in scope:
                self._add_global(used, scope[used], scope)
            elif not hasattr(builtins, used) and used not in (name, definition.__name__):
                raise FunctionError(f"{name} uses {used!r}, which is not defined in its module")

    def add_value(self, name: str, value: object, what: str) -> None:
        self._values[name] = _literal(value, what)

    def _add_global(self, name: str, value: Any, scope: Mapping[str, Any]) -> None:
        if isinstance(value, types.ModuleType):
            plain = value.__name__ == name
            self._imports.add(f"import {name}" if plain else f"import {value.__name__} as {name}")
        elif isinstance(value, (types.FunctionType, type)):
            if value.__module__ == self._module and "." not in value.__qualname__:
                self.add_definition(name, value, scope)
                if value.__name__ != name:
                    raise FunctionError(f"{value.__name__} is used by another name, {name}")
            else:
                self._import_from(name, value)
        elif isinstance(value, types.BuiltinFunctionType):
            self._import_from(name, value)
        else:
            self.add_value(name, value, f"the global {name!r}")

    def _import_from(self, name: str, value: Any) -> None:
        module, original = value.__module__, value.__qualname__
        if module is None or "." in original:
            raise FunctionError(f"{name!r} cannot be imported; import it inside of the function")
        self._imports.add(
            f"from {module} import {original}" + (f" as {name}" if original != name else "")
        )

    def text(self, call: str) -> str:
        parts = [
            "from __future__ import annotations\n",
            "".join(line + "\n" for line in sorted(self._imports)),
            "".join(f"{name} = {self._values[name]}\n" for name in sorted(self._values)),
            *(self._definitions[name] for name in reversed(self._definitions)),
            call + "\n",
        ]
        return "\n".join(part for part in parts if part)


def script_of(
    function: Callable[..., Any], args: Sequence[object] = (), kwargs: Mapping[str, object] = {}
) -> str:
    """A script that calls `function`, with all of its module that it uses, and nothing else.

    Functions and classes of the same module come along as text, others are imported, values must be
    literals. Raises FunctionError for what does not fit in.
    """
    if not isinstance(function, types.FunctionType):
        raise FunctionError(f"{function!r} is no function that was defined by `def`")
    if function.__name__ == "<lambda>":
        raise FunctionError("a lambda cannot be run in an image; define it by `def`")
    script = _Script(function.__module__)
    closure = inspect.getclosurevars(function).nonlocals
    known = {**function.__globals__, **closure}
    script.add_definition(function.__name__, function, known)
    texts = [_literal(value, f"argument {i}") for i, value in enumerate(args)]
    texts += [f"{name}={_literal(value, f'argument {name!r}')}" for name, value in kwargs.items()]
    return script.text(f"{function.__name__}({', '.join(texts)})")
