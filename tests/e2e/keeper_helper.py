#!/usr/bin/env python3
"""A docker credential helper that keeps logins in the directory STARLING_TEST_KEEPER, one file for each server, and
notes how it was called in the file `calls` there: the word, and the arguments that everybody could see."""

import json
import os
import pathlib
import sys

directory = pathlib.Path(os.environ["STARLING_TEST_KEEPER"])
word = sys.argv[1]
with (directory / "calls").open("a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\n")
text = sys.stdin.read()
server = json.loads(text)["ServerURL"] if word == "store" else text.strip()
file = directory / server.replace("/", "%")
if word == "store":
    file.write_text(text)
elif not file.exists():
    print("credentials not found in native keychain")
    sys.exit(1)
elif word == "get":
    print(file.read_text())
elif word == "erase":
    file.unlink()
