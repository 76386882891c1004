"""The benchmark's exact join against brute force, its recall against plain Python, and its removals against the job's."""

import importlib
import itertools
import pathlib
import subprocess
import sys

import numpy as np
import plain
import pyarrow as pa
import pyarrow.dataset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cc100.pipeline.config import load_settings
from cc100.pipeline.inputs import resolve_inputs
from cc100.pipeline.progress import StepProgress
from cc100.pipeline.run import Request, run
from cc100.shards.records import REMOVED
from cc100.transforms.job import load_job
from cc100.transforms.paragraphs import text_buffers
from cc100.transforms.shingles import ShingleSets, shingle_sets
from cc100.transforms.storage import Storage

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(REPOSITORY / "benchmarks"))  # scripts beside each other, not a package
bands = importlib.import_module("bands")
similar_pairs = importlib.import_module("similar_pairs")

SETS = st.lists(st.tuples(st.integers(0, 2), st.frozensets(st.integers(0, 12), max_size=12)), max_size=25)
THRESHOLDS = st.sampled_from([0.1, 0.3, 0.5, 2 / 3, 0.75, 0.8, 0.9, 1.0])


def packed(sets) -> ShingleSets:
    offsets = np.cumsum([0, *(len(one) for one in sets)], dtype=np.int64)
    return ShingleSets(offsets, np.array([h for one in sets for h in sorted(one)], np.uint64))


def join(rows, threshold):
    groups = np.array([group for group, _ in rows], np.uint64)
    low, high = similar_pairs.similar_pairs(packed([one for _, one in rows]), groups, threshold)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def brute_force(rows, threshold):
    pairs = itertools.combinations(range(len(rows)), 2)
    near = [
        (i, j)
        for i, j in pairs
        if rows[i][0] == rows[j][0] and rows[i][1] and plain.jaccard(rows[i][1], rows[j][1]) >= threshold
    ]
    return sorted(near, key=lambda pair: pair[::-1])


@given(SETS, THRESHOLDS)
def test_join_finds_all_pairs(rows, threshold):
    assert join(rows, threshold) == brute_force(rows, threshold)


@given(SETS)
def test_join_in_many_chunks(rows):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similar_pairs, "_PAIRS_AT_ONCE", 3)
        assert join(rows, 0.5) == brute_force(rows, 0.5)


def test_join_finds_all_pairs_of_real_paragraphs(shared_data):
    table = pa.parquet.read_table(shared_data / "truth" / "paragraph_sample.parquet", columns=["lang", "text"])
    codes = table["lang"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.uint64)
    texts = table["text"].to_pylist()
    buffers = text_buffers(pa.array([texts], pa.list_(pa.string())))
    offsets = buffers.offsets.astype(np.int64)
    sets = shingle_sets(buffers.text, offsets[:-1], offsets[1:])
    low, high = similar_pairs.similar_pairs(sets, codes, 0.8)
    found = set(zip(low.tolist(), high.tolist(), strict=True))
    assert found
    mine = [plain.shingles(text) for text in texts]
    touched = sorted({row for pair in found for row in pair})
    for row in [*touched[:: len(touched) // 25], *range(0, len(texts), len(texts) // 25)]:
        others = [k for k in np.flatnonzero(codes == codes[row]).tolist() if k != row and mine[k] and mine[row]]
        expected = {(min(k, row), max(k, row)) for k in others if plain.jaccard(mine[k], mine[row]) >= 0.8}
        assert {pair for pair in found if row in pair} == expected


@given(st.lists(st.lists(st.integers(0, 5), min_size=3, max_size=3), max_size=12))
def test_candidate_pairs(keys):
    entries = [(key, owner) for owner, row in enumerate(keys) for key in set(row)]
    expected = sum(bool(set(a) & set(b)) for a, b in itertools.combinations(keys, 2))
    columns = [np.array([entry[k] for entry in entries], dtype) for k, dtype in ((0, np.uint64), (1, np.uint32))]
    assert bands.count_pairs(*columns) == expected


def paragraphs_of(languages, names) -> "bands.Paragraphs":
    n = len(languages)
    none, numbers = np.zeros(n, np.int64), np.arange(n, dtype=np.uint64)
    return bands.Paragraphs(np.empty(0, np.uint8), none, none, numbers, numbers, np.array(languages, np.int64), names)


def test_recall(monkeypatch):
    monkeypatch.setattr(bands, "LEAST_EXPECTED", 2)
    paragraphs = paragraphs_of([0, 0, 0, 0, 1, 1, 1, 2, 2], ["de", "en", "fi"])
    # de: 1 goes for 0, 3 is missed; en: 5 and 6 go for 4; fi: 8 is missed, but one removal is too few to count.
    low, high = np.array([0, 0, 1, 4, 4, 5, 7]), np.array([1, 3, 2, 5, 6, 6, 8])
    totals, recall, lowest = bands.recall_by_language(paragraphs, np.array([1, 5, 6]), low, high)
    assert totals == {"removed": 3, "missed": 2}  # 2 resembles a removed one only
    assert (recall, lowest) == (3 / 5, ("de", 1 / 2))
    assert bands.recall_by_language(paragraphs_of([], []), *np.empty((3, 0), np.int64))[1:] == (0, ("", 1.0))
    assert bands.greedy_removals(low, high) == 5


def test_chance():
    assert bands.chance(20, 6, 0.8) == pytest.approx(1 - (1 - 0.8**6) ** 20)
    assert bands.chance(1, 1, 1.0) == 1


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A finished corpus of the bundled crawl."""
    folder = tmp_path_factory.mktemp("corpus") / "out"
    settings = load_settings(None, [])
    request = Request(resolve_inputs((str(REPOSITORY / "examples" / "crawl"),), None, settings), settings, 1, ())
    run(Storage(str(folder)), request, StepProgress(live=False))
    return folder


def test_removals_are_those_of_the_job(corpus):
    job = load_job(Storage(str(corpus)))
    paragraphs = bands.elected_paragraphs(job)
    counts = job.storage.read_json("manifest.json")["counts"]["paragraphs"]
    assert len(paragraphs.ids) == counts["kept"] + counts["near_duplicate"]
    result = bands.find_near_duplicates(paragraphs, job.settings.near)
    schema = pa.schema([REMOVED.field("paragraph_id")])
    removed = pyarrow.dataset.dataset(corpus / "removed" / "near", schema, format="parquet").to_table()
    assert paragraphs.ids[result.removed].tolist() == sorted(removed["paragraph_id"].to_pylist())
    assert len(result.removed) > 0
    assert result.candidate_pairs >= len(result.removed)


def test_command_line(corpus, tmp_path):
    script = REPOSITORY / "benchmarks" / "bands.py"
    command = [sys.executable, script, "--corpus", corpus, "--json", tmp_path / "bands.json"]
    options = ["--bands-rows", "20x6", "2x30", "--seeds", "1", "--default-seeds", "2"]
    done = subprocess.run([*command, *options], stdout=subprocess.PIPE, check=True, text=True)
    assert "| 2 x 30 |" in done.stdout
    report = Storage(str(tmp_path)).read_json("bands.json")
    default, coarse = report["choices"]
    assert default["recall"]["mean"] > coarse["recall"]["mean"]
    assert default["removed"]["mean"] + default["missed"]["mean"] == pytest.approx(
        report["corpus"]["greedy_removals"], rel=0.05
    )
