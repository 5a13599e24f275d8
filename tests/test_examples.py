"""What the documentation shows, runs: its snippets, the example programs, and the one in C."""

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fasttrace as ft

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SNIPPETS = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ROBOT, PPO = ROOT / "examples" / "horde.py", ROOT / "examples" / "ppo.py"  # which take their time
PROGRAMS = sorted({*(ROOT / "examples").rglob("*.py")} - {ROBOT, PPO})

for compiler in (os.environ.get("CC", "cc"), "gcc"):
    if shutil.which(compiler):
        break
else:
    compiler = None


def run(*command, cwd, **environment):
    """Run a command that has to succeed.  Returns what it printed."""
    environment = {
        **os.environ,
        "MPLBACKEND": "Agg",
        "PYTHONPATH": str(Path(ft.__file__).parents[1]),
        **environment,
    }
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, text=True, capture_output=True
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def blocks(page):
    """The Python blocks of a page, compiled so that a traceback names the line of the page."""
    text = page.read_text("utf-8")
    for block in SNIPPETS.finditer(text):
        lines_before = text.count("\n", 0, block.start(1))
        yield compile("\n" * lines_before + block.group(1), str(page), "exec")


OTHERS = {"any-network.md"}  # its programs need JAX and PyTorch; test_any_network runs those that can be
RUN_HERE = [page for page in PAGES[1:] if page.name not in OTHERS and any(blocks(page))]


@pytest.mark.parametrize("page", RUN_HERE, ids=lambda p: p.name)
def test_snippets_run(page, tmp_path, monkeypatch):
    """The Python blocks of a page run one after the other, as a reader would type them."""
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks(page):
        exec(block, names)


def test_readme_snippets_learn(tmp_path, monkeypatch):
    """The README's learner knows where the reward is, and its agents get out of the valley."""
    monkeypatch.chdir(tmp_path)
    names = {}
    stream, update, returns, network, simulation, gym = blocks(ROOT / "README.md")
    exec(stream, names)
    near, far = (float(names["learner"].predict(names["coder"]([place]))) for place in (99.0, 50.0))
    assert near > 0.1 > far
    exec(update, names)
    exec(returns, names)
    assert names["advantages"].shape == (128, 8)
    exec(network, names)
    assert names["deltas"].shape == (1000,)
    assert np.isfinite(names["deltas"]).all()
    exec(simulation, names)
    assert names["history"].lengths[-100:].mean() < 250
    exec(gym, names)
    reached = ft.evaluate(names["env"], names["agent"], names["coder"], episodes=5, seed=0)
    assert reached.mean() > -250


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.stem)
def test_program_runs(program, tmp_path):
    """Each example ends well and says something."""
    if "import torch" in program.read_text("utf-8"):
        pytest.importorskip("torch")
    assert run(sys.executable, program, cwd=tmp_path).strip()


@pytest.mark.parametrize("autoreset", ["next_step", "same_step"])
def test_ppo_learns(autoreset):
    """Episodes become longer within some seconds' worth of steps; the same seed, the same walk."""
    pytest.importorskip("torch")
    pytest.importorskip("gymnasium")
    train = runpy.run_path(str(PPO))["train"]
    lengths = train(updates=8, T=64, autoreset=autoreset, show=lambda line: None)
    assert np.mean(lengths[-20:]) > 1.7 * np.mean(lengths[:20])
    again = [train(updates=2, T=32, autoreset=autoreset, show=lambda line: None) for _ in range(2)]
    assert again[0] == again[1]


needs_make = pytest.mark.skipif(not (compiler and shutil.which("make")), reason="no C compiler, or no make")


def test_a_robot_predicts(tmp_path):
    """It learns from a log and live, and draws what came: two minutes explain most of the near future."""
    quickly = ["--no-wait", "--log", "12000", "--steps", "3000", "--plot", "p.png"]
    printed = run(sys.executable, ROBOT, *quickly, cwd=tmp_path)
    assert int(re.search(r"horizon 0.02 s: (-?\d+)%", printed)[1]) > 80
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    quickly[2], quickly[4] = "0", "2001"
    assert "known after 99 steps" in run(sys.executable, ROBOT, *quickly, cwd=tmp_path)


@needs_make
@pytest.mark.parametrize("program", ["agent_in_c", "embed_in_c", "horde_in_c", "loop_in_c", "robot_in_cpp"])
def test_embedded_in_c(program, tmp_path):
    """The program builds from csrc/ alone, without warnings, and finds its values right."""
    printed = run(
        "make", "-s", "-C", ROOT / "examples" / program, "run",
        f"BUILD={tmp_path}", f"CC={compiler}", "CPPFLAGS=-Werror -O1", cwd=tmp_path,
    )  # fmt: skip
    assert "largest error" in printed or "the last 50 episodes" in printed


def test_links_of_the_documentation_lead_somewhere():
    """Relative links in Markdown name files that are there, and headings that are there."""
    broken = []
    for page in [*PAGES, *ROOT.glob("*.md"), *(ROOT / "examples").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
            path, _, heading = link.partition("#")
            if "://" in link:
                continue
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or (heading and heading not in headings(target)):
                broken.append(f"{page.name}: {link}")
    assert not broken


def headings(page):
    """The anchors that a page's headings have on GitHub."""
    lines = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in lines}
