"""More text than there is: copies of real paragraphs in another order of words, with new words at the rate of real text.

By Good and Turing, the chance that the next word of a text is one that has not been in it is the share of its words that have been in it
once. So in the copies the words that a language's real text has once are respelled, and all others stay. As a text grows the chance falls
(Heaps' law: distinct words ~ words^b, so the chance ~ words^(b - 1)): of the words that may be, the k-th copy respells the share k^(b - 1),
with a b above that of the real text. Distinct words therefore grow somewhat faster than in real text, and what is measured on such text is
an upper bound.

A respelled word has every letter and digit replaced by another of the same script, category, kind (vowel or not) and about the same
frequency. One permutation holds for a whole copy, so frequent strings of letters stay frequent under their new spelling.
"""

import collections
import dataclasses
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cc100.tokenizer.scripts import script

NEIGHBOURS = 8
"""Letters are exchanged among this many of neighbouring frequency, so that frequent ones stay frequent and rare ones rare."""
GROWTH = 0.7
"""b of Heaps' law; 0.66 was measured between 50 and 85 MB of real text in 104 languages."""
_VOWELS = set("aeiouyæøœəıαεηιοuυωаеёиоуыэюяіїєўәөүұ")
_CODE_POINTS = 0x110000

Array = npt.NDArray[Any]


def code_points(text: str) -> Array:
    """uint32[characters]."""
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def letter_groups(counts: Array) -> list[Array]:
    """Code points that may be exchanged for one another.

    Args:
        counts: occurrences of every code point, int64[0x110000].
    """
    classes: dict[tuple[str, str, bool], list[int]] = collections.defaultdict(list)
    for code in np.flatnonzero(counts).tolist():
        char = chr(code)
        category = unicodedata.category(char)
        if category.startswith("L") or category == "Nd":
            vowel = unicodedata.normalize("NFD", char)[0].lower() in _VOWELS
            classes[script(char), category, vowel].append(code)
    groups = []
    for key in sorted(classes):
        ranked = sorted(classes[key], key=lambda code: (-counts[code], code))
        groups += [np.array(ranked[at : at + NEIGHBOURS]) for at in range(0, len(ranked), NEIGHBOURS)]
    return groups


def permutation(groups: list[Array], seed: int, copy: int) -> Array:
    """What every code point becomes in a copy, uint32[0x110000]."""
    rng = np.random.Generator(np.random.PCG64([seed, copy]))
    table = np.arange(_CODE_POINTS, dtype=np.uint32)
    for group in groups:
        table[group] = rng.permutation(group)
    return table


@dataclasses.dataclass(frozen=True)
class Words:
    """The words of some paragraphs.

    Attributes:
        spellings: string[distinct].
        once: rows of the words that occur once.
        numbers: rows in `spellings`, int32[words].
        offsets: of the paragraphs in `numbers`, int64[paragraphs + 1].
    """

    spellings: pa.StringArray
    once: Array
    numbers: Array
    offsets: Array


def split_words(text: pa.StringArray) -> Words:
    """Words as white space separates them."""
    lists = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(text))
    encoded = lists.flatten().dictionary_encode()
    numbers = encoded.indices.to_numpy()
    once = np.flatnonzero(np.bincount(numbers, minlength=len(encoded.dictionary)) == 1)
    lengths = pc.list_value_length(lists).to_numpy()
    return Words(encoded.dictionary, once, numbers, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]))


def respelled(words: Words, table: Array, share: float, rng: np.random.Generator) -> pa.StringArray:
    """Spellings of a copy: new ones for a share of the words that occur once."""
    chosen = words.once[rng.random(len(words.once)) < share]
    joined = "\n".join(words.spellings.take(pa.array(chosen)).to_pylist())
    new = table[code_points(joined)].tobytes().decode("utf-32-le").split("\n") if len(chosen) else []
    rows = np.arange(len(words.spellings), dtype=np.int64)
    rows[chosen] = len(rows) + np.arange(len(chosen))
    return pa.concat_arrays([words.spellings, pa.array(new, pa.string())]).take(pa.array(rows))


def shuffled(words: Words, spellings: pa.StringArray, rng: np.random.Generator) -> pa.StringArray:
    """The paragraphs with other spellings and their words in another order."""
    paragraph = np.repeat(np.arange(len(words.offsets) - 1), np.diff(words.offsets))
    order = np.lexsort((rng.random(len(paragraph)), paragraph))
    lists = pa.ListArray.from_arrays(
        pa.array(words.offsets.astype(np.int32)), spellings.take(pa.array(words.numbers[order]))
    )
    return pc.binary_join(lists, " ")


def grow(text: Mapping[str, pa.StringArray], copies: int, seed: int) -> Iterator[tuple[str, int, pa.StringArray]]:
    """The real text and copies of it.

    Args:
        text: real paragraphs of each language.
        copies: how many to make.
        seed: of the permutations.

    Yields:
        (language, copy, paragraphs): languages by code, each first as it is (copy 0).
    """
    counts = np.zeros(_CODE_POINTS, np.int64)
    for paragraphs in text.values():
        found, often = np.unique(code_points("\n".join(paragraphs.to_pylist())), return_counts=True)
        counts[found] += often
    groups = letter_groups(counts)
    tables = [permutation(groups, seed, copy) for copy in range(1, copies + 1)]
    for number, (code, paragraphs) in enumerate(sorted(text.items())):
        yield code, 0, paragraphs
        words = split_words(paragraphs) if copies else None
        for copy, table in enumerate(tables, 1):
            assert words is not None
            rng = np.random.Generator(np.random.PCG64([seed, copy, number]))
            yield code, copy, shuffled(words, respelled(words, table, copy ** (GROWTH - 1), rng), rng)


def distinct_words(paragraphs: list[pa.StringArray]) -> int:
    """Distinct words of all paragraphs."""
    found = [pc.utf8_split_whitespace(pc.utf8_trim_whitespace(text)).flatten().unique() for text in paragraphs]
    return len(pa.chunked_array(found, pa.string()).unique()) if found else 0
