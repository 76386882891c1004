"""The manifest of a corpus from the outcomes of its steps, and its tables for people."""

from typing import Any

from rich.console import Console
from rich.table import Table

from cc100.pipeline.config import configuration
from cc100.shards.records import FORMAT_VERSION, PAGE_STATUSES, PARAGRAPH_FATES
from cc100.transforms import decide, extract, gather, language, scatter
from cc100.transforms.job import Job, Outcome

Outcomes = dict[str, dict[str, Outcome]]

_PUBLIC_STEPS = (extract.STEP, language.STEP, gather.STEP)


def make_manifest(job: Job, outcomes: Outcomes) -> dict[str, Any]:
    """Content of manifest.json; depends on input and configuration only."""
    fates = _fates(outcomes)
    inputs = [_input(job, index, outcomes, fates[index]) for index in range(len(job.inputs))]
    pages = {status: sum(entry["pages_by_status"][status] for entry in inputs) for status in PAGE_STATUSES}
    paragraphs = {fate: sum(entry["paragraphs_by_fate"][fate] for entry in inputs) for fate in PARAGRAPH_FATES}
    return {
        "format_version": FORMAT_VERSION,
        "configuration": configuration(job.settings),
        "model": {"name": job.model.name, "sha256": job.model.sha256},
        "inputs": inputs,
        "counts": {"pages": pages, "paragraphs": paragraphs},
        "languages": _languages(outcomes, fates),
        "files": _files(outcomes),
    }


def _fates(outcomes: Outcomes) -> list[dict[str, Any]]:
    """Figures of every file from the scatter step, in order."""
    by_file = {
        int(index): entry
        for outcome in outcomes[scatter.STEP].values()
        for index, entry in outcome.figures["fates"].items()
    }
    return [by_file[index] for index in sorted(by_file)]


def _input(job: Job, index: int, outcomes: Outcomes, fates: dict[str, Any]) -> dict[str, Any]:
    entry, unit = job.inputs[index], f"{index:06d}"
    read = outcomes[extract.STEP][unit].figures
    by_status = outcomes[language.STEP][unit].figures["pages_by_status"]
    return {
        "index": index,
        "uri": entry.uri,
        "bytes": entry.bytes if entry.is_size_known else read["bytes"],
        **{key: read[key] for key in ("pages", "paragraphs", "text_bytes", "rejects", "skipped", "quarantined")},
        "pages_by_status": {status: by_status.get(status, 0) for status in PAGE_STATUSES},
        "paragraphs_by_fate": dict(zip(PARAGRAPH_FATES, fates["paragraphs"], strict=True)),
    }


