"""The command line: python -m fasttrace demo | info | ...  Each command imports what it needs itself."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from . import __version__
from .backends import NAMES
from .sources import CONFIG


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status.  Usage errors leave with 2, as argparse does, Ctrl-C with 130."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        status = _run(arguments)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read, as head does, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more
        return 1


def _run(arguments: list[str]) -> int:
    if arguments[:1] == ["bench"]:  # its options are its own
        from .experiments import bench

        return bench.run(arguments[1:])
    options = _parser().parse_args(arguments)
    if options.command == "info":
        from .experiments import info

        return info.run(options.json)
    if options.command == "algorithms":
        from . import registry

        print("\n".join(registry.tables()), end="")
        return 0
    if options.command == "config":
        from .experiments import config

        return config.run(options.asked)
    if options.command == "amalgamate":
        from .experiments import amalgamate

        return amalgamate.run(options.folder, options.only)
    if options.command == "baird":
        from .experiments import baird

        return baird.run(options.steps, options.seed, options.output)
    if options.command == "offpolicy":
        from .experiments import offpolicy

        return offpolicy.run(options.task, options.runs, options.output, options.quick)
    if options.command == "plasticity":
        from .experiments import plasticity

        return plasticity.run(options.seeds, options.output, options.backend, options.quick)
    if options.command == "stream":
        from .experiments import stream

        settings = stream.Settings(
            options.env, getattr(options, "learner", None), options.steps, tuple(options.hidden)
        )
        return stream.run(settings, options.seeds, options.output, options.backend)
    if options.command == "staleness":
        from .experiments import staleness

        return staleness.run(options.seeds, options.output, options.backend, options.quick)
    if options.command == "sweep":
        from .experiments import sweep

        return sweep.run(
            options.spec, options.db, options.engine, options.address, options.workers, options.backend,
            options.figure,
        )  # fmt: skip
    if options.command == "results":
        from .experiments import best

        return best.run(options.db, options.best, options.csv, options.parquet)
    if options.command == "figures":
        from .experiments import book

        return book.run(options.names, options.runs, options.out, options.workers, options.backend)
    from .experiments import demo

    return demo.run(options.episodes, options.seed, options.output, getattr(options, "backend", ()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fasttrace", description="Eligibility traces at native speed.")
    parser.add_argument("--version", action="version", version=f"fasttrace {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    demo = commands.add_parser(
        "demo",
        help="train a mountain car in each backend; a table and two pictures",
        description="Train true online Sarsa(lambda) on mountain car in each backend; save two pictures.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    demo.add_argument("--episodes", type=_positive, default=1000, help="episodes to train")
    demo.add_argument("--seed", type=_natural, default=0, help="of start states and ties")
    demo.add_argument("--output", metavar="DIR", default="fasttrace-demo", help="folder of the pictures")
    demo.add_argument(
        "--backend",
        choices=NAMES,
        action="append",
        default=argparse.SUPPRESS,
        help="this one only; may be given more than once (default: all that are there)",
    )
    baird = commands.add_parser(
        "baird",
        help="which learners diverge on Baird's counterexample; a table and a picture",
        description="Run learners off-policy on Baird's counterexample; print and draw their errors.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    baird.add_argument("--steps", type=_positive, default=20_000, help="steps of the stream")
    baird.add_argument("--seed", type=_natural, default=0, help="of the stream")
    baird.add_argument("--output", metavar="DIR", default="fasttrace-baird", help="folder of the picture")
    off = commands.add_parser(
        "offpolicy",
        help="eleven off-policy predictors, by step size and lambda; a table and two pictures",
        description="Compare off-policy predictors at every step size and lambda; draw errors and curves.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    off.add_argument("--task", choices=("collision", "rooms"), default="collision", help="of the two papers")
    off.add_argument("--runs", type=_positive, default=50, help="of each setting")
    off.add_argument("--output", metavar="DIR", default="fasttrace-offpolicy", help="folder of the pictures")
    off.add_argument("--quick", action="store_true", help="short runs: a look, not the figures stated")
    plastic = commands.add_parser(
        "plasticity",
        help="train plastic networks on two tasks; a table and a picture",
        description="Train networks of each mode on one-shot completion and cue-reward association.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    plastic.add_argument("--seeds", type=_positive, default=3, help="runs of each mode")
    plastic.add_argument(
        "--output", metavar="DIR", default="fasttrace-plasticity", help="folder of the picture"
    )
    plastic.add_argument("--backend", choices=("auto", *NAMES), default="auto", help="of the networks")
    plastic.add_argument(
        "--quick", action="store_true", help="small tasks for seconds: a look, not the figures stated"
    )
    _add_networks(commands)
    _add_sweeps(commands)
    info = commands.add_parser("info", help="version, backends, compiler, CPU features in use")
    info.add_argument("--json", action="store_true", help="for programs")
    _add_embedding(commands)
    commands.add_parser("algorithms", help="every linear algorithm: recipe, cost, equation, source")
    commands.add_parser("bench", help="run the benchmark suite and write its report", add_help=False)
    return parser


def _add_embedding(commands: Any) -> None:
    """Commands for those who build the C library into something of their own."""
    config = commands.add_parser(
        "config",
        help="where the C library is, and how it is compiled, for other builds",
        description="Print what a build asks for, one answer a line (docs/embedding.md).",
    )
    for question, help in CONFIG.items():
        config.add_argument(
            f"--{question}", dest="asked", action="append_const", const=question, default=[], help=help
        )
    one = commands.add_parser(
        "amalgamate",
        help="write the C library as one fasttrace.c and one fasttrace.h",
        description="Write the C library as one file, for C, C++ and whatever calls C (docs/embedding.md).",
    )
    one.add_argument("folder", metavar="DIR", help="where fasttrace.c and fasttrace.h are written")
    one.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=(),
        metavar="FAMILY[,...]",
        help="these, and what they call (default: all); an unknown one names all that there are",
    )


def _add_networks(commands: Any) -> None:
    """The commands whose learners are networks."""
    stream = commands.add_parser(
        "stream",
        help="a network learns in a Gymnasium environment step by step; a table and a picture",
        description="Learn from each step of a Gymnasium environment once, when it comes.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    stream.add_argument("--env", default="CartPole-v1", help="id of an environment of vectors")
    stream.add_argument(
        "--learner",
        choices=("q", "sarsa", "ac", "qrc"),
        default=argparse.SUPPRESS,
        help="StreamQ, ... (default: q; where actions are real-valued ac, the one that takes them)",
    )
    stream.add_argument("--seeds", type=_positive, default=5, help="runs")
    stream.add_argument("--steps", type=_positive, default=100_000, help="of each run")
    stream.add_argument(
        "--hidden",
        type=_positive,
        nargs="+",
        default=(64, 64),
        metavar="N",
        help="sizes of the hidden layers",
    )
    stream.add_argument("--output", metavar="DIR", default="fasttrace-stream", help="folder of the picture")
    stream.add_argument("--backend", choices=("auto", *NAMES), default="auto", help="of the learner")
    stale = commands.add_parser(
        "staleness",
        help="how stale the traces of networks are, and what helps; a table and two pictures",
        description="Measure how stale traces of networks grow; compare learners that do something about it.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    stale.add_argument("--seeds", type=_positive, default=5, help="runs of each learner")
    stale.add_argument(
        "--output", metavar="DIR", default="fasttrace-staleness", help="folder of the pictures"
    )
    stale.add_argument("--backend", choices=("auto", *NAMES), default="auto", help="of the learners")
    stale.add_argument("--quick", action="store_true", help="short runs: a look, not the figures stated")


def _add_sweeps(commands: Any) -> None:
    sweep = commands.add_parser(
        "sweep",
        help="every combination of a grid of settings, for many seeds; results in a database",
        description="Run what a TOML file says (docs/sweeps.md), but for runs that the database has.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    sweep.add_argument("spec", metavar="FILE.toml", help="what to run")
    sweep.add_argument("--db", metavar="FILE", default="results.sqlite", help="where results are kept")
    sweep.add_argument(
        "--engine", choices=("local", "dask"), default="local", help="processes here, or a cluster"
    )
    sweep.add_argument(
        "--address", metavar="HOST:PORT", default=None, help="of a Dask scheduler (default: one is made)"
    )
    sweep.add_argument("--workers", type=_positive, default=None, help="processes (default: one a core)")
    sweep.add_argument("--backend", choices=("auto", *NAMES, "cuda"), default="auto", help="of the learners")
    sweep.add_argument(
        "--figure", metavar="FILE", default=None, help="picture of the results (default: none)"
    )
    figures = commands.add_parser(
        "figures",
        help="figures 12.3, 12.6, 12.8, 12.10 and 12.11 of Sutton & Barto",
        description="Run what figures of chapter 12 show, but for runs that are there, and draw them.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    known = ("12.3", "12.6", "12.8", "12.10", "12.11")
    figures.add_argument("names", nargs="*", metavar="FIGURE", help=f"of {', '.join(known)} (default: all)")
    figures.add_argument("--runs", type=_positive, default=100, help="of each setting")
    figures.add_argument("--out", metavar="DIR", default="fasttrace-figures", help="folder of the pictures")
    figures.add_argument("--workers", type=_positive, default=None, help="processes (default: one a core)")
    figures.add_argument(
        "--backend", choices=("auto", *NAMES, "cuda"), default="auto", help="of the learners"
    )
    results = commands.add_parser(
        "results",
        help="the best settings of a database of results; export to CSV or Parquet",
        description="Print the best settings of a database that sweep wrote, or export its runs.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    results.add_argument("db", metavar="FILE", help="database of results")
    results.add_argument("--best", type=_positive, default=10, metavar="N", help="settings to print")
    results.add_argument("--csv", action="store_true", help="print all runs as CSV")
    results.add_argument("--parquet", metavar="FILE", default=None, help="write all runs to a Parquet file")


def _positive(text: str) -> int:
    number = _natural(text)
    if number == 0:
        raise argparse.ArgumentTypeError("expected a number from 1 on, got 0")
    return number


def _natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 on, got {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
