"""Command line: `cc100 corpus | status | inspect`.

Only the arguments are here; Beam and the kernels are imported when a command needs them, so that `--help` and wrong flags answer at
once.
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence


def usable_cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_parser() -> argparse.ArgumentParser:
    """Parser of everything before a bare `--`."""
    parser = argparse.ArgumentParser(
        prog="cc100", description="Builds clean, deduplicated text per language from CommonCrawl."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    corpus = commands.add_parser(
        "corpus",
        help="crawl files -> shards",
        description="Crawl files in, Parquet shards per language out. The same command again resumes. Beam's own flags follow a bare --",
    )
    corpus.add_argument(
        "--input",
        action="append",
        required=True,
        metavar="X",
        help="a file, folder, glob, paths file, URL, or a crawl by its name (crawl:CC-MAIN-2018-51); may be repeated",
    )
    corpus.add_argument(
        "--output", required=True, metavar="DIR", help="output folder, on any file system that Beam knows"
    )
    corpus.add_argument(
        "--base",
        metavar="URI",
        help="what the names in a paths file are relative to (default: its folder; for a crawl: input.base)",
    )
    corpus.add_argument("--config", metavar="FILE", help="YAML file with settings")
    corpus.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="section.key=value",
        dest="overrides",
        help="one setting; may be repeated",
    )
    corpus.add_argument(
        "--workers", type=_positive, default=usable_cpus(), metavar="N", help="processes (default: the usable CPUs)"
    )
    status = commands.add_parser("status", help="how far a run has come, and what came out")
    status.add_argument("folder", metavar="DIR")
    look = commands.add_parser("inspect", help="a page with the fate of each paragraph, or examples of every fate")
    look.add_argument("folder", metavar="DIR")
    look.add_argument(
        "what", nargs="?", metavar="ID", help="paragraph id, record id or URL; default: random examples of every fate"
    )
    look.add_argument("--examples", type=_positive, default=2, metavar="N", help="examples of each fate")
    look.add_argument("--seed", type=int, default=0, metavar="N", help="which examples")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: at least 1")
    return value


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    beam_flags: list[str] = []
    if "--" in arguments:
        cut = arguments.index("--")
        arguments, beam_flags = arguments[:cut], arguments[cut + 1 :]
    options = make_parser().parse_args(arguments)
    logging.disable(logging.CRITICAL)  # errors are shown in one line; Beam would log each with its stack
    from cc100.pipeline.commands import run_command

    return run_command(options, beam_flags)


if __name__ == "__main__":
    sys.exit(main())
