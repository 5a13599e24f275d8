"""What type checkers say of tests/typing: nothing of what is right, and of what is wrong each line.

mypy --strict, and pyright where it is installed: `python .ci/checkers.py`, from the root.
"""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

RIGHT, WRONG = Path("tests/typing/right.py"), Path("tests/typing/wrong.py")
OPTIONS = (
    "--strict",
    "--follow-imports=silent",
    "--config-file=",
    "--ignore-missing-imports",
    "--no-error-summary",
)


def run(*command):
    done = subprocess.run([sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True)
    return done.stdout


def mypy():
    """(file, line, message) of each error."""
    for line in run("mypy", *OPTIONS, str(RIGHT), str(WRONG)).splitlines():
        if found := re.match(r"(.+?):(\d+): error: (.*)", line):
            yield Path(found[1]), int(found[2]), found[3]
        elif not re.match(r".+?:\d+: note: ", line):
            sys.exit(f"mypy: {line}")


def pyright():
    for each in json.loads(run("pyright", "--outputjson", str(RIGHT), str(WRONG)))["generalDiagnostics"]:
        if each["severity"] == "error":
            yield Path(os.path.relpath(each["file"])), each["range"]["start"]["line"] + 1, each["message"]


def main():
    marked = {n for n, line in enumerate(WRONG.read_text().splitlines(), 1) if line.endswith("# wrong")}
    bad = 0
    for checker in (mypy, pyright) if find_spec("pyright") else (mypy,):
        errors = list(checker())
        told = {line for path, line, _ in errors if path == WRONG}
        problems = [
            f"{path}:{line}: {message}"
            for path, line, message in errors
            if path == RIGHT or line not in marked
        ]
        problems += [f"{WRONG}:{line}: taken for right" for line in sorted(marked - told)]
        print(f"{checker.__name__}: {len(marked & told)} of {len(marked)} mistakes, {len(problems)} problems")
        print(*problems, sep="\n", end="\n" * bool(problems))
        bad += len(problems)
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
