"""A sample and a model trained on it: for the corpus's tokenizer, or for a baseline to compare it with.

Everything lies in run/ until it is done: the sample of every part, then the model.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from cc100.pipeline.progress import StepProgress
from cc100.pipeline.stage import Stage, begin
from cc100.pipeline.steps import Pass, Runner, Step, run_step
from cc100.shards import layout
from cc100.shards.corpus import Corpus, ShardPart
from cc100.shards.errors import InputError
from cc100.shards.manifest import fingerprint
from cc100.tokenizer import folder, sampling
from cc100.tokenizer.settings import AUTO, TokenizerSettings
from cc100.tokenizer.train import (
    TooFewPiecesError,
    TooManyCharactersError,
    estimate,
    memory_of_machine,
    train,
    trainer_options,
    wanted_pieces,
)
from cc100.transforms import sample
from cc100.transforms.job import JobReference, Outcome, do_once, unit_name
from cc100.transforms.sample import SampleJob
from cc100.transforms.shard_parts import DoParts
from cc100.transforms.storage import Storage

FIRST_UNIT = unit_name(0)
_COUNTS = ("paragraphs", "bytes", "sampled_paragraphs", "sampled_bytes", "too_long", "reserved")
_LOADERS = {sample.TOKENIZER: sample.load_sample_job, sample.BASELINE: sample.load_baseline_job}
_MOST_TRIES = 4


def step_names(work: str) -> tuple[str, str, str]:
    """Names of the steps of a training: sample, train, coverage."""
    return f"{work}-sample", f"{work}-train", f"{work}-coverage"


@dataclasses.dataclass(frozen=True)
class SamplePlan:
    """How much is drawn of each language: shares, rates, and what the manifest says of them."""

    shares: dict[str, float]
    rates: dict[str, float]
    sampling: dict[str, Any]


def plan_sample(corpus: Corpus, settings: TokenizerSettings) -> SamplePlan:
    """Shares and rates from the counts of the corpus's manifest."""
    counts = {code: size.paragraphs for code, size in corpus.languages.items()}
    share = sampling.shares(counts, settings.alpha)
    target = min(settings.sample_paragraphs, sum(counts.values()))
    described = {
        "alpha": settings.alpha,
        "unit": "paragraphs",
        "seed": settings.seed,
        "target": target,
        "max_repeats": settings.max_repeats,
        "max_bytes": settings.max_bytes,
    }
    return SamplePlan(share, sampling.sampling_rates(counts, share, target, settings.max_repeats), described)


