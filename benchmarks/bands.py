"""Recall of near duplicates and what it costs, for several numbers of bands and rows.

    python benchmarks/bands.py --corpus DIR [--json FILE] [--plot FILE ...] [--bands-rows 20x6 ...] [--seeds 1 2 3 4 5]

DIR is a finished output folder of `cc100 corpus`. Its elected paragraphs are signed, connected and decided anew with the
project's own kernels, in memory, for every choice of bands and rows and every seed of the permutations; the default
choice with many more seeds, too. The result is compared with all pairs of elected paragraphs of a language whose exact
Jaccard similarity reaches `near.threshold`, which a join without MinHash finds (similar_pairs.py). A paragraph is
*removed* or *missed*: it stays, and a kept one before it is similar enough. Recall is removed / (removed + missed).
The text of the whole corpus is held in memory.

CPU seconds are those of this process, single-threaded, the least of all seeds: `sign` makes shingles, signatures, band
keys, and orders the keys for storage; `group` connects equal keys to components; `decide` reads the candidates once
more (shingle sets and band keys, as the job does) and decides. Reading files and shuffles are not in them.
"""

import argparse
import dataclasses
import json
import math
import pathlib
import platform
import statistics
import time
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
from similar_pairs import pairs_up_to, similar_pairs

from cc100.shards.records import FATE_KEPT, paragraph_ids
from cc100.transforms.candidates import cut_components, page_seeds, partition_keys
from cc100.transforms.components import connected_components, star_edges
from cc100.transforms.decide import decide_bucket
from cc100.transforms.documents import read_documents
from cc100.transforms.elect import read_fates
from cc100.transforms.job import Job, limit_threads, load_job
from cc100.transforms.minhash import Signer
from cc100.transforms.pages import page_languages
from cc100.transforms.settings import NearSettings
from cc100.transforms.shingles import shingle_sets
from cc100.transforms.storage import Storage

CHOICES = "5x6 9x13 10x5 10x6 14x8 14x9 16x5 16x6 16x8 20x5 20x6 20x7 20x8 20x13 24x10 25x5 32x4 32x8 40x6"
LEAST_EXPECTED = 20
"""Removals that a language must be due before its recall counts as a figure of its own."""

_NONE_MISSED = 0.002  # per cent, where the plot draws 0

Array = npt.NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Paragraphs:
    """The elected paragraphs of a corpus, by id.

    Attributes:
        text: uint8[b], UTF-8 of all paragraphs of the corpus.
        starts, ends: int64[n], byte span of each.
        ids: uint64[n], ascending.
        seeds: uint64[n], `candidates.group_seed`: only paragraphs with equal ones are ever compared.
        languages: int64[n], numbers in `names`.
        names: languages, ascending.
    """

    text: Array
    starts: Array
    ends: Array
    ids: Array
    seeds: Array
    languages: Array
    names: list[str]


@dataclasses.dataclass(frozen=True)
class Result:
    """What one choice of bands, rows and seed gives: rows of removed paragraphs, and costs."""

    removed: Array
    capped: int
    candidates: int
    candidate_pairs: int
    key_bytes: int
    cpu_s: dict[str, float]


# --- Reading --------------------------------------------------------------------------------------------------------


def elected_paragraphs(job: Job) -> Paragraphs:
    """Read a finished corpus."""
    parts: dict[str, list[Array]] = {name: [] for name in ("text", "starts", "ends", "ids", "seeds", "names")}
    size = 0
    for index in range(len(job.inputs)):
        fate, seeds = read_fates(job, index), page_seeds(job, index)
        names = np.array([name or "" for name in page_languages(job.storage, index)[0]["language"].to_pylist()], str)
        for batch in read_documents(job.storage, index):
            chosen = np.flatnonzero(fate[batch.ordinals] == FATE_KEPT)
            pages = batch.page_of()[chosen]
            parts["text"].append(batch.text)
            parts["starts"].append(batch.starts[chosen] + size)
            parts["ends"].append(batch.ends[chosen] + size)
            parts["ids"].append(paragraph_ids(index, chosen + batch.first_ordinal))
            parts["seeds"].append(seeds[batch.pages][pages])
            parts["names"].append(names[batch.pages][pages])
            size += len(batch.text)
    joined = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    found, languages = np.unique(joined.pop("names"), return_inverse=True)
    return Paragraphs(languages=languages, names=found.tolist(), **joined)


