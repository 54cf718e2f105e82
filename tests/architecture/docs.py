#!/usr/bin/env python3
"""Holds the documents to the tree.

docs.py links              every relative link and anchor of a .md file leads somewhere; so does every docs/*.md that sources name
docs.py tests              every test that a document names is there, and every fault and source of credentials has one
docs.py errors             every text that docs/troubleshooting.md quotes is one that the sources print
docs.py settings           docs/configuration.md has the keys and defaults of config/default.toml, docs/migration.md every key
                           that `starling config import` knows
docs.py figures             what docs/comparison.md says that another page measured stands there: each row of numbers in one row, in that order
docs.py pictures            docs/pictures has what its draw.py draws
docs.py commands PROGRAM   every command line of `starling` in a document is one that PROGRAM understands; what a sentence names, as far as it goes
Exit code 0 and a count, or 1 and one line per breach.
"""

import collections
import functools
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = {".cc", ".h", ".py", ".proto"}
LEAST_FAULTS = 40
LEAST_SYMPTOMS = 20

Block = collections.namedtuple("Block", "language line lines")


def files_of(suffixes, below=("",)):
    skipped = {ROOT / "build", ROOT / ".git"}
    for folder in below:
        for directory, folders, names in os.walk(ROOT / folder):
            folders[:] = sorted(name for name in folders if pathlib.Path(directory, name) not in skipped)
            for name in sorted(names):
                if pathlib.Path(name).suffix in suffixes:
                    yield pathlib.Path(directory) / name


def documents():
    return files_of({".md"})


def read(name):
    path = ROOT / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


def split_document(text):
    """Its lines outside of fenced blocks, as (number, line), and the blocks."""
    prose, blocks, block = [], [], None
    for number, line in enumerate(text.splitlines(), 1):
        fence = re.match(r"\s*```(.*)", line)
        if fence and block is None:
            block = Block(fence.group(1).strip(), number, [])
        elif fence:
            blocks.append(block)
            block = None
        elif block is not None:
            block.lines.append((number, line.strip()))
        else:
            prose.append((number, line))
    return prose, blocks


def anchors_of(text):
    """As GitHub makes them of headings."""
    seen, anchors = collections.Counter(), set()
    for _, line in split_document(text)[0]:
        anchors.update(re.findall(r'<a (?:id|name)="([^"]+)"', line))
        heading = re.match(r"#+ +(.*)", line)
        if heading is None:
            continue
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading.group(1)).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        anchors.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return anchors


def check_links():
    for path in documents():
        name = path.relative_to(ROOT)
        for number, line in split_document(path.read_text(encoding="utf-8"))[0]:
            line = re.sub(r"`[^`]*`", "", line)
            for target in re.findall(r"\]\(([^)\s]+)\)", line) + re.findall(r'(?:src|srcset|href)="([^"]+)"', line):
                if re.match(r"[a-z]+:", target):
                    continue
                file, _, anchor = target.partition("#")
                led = path.parent / file if file else path
                if not led.exists():
                    yield f"{name}:{number}: {target} is not there"
                elif anchor and anchor not in anchors_of(led.read_text(encoding="utf-8")):
                    yield f"{name}:{number}: {target}: no such heading"
    for path in files_of(SOURCES | {".sh", ".toml", ".txt", ".service", ".yaml", ".yml"}):
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            for document in re.findall(r"(?<![\w/.])docs/[\w/-]+\.(?:md|svg)", line):
                # A source's own source may have a docs/, too.
                if "Source:" not in line and path.parent.name != "architecture" and not (ROOT / document).exists():
                    yield f"{path.relative_to(ROOT)}:{number}: {document} is not there"


