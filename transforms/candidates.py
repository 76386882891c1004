"""Candidates: band keys of elected paragraphs, and which paragraphs they connect.

Sign writes every file's band keys once, ordered by range, so that a pass reads its range only. A key that two paragraphs share
makes them candidates. Edges only say who must be decided together: they remove nobody.
"""

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import apache_beam as beam
import numba as nb
import numpy as np
import numpy.typing as npt

from cc100.shards import layout
from cc100.shards.array_file import ArrayFile, ArrayWriter, pack, unpack
from cc100.shards.records import FATE_KEPT, ORDINAL_BITS, ordinal_of, paragraph_ids
from cc100.transforms.components import connected_components, star_edges
from cc100.transforms.documents import DocumentBatch, read_documents
from cc100.transforms.elect import read_fates
from cc100.transforms.job import BANDS, DIGEST_RANGES, Cut, DoUnits, Job, JobReference, Outcome, WriteGroups
from cc100.transforms.mark import bucket_ranges
from cc100.transforms.minhash import NO_KEY, Signer
from cc100.transforms.pages import page_languages
from cc100.transforms.settings import NearSettings

STEP_SIGN = "sign"
STEP_CANDIDATES = "candidates"
STEP_COMPONENTS = "components"
_BUCKETS_OF_A_FOREST = 16

Array = npt.NDArray[Any]


class SignParagraphs(beam.PTransform):
    """Sign elected paragraphs: file index -> documents/, fates -> band keys -> file index."""

    def __init__(self, job: JobReference) -> None:
        super().__init__()
        self._job = job

    def expand(self, files: beam.PCollection[int]) -> beam.PCollection[int]:
        """File index -> file index, when its band keys are complete."""
        return files | "SignFile" >> DoUnits(self._job, STEP_SIGN, sign_file)


class FindCandidates(beam.PTransform):
    """Connect paragraphs that share a band key: file index -> band keys -> edges -> forests.

    Args:
        job: reference of the job.
        cut: how the shuffle of band keys is cut.
        part: which pass this is.
    """

    def __init__(self, job: JobReference, cut: Cut, part: int) -> None:
        super().__init__()
        self._job, self._cut, self._part = job, cut, part
        self._ranges = bucket_ranges(part, cut.passes, cut.buckets)

    def expand(self, files: beam.PCollection[int]) -> beam.PCollection[int]:
        """File index -> (bucket, band keys) -> (forest, edges) -> forest, when it is complete."""
        return (
            files
            | "SendBandKeys" >> beam.ParDo(_SendBandKeys(self._job, self._ranges, count_forests(self._cut)))
            | "GroupByBucket" >> beam.GroupByKey()
            | "ConnectEqualKeys" >> beam.ParDo(_ConnectEqualKeys(len(self._ranges), count_forests(self._cut)))
            | "GroupByForest" >> beam.GroupByKey()
            | "WriteEdges" >> WriteGroups(self._job, STEP_CANDIDATES, BANDS, self._cut, self._part, write_edges)
        )


class JoinComponents(beam.PTransform):
    """Join the forests of all passes: group of files -> edges -> components -> group."""

    def __init__(self, job: JobReference) -> None:
        super().__init__()
        self._job = job

    def expand(self, groups: beam.PCollection[int]) -> beam.PCollection[int]:
        """Group -> group, when its components are complete."""
        return groups | "JoinGroup" >> DoUnits(self._job, STEP_COMPONENTS, join_group)


# --- Sign -----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def signer(near: NearSettings) -> Signer:
    """The signer of these settings."""
    return Signer(
        bands=near.bands, rows=near.rows, shingle_length=near.shingle_length, threshold=near.threshold, seed=near.seed
    )


