"""A small finished output folder, made without any job: shards, a tokenizer and token arrays, with their manifests.

python tests/output_folder.py DIR
"""

import collections
import datetime
import hashlib
import pathlib
import sys
from typing import Any

import numpy as np
import pyarrow as pa
from tiny_tokenizer import text, tiny_model

from cc100.shards import layout, parquet
from cc100.shards.manifest import to_json
from cc100.shards.records import SHARDS
from cc100.shards.token_arrays import TokenIndex
from cc100.tokenizer.encoder import Encoder, sentencepiece_version
from cc100.tokenizer.folder import tokenizer_files
from cc100.tokenizer.text import Lines

PARTS = {"de": (60, 40, 25), "sw": (12,), "zh-Hant": (30,)}
"""Pages of each part."""
VALID_FRACTION, VALID_MIN_PAGES = 0.1, 20
ALPHA = 0.3

Pages = dict[str, list[list[tuple[str, list[str]]]]]


def make_pages(parts: dict[str, tuple[int, ...]] = PARTS) -> Pages:
    """Language -> parts -> pages (record id, paragraphs)."""
    lines = iter(text(3 * sum(map(sum, parts.values())), seed=7))
    return {
        code: [
            [(f"urn:uuid:{code}-{part}-{page}", [next(lines) for _ in range(1 + page % 3)]) for page in range(pages)]
            for part, pages in enumerate(sizes)
        ]
        for code, sizes in parts.items()
    }


def make_output(folder: pathlib.Path, pages: Pages | None = None) -> Pages:
    """Fill a folder; what is in it."""
    content = make_pages() if pages is None else pages
    write_corpus(folder, content)
    write_tokenizer(folder)
    write_tokens(folder, content)
    return content


def write_corpus(folder: pathlib.Path, content: Pages) -> None:
    files, languages, number = {}, {}, 0
    for code, parts in content.items():
        for part, pages in enumerate(parts):
            name = layout.shard(code, part, len(parts))
            rows = []
            for record_id, paragraphs in pages:
                ids = list(range(number, number + len(paragraphs)))
                number += len(paragraphs)
                date = datetime.datetime(2018, 12, 9, tzinfo=datetime.UTC)
                url = f"https://example.org/{record_id}"
                rows.append(
                    {
                        "record_id": record_id, "url": url, "date": date, "score": 0.9,
                        "paragraph_ids": ids, "paragraphs": paragraphs,
                    }
                )  # fmt: skip
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "wb") as out, parquet.writer(out, SHARDS, zstd_level=3) as writer:
                half = len(rows) // 2
                for group in (rows[:half], rows[half:]):
                    writer.write_table(pa.Table.from_pylist(group, SHARDS))
            files[name] = entry(path)
        flat = [paragraph for pages in parts for _, paragraphs in pages for paragraph in paragraphs]
        languages[code] = {
            "pages": sum(map(len, parts)),
            "paragraphs": len(flat),
            "text_bytes": sum(len(paragraph.encode()) for paragraph in flat),
            "files": len(parts),
        }
    (folder / layout.MANIFEST).write_bytes(to_json({"format_version": 1, "languages": languages, "files": files}))


def write_tokenizer(folder: pathlib.Path) -> None:
    files = tokenizer_files(tiny_model())
    (folder / layout.TOKENIZER).mkdir(parents=True)
    for name, data in files.items():
        (folder / layout.TOKENIZER / name).write_bytes(data)
    manifest = {"files": {name: entry(folder / layout.TOKENIZER / name) for name in files}}
    (folder / layout.TOKENIZER_MANIFEST).write_bytes(to_json(manifest))


def write_tokens(folder: pathlib.Path, content: Pages) -> None:
    encoder = Encoder(tiny_model())
    files: dict[str, Any] = {}
    languages: dict[str, Any] = {}
    for code, parts in content.items():
        fraction = VALID_FRACTION if sum(map(len, parts)) >= VALID_MIN_PAGES else 0.0
        splits = {split: collections.Counter(documents=0, sequences=0, tokens=0) for split in layout.SPLITS}
        for part, pages in enumerate(parts):
            chosen: dict[str, list[list[str]]] = {split: [] for split in layout.SPLITS}
            for record_id, paragraphs in pages:
                head = int.from_bytes(hashlib.sha256(record_id.encode()).digest()[:8], "big")
                chosen["valid" if (head >> 11) * 2.0**-53 < fraction else "train"].append(paragraphs)
            for split, documents in chosen.items():
                if documents:
                    prefix = folder / layout.tokens(code, split, part)
                    tokens, lengths = encoder.encode(Lines.of([line.encode() for lines in documents for line in lines]))
                    index = TokenIndex(lengths, np.cumsum([0, *map(len, documents)], dtype=np.int64))
                    prefix.parent.mkdir(parents=True, exist_ok=True)
                    for suffix, data in ((".bin", tokens.tobytes()), (".idx", index.to_bytes())):
                        path = prefix.with_name(prefix.name + suffix)
                        path.write_bytes(data)
                        files[path.relative_to(folder / layout.TOKENS).as_posix()] = entry(path)
                    splits[split].update(documents=len(documents), sequences=len(lengths), tokens=len(tokens))
        languages[code] = {"splits": {split: dict(count) for split, count in splits.items()}}
    powers = {code: languages[code]["splits"]["train"]["sequences"] ** ALPHA for code in languages}
    for code in languages:
        languages[code]["probability"] = powers[code] / sum(powers.values())
    manifest = {
        "format_version": 1,
        "corpus_sha256": hashlib.sha256((folder / layout.MANIFEST).read_bytes()).hexdigest(),
        "tokenizer": {
            "model_sha256": encoder.sha256,
            "vocab_size": encoder.vocab_size,
            "sentencepiece": sentencepiece_version(),
            "normalization": "NFC",
        },
        "split": {"valid_fraction": VALID_FRACTION, "valid_min_pages": VALID_MIN_PAGES},
        "sampling": {"alpha": ALPHA, "unit": "sequences", "split": "train"},
        "languages": languages,
        "files": files,
    }
    (folder / layout.TOKENS_MANIFEST).write_bytes(to_json(manifest))


def entry(path: pathlib.Path) -> dict[str, Any]:
    """A file as a manifest lists it."""
    data = path.read_bytes()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


if __name__ == "__main__":
    make_output(pathlib.Path(sys.argv[1]))