def declared_tests():
    """Names of CTest and of GoogleTest: the former as they are, the latter as SUITE and SUITE.NAME."""
    names = set()
    for path in files_of({".txt"}, ["tests"]):
        text = path.read_text(encoding="utf-8")
        names.update(re.findall(r"(?:add_test|starling_test)\(NAME ([\w.-]+)", text))
        names.update(f"fuzz-replay.{name}" for name in re.findall(r"starling_fuzz\(NAME (\w+)", text))
        for script, plane in re.findall(r"starling_e2e\((\w+)(?: (\w+))?\)", text):
            names.add(f"e2e.{script}.{plane}" if plane else f"e2e.{script}")
    for path in files_of({".cc"}, ["tests"]):
        for suite, name in re.findall(r"TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\s*\)", path.read_text(encoding="utf-8")):
            names.update((suite, f"{suite}.{name}"))
    return names


def cells_of(line):
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def tables_of(text):
    """Each table as its head, and its rows as (line number, cells)."""
    head, rows = None, []
    for number, line in split_document(text)[0] + [(0, "")]:
        if not line.startswith("|"):
            if head:
                yield head, rows
            head, rows = None, []
        elif head is None:
            head = cells_of(line)
        elif not re.fullmatch(r"[|\s:-]+", line):
            rows.append((number, cells_of(line)))


def unknown_tests(text, known):
    """Of the code spans in `text`, which name tests: `e2e.x`, `Suite.Name`, `Suite.*`, `Suite`, and `.Name` of the suite before."""
    suite = ""
    for span in re.findall(r"`([^`]+)`", text):
        if span.startswith("."):
            span = suite + span
        elif re.match(r"[A-Z]", span):
            suite = span.partition(".")[0]
        if span.removesuffix(".*") not in known:
            yield span


def check_tests():
    known = declared_tests()
    faults = 0
    for name in ("docs/reliability.md", "docs/registries.md"):
        for head, rows in tables_of(read(name)):
            if not head[-1].endswith(("test", "the test that proves it")):
                continue
            for number, cells in rows:
                faults += head[0] == "fault"
                if "`" not in cells[-1]:
                    yield f"{name}:{number}: no test is named"
                for test in unknown_tests(cells[-1], known):
                    yield f"{name}:{number}: no test {test}"
    if faults < LEAST_FAULTS:
        yield f"docs/reliability.md: {faults} faults, not {LEAST_FAULTS}"
    promises = re.findall(r"\*Tests:\*(.*?)(?:\n\n|\n\*\*|\Z)", read("SECURITY.md"), re.DOTALL)
    if not promises:
        yield "SECURITY.md: names no tests"
    for promise in promises:
        # What stands in brackets or behind a colon says what a test does.
        for test in unknown_tests(re.sub(r"\([^)]*\)", "", promise).replace("`ctest -L fuzz-replay`", ""), known):
            yield f"SECURITY.md: no test {test}"


def with_joined_strings(text):
    """A source in which strings that stand side by side are one."""
    return re.sub(r'"\s*f?"', "", text).replace('\\"', '"')


def check_errors():
    name = "docs/troubleshooting.md"
    prose, blocks = split_document(read(name))
    symptoms = sum(line.startswith("### ") for _, line in prose)
    if symptoms < LEAST_SYMPTOMS:
        yield f"{name}: {symptoms} symptoms, not {LEAST_SYMPTOMS}"
    quoted = [line for block in blocks if block.language == "text" for line in block.lines if line[1]]
    if not quoted:
        yield f"{name}: quotes nothing"
    sources = "\n".join(with_joined_strings(path.read_text(encoding="utf-8", errors="replace"))
                        for path in files_of(SOURCES)
                        if path.relative_to(ROOT).parts[0] not in ("tests", "bench"))
    for number, line in quoted:
        parts = [part.strip() for part in line.split("...")]
        if max(map(len, parts)) < 10:
            yield f"{name}:{number}: says too little to be looked for"
        for part in parts:
            if part and part not in sources:
                yield f'{name}:{number}: no source says "{part}"'


def settings_of(text):
    """"[table] key" -> its default as TOML writes it."""
    settings = {}
    for table, keys in tomllib.loads(text).items():
        if isinstance(keys, dict):
            settings.update({f"[{table}] {key}": json.dumps(value) for key, value in keys.items()})
        else:
            settings[table] = json.dumps(keys)
    return settings


