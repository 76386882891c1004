"""The commands behind the command line, and how they end: exit codes, one line for an error, Ctrl-C."""

import argparse
import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions
from rich.console import Console

from cc100.pipeline.config import load_settings
from cc100.pipeline.encode import run_encode
from cc100.pipeline.export import ExportRequest, export
from cc100.pipeline.fork_server import ForkServer
from cc100.pipeline.inputs import resolve_inputs
from cc100.pipeline.inspect import inspect
from cc100.pipeline.portable.engine import ENGINES, Engine
from cc100.pipeline.portable.jar import make_jar
from cc100.pipeline.progress import StepProgress
from cc100.pipeline.quarantine import quarantined_inputs
from cc100.pipeline.run import Request, run
from cc100.pipeline.spark.commands import bundle
from cc100.pipeline.spark.elsewhere import JobNeededError
from cc100.pipeline.stage import StageRequest
from cc100.pipeline.status import print_status
from cc100.pipeline.tokenizer import run_tokenizer
from cc100.pipeline.tokenizer_report import show_alpha_table, show_report
from cc100.shards.errors import Cc100Error, ConfigurationError
from cc100.transforms.storage import Storage, absolute, use_beam_flags

EXIT_ERROR, EXIT_USAGE, EXIT_JOB_NEEDED, EXIT_INTERRUPTED = 1, 2, 3, 130
TRACE = "run/log/error.txt"
STAGES = {
    "corpus": ("corpus",),
    "tokenizer": ("tokenizer",),
    "encode": ("encode",),
    "run": ("corpus", "tokenizer", "encode"),
}
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


def run_stages(options: argparse.Namespace, beam_flags: list[str], stages: Sequence[str]) -> int:
    """`cc100 corpus | tokenizer | encode`, and all of them in order for `cc100 run`."""
    settings = load_settings(options.config, options.overrides)
    output = options.output or settings.run.output
    if not output:
        raise ConfigurationError("no output: give --output, or run.output in the configuration")
    storage, progress = open_storage(output), StepProgress()
    end_on_interrupt(output, progress)
    request = StageRequest(settings, options.workers, tuple(beam_flags))
    for stage in stages:
        if stage == "corpus":
            names = options.input or list(settings.run.input)
            inputs = resolve_inputs(names, options.base or settings.run.base, settings)
            manifest = run(storage, Request(inputs, settings, options.workers, tuple(beam_flags)), progress)
            say_corpus(manifest, output, progress)
        elif stage == "tokenizer":
            say_tokenizer(run_tokenizer(storage, request, progress), output, progress)
        else:
            say_tokens(run_encode(storage, request, progress), output, progress)
    return 0


def say_corpus(manifest: dict[str, Any], output: str, progress: StepProgress) -> None:
    """The last lines of a corpus."""
    rejects = sum(entry["rejects"] for entry in manifest["inputs"])
    if rejects:
        progress.say(f"{rejects} records could not be read; see {output}/rejects/")
    missing = quarantined_inputs(manifest)
    if missing:
        progress.say(
            f"warning: {len(missing)} of {len(manifest['inputs'])} files could not be fetched, the first is {missing[0]['uri']} "
            f"({missing[0]['quarantined']}); the same command again fetches them"
        )
    paragraphs = manifest["counts"]["paragraphs"]
    progress.say(
        f"{output}: {paragraphs['kept']:,} of {sum(paragraphs.values()):,} paragraphs kept in "
        f"{len(manifest['languages'])} languages; cc100 status {output} shows more"
    )


def say_tokenizer(manifest: dict[str, Any], output: str, progress: StepProgress) -> None:
    """The last line of a tokenizer."""
    rows = manifest["languages"].values()
    sampled = sum(row["sampled_paragraphs"] for row in rows)
    covered = sum(row["coverage"] * row["sampled_paragraphs"] for row in rows)
    progress.say(
        f"{output}/tokenizer: {manifest['options']['vocab_size']:,} pieces, {sampled:,} paragraphs of {len(rows)} languages sampled, "
        f"{covered / max(sampled, 1):.2%} of them without an unknown piece"
    )


