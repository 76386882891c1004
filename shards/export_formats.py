"""Indexes that other programs want beside the tokens of a `.bin` file. The tokens themselves are the same bytes everywhere.

fairseq's `MMapIndexedDataset`, `train.idx` beside `train.bin`:

    9 bytes  "MMIDIDX\\0\\0"
    u64      version, 1
    u8       type of the tokens, 4 = int32
    u64      S, number of items
    i32[S]   tokens of each item
    i64[S]   byte at which each item begins in .bin

The first 18 bytes are those of Megatron's index. fairseq's reader opens Megatron's without an error and returns garbage: never put both
under one prefix.

datatrove and Nanotron: `00000.ds` has the tokens, `00000.ds.index` the token at which each document ends as u64, and
`00000.ds.metadata` three lines of text.

litdata: a chunk is u32 n, u32[n + 1] byte offsets of the items, then the items; here one item, so that a header of 12 bytes stands before
the tokens. `index.json` lists the chunks. Offsets are 32 bits wide, so a chunk is smaller than 4 GiB.

Megatron's blend: a list of weights and prefixes.

All integers are little-endian.
"""

import json
import struct
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from cc100.shards.token_arrays import TOKEN, Int32s, TokenIndex

_FAIRSEQ_HEADER = struct.Struct("<9sQBQ")
_MAGIC, _VERSION, _INT32 = b"MMIDIDX\0\0", 1, 4
_LITDATA_HEADER = struct.Struct("<III")
_LITDATA_INT32 = "no_header_numpy:2"  # position of int32 in litdata's list of NumPy types

MAX_CHUNK_BYTES = 1 << 30
"""Payload of a chunk for litdata. 4 GiB is the limit of the format; smaller chunks are downloaded and evicted sooner."""


def fairseq_index(lengths: Int32s) -> bytes:
    """fairseq's `.idx` for the sequences of a `.bin` file.

    Args:
        lengths: tokens of each sequence, int32[S].
    """
    ends = np.cumsum(lengths, dtype=np.int64)
    pointers = (ends - lengths) * TOKEN.itemsize
    header = _FAIRSEQ_HEADER.pack(_MAGIC, _VERSION, _INT32, len(lengths))
    return header + lengths.astype("<i4").tobytes() + pointers.astype("<i8").tobytes()


def datatrove_index(index: TokenIndex) -> bytes:
    """datatrove's `.ds.index`: the token at which each document ends."""
    return index.starts()[index.documents[1:]].astype("<u8").tobytes()


def datatrove_metadata(tokenizer: str, tokens: int) -> bytes:
    """datatrove's `.ds.metadata`: tokenizer and bytes per token, number of tokens, the same for people.

    Args:
        tokenizer: its name.
        tokens: number of tokens.
    """
    return f"{tokenizer}|{TOKEN.itemsize}\n{tokens}\n{_metric(tokens)}".encode()


def _metric(number: int) -> str:
    """Three significant digits with an SI prefix and the unit T, as datatrove writes it (`humanize.metric`)."""
    digits = len(str(number)) - 1
    prefix = ["", "k", "M", "G", "T", "P", "E"][digits // 3]
    return f"{number / 10 ** (digits // 3 * 3):.{2 - digits % 3}f} {prefix}T"


def litdata_header(tokens: int) -> bytes:
    """What stands before the tokens in a chunk for litdata.

    Args:
        tokens: number of tokens in the chunk.

    Raises:
        ValueError: the chunk would not fit into 4 GiB.
    """
    end = _LITDATA_HEADER.size + tokens * TOKEN.itemsize
    if end >= 1 << 32:
        raise ValueError(f"a chunk of {tokens} tokens does not fit into the 4 GiB that litdata's offsets reach")
    return _LITDATA_HEADER.pack(1, _LITDATA_HEADER.size, end)


def litdata_cuts(index: TokenIndex, max_bytes: int = MAX_CHUNK_BYTES) -> list[tuple[int, int]]:
    """Ranges (first token, end) that become chunks, cut between sequences.

    Args:
        index: sequences of the `.bin` file.
        max_bytes: bytes of tokens in a chunk; only a sequence that alone has more gets more.
    """
    starts, most = index.starts(), max_bytes // TOKEN.itemsize
    cuts, begin = [], 0
    while begin < len(starts) - 1:
        end = max(int(np.searchsorted(starts, starts[begin] + most, side="right")) - 1, begin + 1)
        cuts.append((int(starts[begin]), int(starts[end])))
        begin = end
    return cuts


def litdata_index(chunks: Mapping[str, int], version: str) -> bytes:
    """litdata's `index.json`, as its own writer gives it for a stream of tokens.

    Args:
        chunks: tokens of each chunk by file name, in order.
        version: what changes with the content; readers keep their caches by it.
    """
    listed = [
        {
            "filename": name,
            "dim": tokens,
            "chunk_size": 1,
            "chunk_bytes": _LITDATA_HEADER.size + tokens * TOKEN.itemsize,
        }
        for name, tokens in chunks.items()
    ]
    config = {
        "chunk_bytes": MAX_CHUNK_BYTES,
        "chunk_size": None,
        "compression": None,
        "data_format": [_LITDATA_INT32],
        "data_spec": '[1, {"type": null, "context": null, "children_spec": []}]',
        "encryption": None,
        "item_loader": "TokensLoader",
    }
    return json.dumps({"chunks": listed, "config": config, "updated_at": version}, sort_keys=True).encode()


def prefixes(manifest: Mapping[str, Any], language: str, split: str) -> list[str]:
    """Pairs of a language and split in the order of their parts: paths in tokens/ without `.bin` and `.idx`.

    Args:
        manifest: content of tokens/manifest.json.
        language: its code.
        split: `train` or `valid`.
    """
    begin = f"{urllib.parse.quote(language, safe='')}/{split}-"
    return sorted(
        name.removesuffix(".bin") for name in manifest["files"] if name.startswith(begin) and name.endswith(".bin")
    )


def blend(
    manifest: Mapping[str, Any], split: str = "train", languages: Iterable[str] | None = None
) -> list[tuple[str, float]]:
    """Megatron's blend: how often each pair is to be read, by the probabilities that the sampling table gives the languages.

    A language's probability is divided among its parts by their tokens: Megatron cuts each into samples of equal length, so that
    every part of a language is read equally often.

    Args:
        manifest: content of tokens/manifest.json.
        split: `train` or `valid`.
        languages: codes to take; None: all that have the split.

    Returns:
        Paths in tokens/ without `.bin` and `.idx`, and their weights, which add up to 1.
    """
    codes = sorted(manifest["languages"] if languages is None else languages)
    parts = {code: prefixes(manifest, code, split) for code in codes}
    probability = {code: float(manifest["languages"][code]["probability"]) for code in codes if parts[code]}
    total = sum(probability.values())
    found = []
    for code, share in probability.items():
        sizes = [manifest["files"][f"{prefix}.bin"]["bytes"] for prefix in parts[code]]
        found += [
            (prefix, share / total * (size / sum(sizes))) for prefix, size in zip(parts[code], sizes, strict=True)
        ]
    return found


def blend_arguments(pairs: Iterable[tuple[str, float]], folder: str) -> list[str]:
    """A blend as Megatron takes it on its command line: weight, prefix, weight, prefix ...

    Args:
        pairs: what `blend` gives.
        folder: path of tokens/ for the training job.
    """
    return [text for prefix, weight in pairs for text in (f"{weight:.12g}", f"{folder.rstrip('/')}/{prefix}")]