def check_settings():
    name = "docs/configuration.md"
    wanted = settings_of(read("config/default.toml"))
    rules = read("config/settings.cc").partition("std::vector<Rule> made = {")[2].partition("// Keys of containerd-stargz-grpc")[0]
    understood = {re.sub(r"^(\w+)\.", r"[\1] ", key) for key in re.findall(r'^ +\{"([\w.]+)",', rules, re.M)}
    for key in sorted(understood ^ wanted.keys()):
        yield f"config/default.toml and config/settings.cc: only one of them has {key}"
    # Those of one host are shown there as comments.
    for key in re.findall(r"^# (\w+) = .*", read("config/default.toml").partition("# [registry.hosts.")[2].partition("\n\n")[0], re.M):
        wanted[f'[registry.hosts."HOST"] {key}'] = ""
    documented = {}
    for head, rows in tables_of(read(name)):
        if head[:2] != ["key", "default"]:
            continue
        for number, cells in rows:
            keys = re.findall(r"`([^`]+)`", cells[0])
            table = keys[0].rpartition(" ")[0]
            defaults = re.findall(r"`([^`]+)`", cells[1]) or [""]
            for at, key in enumerate(keys):
                full = key if at == 0 or not table else f"{table} {key}"
                documented[full] = (number, defaults[min(at, len(defaults) - 1)])
    for key, default in wanted.items():
        if key not in documented:
            yield f"{name}: says nothing of {key}"
        elif documented[key][1] != default:
            yield f"{name}:{documented[key][0]}: the default of {key} is {default}"
    for key in documented.keys() - wanted.keys():
        yield f"{name}:{documented[key][0]}: there is no {key}"
    migration = read("docs/migration.md")
    source = read("config/stargz_import.cc")
    theirs = re.findall(r'^    \{"([\w.]+)",', source, re.M) + re.findall(r'key == "([\w.]+)"', source)
    if not theirs:
        yield "config/stargz_import.cc: no keys were found"
    for key in sorted(set(theirs)):
        is_table = any(other.startswith(f"{key}.") for other in theirs)
        if not is_table and f"`{key}`" not in migration:
            yield f"docs/migration.md: says nothing of {key}"
    for key, table, ours in re.findall(r'\{"([\w.]+)", "(\w+)", "(\w+)"', source):
        row = next((line for line in migration.splitlines() if f"`{key}`" in line), "")
        if f"[{table}]" not in row or ours not in row:
            yield f"docs/migration.md: {key} is [{table}] {ours}"


def numbers_in(text):
    """"1.63", "651", "0.25.0", "2026-11-28", as they stand there."""
    return re.findall(r"\d(?:[\d.,-]*\d)?", text)


def is_among(number, others):
    """As it is, or rounded to a whole one."""
    return number in others or (number.isdigit() and any(
        re.fullmatch(r"\d+\.\d+", other) and round(float(other)) == int(number) for other in others))


def stands_in(row, other):
    """Whether `other` has the numbers of `row` in their order, with others between them."""
    rest = iter(other)
    return all(number in rest for number in row)


def check_figures():
    name = "docs/comparison.md"
    prose, _ = split_document(read(name))
    headings = [number for number, line in prose if line.startswith("#")] + [len(read(name).splitlines()) + 1]
    sections = [(begin, end) for begin, end in zip(headings, headings[1:])
                if any(number == begin and line.endswith(" Measured") for number, line in prose)]
    if not sections:
        yield f"{name}: has no section of what was measured"
    for begin, end in sections:
        lines = [(number, line) for number, line in prose if begin < number < end]
        page = re.match(r"From \[[\w.]+\]\(([\w.-]+\.md)", next((line for _, line in lines if line), ""))
        if page is None:
            yield f"{name}:{begin}: does not begin with the page that has it: From [page.md](page.md)"
            continue
        source = read(f"docs/{page.group(1)}")
        known = numbers_in(source)
        rows = [numbers_in(" ".join(cells)) for _, table in tables_of(source) for _, cells in table]
        compared = [(number, cells) for _, table in tables_of(read(name)) for number, cells in table if begin < number < end]
        if not compared:
            yield f"{name}:{begin}: has no table"
        for number, cells in compared:
            wanted = numbers_in(" ".join(cells[1:]))
            if not wanted or not any(stands_in(wanted, row) for row in rows):
                yield f"{name}:{number}: docs/{page.group(1)} has no row of {' '.join(wanted)}"
        for number, line in lines:
            for figure in numbers_in(re.sub(r"\]\([^)]*\)", "", line)) if not line.startswith("|") else ():
                if not is_among(figure, known):
                    yield f"{name}:{number}: docs/{page.group(1)} says nothing of {figure}"