class Training:
    """Draws a sample and trains on it; what is done stays done.

    Args:
        storage: the output folder.
        work: what the model is trained for, `sample.TOKENIZER` or `sample.BASELINE`.
        stage: which stage this belongs to, to recognise what was begun.
        wanted: its identity.
        corpus: the corpus.
        settings: of sample and training.
        runner: runs Beam jobs.
        progress: shows them.
    """

    def __init__(
        self,
        storage: Storage,
        work: str,
        stage: Stage,
        wanted: dict[str, Any],
        corpus: Corpus,
        settings: TokenizerSettings,
        runner: Runner,
        progress: StepProgress,
    ) -> None:
        self.plan = plan_sample(corpus, settings)
        self._corpus, self._settings, self._runner, self._progress = corpus, settings, runner, progress
        self._job = SampleJob(storage, work, corpus.parts, self.plan.rates, settings.seed, settings.max_bytes)
        state = {
            "work": work,
            "parts": [dataclasses.asdict(part) for part in corpus.parts],
            "rates": self.plan.rates,
            "seed": settings.seed,
            "max_bytes": settings.max_bytes,
        }
        begin(storage, stage, wanted, state)
        self._reference = JobReference(storage.root, fingerprint({"identity": wanted, "job": state}), _LOADERS[work])
        self._sample, self._train, self._coverage = step_names(work)

    def draw(self) -> dict[str, dict[str, Any]]:
        """Draw the sample; what the manifest says of each language, but for its coverage.

        Raises:
            InputError: the shards hold other text than the corpus's manifest says.
        """
        plan, languages = self.plan, self._corpus.languages
        found: dict[str, dict[str, Any]] = {
            code: {"share": plan.shares[code], "rate": plan.rates[code], **dict.fromkeys(_COUNTS, 0)}
            for code in languages
        }
        for outcome in self._do(self._sample, sample.sample_part).values():
            row = found[outcome.figures["language"]]
            for key in _COUNTS:
                row[key] += outcome.figures[key]
        for code, size in languages.items():
            if found[code]["paragraphs"] != size.paragraphs:
                raise InputError(
                    f"the shards of {code} hold {found[code]['paragraphs']} paragraphs, manifest.json says {size.paragraphs}. "
                    "Build the corpus anew"
                )
        return found

    def train(self, languages: dict[str, dict[str, Any]], given: bytes | None = None) -> dict[str, Any]:
        """Train the model, or take the one that is given; options of the training. The model waits in run/.

        Raises:
            Cc100Error: the sample is empty, the vocabulary does not fit it, or the trainer failed.
        """
        job, name = self._job, layout.trained_model(self._job.work)

        def work() -> Outcome:
            if given is not None:
                return Outcome({name: job.storage.write(name, given)}, {"options": folder.recorded_options(given)})
            model, options = self._train_that_fits(languages)
            folder.validate_model(model, "the trained model")
            return Outcome({name: job.storage.write(name, model)}, {"options": options})

        options: dict[str, Any] = do_once(job, self._train, FIRST_UNIT, work).figures["options"]
        return options

    def model(self) -> bytes:
        """The trained model."""
        return self._job.storage.read(layout.trained_model(self._job.work))

    def add_coverage(self, languages: dict[str, dict[str, Any]]) -> None:
        """Add the share of each language's sampled paragraphs that the model encodes without an unknown piece."""
        sums = dict.fromkeys(languages, 0)
        for outcome in self._do(self._coverage, sample.cover_part).values():
            sums[outcome.figures["language"]] += outcome.figures["covered"]
        for code, row in languages.items():
            row["coverage"] = sums[code] / max(row["sampled_paragraphs"], 1)

    def _do(self, name: str, work: Callable[[SampleJob, int], Outcome]) -> dict[str, Outcome]:
        step = sample_step(name, len(self._job.parts), self._reference, work)
        stored = sum(part.bytes for part in self._job.parts)
        return run_step(self._job.storage, step, stored, self._runner, self._progress)

    def _train_that_fits(self, languages: dict[str, dict[str, Any]]) -> tuple[bytes, dict[str, Any]]:
        """Train; with vocab_size auto, again with the size that the trainer names if the first does not fit the sample."""
        settings, sampled_bytes = self._settings, sum(row["sampled_bytes"] for row in languages.values())
        if not sampled_bytes:
            raise InputError(
                f"the sample is empty: none of the {sum(row['paragraphs'] for row in languages.values())} paragraphs was taken, or all "
                "were left out. Raise tokenizer.sample_paragraphs or tokenizer.max_bytes"
            )
        pieces = wanted_pieces(settings, sampled_bytes)
        for _ in range(_MOST_TRIES):
            options = trainer_options(settings, pieces)
            self._progress.say(describe_training(pieces, sampled_bytes, settings))
            try:
                with self._progress.share("train") as tell:
                    return train(self._sentences(), options, tell), options
            except TooFewPiecesError as error:
                if settings.vocab_size != AUTO:
                    raise
                pieces = error.largest
            except TooManyCharactersError as error:
                if settings.vocab_size != AUTO:
                    raise
                pieces = 2 * error.smallest
            self._progress.say("that does not fit the sample; once more")
        raise InputError(
            "no vocabulary fits this sample: it holds too little text for its many characters. "
            "Use more text, or lower tokenizer.character_coverage"
        )

    def _sentences(self) -> Iterator[pa.RecordBatch]:
        """The sample in the fixed order: languages by code point, then their parts."""
        for part in sorted(self._job.parts, key=_order):
            yield from sample.read_sample(self._job, part)


def _order(part: ShardPart) -> tuple[str, int]:
    return part.language, part.part


def sample_step(name: str, parts: int, reference: JobReference, work: Callable[[SampleJob, int], Outcome]) -> Step:
    """A step over the parts of the corpus."""
    units = tuple(unit_name(number) for number in range(parts))
    return Step(name, "parts", (Pass(units, lambda root: root | "Parts" >> DoParts(reference, name, work)),), True)


def describe_training(pieces: int, sampled_bytes: int, settings: TokenizerSettings) -> str:
    """A line on what a training will take, with a warning if that is more than this machine has."""
    expected = estimate(sampled_bytes, pieces, settings.seed_pieces)
    line = (
        f"train: {pieces:,} pieces from {sampled_bytes / 1e6:,.1f} MB; about {_duration(expected.seconds)} on two cores, "
        f"{expected.memory_bytes / 1e9:.1f} GB of memory"
    )
    here = memory_of_machine()
    if here is not None and expected.memory_bytes > here:
        line += f" (this machine has {here / 1e9:.1f} GB: lower tokenizer.sample_paragraphs or tokenizer.seed_pieces if it is killed)"
    return line


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
