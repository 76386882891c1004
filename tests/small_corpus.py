"""Finished corpora with the text that a test wants: shards and a manifest, as `cc100 corpus` leaves them."""

import hashlib
import itertools
import json
import pathlib

import numpy as np
import pyarrow as pa

from cc100.shards import layout, parquet
from cc100.shards.records import SHARDS


def words(seed, count, *, letters="abcdefghijklmnop", vocabulary=300, length=9):
    """Paragraphs of made-up words, the same for the same arguments."""
    rng = np.random.default_rng(seed)
    known = ["".join(rng.choice(list(letters), rng.integers(2, 8))) for _ in range(vocabulary)]
    return [" ".join(rng.choice(known, length)) + "." for _ in range(count)]


def make_corpus(folder, languages):
    """Write a corpus.

    Args:
        folder: where.
        languages: language -> parts -> pages -> paragraphs.
    """
    root = pathlib.Path(folder)
    files, sizes, file_index = {}, {}, 0
    for language in sorted(languages):
        parts = languages[language]
        size = {"pages": 0, "paragraphs": 0, "text_bytes": 0, "files": len(parts)}
        for number, pages in enumerate(parts):
            rows, ordinal = [], 0
            for position, paragraphs in enumerate(pages):
                ids = [file_index << 40 | ordinal + k for k in range(len(paragraphs))]
                ordinal += len(paragraphs)
                name = f"urn:uuid:{language}-{number}-{position}"
                rows.append(
                    {
                        "record_id": name,
                        "url": None,
                        "date": None,
                        "score": 1.0,
                        "paragraph_ids": ids,
                        "paragraphs": paragraphs,
                    }
                )
                size["pages"] += 1
                size["paragraphs"] += len(paragraphs)
                size["text_bytes"] += sum(len(text.encode()) for text in paragraphs)
            file_index += 1
            path = root / layout.shard(language, number, len(parts))
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "wb") as stream, parquet.writer(stream, SHARDS, zstd_level=1) as writer:
                for begin in range(0, len(rows), 7):
                    writer.write_table(pa.Table.from_pylist(rows[begin : begin + 7], SHARDS))
            data = path.read_bytes()
            files[layout.shard(language, number, len(parts))] = {
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
        sizes[language] = size
    manifest = {"format_version": 1, "languages": sizes, "files": files}
    root.mkdir(parents=True, exist_ok=True)
    (root / layout.MANIFEST).write_text(json.dumps(manifest))
    return root


def two_languages():
    """A Latin language in two parts and a Greek one in one, with text that is not NFC among it."""
    latin = words(1, 300)
    latin[5] = "e\u0301te\u0301 \u1100\u1161 " + latin[5]
    greek = words(2, 120, letters="αβγδεζηθικλμνξοπ")
    cuts = [0, *(10 * k + step for k in range(30) for step in (1, 3, 6, 10))]  # pages of 1, 2, 3 and 4 paragraphs
    pages = [latin[begin:end] for begin, end in itertools.pairwise(cuts)]
    return {"xx": [pages[:40], pages[40:]], "el": [[greek[k : k + 3] for k in range(0, 120, 3)]]}


def content(folder, *below):
    """Path -> bytes of the files of some folders below a folder (all but run/ if none is named)."""
    root = pathlib.Path(folder)
    found = {path.relative_to(root): path for path in root.rglob("*") if path.is_file()}
    return {
        name.as_posix(): path.read_bytes()
        for name, path in found.items()
        if (name.parts[0] in below if below else name.parts[0] != "run")
    }