# --- Measuring ------------------------------------------------------------------------------------------------------


def find_near_duplicates(paragraphs: Paragraphs, near: NearSettings) -> Result:
    """Sign, connect and decide, as the steps of the job do."""
    text, starts, ends, seeds = paragraphs.text, paragraphs.starts, paragraphs.ends, paragraphs.seeds
    sign = Signer(near.bands, near.rows, near.shingle_length, near.threshold, near.seed)
    clock = [time.process_time()]
    keys = sign.band_keys(text, starts, ends, seeds).keys
    entries, owners, _ = partition_keys(keys, np.arange(len(starts), dtype=np.uint32))
    clock.append(time.process_time())
    ids, components = connected_components(star_edges(entries, paragraphs.ids[owners]))
    components, _ = cut_components(ids, components, near.max_component_paragraphs)
    clock.append(time.process_time())
    rows = np.searchsorted(paragraphs.ids, ids)
    sets = shingle_sets(text, starts[rows], ends[rows], near.shingle_length)
    sent = {
        "ids": ids,
        "components": components,
        "keys": sign.band_keys(text, starts[rows], ends[rows], seeds[rows]).keys.ravel(),
        "lengths": np.diff(sets.offsets).astype(np.uint32),
        "hashes": sets.hashes,
    }
    decided = decide_bucket([sent], near.threshold, near.max_comparisons)
    clock.append(time.process_time())
    spent = dict(zip(("sign", "group", "decide"), np.diff(clock).tolist(), strict=True))
    return Result(
        removed=np.searchsorted(paragraphs.ids, np.sort(decided["ids"])),
        capped=len(decided["capped"]),
        candidates=len(ids),
        candidate_pairs=count_pairs(entries, owners),
        key_bytes=entries.nbytes + owners.nbytes,
        cpu_s=spent,
    )


def count_pairs(keys: Array, owners: Array) -> int:
    """Number of distinct pairs of owners that have a key in common."""
    order = np.lexsort((owners, keys))
    keys, owners = keys[order], owners[order].astype(np.int64)
    found = [np.empty(0, np.int64)]
    for left, right in pairs_up_to(np.searchsorted(keys, keys, side="right")):
        found.append(np.unique(owners[left] << 32 | owners[right]))
    return len(np.unique(np.concatenate(found)))


def recall_by_language(
    paragraphs: Paragraphs, removed_rows: Array, low: Array, high: Array
) -> tuple[dict[str, int], float, tuple[str, float]]:
    """Totals, recall over all, and the language with the lowest recall among those due enough removals (else "", 1)."""
    is_removed = np.zeros(len(paragraphs.ids), bool)
    is_removed[removed_rows] = True
    missed_rows = np.unique(high[~is_removed[high] & ~is_removed[low]])
    removed, missed = (
        np.bincount(paragraphs.languages[rows], minlength=len(paragraphs.names)) for rows in (removed_rows, missed_rows)
    )
    expected = removed + missed
    recalls = np.where(expected >= LEAST_EXPECTED, removed / np.maximum(expected, 1), 2.0)
    worst = int(np.argmin(recalls)) if len(recalls) and recalls.min() <= 1 else -1
    lowest = (paragraphs.names[worst], float(recalls[worst])) if worst >= 0 else ("", 1.0)
    totals = {"removed": int(removed.sum()), "missed": int(missed.sum())}
    return totals, totals["removed"] / max(int(expected.sum()), 1), lowest