def _languages(outcomes: Outcomes, fates: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {}
    for entry in fates:
        for code, counts in entry["languages"].items():
            row = found.setdefault(
                code,
                {
                    "pages": 0,
                    "paragraphs": 0,
                    "text_bytes": 0,
                    "files": 0,
                    "paragraphs_by_fate": dict.fromkeys(PARAGRAPH_FATES, 0),
                },
            )
            for fate, count in zip(PARAGRAPH_FATES, counts, strict=True):
                row["paragraphs_by_fate"][fate] += count
    for outcome in outcomes[gather.STEP].values():
        figures = outcome.figures
        if figures["kind"] == "shards":
            row = found[figures["language"]]
            for key in ("pages", "paragraphs", "text_bytes"):
                row[key] += figures[key]
            row["files"] += 1
    return found


def _files(outcomes: Outcomes) -> dict[str, Any]:
    """Size and SHA-256 of every file outside run/."""
    return {
        path: {"bytes": file.bytes, "sha256": file.sha256}
        for step in _PUBLIC_STEPS
        for outcome in outcomes[step].values()
        for path, file in outcome.files.items()
        if not path.startswith("run/")
    }


def run_notes(outcomes: Outcomes) -> dict[str, Any]:
    """Figures that belong to run/: what the near stage met."""
    decided = [outcome.figures for outcome in outcomes.get(decide.STEP, {}).values()]
    joined = [outcome.figures for outcome in outcomes.get("components", {}).values()]
    return {
        "rejects_by_reason": _sum(
            [outcome.figures["rejects_by_reason"] for outcome in outcomes[extract.STEP].values()]
        ),
        "paragraphs_capped": sum(figures["capped"] for figures in decided),
        "candidates": sum(figures["candidates"] for figures in joined),
        "components": sum(figures["components"] for figures in joined),
        "components_cut": sum(figures["components_cut"] for figures in joined),
        "largest_component": max((figures["largest_component"] for figures in joined), default=0),
        "bytes_read_by_model": sum(
            outcome.figures["bytes_read_by_model"] for outcome in outcomes[language.STEP].values()
        ),
    }


def _sum(counters: list[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for counter in counters:
        for key, value in counter.items():
            total[key] = total.get(key, 0) + value
    return total


def print_summary(manifest: dict[str, Any], console: Console, most: int = 30) -> None:
    """Tables of a finished corpus: fates, and the largest languages."""
    pages, paragraphs = manifest["counts"]["pages"], manifest["counts"]["paragraphs"]
    console.print(_count_table("Pages by status", {key: pages[key] for key in PAGE_STATUSES}))
    console.print(_count_table("Paragraphs by fate", {key: paragraphs[key] for key in PARAGRAPH_FATES}))
    table = Table(title="Languages", title_justify="left")
    table.add_column("language")
    for column in ("pages", "paragraphs", "text MB", "parts", "exact duplicates", "near duplicates"):
        table.add_column(column, justify="right")
    ranked = sorted(manifest["languages"].items(), key=lambda item: (-item[1]["text_bytes"], item[0]))
    for code, row in ranked[:most]:
        fates = row["paragraphs_by_fate"]
        numbers = (
            row["pages"],
            row["paragraphs"],
            f"{row['text_bytes'] / 1e6:,.2f}",
            row["files"],
            fates["exact_duplicate"],
            fates["near_duplicate"],
        )
        table.add_row(code, *(value if isinstance(value, str) else f"{value:,}" for value in numbers))
    console.print(table)
    if len(ranked) > most:
        console.print(f"... and {len(ranked) - most} more languages")


def _count_table(title: str, counts: dict[str, int]) -> Table:
    table = Table(title=title, title_justify="left")
    for key in counts:
        table.add_column(key, justify="right")
    table.add_row(*(f"{value:,}" for value in counts.values()))
    return table


def print_tokens(manifest: dict[str, Any], where: str, console: Console, most: int = 30) -> None:
    """Tables of finished token arrays: the largest languages with their probability."""
    rows = manifest["languages"]
    tokens = sum(row["tokens"] for row in rows.values())
    console.print(
        f"{where}: complete, {tokens:,} tokens in {len(manifest['files']) // 2} pairs, vocabulary {manifest['tokenizer']['vocab_size']:,}, "
        f"model {manifest['tokenizer']['model_sha256'][:12]}..."
    )
    table = Table(title="Token arrays", title_justify="left")
    table.add_column("language")
    for column in ("documents", "sequences", "tokens", "valid", "tokens/word", "unknown", "probability"):
        table.add_column(column, justify="right")
    ranked = sorted(rows.items(), key=lambda item: (-item[1]["tokens"], item[0]))
    for code, row in ranked[:most]:
        counts = (f"{row[key]:,}" for key in ("documents", "sequences", "tokens"))
        valid = f"{row['splits']['valid']['documents']:,}"
        table.add_row(
            code,
            *counts,
            valid,
            f"{row['tokens_per_word']:.2f}",
            f"{row['unknown_rate']:.3%}",
            f"{row['probability']:.3%}",
        )
    console.print(table)
    if len(ranked) > most:
        console.print(f"... and {len(ranked) - most} more languages")
