"""Command line: `cc100 corpus | status | inspect`."""

import argparse
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Sequence

from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from rich.console import Console

from cc100.pipeline.config import load_settings
from cc100.pipeline.inputs import resolve_inputs
from cc100.pipeline.inspect import inspect
from cc100.pipeline.progress import StepProgress
from cc100.pipeline.run import Request, run
from cc100.pipeline.status import print_status
from cc100.shards.errors import Cc100Error, ConfigurationError
from cc100.transforms.storage import Storage, is_local, local_path

EXIT_ERROR, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


def usable_cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_parser() -> argparse.ArgumentParser:
    """Parser of everything before a bare `--`."""
    parser = argparse.ArgumentParser(prog="cc100", description="Builds clean, deduplicated text per language from CommonCrawl.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    corpus = commands.add_parser(
        "corpus",
        help="crawl files -> shards",
        description="Crawl files in, Parquet shards per language out. The same command again resumes. Beam's own flags follow a bare --",
    )
    corpus.add_argument("--input", action="append", required=True, metavar="X", help="a file, folder, glob or paths file; may be repeated")
    corpus.add_argument("--output", required=True, metavar="DIR", help="output folder, on any file system that Beam knows")
    corpus.add_argument("--base", metavar="URI", help="what the names in a paths file are relative to (default: its folder)")
    corpus.add_argument("--config", metavar="FILE", help="YAML file with settings")
    corpus.add_argument("--set", action="append", default=[], metavar="section.key=value", dest="overrides", help="one setting; may be repeated")
    corpus.add_argument("--workers", type=_positive, default=usable_cpus(), metavar="N", help="processes (default: the usable CPUs)")
    status = commands.add_parser("status", help="how far a run has come, and what came out")
    status.add_argument("folder", metavar="DIR")
    look = commands.add_parser("inspect", help="a page with the fate of each paragraph, or examples of every fate")
    look.add_argument("folder", metavar="DIR")
    look.add_argument("what", nargs="?", metavar="ID", help="paragraph id, record id or URL; default: random examples of every fate")
    look.add_argument("--examples", type=_positive, default=2, metavar="N", help="examples of each fate")
    look.add_argument("--seed", type=int, default=0, metavar="N", help="which examples")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: at least 1")
    return value


def check_beam_flags(flags: Sequence[str]) -> None:
    """Refuse flags that no part of Beam knows; Beam itself would drop them silently.

    Raises:
        ConfigurationError: a flag is unknown.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, conflict_handler="resolve", exit_on_error=False)
    kinds = [PipelineOptions]
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        if "_add_argparse_args" in vars(kind):
            kind._add_argparse_args(parser)
    try:
        _, unknown = parser.parse_known_args(list(flags))
    except argparse.ArgumentError as error:
        raise ConfigurationError(f"after --: {error}") from error
    if unknown:
        raise ConfigurationError(f"unknown Beam flag {unknown[0]} after --")


def run_corpus_command(options: argparse.Namespace, beam_flags: list[str]) -> int:
    """`cc100 corpus`."""
    settings = load_settings(options.config, options.overrides)
    inputs = resolve_inputs(options.input, options.base, settings)
    progress = StepProgress()
    request = Request(inputs, settings, options.workers, tuple(beam_flags))
    manifest = run(open_storage(options.output), request, progress)
    rejects = sum(entry["rejects"] for entry in manifest["inputs"])
    if rejects:
        progress.say(f"{rejects} records could not be read; see {options.output}/rejects/")
    paragraphs = manifest["counts"]["paragraphs"]
    progress.say(
        f"{options.output}: {paragraphs['kept']:,} of {sum(paragraphs.values()):,} paragraphs kept in "
        f"{len(manifest['languages'])} languages; cc100 status {options.output} shows more"
    )
    return 0


def open_storage(folder: str) -> Storage:
    """The output folder, with an absolute path where it is local."""
    return Storage(str(local_path(folder).absolute()) if is_local(folder) else folder)


def _interrupted(options: argparse.Namespace) -> int:
    print(
        f"\ncc100: interrupted. What is done is kept in {getattr(options, 'output', '')}; "
        "run the same command again and it continues there.",
        file=sys.stderr,
        flush=True,
    )
    stop_children()
    os._exit(EXIT_INTERRUPTED)  # Beam's service threads would wait for workers that are gone


def stop_children() -> None:
    """End the worker processes: all processes of our own group but ourselves, where we lead one; else our children."""
    for pid in _children():
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def _children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as stream:
            return [int(pid) for pid in stream.read().split()]
    except OSError:
        return []


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    beam_flags: list[str] = []
    if "--" in arguments:
        cut = arguments.index("--")
        arguments, beam_flags = arguments[:cut], arguments[cut + 1 :]
    options = make_parser().parse_args(arguments)
    logging.getLogger().setLevel(logging.CRITICAL)
    try:
        check_beam_flags(beam_flags)
        FileSystems.set_options(PipelineOptions(beam_flags))
        if options.command == "corpus":
            return run_corpus_command(options, beam_flags)
        console = Console(highlight=False)
        if options.command == "status":
            return print_status(open_storage(options.folder), console)
        return inspect(open_storage(options.folder), options.what, options.examples, options.seed, console)
    except Cc100Error as error:
        print(f"cc100: {error}", file=sys.stderr)
        return EXIT_USAGE if isinstance(error, ConfigurationError) else EXIT_ERROR
    except KeyboardInterrupt:
        return _interrupted(options)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - the interpreter flushes it at exit
        return EXIT_ERROR


if __name__ == "__main__":
    sys.exit(main())
