"""What a sample takes: keyed by id alone, NFC, with what the trainer would drop left out and counted."""

import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_corpus import make_corpus, two_languages

from cc100.shards import layout
from cc100.shards.corpus import read_corpus
from cc100.shards.errors import DamagedFileError
from cc100.transforms.sample import TOKENIZER, SampleJob, draw, read_sample, sample_part
from cc100.transforms.storage import Storage

MASK = 2**64 - 1


def plain_uniform(number, seed):
    x = (number + (seed + 1) * 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & MASK
    return ((x ^ x >> 31) >> 11) * 2.0**-53


texts = st.text(st.sampled_from("ab é\u0301\u2585가ก"), max_size=12)


@given(
    st.lists(st.tuples(st.integers(0, MASK), texts), max_size=30),
    st.floats(0, 3),
    st.integers(0, 5),
    st.integers(3, 20),
)
def test_draw_is_that_of_plain_python(rows, rate, seed, max_bytes):
    ids = np.array([number for number, _ in rows], np.uint64)
    drawn = draw(ids, pa.array([text for _, text in rows], pa.string()), rate, seed, max_bytes)
    lines, copies, too_long, reserved = [], [], 0, 0
    for number, text in rows:
        times = int(rate) + (plain_uniform(number, seed) < rate - int(rate))
        line = unicodedata.normalize("NFC", text).encode()
        if times and len(line) > max_bytes:
            too_long += times
        elif times and "\u2585" in text:
            reserved += times
        elif times:
            lines.append(line)
            copies.append(times)
    assert drawn.lines == lines
    assert drawn.copies.tolist() == copies
    assert (drawn.too_long, drawn.reserved) == (too_long, reserved)


@pytest.fixture
def job(tmp_path):
    folder = make_corpus(tmp_path / "out", two_languages())
    corpus = read_corpus((folder / "manifest.json").read_bytes(), "manifest.json")
    return SampleJob(Storage(str(folder)), TOKENIZER, corpus.parts, {"el": 0.5, "xx": 1.5}, 3, 1000)


def test_parts_are_sampled_into_files_that_can_be_read_back(job):
    for number, part in enumerate(job.parts):
        figures = sample_part(job, number).figures
        batches = list(read_sample(job, part))
        copies = np.concatenate([batch["copies"].to_numpy() for batch in batches])
        sizes = np.array([len(text) for batch in batches for text in batch["text"].to_pylist()])
        assert figures["language"] == part.language
        assert figures["sampled_paragraphs"] == copies.sum()
        assert figures["sampled_bytes"] == (copies * sizes).sum()
        rate = figures["sampled_paragraphs"] / figures["paragraphs"]
        assert abs(rate - job.rates[part.language]) < 0.2
        if part.language == "xx":
            assert set(copies.tolist()) == {1, 2}


def test_the_same_part_gives_the_same_bytes(job):
    first = sample_part(job, 1)
    assert sample_part(job, 1) == first


def test_a_damaged_sample_is_named(job):
    sample_part(job, 0)
    name = layout.sample(TOKENIZER, job.parts[0].language, job.parts[0].part)
    job.storage.write(name, job.storage.read(name)[:-20])
    with pytest.raises(DamagedFileError, match=r"el-00000\.arrow is damaged"):
        list(read_sample(job, job.parts[0]))
