"""The C library as one fasttrace.c beside one fasttrace.h.

Includes are replaced by what they name: a header with a guard once, a template each time.  Macros of a file
end with it.  Files of which the loops are compiled a second time, for another type or CPU (APART), have the
names of their own renamed, so that they can stand beside the first.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from ..sources import get_include
from ..version import __version__

FAMILIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "traces": (("trace", "steps"), ()),
    "streams": (("linear",), ("traces",)),
    "gradient": (("gradient", "gq"), ("traces",)),
    "lstd": (("lstd",), ()),
    "adaptive": (("adaptive",), ()),
    "actor-critic": (("actor_critic",), ("traces",)),
    "horde": (("horde", "horde_v3", "horde_v4"), ("traces",)),
    "tiles": (("tiles",), ()),
    "returns": (("returns",), ()),
    "plasticity": (("plasticity",), ()),
    "networks": (("neural", "neural_forward", "neural_gradient", "neural_expected"), ()),
    "envs": (("envs",), ()),
    "simulation": (("simulate",), ("traces", "tiles")),
    "single": (("single",), ("traces",)),
    "info": (("info",), ()),
}
"""Files of each family, and the families that it calls."""

APART = {"horde_v3": "3", "horde_v4": "4", "single": "s"}
"""Files that are compiled again for another type or CPU, and what their names get."""

_SHARED = ("fasttrace.h", "single_table.h")  # what all of the library has in common
_KNOBS = ("FT_NO_CLONES", "FT_NO_VECTORS", "FT_ONLY_KINDS")  # what a user may define


def amalgamate(folder: str | Path, only: Iterable[str] = ()) -> list[Path]:
    """Write fasttrace.c and fasttrace.h to a folder; `only`: families, and those that they call.

    Errors: ValueError for another name, OSError.
    """
    families = _with_what_they_call(only) if only else list(FAMILIES)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    said = f"fasttrace {__version__}: {', '.join(families)}.  SPDX-License-Identifier: MIT"
    header = _text("fasttrace.h").replace("your.c csrc/[a-z]*.c", "your.c fasttrace.c")
    written = {"fasttrace.h": f"/* {said} */\n{header}", "fasttrace.c": f"/* {said} */\n{_source(families)}"}
    for name, text in written.items():
        (target / name).write_text(text, "utf-8")
    return [target / name for name in written]


def run(folder: str, only: Iterable[str]) -> int:
    """The command."""
    try:
        written = amalgamate(folder, only)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(*written, sep="\n")
    return 0


def _with_what_they_call(only: Iterable[str]) -> list[str]:
    found: set[str] = set()
    new = set(only)
    while new:
        if unknown := sorted(new - FAMILIES.keys()):
            raise ValueError(f"only: got {unknown[0]!r}, expected some of {', '.join(FAMILIES)}")
        found |= new
        new = {needed for name in new for needed in FAMILIES[name][1]} - found
    return [name for name in FAMILIES if name in found]


def _text(name: str) -> str:
    return Path(get_include(), name).read_text("utf-8")


def _source(families: list[str]) -> str:
    stems = [stem for name in families for stem in FAMILIES[name][0]]
    shared: set[str] = set()
    common: set[str] = set()
    parts = ['#include "fasttrace.h"\n']
    for stem in sorted(stems, key=lambda stem: stem in APART):
        seen = set(shared) if stem in APART else common
        seen |= shared
        text = _Inlined(f"{stem}.c", seen).text()
        shared |= seen.intersection(_SHARED)
        parts.append(
            f"\n/* ---- {stem}.c ---- */\n\n{_renamed(text, APART[stem]) if stem in APART else text}"
        )
    return "".join(parts)


class _Inlined:
    """A file with its headers in it."""

    def __init__(self, name: str, seen: set[str]):
        self.lines: list[str] = []
        self.macros: set[str] = set()  # that end with it
        self._seen = seen
        self._named: dict[str, str] = {}
        self._read(name)

    def _read(self, name: str) -> None:
        text = _text(name)
        has_guard = re.search(r"^#ifndef FT_\w+_H$", text, re.MULTILINE) is not None
        if has_guard:
            if name in self._seen:
                return
            self._seen.add(name)
        for line in text.splitlines(keepends=True):
            if included := re.match(r'#include (?:"(.*?)"|(FT_\w+))', line):
                if included[1] == "fasttrace.h":
                    continue  # stands at the top
                self._read(included[1] or self._named[included[2]])
                continue
            self.lines.append(line)
            if macro := re.match(r'#\s*define (\w+)\b(?:\s+"(.*?)")?', line):
                if macro[2]:
                    self._named[macro[1]] = macro[2]
                if not has_guard and not _is_mark(line):
                    self.macros.add(macro[1])

    def text(self) -> str:
        return "".join([*self.lines, *(f"#undef {name}\n" for name in sorted(self.macros))])


def _is_mark(line: str) -> bool:
    """A macro without a body says what is there already, or is a user's."""
    return re.fullmatch(r"#\s*define \w+\s*(/\*.*\*/)?\s*", line) is not None


def _renamed(text: str, mark: str) -> str:
    """All names but the public ones, and a user's macros where the file has none of its own."""
    kept = set(re.findall(r"\w+", "".join(map(_text, _SHARED))))
    kept.update(name for name in _KNOBS if f"#define {name}" not in text)
    words = re.compile(r"\b(ft|FT)(_\w+)")
    return words.sub(lambda word: word[0] if word[0] in kept else f"{word[1]}{mark}{word[2]}", text)