def measure(paragraphs: Paragraphs, near: NearSettings, seeds: list[int], pairs: tuple[Array, Array]) -> dict[str, Any]:
    """Figures of one number of bands and rows over all seeds."""
    results = [find_near_duplicates(paragraphs, dataclasses.replace(near, seed=seed)) for seed in seeds]
    figures = [recall_by_language(paragraphs, result.removed, *pairs) for result in results]
    least = {step: min(result.cpu_s[step] for result in results) for step in results[0].cpu_s}
    return {
        "bands": near.bands,
        "rows": near.rows,
        "chance_at_threshold": round(chance(near.bands, near.rows, near.threshold), 4),
        "recall": _spread([recall for _, recall, _ in figures]),
        "lowest_language_recall": _spread([recall for _, _, (_, recall) in figures]),
        "removed": _spread([totals["removed"] for totals, _, _ in figures]),
        "missed": _spread([totals["missed"] for totals, _, _ in figures]),
        "capped": max(result.capped for result in results),
        "candidates": round(statistics.mean(result.candidates for result in results)),
        "candidate_pairs": round(statistics.mean(result.candidate_pairs for result in results)),
        "key_bytes": round(statistics.mean(result.key_bytes for result in results)),
        "cpu_s": {**{step: round(value, 3) for step, value in least.items()}, "sum": round(sum(least.values()), 3)},
    }


def chance(bands: int, rows: int, similarity: float) -> float:
    """Probability that a pair of this Jaccard similarity shares a band."""
    return -math.expm1(bands * math.log1p(-(similarity**rows))) if similarity < 1 else 1.0


def _spread(values: list[float]) -> dict[str, float]:
    return {name: round(of(values), 6) for name, of in (("mean", statistics.mean), ("min", min), ("max", max))}


def greedy_removals(low: Array, high: Array) -> int:
    """Number of removals when every similar pair is known: in order of id, what resembles a kept one goes."""
    removed: set[int] = set()
    for i, j in zip(low.tolist(), high.tolist(), strict=True):  # by j, so that everything about i is settled
        if i not in removed:
            removed.add(j)
    return len(removed)


# --- Report ---------------------------------------------------------------------------------------------------------


def print_table(report: dict[str, Any]) -> None:
    """A Markdown table, a line for every number of bands and rows."""
    heads = ("bands x rows", "at the threshold", "recall (least)", "lowest language (least)", "candidates")
    print("|", " | ".join((*heads, "candidate pairs", "keys, MB", "CPU s: sign", "group", "decide", "sum")), "|")
    print("|---" * 11 + "|")
    for entry in report["choices"]:
        recall, lowest = entry["recall"], entry["lowest_language_recall"]
        cells = (
            f"{entry['bands']} x {entry['rows']}",
            f"{entry['chance_at_threshold']:.3f}",
            f"{recall['mean']:.4f} ({recall['min']:.4f})",
            f"{lowest['mean']:.3f} ({lowest['min']:.3f})",
            f"{entry['candidates']:,}",
            f"{entry['candidate_pairs']:,}",
            f"{entry['key_bytes'] / 1e6:.1f}",
            *(f"{entry['cpu_s'][step]:.2f}" for step in ("sign", "group", "decide", "sum")),
        )
        print("|", " | ".join(cells), "|")