def check_pictures():
    folder = ROOT / "docs/pictures"
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([sys.executable, "-B", folder / "draw.py", directory], check=True)
        drawn = {path.name: path.read_text(encoding="utf-8") for path in pathlib.Path(directory).iterdir()}
    for name in sorted(drawn.keys() | {path.name for path in folder.glob("*.svg")}):
        if name not in drawn:
            yield f"docs/pictures/{name}: nothing draws it"
        elif read(f"docs/pictures/{name}") != drawn[name]:
            yield f"docs/pictures/{name}: docs/pictures/draw.py draws another one"


def command_lines(block):
    """(line number, words) of each command of `starling`; a line that is no shell is left out."""
    joined, heredoc, lines = "", None, []
    for number, line in block.lines:
        if heredoc:
            heredoc = None if line == heredoc else heredoc
            continue
        begun = re.search(r"<<-?'?(\w+)'?", line)
        heredoc = begun.group(1) if begun else None
        joined = f"{joined} {line}" if joined else line
        if joined.endswith("\\"):
            joined = joined[:-1]
            continue
        lines.append((number, joined))
        joined = ""
    for number, line in lines:
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        try:
            words = list(lexer)
        except ValueError:
            if line.startswith("starling "):
                yield number, line.split()
            continue
        command = []
        for word in words + [";"]:
            if word and set(word) <= set("();|&<>"):
                if command and command[0] == "starling":
                    yield number, command
                # What follows a redirection is a file, and the end of a command here.
                command = ["(file)"] if set(word) <= set("<>") else []
            elif command or not re.fullmatch(r"\w+=.*", word):
                command.append(word)


@functools.cache
def complaint_about(program, *words):
    """What the program says of a command line that it does not understand, else nothing."""
    done = subprocess.run([program, "--parse-only", *words], capture_output=True, text=True, check=False, timeout=20)
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[0] if done.returncode else ""


def check_commands(program):
    count = 0
    for path in documents():
        prose, blocks = split_document(path.read_text(encoding="utf-8"))
        for block in blocks:
            if block.language not in ("", "sh", "bash"):
                continue
            for number, words in command_lines(block):
                count += 1
                if complaint := complaint_about(program, *words[1:]):
                    yield f"{path.relative_to(ROOT)}:{number}: {' '.join(words)}: {complaint}"
        for number, line in prose:
            for span in re.findall(r"`starling ([a-z][^`]*)`", line):
                # A sentence may leave arguments away, and put ... or a name in capitals in the place of others.
                words = [word for word in re.sub(r"[][]|\.\.\.|\\\|.*", "", span).split() if word]
                complaint = complaint_about(program, *words)
                named = any(word.isupper() and word in complaint for word in words)
                if complaint and not named and "required" not in complaint and "requires" not in complaint:
                    yield f"{path.relative_to(ROOT)}:{number}: starling {span}: {complaint}"
    if count < 50:
        yield f"only {count} command lines were found"


def main():
    checks = {"links": check_links, "tests": check_tests, "errors": check_errors, "settings": check_settings, "figures": check_figures,
              "pictures": check_pictures, "commands": check_commands}
    if len(sys.argv) < 2 or sys.argv[1] not in checks or len(sys.argv) != (3 if sys.argv[1] == "commands" else 2):
        print(__doc__, file=sys.stderr)
        return 2
    breaches = list(checks[sys.argv[1]](*sys.argv[2:]))
    for breach in breaches:
        print(breach)
    print(f"{len(list(documents()))} documents, {len(breaches)} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
