#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fails when docs/semantics.md names a test that the tree does not have, or leaves an id out.

usage: check_semantics.py ROOT
A row of a table there is `| ids | tests or why not yet |`; a test is named in backquotes: `Suite.Name` for GoogleTest,
`test_name` for pytest.
"""
import pathlib
import re
import sys

GTEST = re.compile(r"^TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\s*\)", re.M)
PYTEST = re.compile(r"^\s*(?:async )?def (test_\w+)\(", re.M)
NAME = re.compile(r"`([A-Z]\w*\.[A-Z]\w*|test_\w+)`")
ROW = re.compile(r"^\| *([NSPR]\d+(?:-[NSPR]?\d+)?) *\|(.*)\|\s*$", re.M)
# Ids of the list of behaviours, by letter.
LAST = {"N": 16, "S": 36, "P": 24, "R": 10}


def tests_of(root):
    names = set()
    for path in (root / "tests").rglob("*"):
        if path.suffix == ".cc":
            names |= {f"{suite}.{name}" for suite, name in GTEST.findall(path.read_text())}
        elif path.suffix == ".py":
            names |= set(PYTEST.findall(path.read_text()))
    return names


def ids_of(text):
    first, _, last = text.partition("-")
    letter, low = first[0], int(first[1:])
    high = int(last.lstrip("NSPR")) if last else low
    return {f"{letter}{n}" for n in range(low, high + 1)}


def main():
    root = pathlib.Path(sys.argv[1])
    document = (root / "docs" / "semantics.md").read_text()
    known, problems, covered = tests_of(root), [], set()
    for ids, cell in ROW.findall(document):
        covered |= ids_of(ids)
        if not cell.strip():
            problems.append(f"{ids}: neither a test nor a reason")
    for name in sorted(set(NAME.findall(document))):
        if name not in known:
            problems.append(f"no such test: {name}")
    for letter, last in LAST.items():
        missing = [f"{letter}{n}" for n in range(1, last + 1) if f"{letter}{n}" not in covered]
        if missing:
            problems.append(f"no row for {', '.join(missing)}")
    for problem in problems:
        print(f"docs/semantics.md: {problem}", file=sys.stderr)
    sys.exit(1 if problems else 0)


main()
