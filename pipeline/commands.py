"""The commands behind the command line, and how they end: exit codes, one line for an error, Ctrl-C."""

import argparse
import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence

from apache_beam.options.pipeline_options import PipelineOptions
from rich.console import Console

from cc100.pipeline.config import load_settings
from cc100.pipeline.fork_server import ForkServer
from cc100.pipeline.inputs import resolve_inputs
from cc100.pipeline.inspect import inspect
from cc100.pipeline.progress import StepProgress
from cc100.pipeline.quarantine import quarantined_inputs
from cc100.pipeline.run import Request, run
from cc100.pipeline.status import print_status
from cc100.shards.errors import Cc100Error, ConfigurationError
from cc100.transforms.storage import Storage, absolute, use_beam_flags

EXIT_ERROR, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
TRACE = "run/log/error.txt"
_PIPE_COLUMNS = 160


def check_beam_flags(flags: Sequence[str]) -> None:
    """Refuse flags that no part of Beam knows; Beam itself would drop them silently.

    Raises:
        ConfigurationError: a flag is unknown.
    """
    parser = argparse.ArgumentParser(
        add_help=False, allow_abbrev=False, conflict_handler="resolve", exit_on_error=False
    )
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
    end_on_interrupt(options.output, progress)
    request = Request(inputs, settings, options.workers, tuple(beam_flags))
    manifest = run(open_storage(options.output), request, progress)
    rejects = sum(entry["rejects"] for entry in manifest["inputs"])
    if rejects:
        progress.say(f"{rejects} records could not be read; see {options.output}/rejects/")
    missing = quarantined_inputs(manifest)
    if missing:
        progress.say(
            f"warning: {len(missing)} of {len(manifest['inputs'])} files could not be fetched, the first is {missing[0]['uri']} "
            f"({missing[0]['quarantined']}); the same command again fetches them"
        )
    paragraphs = manifest["counts"]["paragraphs"]
    progress.say(
        f"{options.output}: {paragraphs['kept']:,} of {sum(paragraphs.values()):,} paragraphs kept in "
        f"{len(manifest['languages'])} languages; cc100 status {options.output} shows more"
    )
    return 0


def open_storage(folder: str) -> Storage:
    """The output folder, with an absolute path where it is local."""
    return Storage(absolute(folder))


def end_on_interrupt(folder: str, progress: StepProgress) -> None:
    """Let Ctrl-C end the program at once: every file is either complete or not there, so there is nothing to wait for.

    An exception at an arbitrary point would go through Arrow's and Beam's callbacks, which do not all survive it.
    """

    def end(*_: object) -> None:
        progress.close()
        print(
            f"\ncc100: interrupted. What is done is kept in {folder}; run the same command again and it continues there.",
            file=sys.stderr,
            flush=True,
        )
        for server in ForkServer.running:
            server.kill()
        os._exit(EXIT_INTERRUPTED)

    signal.signal(signal.SIGINT, end)


def run_command(options: argparse.Namespace, beam_flags: list[str]) -> int:
    """Run a command; its exit code."""
    # Beam's service threads complain about connections that a dead worker closed; the job's own error says what happened.
    threading.excepthook = lambda arguments: None
    try:
        check_beam_flags(beam_flags)
        use_beam_flags(beam_flags)
        return _dispatch(options, beam_flags)
    except Cc100Error as error:
        print(f"cc100: {error}", file=sys.stderr)
        return EXIT_USAGE if isinstance(error, ConfigurationError) else EXIT_ERROR
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - the interpreter flushes it at exit
        return EXIT_ERROR
    except Exception as error:
        _report_fault(options, error)
        return EXIT_ERROR


def _dispatch(options: argparse.Namespace, beam_flags: list[str]) -> int:
    if options.command == "corpus":
        return run_corpus_command(options, beam_flags)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_COLUMNS)
    storage = open_storage(options.folder)
    if options.command == "status":
        return print_status(storage, console)
    return inspect(storage, options.what, options.examples, options.seed, console)


def _report_fault(options: argparse.Namespace, error: Exception) -> None:
    """Something that no code foresaw: its last line here, all of it in a file."""
    last = [line for line in str(error).splitlines() if line.strip()][-1:] or [type(error).__name__]
    print(f"cc100: internal error: {last[0].strip()}", file=sys.stderr)
    folder = str(getattr(options, "output", None) or getattr(options, "folder", None))
    with contextlib.suppress(Exception):
        storage = open_storage(folder)
        storage.write(TRACE, "".join(traceback.format_exception(error)).encode())
        print(f"cc100: the trace is in {storage.uri(TRACE)}; what is done is kept", file=sys.stderr)
