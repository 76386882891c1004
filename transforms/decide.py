"""Decide: which candidates are near duplicates of a kept paragraph (greedy, in order of id, within each component)."""

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt

from cc100.shards import layout
from cc100.shards.array_file import ArrayFile, ArrayWriter, pack, unpack
from cc100.shards.records import file_of, ordinal_of, paragraph_ids
from cc100.transforms.candidates import candidate_rows, page_seeds, read_components, signer
from cc100.transforms.documents import read_documents
from cc100.transforms.greedy import decide
from cc100.transforms.job import COMPONENTS, DIGEST_RANGES, Cut, DoUnits, Job, JobReference, Outcome, WriteGroups
from cc100.transforms.mark import bucket_ranges
from cc100.transforms.shingles import shingle_sets

STEP_SHINGLE = "shingle"
STEP = "decide"

Array = npt.NDArray[Any]
_FIELDS = {"ids": np.uint64, "keepers": np.uint64, "jaccard": np.float32, "capped": np.uint64}


_ROW_FIELDS = ("ids", "components", "lengths")


class ShingleCandidates(beam.PTransform):
    """Shingle candidates: file index -> documents/, components -> shingle sets and band keys -> file index."""

    def __init__(self, job: JobReference) -> None:
        super().__init__()
        self._job = job

    def expand(self, files: beam.PCollection[int]) -> beam.PCollection[int]:
        """File index -> file index, when its shingle sets are complete."""
        return files | "ShingleFile" >> DoUnits(self._job, STEP_SHINGLE, shingle_file)


class DecideNearDuplicates(beam.PTransform):
    """Decide components: file index -> shingle sets of candidates -> decisions of its block -> block.

    Args:
        job: reference of the job.
        cut: how the shuffle of components is cut.
        part: which pass this is.
    """

    def __init__(self, job: JobReference, cut: Cut, part: int) -> None:
        super().__init__()
        self._job, self._cut, self._part = job, cut, part
        self._ranges = bucket_ranges(part, cut.passes, cut.buckets)

    def expand(self, files: beam.PCollection[int]) -> beam.PCollection[int]:
        """File index -> (bucket, candidates) -> (block, decisions) -> block, when its decisions are complete."""
        return (
            files
            | "SendCandidates" >> beam.ParDo(_SendCandidates(self._job, self._ranges))
            | "GroupByBucket" >> beam.GroupByKey()
            | "DecideComponents" >> beam.ParDo(_DecideComponents(self._job))
            | "GroupByBlock" >> beam.GroupByKey()
            | "WriteDecisions" >> WriteGroups(self._job, STEP, COMPONENTS, self._cut, self._part, write_decisions)
        )


class _SendCandidates(beam.DoFn):
    """A file's candidates of this pass, cut by bucket of their component; blocks announce themselves to a seed bucket."""

    def __init__(self, job: JobReference, ranges: list[tuple[int, int]]) -> None:
        self._job, self._ranges = job, ranges

    def process(self, element: int) -> Iterator[tuple[int, bytes]]:
        job = self._job.load()
        yield job.block_of(element) % len(self._ranges), pack({"announce": np.array([element], np.uint64)})
        name = layout.shingled(element)
        with job.storage.open(name) as stream:
            file = ArrayFile(stream, job.storage.uri(name))
            bands = file.attributes["bands"]
            for group in range(file.attributes["groups"]):
                rows = file.read(f"ranges-{group}").astype(np.int64)
                spans = file.read(f"hash_ranges-{group}").astype(np.int64)
                for bucket, (low, high) in enumerate(self._ranges):
                    begin, end = int(rows[low]), int(rows[high])
                    if end > begin:
                        arrays = {field: file.read(f"{field}-{group}", begin, end) for field in _ROW_FIELDS}
                        arrays["keys"] = file.read(f"keys-{group}", begin * bands, end * bands)
                        arrays["hashes"] = file.read(f"hashes-{group}", int(spans[low]), int(spans[high]))
                        yield bucket, pack(arrays)


def shingle_file(job: Job, file_index: int) -> Outcome:
    """Write the shingle sets and band keys of a file's candidates, ordered by the range of their component.

    For every row group k of documents/ that has any: `ids-k`, `components-k` uint64[n], `keys-k` uint64[n * bands], `lengths-k`
    uint32[n], `hashes-k` uint64[sum of lengths], `ranges-k` and `hash_ranges-k` uint64[DIGEST_RANGES + 1], begins of the ranges.
    """
    ordinals, components = read_components(job, file_index)
    seeds, near = page_seeds(job, file_index), job.settings.near
    name = layout.shingled(file_index)
    group = 0
    with job.storage.create(name) as out:
        writer = ArrayWriter(out)
        for batch in read_documents(job.storage, file_index):
            rows = candidate_rows(batch, ordinals)
            if rows.start == rows.stop:
                continue
            ranges = (mix_ids(components[rows]) >> np.uint64(65 - DIGEST_RANGES.bit_length())).astype(np.int64)
            order = np.argsort(ranges, kind="stable")
            local = ordinals[rows][order] - batch.first_ordinal
            starts, ends = batch.starts[local], batch.ends[local]
            sets = shingle_sets(batch.text, starts, ends, near.shingle_length)
            page_seed = seeds[batch.pages][batch.page_of()[local]]
            begins = np.searchsorted(ranges[order], np.arange(DIGEST_RANGES + 1))
            arrays = {
                "ids": paragraph_ids(file_index, ordinals[rows][order]),
                "components": components[rows][order],
                "keys": signer(near).band_keys(batch.text, starts, ends, page_seed).keys.ravel(),
                "lengths": np.diff(sets.offsets).astype(np.uint32),
                "hashes": sets.hashes,
                "ranges": begins.astype(np.uint64),
                "hash_ranges": sets.offsets[begins].astype(np.uint64),
            }
            for field, array in arrays.items():
                writer.add(f"{field}-{group}", array)
            group += 1
        writer.close({"groups": group, "bands": near.bands})
    return Outcome({name: out.stored})