def plot(report: dict[str, Any], files: list[pathlib.Path]) -> None:
    """Draw what is missed against CPU seconds.

    Raises:
        SystemExit: Matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise SystemExit("--plot needs Matplotlib: python -m pip install matplotlib") from error
    matplotlib.use("Agg")
    matplotlib.rcParams |= {"svg.hashsalt": "cc100", "svg.fonttype": "path", "font.size": 9}
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 5.2), sharey=True, layout="constrained")
    panels = (
        ("recall", "all languages"),
        ("lowest_language_recall", f"lowest language due {LEAST_EXPECTED} removals or more"),
    )
    for axis, (key, title) in zip(axes, panels, strict=True):
        for entry in report["choices"]:
            cpu_s = entry["cpu_s"]["sum"]
            missed = [max(100 * (1 - entry[key][name]), _NONE_MISSED) for name in ("max", "mean", "min")]
            colour = "tab:red" if [entry["bands"], entry["rows"]] == report["default"] else "tab:blue"
            axis.plot([cpu_s, cpu_s], [missed[0], missed[2]], color=colour, linewidth=1)
            axis.plot(cpu_s, missed[1], "o", color=colour, markersize=4)
            crowded = entry["bands"] in (10, 16) and entry["rows"] < 7
            side: dict[str, Any] = {"xytext": (-4, 3), "ha": "right"} if crowded else {"xytext": (4, 3), "ha": "left"}
            name = f"{entry['bands']} x {entry['rows']}"
            axis.annotate(name, (cpu_s, missed[1]), textcoords="offset points", color=colour, fontsize=8, **side)
        axis.set(title=title, xlabel="CPU seconds: sign, group and decide", yscale="log", xmargin=0.15)
        ticks = (_NONE_MISSED, 0.01, 0.1, 1, 10, 100)
        axis.set_yticks(ticks, ["none", *(f"{tick:g} %" for tick in ticks[1:])])
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(f"missed near duplicates (dot: mean, line: range of {len(report['seeds'])} seeds)")
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, dpi=110, metadata={"Date": None} if file.suffix == ".svg" else None)
    pyplot.close(figure)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure all choices."""
    job = load_job(Storage(str(options.corpus)))
    near = job.settings.near
    paragraphs = elected_paragraphs(job)
    sets = shingle_sets(paragraphs.text, paragraphs.starts, paragraphs.ends, near.shingle_length)
    low, high = similar_pairs(sets, paragraphs.seeds, near.threshold)
    find_near_duplicates(paragraphs, near)  # loads the compiled kernels
    choices = []
    for bands, rows in options.bands_rows:
        choices.append(
            measure(paragraphs, dataclasses.replace(near, bands=bands, rows=rows), options.seeds, (low, high))
        )
        print(f"{bands} x {rows}: recall {choices[-1]['recall']['mean']:.4f}", flush=True)
    default = dataclasses.replace(near, bands=NearSettings().bands, rows=NearSettings().rows)
    more = list(range(1, options.default_seeds + 1))
    return {
        "corpus": {
            "files": len(job.inputs),
            "text_bytes": len(paragraphs.text),
            "elected_paragraphs": len(paragraphs.ids),
            "elected_bytes": int((paragraphs.ends - paragraphs.starts).sum()),
            "with_shingles": int((np.diff(sets.offsets) > 0).sum()),
            "languages": len(paragraphs.names),
            "similar_pairs": len(low),
            "greedy_removals": greedy_removals(low, high),
        },
        "threshold": near.threshold,
        "shingle_length": near.shingle_length,
        "least_expected": LEAST_EXPECTED,
        "seeds": options.seeds,
        "default": [default.bands, default.rows],
        "default_over_seeds": {"seeds": options.default_seeds, **measure(paragraphs, default, more, (low, high))},
        "cpu": cpu_model(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ("numpy", "numba")}},
        "choices": choices,
    }


def cpu_model() -> str:
    """The processor's name, as far as the system tells it."""
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _bands_rows(argument: str) -> tuple[int, int]:
    bands, _, rows = argument.partition("x")
    return int(bands), int(rows)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Recall of near duplicates, and its cost, by bands and rows.")
    add = parser.add_argument
    add("--corpus", required=True, metavar="DIR", help="finished output folder of cc100 corpus")
    add("--json", type=pathlib.Path, metavar="FILE", help="where the figures go")
    add("--plot", type=pathlib.Path, nargs="+", metavar="FILE", help="pictures to draw (.svg, .png); needs Matplotlib")
    default = [_bands_rows(choice) for choice in CHOICES.split()]
    add("--bands-rows", type=_bands_rows, nargs="+", default=default, metavar="BxR", help=f"default: {CHOICES}")
    add("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5], metavar="N", help="seeds of the permutations (1 to 5)")
    add("--default-seeds", type=int, default=100, metavar="N", help="seeds 1 to N for the default bands and rows (100)")
    options = parser.parse_args()
    limit_threads()
    report = run(options)
    print_table(report)
    more = report["default_over_seeds"]
    print(
        f"default over {more['seeds']} seeds: recall {more['recall']}, lowest language {more['lowest_language_recall']}"
    )
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        plot(report, options.plot)


if __name__ == "__main__":
    main()