def group_seed(language: str, scope: int, group: int) -> int:
    """Number that keeps apart paragraphs that must never meet: of different language, scope or group of files."""
    digest = hashlib.blake2b(f"{scope}/{group}/{language}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def page_seeds(job: Job, file_index: int) -> Array:
    """`group_seed` of every page of a file: uint64[p]."""
    languages, _ = page_languages(job.storage, file_index)
    scope, group = job.inputs[file_index].near_scope, job.near_group_of(file_index)
    encoded = languages["language"].combine_chunks().dictionary_encode()
    seeds = [group_seed(code, scope, group) for code in encoded.dictionary.to_pylist()]
    return np.array([*seeds, 0], np.uint64)[encoded.indices.fill_null(len(seeds)).to_numpy()]


def sign_file(job: Job, file_index: int) -> Outcome:
    """Write the band keys of a file's elected paragraphs.

    For every row group k of documents/ that has any: `keys-k` uint64, ordered by range; `ordinals-k` uint32, the paragraph
    of each key; `ranges-k` uint64[DIGEST_RANGES + 1], begin of each range.
    """
    fate, seeds = read_fates(job, file_index), page_seeds(job, file_index)
    sign = signer(job.settings.near)
    name = layout.bands(file_index)
    signed = group = 0
    with job.storage.create(name) as out:
        writer = ArrayWriter(out)
        for batch in read_documents(job.storage, file_index):
            chosen = np.flatnonzero(fate[batch.ordinals] == FATE_KEPT)
            page_seed = seeds[batch.pages][batch.page_of()[chosen]]
            keys = sign.band_keys(batch.text, batch.starts[chosen], batch.ends[chosen], page_seed).keys
            ordinals = (chosen + batch.first_ordinal).astype(np.uint32)
            entries, owners, ranges = partition_keys(keys, ordinals)
            signed += int((keys[:, 0] != NO_KEY).sum())
            writer.add(f"keys-{group}", entries)
            writer.add(f"ordinals-{group}", owners)
            writer.add(f"ranges-{group}", ranges)
            group += 1
        writer.close({"groups": group})
    return Outcome({name: out.stored}, {"signed": signed})


def partition_keys(keys: Array, ordinals: Array) -> tuple[Array, Array, Array]:
    """Band keys one after another, ordered by their 12 high bits.

    Args:
        keys: uint64[n, bands]; NO_KEY entries are left out.
        ordinals: uint32[n].

    Returns:
        keys uint64[k], ordinals uint32[k], ranges uint64[DIGEST_RANGES + 1].
    """
    return _partition_keys(keys, ordinals)


@nb.njit(cache=True, nogil=True)
def _partition_keys(keys: Array, ordinals: Array) -> tuple[Array, Array, Array]:
    shift = np.uint64(52)
    none = np.uint64(0)
    ranges = np.zeros(4097, np.uint64)
    for i in range(keys.shape[0]):
        for band in range(keys.shape[1]):
            if keys[i, band] != none:
                ranges[(keys[i, band] >> shift) + np.uint64(1)] += np.uint64(1)
    for k in range(4096):
        ranges[k + 1] += ranges[k]
    at = ranges.copy()
    entries = np.empty(ranges[4096], np.uint64)
    owners = np.empty(ranges[4096], np.uint32)
    for i in range(keys.shape[0]):
        for band in range(keys.shape[1]):
            key = keys[i, band]
            if key != none:
                slot = at[key >> shift]
                entries[slot] = key
                owners[slot] = ordinals[i]
                at[key >> shift] = slot + np.uint64(1)
    return entries, owners, ranges


# --- Candidates -----------------------------------------------------------------------------------------------------


class _SendBandKeys(beam.DoFn):
    """Band keys of a file, cut by bucket; every file sends a value for every forest, so that none is missing."""

    def __init__(self, job: JobReference, ranges: list[tuple[int, int]], forests: int) -> None:
        self._job, self._ranges, self._forests = job, ranges, forests

    def process(self, element: int) -> Iterator[tuple[int, bytes]]:
        job = self._job.load()
        first_key = job.near_group_of(element) * len(self._ranges)
        name = layout.bands(element)
        header = np.array([element], np.uint64)
        nothing = pack({"header": header, "keys": np.empty(0, np.uint64), "ordinals": np.empty(0, np.uint32)})
        for forest in range(self._forests):
            yield first_key + -(-forest * len(self._ranges) // self._forests), nothing
        with job.storage.open(name) as stream:
            file = ArrayFile(stream, job.storage.uri(name))
            for group in range(file.attributes["groups"]):
                index = file.read(f"ranges-{group}").astype(np.int64)
                for bucket, (low, high) in enumerate(self._ranges):
                    begin, end = int(index[low]), int(index[high])
                    if end > begin:
                        keys = file.read(f"keys-{group}", begin, end)
                        ordinals = file.read(f"ordinals-{group}", begin, end)
                        yield first_key + bucket, pack({"header": header, "keys": keys, "ordinals": ordinals})


class _ConnectEqualKeys(beam.DoFn):
    def __init__(self, buckets: int, forests: int) -> None:
        self._buckets, self._forests = buckets, forests

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[tuple[int, bytes]]:
        group, bucket = divmod(element[0], self._buckets)
        sent = sorted((unpack(value) for value in element[1]), key=lambda arrays: int(arrays["header"][0]))
        nodes = np.concatenate([paragraph_ids(int(arrays["header"][0]), arrays["ordinals"]) for arrays in sent])
        edges = star_edges(np.concatenate([arrays["keys"] for arrays in sent]), nodes)
        yield group * self._forests + bucket * self._forests // self._buckets, pack({"edges": edges.ravel()})


def count_forests(cut: Cut) -> int:
    """Forests of a group and pass: one for so many buckets, so that no value grows with the input."""
    return -(-min(cut.buckets, max(1, DIGEST_RANGES // cut.passes)) // _BUCKETS_OF_A_FOREST)


def write_edges(job: Job, forest: int, part: int, values: Iterable[bytes]) -> Outcome:
    """Store a forest over candidates of a pass: each paragraph with the smallest id of its tree."""
    edges = np.concatenate([unpack(value)["edges"] for value in values]).reshape(-1, 2)
    ids, roots = connected_components(edges)
    name = layout.edges(forest, part)
    with job.storage.create(name) as out:
        writer = ArrayWriter(out)
        writer.add("ids", ids)
        writer.add("roots", roots)
        writer.close()
    return Outcome({name: out.stored}, {"candidates": len(ids)})


# --- Components -----------------------------------------------------------------------------------------------------


def join_group(job: Job, group: int) -> Outcome:
    """Join a group's forests; components over the cap are cut by id. Arrays `ids` uint64[n] ascending, `components` uint64[n]."""
    bands, forests = job.cut(BANDS), []
    for number, part in itertools.product(range(count_forests(bands)), range(bands.passes)):
        name = layout.edges(group * count_forests(bands) + number, part)
        with job.storage.open(name) as stream:
            file = ArrayFile(stream, job.storage.uri(name))
            forests.append(np.stack([file.read("ids"), file.read("roots")], axis=1))
    ids, components = connected_components(np.concatenate(forests))
    components, cut = cut_components(ids, components, job.settings.near.max_component_paragraphs)
    borders = np.arange(len(job.inputs) + 1, dtype=np.uint64) << np.uint64(ORDINAL_BITS)
    name = layout.components(group)
    with job.storage.create(name) as out:
        writer = ArrayWriter(out)
        writer.add("ids", ids)
        writer.add("components", components)
        writer.add("files", np.searchsorted(ids, borders).astype(np.uint64))
        writer.close()
    sizes = np.unique(components, return_counts=True)[1]
    figures = {
        "candidates": len(ids),
        "components": len(sizes),
        "largest_component": int(sizes.max(initial=0)),
        "components_cut": cut,
    }
    return Outcome({name: out.stored}, figures)


def cut_components(ids: Array, components: Array, max_paragraphs: int) -> tuple[Array, int]:
    """Cut components that are too large into pieces of consecutive ids, each named by its smallest id.

    Args:
        ids: uint64[n], ascending.
        components: uint64[n], smallest id of each one's component.
        max_paragraphs: largest size of a piece.

    Returns:
        The components afterwards, uint64[n], and how many were cut.
    """
    values, inverse, counts = np.unique(components, return_inverse=True, return_counts=True)
    if not len(values) or counts.max() <= max_paragraphs:
        return components, 0
    order = np.argsort(inverse, kind="stable")
    rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    begins = np.maximum.accumulate(np.where(rank % max_paragraphs == 0, np.arange(len(order)), 0))
    result = np.empty_like(components)
    result[order] = ids[order][begins]
    return result, int((counts > max_paragraphs).sum())


def read_components(job: Job, file_index: int) -> tuple[Array, Array]:
    """Ordinals of a file's candidates, ascending, and their components: int64[n], uint64[n]."""
    name = layout.components(job.near_group_of(file_index))
    with job.storage.open(name) as stream:
        file = ArrayFile(stream, job.storage.uri(name))
        begin, end = (int(value) for value in file.read("files", file_index, file_index + 2))
        ids = file.read("ids", begin, end)
        return ordinal_of(ids), file.read("components", begin, end)


def candidate_rows(batch: DocumentBatch, ordinals: Array) -> slice:
    """Where a batch's candidates stand in the ascending ordinals of a file's candidates."""
    begin, end = np.searchsorted(ordinals, [batch.ordinals.start, batch.ordinals.stop])
    return slice(int(begin), int(end))
