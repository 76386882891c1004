"""`cc100 tokenizer --alpha-table | --report`: what a smoothing would do, and how well a tokenizer does. Both only read the corpus."""

import dataclasses
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import sentencepiece
from rich.console import Console
from rich.markdown import Markdown

from cc100.pipeline.encode import open_tokenizer
from cc100.pipeline.progress import StepProgress
from cc100.pipeline.stage import Stage, StageRequest, open_corpus
from cc100.pipeline.tokenizer import identify, identity, read_given_model
from cc100.pipeline.training import Training, step_names
from cc100.shards import layout
from cc100.shards.corpus import Corpus, ShardPart
from cc100.shards.errors import ConfigurationError
from cc100.shards.manifest import to_json
from cc100.tokenizer.alpha_table import (
    ALPHAS,
    alpha_csv,
    alpha_table,
    print_alpha_table,
    repeats_chart,
    share_chart,
)
from cc100.tokenizer.evaluate import evaluate, read_parallel
from cc100.tokenizer.quality_report import report, report_chart, report_csv, report_markdown
from cc100.tokenizer.settings import TokenizerSettings
from cc100.transforms import sample
from cc100.transforms.job import limit_threads
from cc100.transforms.shard_parts import read_part
from cc100.transforms.storage import Storage, absolute, open_stream

PARAGRAPHS_PER_LANGUAGE = 2000
"""Paragraphs of each language that the report is measured on, drawn from the beginning of its shards."""

_BASELINE = Stage(
    f"{layout.RUN}/{sample.BASELINE}/none",
    "cc100 tokenizer --report",
    "a baseline",
    f"{layout.RUN}/{sample.BASELINE}/manifest.json",
    layout.training_state(sample.BASELINE),
    step_names(sample.BASELINE),
    identify,
)


def show_alpha_table(
    storage: Storage, settings: TokenizerSettings, alphas: list[float] | None, console: Console, progress: StepProgress
) -> None:
    """Print p, q and repeats of every language for several alpha; CSV and plots beside the corpus.

    Raises:
        Cc100Error: there is no corpus, or an alpha is not allowed.
    """
    counts = {code: size.paragraphs for code, size in open_corpus(storage).languages.items()}
    table = alpha_table(counts, alphas or ALPHAS, settings.sample_paragraphs, settings.max_repeats)
    print_alpha_table(table, console)
    files = {"report-alpha.csv": alpha_csv(table).encode()}
    for kind in ("svg", "png"):
        files[f"report-alpha-share.{kind}"] = share_chart(table, kind)
        files[f"report-alpha-repeats.{kind}"] = repeats_chart(table, kind)
    _save(storage, files, progress)


def show_report(
    storage: Storage,
    request: StageRequest,
    baseline: str | None,
    baseline_alpha: float | None,
    parallel: str | None,
    console: Console,
    progress: StepProgress,
) -> None:
    """Measure the tokenizer of a folder, alone or beside a baseline; JSON, CSV, Markdown and plots beside the corpus.

    Raises:
        Cc100Error: there is no corpus or tokenizer, or a file that is named cannot be used.
    """
    limit_threads()
    corpus = open_corpus(storage)
    tokenizer = open_tokenizer(storage, corpus)
    aligned = None
    if parallel is not None:
        with open_stream(absolute(parallel)) as stream:
            aligned = read_parallel(io.BytesIO(stream.read()), parallel)
    other, name = None, ""
    if baseline is not None:
        other, name = read_given_model(baseline), baseline.rstrip("/").rpartition("/")[2]
    elif baseline_alpha is not None:
        other = _train_baseline(storage, corpus, request, baseline_alpha, tokenizer.pieces, progress)
        name = f"alpha = {baseline_alpha:g}"
    texts = list(_texts(storage, corpus, request.settings.tokenizer.seed))
    models = [storage.read(layout.MODEL), *([other] if other is not None else [])]
    measured = [evaluate(sentencepiece.SentencePieceProcessor(model_proto=model), texts, aligned) for model in models]
    ours, theirs = measured[0], measured[1] if other is not None else None
    text = report_markdown(ours, theirs, name)
    if console.is_terminal:
        console.print(Markdown(text))
    else:
        console.print(text, markup=False, soft_wrap=True)
    files: dict[str, bytes] = {
        "report-tokenizer.json": to_json(report(ours, theirs)),
        "report-tokenizer.csv": report_csv(ours, theirs).encode(),
        "report-tokenizer.md": text.encode(),
        "report-tokenizer.svg": report_chart(ours, theirs, "svg", name=name),
        "report-tokenizer.png": report_chart(ours, theirs, "png", name=name),
    }
    _save(storage, files, progress)


def _save(storage: Storage, files: dict[str, bytes], progress: StepProgress) -> None:
    for name, content in files.items():
        storage.write(name, content)
    progress.say(f"written to {storage.root}: {', '.join(files)}")


def _texts(storage: Storage, corpus: Corpus, seed: int) -> Iterator[tuple[str, pa.Array]]:
    """Paragraphs of every language in NFC: drawn from the first row groups of its shards, another draw than the training's."""
    by_language: dict[str, list[ShardPart]] = {}
    for part in corpus.parts:
        by_language.setdefault(part.language, []).append(part)
    for language, parts in by_language.items():
        lines: list[bytes] = []
        for part in parts:
            for group in read_part(storage, part, ["paragraph_ids", "paragraphs"]):
                ids, text = group["paragraph_ids"].flatten().to_numpy(), group["paragraphs"].flatten()
                rate = min(1.0, PARAGRAPHS_PER_LANGUAGE / len(ids))
                lines += sample.draw(ids, text, rate, seed + 1, np.iinfo(np.int32).max).lines
            if len(lines) >= PARAGRAPHS_PER_LANGUAGE // 2:
                break
        yield language, pa.array(lines, pa.binary()).cast(pa.string())


def _train_baseline(
    storage: Storage, corpus: Corpus, request: StageRequest, alpha: float, pieces: int, progress: StepProgress
) -> bytes:
    """A model of the same size, trained on a sample with another alpha; kept in run/, so that it is trained once."""
    if not 0 <= alpha <= 1:
        raise ConfigurationError(f"--baseline-alpha {alpha} is not allowed: it must be 0 to 1")
    settings = dataclasses.replace(request.settings.tokenizer, alpha=alpha, vocab_size=pieces, model=None)
    wanted: dict[str, Any] = identity(corpus, settings, None)
    text_bytes = sum(size.text_bytes for size in corpus.languages.values())
    with storage.lock(), request.runner(text_bytes, sample.preload, {}) as runner:
        training = Training(storage, sample.BASELINE, _BASELINE, wanted, corpus, settings, runner, progress)
        training.train(training.draw())
        return training.model()