def say_tokens(manifest: dict[str, Any], output: str, progress: StepProgress) -> None:
    """The last line of the token arrays."""
    rows = manifest["languages"].values()
    tokens, documents = (sum(row[key] for row in rows) for key in ("tokens", "documents"))
    progress.say(
        f"{output}/tokens: {tokens:,} tokens of {documents:,} documents in {len(rows)} languages, {4 * tokens / 1e6:,.1f} MB"
    )


def run_export_command(options: argparse.Namespace) -> int:
    """`cc100 export`."""
    progress = StepProgress()
    end_on_interrupt(options.to or options.folder, progress)
    languages = tuple(code.strip() for code in options.languages.split(",") if code.strip())
    request = ExportRequest(options.format, options.to, languages, options.compression, options.workers, options.verify)
    return export(open_storage(options.folder), request, progress)


def look_at_tokenizer(options: argparse.Namespace, beam_flags: list[str]) -> int:
    """`cc100 tokenizer --alpha-table | --report`."""
    settings = load_settings(options.config, options.overrides)
    storage, progress = open_storage(options.alpha_table or options.report), StepProgress()
    end_on_interrupt(storage.root, progress)
    if options.alpha_table:
        show_alpha_table(storage, settings.tokenizer, options.alpha, open_console(), progress)
    else:
        request = StageRequest(settings, options.workers, tuple(beam_flags))
        given = (options.baseline, options.baseline_alpha, options.parallel)
        show_report(storage, request, *given, open_console(), progress)
    return 0


def open_console() -> Console:
    """Standard output; wide where it is no terminal."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_COLUMNS)


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
    except JobNeededError as needed:
        print(needed.name)
        return EXIT_JOB_NEEDED
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
    if options.command in STAGES:
        if options.command == "tokenizer":
            _check_looks(options)
        if options.command == "tokenizer" and not options.output:
            return look_at_tokenizer(options, beam_flags)
        return run_stages(options, beam_flags, STAGES[options.command])
    if options.command in ENGINES:
        is_bundle = options.what == "bundle"
        return bundle(options, beam_flags) if is_bundle else get_jar(ENGINES[options.command], options.assemble)
    if options.command == "export":
        return run_export_command(options)
    storage = open_storage(options.folder)
    if options.command == "status":
        return print_status(storage, open_console(), options.verify)
    return inspect(storage, options.what, options.examples, options.seed, open_console())


def get_jar(engine: Engine, force_assembly: bool) -> int:
    """`cc100 spark jar` and `cc100 flink jar`."""
    jar = make_jar(engine, lambda line: print(line, file=sys.stderr, flush=True), force_assembly)
    print(f"{jar.path}: {jar.bytes:,} bytes, {engine.name} {jar.version}, {jar.origin}, SHA-256 {jar.sha256}")
    return 0


def _check_looks(options: argparse.Namespace) -> None:
    """Refuse arguments of `cc100 tokenizer` that mean nothing beside the others."""
    if options.alpha is not None and not options.alpha_table:
        raise ConfigurationError("--alpha goes with --alpha-table; the sample's alpha is --set tokenizer.alpha=...")
    for name in ("baseline", "baseline_alpha", "parallel"):
        if getattr(options, name) is not None and not options.report:
            raise ConfigurationError(f"--{name.replace('_', '-')} goes with --report DIR")
    if options.baseline is not None and options.baseline_alpha is not None:
        raise ConfigurationError("--baseline and --baseline-alpha: give one of them")


def _report_fault(options: argparse.Namespace, error: Exception) -> None:
    """Something that no code foresaw: its last line here, all of it in a file."""
    last = [line for line in str(error).splitlines() if line.strip()][-1:] or [type(error).__name__]
    print(f"cc100: internal error: {last[0].strip()}", file=sys.stderr)
    folder = str(getattr(options, "output", None) or getattr(options, "folder", None))
    with contextlib.suppress(Exception):
        storage = open_storage(folder)
        storage.write(TRACE, "".join(traceback.format_exception(error)).encode())
        print(f"cc100: the trace is in {storage.uri(TRACE)}; what is done is kept", file=sys.stderr)