def mix_ids(ids: Array) -> Array:
    """splitmix64's finaliser of every id: uint64[n]."""
    z = ids.astype(np.uint64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def span_positions(begins: Array, lengths: Array) -> Array:
    """Positions of all elements of spans, one after another: int64[sum(lengths)]."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(begins - (ends - lengths), lengths)


class _DecideComponents(beam.DoFn):
    def __init__(self, job: JobReference) -> None:
        self._job = job

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[tuple[int, bytes]]:
        job = self._job.load()
        sent = [unpack(value) for value in element[1]]
        files = sorted({int(arrays["announce"][0]) for arrays in sent if "announce" in arrays})
        for block in sorted({job.block_of(index) for index in files}):
            yield block, pack({name: np.empty(0, dtype) for name, dtype in _FIELDS.items()})
        candidates = [arrays for arrays in sent if "announce" not in arrays]
        if candidates:
            decided = decide_bucket(candidates, job.settings.near.threshold, job.settings.near.max_comparisons)
            yield from by_block(job, decided)


def decide_bucket(sent: list[dict[str, Array]], threshold: float, max_comparisons: int) -> dict[str, Array]:
    """Decisions on all components of a bucket.

    Args:
        sent: blobs of `_SendCandidates`, in any order; every component is complete.
        threshold: Jaccard from which a paragraph is removed.
        max_comparisons: per paragraph.

    Returns:
        `ids`, `keepers` uint64[r] and `jaccard` float32[r] of the removed, and `capped` uint64[c], ids that met the cap.
    """
    joined = {name: np.concatenate([arrays[name] for arrays in sent]) for name in sent[0]}
    order = np.lexsort((joined["ids"], joined["components"]))
    ids, lengths = joined["ids"][order], joined["lengths"][order].astype(np.int64)
    all_lengths = joined["lengths"].astype(np.int64)
    begins = (np.cumsum(all_lengths) - all_lengths)[order]
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    result = decide(
        joined["components"][order],
        joined["keys"].reshape(len(ids), -1)[order],
        offsets,
        joined["hashes"][span_positions(begins, lengths)],
        threshold,
        max_comparisons,
    )
    removed = np.flatnonzero(result.keeper >= 0)
    return {
        "ids": ids[removed],
        "keepers": ids[result.keeper[removed]],
        "jaccard": result.jaccard[removed].astype(np.float32),
        "capped": ids[result.capped],
    }


def by_block(job: Job, decided: dict[str, Array]) -> Iterator[tuple[int, bytes]]:
    """Cut decisions by the block of the paragraph that they concern."""
    block, capped_block = (file_of(decided[name]) // job.plan.block_files for name in ("ids", "capped"))
    for number in np.unique(np.concatenate([block, capped_block])).tolist():
        arrays = {name: decided[name][(capped_block if name == "capped" else block) == number] for name in _FIELDS}
        yield number, pack(arrays)


def write_decisions(job: Job, block: int, part: int, values: Iterable[bytes]) -> Outcome:
    """Store a block's decisions by ascending id."""
    sent = [unpack(value) for value in values]
    joined = {name: np.concatenate([arrays[name] for arrays in sent]) for name in _FIELDS}
    order = np.argsort(joined["ids"])
    name = layout.decisions(block, part)
    with job.storage.create(name) as out:
        writer = ArrayWriter(out)
        for field in ("ids", "keepers", "jaccard"):
            writer.add(field, joined[field][order])
        writer.close()
    return Outcome({name: out.stored}, {"removed": len(order), "capped": len(joined["capped"])})


def read_decisions(job: Job, block: int) -> dict[str, Array]:
    """Removed near duplicates of a block by ascending id: `ids`, `keepers` uint64[r], `jaccard` float32[r]."""
    parts: list[dict[str, Array]] = []
    for part in range(job.cut(COMPONENTS).passes if COMPONENTS in job.shuffles else 0):
        name = layout.decisions(block, part)
        with job.storage.open(name) as stream:
            file = ArrayFile(stream, job.storage.uri(name))
            parts.append({field: file.read(field) for field in ("ids", "keepers", "jaccard")})
    empty = {"ids": np.empty(0, np.uint64), "keepers": np.empty(0, np.uint64), "jaccard": np.empty(0, np.float32)}
    joined = {field: np.concatenate([empty[field], *(arrays[field] for arrays in parts)]) for field in empty}
    order = np.argsort(joined["ids"])
    return {field: values[order] for field, values in joined.items()}


def near_duplicates_of(decisions: dict[str, Array], file_index: int) -> Array:
    """Ordinals of a file's removed near duplicates: int64[r], ascending."""
    return ordinal_of(decisions["ids"][file_of(decisions["ids"]) == file_index])
