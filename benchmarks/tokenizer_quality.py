"""What alpha, character coverage and the number of seed pieces do to the tokenizer, on text that it has not seen.

    python benchmarks/tokenizer_quality.py --corpus DIR --work DIR --json FILE [--pieces 64000] [--paragraphs 100000]

DIR is a finished output folder of `cc100 corpus`. A tenth of its paragraphs, by `uniform(id)`, is set aside. From the others a sample is
drawn as `cc100 tokenizer` draws it, and a model trained for each of the choices below, which differ from the settings' defaults in one
value. All are measured on the paragraphs that were set aside: pieces per word, character and byte, unknown pieces, by language. Costs are
those of tokenizer_growth.py.
"""

import argparse
import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import sentencepiece
import tokenizer_growth as growth

from cc100.pipeline.stage import open_corpus
from cc100.tokenizer.evaluate import evaluate
from cc100.tokenizer.quality_report import report
from cc100.tokenizer.sampling import copies, sampling_rates, shares, uniform
from cc100.tokenizer.settings import TokenizerSettings
from cc100.tokenizer.text import nfc
from cc100.transforms.sample import RESERVED, SAMPLE
from cc100.transforms.shard_parts import read_part
from cc100.transforms.storage import Storage

HELD_OUT, HELD_OUT_SEED = 0.1, 2
CHOICES: dict[str, dict[str, Any]] = {
    "alpha 0.3": {},
    "alpha 1": {"alpha": 1.0},
    "character_coverage 0.99995": {"character_coverage": 0.99995},
    "seed_pieces 2000000": {"seed_pieces": 2_000_000},
    "alpha 0.3, again": {},
}


@dataclasses.dataclass(frozen=True)
class Text:
    """Paragraphs of a language: for training with their ids, and what was set aside."""

    lines: list[bytes]
    ids: Any
    held_out: list[bytes]


def read_text(folder: str) -> dict[str, Text]:
    """NFC paragraphs of a corpus."""
    storage = Storage(folder)
    found: dict[str, Text] = {}
    for part in open_corpus(storage).parts:
        for group in read_part(storage, part, ["paragraph_ids", "paragraphs"]):
            ids = group["paragraph_ids"].flatten().to_numpy()
            lines = nfc(group["paragraphs"].flatten())[0].to_list()
            aside = uniform(ids, HELD_OUT_SEED) < HELD_OUT
            old = found.get(part.language, Text([], np.empty(0, np.uint64), []))
            found[part.language] = Text(
                old.lines + [line for line, is_out in zip(lines, aside.tolist(), strict=True) if not is_out],
                np.concatenate([old.ids, ids[~aside]]),
                old.held_out + [line for line, is_out in zip(lines, aside.tolist(), strict=True) if is_out],
            )
    return found


def write_sample(texts: dict[str, Text], settings: TokenizerSettings, path: pathlib.Path) -> dict[str, Any]:
    """Draw the sample as the settings say, for the trainer; its size."""
    counts = {code: len(text.lines) for code, text in texts.items()}
    target = min(settings.sample_paragraphs, sum(counts.values()))
    rates = sampling_rates(counts, shares(counts, settings.alpha), target, settings.max_repeats)
    sizes = {}
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SAMPLE) as writer:
        for code, text in sorted(texts.items()):
            times = copies(text.ids, rates[code], settings.seed)
            taken = [
                (line, number)
                for line, number in zip(text.lines, times.tolist(), strict=True)
                if number and len(line) <= settings.max_bytes and RESERVED not in line
            ]
            arrays = [pa.array([line for line, _ in taken], pa.binary()), pa.array([n for _, n in taken], pa.int32())]
            writer.write_table(pa.table(arrays, SAMPLE), max_chunksize=growth.ROWS)
            sizes[code] = sum(len(line) * number for line, number in taken)
    return {"bytes": sum(sizes.values()), "language_bytes": sizes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--json", type=pathlib.Path, required=True)
    parser.add_argument("--pieces", type=int, default=64_000)
    parser.add_argument("--paragraphs", type=int, default=100_000)
    arguments = parser.parse_args()
    texts = read_text(arguments.corpus)
    content: dict[str, Any] = {**growth.machine(), "pieces": arguments.pieces, "models": {}}
    qualities = {}
    path = arguments.work / "quality.arrow"
    for name, change in CHOICES.items():
        settings = TokenizerSettings(vocab_size=arguments.pieces, sample_paragraphs=arguments.paragraphs, **change)
        size = write_sample(texts, settings, path)
        cost = growth.measure(path, settings, arguments.pieces)
        processor = sentencepiece.SentencePieceProcessor(model_proto=path.with_suffix(".model").read_bytes())
        alphabet = sum(len(processor.id_to_piece(number)) == 1 for number in range(3, processor.vocab_size()))
        held_out = ((code, [line.decode() for line in text.held_out]) for code, text in sorted(texts.items()))
        qualities[name] = evaluate(processor, held_out)
        content["models"][name] = {**size, **cost, "characters": alphabet, "quality": report(qualities[name])["model"]}
        arguments.json.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        print(
            name,
            {key: cost[key] for key in ("cpu_seconds", "wall_seconds", "peak_memory_bytes", "model_sha256")},
            alphabet,
            flush=True,
        )


if __name__ == "__main__":
    main()
