from __future__ import annotations

import json
import os.path as paths
import subprocess
import sys
from datetime import timedelta

import pytest

from starling.exceptions import FunctionError
from starling.functions import script_of

SIZES = {"small": [1, 2.5], "none": None}
NOT_LITERAL = object()


def decorate(function):
    return function


class Point:
    x = 3


def helper(value: Point) -> str:
    return json.dumps([value.x, SIZES["small"]])


@decorate
def uses_all(name, *, count=1):
    # A comment stays.
    def inner():
        return timedelta(seconds=count)

    print(name, helper(Point()), paths.basename("a/b"), inner().total_seconds())


def uses_object():
    return NOT_LITERAL


def uses_unknown():
    return unknown_name  # noqa: F821


def run(script):
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_a_script_runs_alone():
    script = script_of(uses_all, ["it's"], {"count": 2})
    assert run(script) == "it's [3, [1, 2.5]] b 2.0\n"
    assert "NOT_LITERAL" not in script
    assert "@decorate" not in script
    assert "# A comment stays." in script
    assert script == script_of(uses_all, ["it's"], {"count": 2})


def test_outer_variables_come_along():
    greeting = "hello"

    def greet():
        print(greeting)

    assert run(script_of(greet)) == "hello\n"


@pytest.mark.parametrize(
    ("function", "args", "message"),
    [
        (uses_object, [], "the global 'NOT_LITERAL' is a object"),
        (uses_unknown, [], "uses 'unknown_name', which is not defined"),
        (lambda: 1, [], "a lambda"),
        (print, [], "no function that was defined by `def`"),
        (uses_all, [NOT_LITERAL], "argument 0 is a object"),
        (uses_all, ["x" * 100_000], "too large"),
    ],
)
def test_what_does_not_fit_in_is_refused(function, args, message):
    with pytest.raises(FunctionError, match=message):
        script_of(function, args)
