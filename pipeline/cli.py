"""Command line: `cc100 run | corpus | tokenizer | encode | status | inspect | export | spark | flink`.

Only the arguments are here; Beam and the kernels are imported when a command needs them, so that `--help` and wrong flags answer at
once.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import Any

from cc100.pipeline.cpus import usable_cpus
from cc100.pipeline.portable.engine import FLINK, SPARK, Engine


def make_parser() -> argparse.ArgumentParser:
    """Parser of everything before a bare `--`."""
    parser = argparse.ArgumentParser(
        prog="cc100",
        description="Builds clean, deduplicated text per language from CommonCrawl, a tokenizer, and token arrays.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands)
    _add_corpus(commands)
    _add_tokenizer(commands)
    _add_encode(commands)
    _add_looks(commands)
    _add_bundle(_add_engine(commands, SPARK))
    _add_engine(commands, FLINK)
    add_export_arguments(commands)
    return parser


def _add_run(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    run = commands.add_parser(
        "run",
        help="everything: crawl files -> shards -> tokenizer -> token arrays",
        description="All stages in order. Input and output stand in the configuration (section run) or are given here. The same command "
        "again resumes. Beam's own flags follow a bare --",
    )
    _add_input(run, is_required=False)
    _add_output(run, is_required=False)
    _add_settings(run)


def _add_corpus(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    corpus = commands.add_parser(
        "corpus",
        help="crawl files -> shards",
        description="Crawl files in, Parquet shards per language out. The same command again resumes. Beam's own flags follow a bare --",
    )
    _add_input(corpus, is_required=True)
    _add_output(corpus, is_required=True)
    _add_settings(corpus)


def _add_tokenizer(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    tokenizer = commands.add_parser(
        "tokenizer",
        help="shards -> sample -> SentencePiece model, as a folder that Hugging Face and fairseq read",
        description="Draws the training sample from the shards of DIR, trains SentencePiece on it, writes DIR/tokenizer. "
        "With --alpha-table or --report it only looks.",
    )
    what = tokenizer.add_mutually_exclusive_group(required=True)
    what.add_argument("--output", metavar="DIR", help="folder of a finished corpus")
    what.add_argument(
        "--alpha-table", metavar="DIR", help="print shares and repeats per language for several alpha; draws nothing"
    )
    what.add_argument(
        "--report",
        metavar="DIR",
        help="measure the tokenizer of DIR: fertility, unknown pieces, scripts of its vocabulary",
    )
    tokenizer.add_argument(
        "--alpha", type=float, nargs="+", metavar="A", help="with --alpha-table: exponents (default: 0 0.3 0.5 0.7 1)"
    )
    tokenizer.add_argument(
        "--baseline", metavar="MODEL", help="with --report: another SentencePiece model to compare with"
    )
    tokenizer.add_argument(
        "--baseline-alpha",
        type=float,
        metavar="A",
        help="with --report: compare with a model of the same size, trained now on a sample with this alpha",
    )
    tokenizer.add_argument(
        "--parallel",
        metavar="FILE",
        help="with --report: parallel text (TSV, a column per language, first line the codes) for the tax against English",
    )
    _add_settings(tokenizer)


def _add_encode(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    encode = commands.add_parser(
        "encode",
        help="shards -> token arrays",
        description="Encodes the shards of DIR with the tokenizer of DIR into memory-mapped arrays, DIR/tokens. "
        "The same command again resumes.",
    )
    _add_output(encode, is_required=True)
    _add_settings(encode)


def _add_looks(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    status = commands.add_parser("status", help="how far the stages have come, and what came out")
    status.add_argument("folder", metavar="DIR")
    status.add_argument("--verify", action="store_true", help="read every file again and compare it with its SHA-256")
    look = commands.add_parser("inspect", help="a page with the fate of each paragraph, or examples of every fate")
    look.add_argument("folder", metavar="DIR")
    look.add_argument(
        "what", nargs="?", metavar="ID", help="paragraph id, record id or URL; default: random examples of every fate"
    )
    look.add_argument("--examples", type=_positive, default=2, metavar="N", help="examples of each fate")
    look.add_argument("--seed", type=int, default=0, metavar="N", help="which examples")


def _add_engine(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", engine: Engine) -> Any:
    command = commands.add_parser(engine.key, help=f"what stages need to run on {engine.name}")
    kinds = command.add_subparsers(dest="what", required=True, metavar="WHAT")
    jar = kinds.add_parser(
        "jar",
        help=f"get the jar of Beam's {engine.name} job server into the user's cache",
        description="The official jar from Maven Central where it is to be had, else one assembled by Maven from published parts.",
    )
    jar.add_argument("--assemble", action="store_true", help="assemble it anew, without asking for the official one")
    return kinds


def _add_bundle(kinds: Any) -> None:
    bundle = kinds.add_parser(
        "bundle",
        help="write a jar per stage for spark-submit, and a script that submits them",
        description="For YARN, Kubernetes, EMR, Dataproc. The output folder of the stages is run.output (--config or --set); "
        "Beam's own flags for the workers follow a bare --",
    )
    _add_input(bundle, is_required=False)
    bundle.add_argument("--output", required=True, metavar="DIR", help="local folder for the jars and submit.sh")
    _add_settings(bundle)


def _add_input(command: argparse.ArgumentParser, is_required: bool) -> None:
    command.add_argument(
        "--input",
        action="append",
        required=is_required,
        metavar="X",
        help="a file, folder, glob, paths file, URL, or a crawl by its name (crawl:CC-MAIN-2018-51); may be repeated",
    )
    command.add_argument(
        "--base",
        metavar="URI",
        help="what the names in a paths file are relative to (default: its folder; for a crawl: input.base)",
    )


def _add_output(command: argparse.ArgumentParser, is_required: bool) -> None:
    command.add_argument(
        "--output", required=is_required, metavar="DIR", help="output folder, on any file system that Beam knows"
    )


def _add_settings(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", metavar="FILE", help="YAML file with settings")
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="section.key=value",
        dest="overrides",
        help="one setting; may be repeated",
    )
    command.add_argument(
        "--workers", type=_positive, default=usable_cpus(), metavar="N", help="processes (default: the usable CPUs)"
    )


EXPORT_FORMATS = ("fairseq", "datatrove", "litdata", "cc100-txt", "megatron-blend")


def add_export_arguments(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Arguments of `cc100 export`."""
    command = commands.add_parser(
        "export",
        help="shards or token arrays -> files for other programs",
        description="Files for other programs. The same command again resumes. docs/readers.md describes the formats.",
    )
    command.add_argument("folder", metavar="DIR", help="output folder")
    command.add_argument("--format", required=True, choices=EXPORT_FORMATS, help="what is made")
    command.add_argument("--to", metavar="DIR2", help="where it goes (default: DIR/export/FORMAT)")
    command.add_argument("--languages", default="", metavar="a,b", help="codes of languages (default: all)")
    command.add_argument(
        "--compression", choices=("xz", "zst"), default="xz", help="of cc100-txt (default: xz, as CC-100 has it)"
    )
    command.add_argument(
        "--workers", type=_positive, default=usable_cpus(), metavar="N", help="threads (default: the usable CPUs)"
    )
    command.add_argument("--verify", action="store_true", help="read a finished export again and compare it")


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
