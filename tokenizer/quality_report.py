"""The report on a model's quality, alone or beside a baseline on the same text: JSON, CSV, Markdown, and a chart."""

import csv
import dataclasses
import io
from collections.abc import Sequence
from typing import Any

from cc100.tokenizer.charts import DotChart, Format, draw
from cc100.tokenizer.evaluate import PieceCounts, Quality, quotient

MEASURES = {
    "pieces_per_word": "pieces per word",
    "pieces_per_character": "pieces per character",
    "pieces_per_byte": "pieces per byte",
    "unknown_rate": "share of unknown pieces",
    "coverage": "share of paragraphs without unknown piece",
    "tax": "pieces over those of the same text in English",
}


def report(ours: Quality, baseline: Quality | None = None) -> dict[str, Any]:
    """The report as JSON values.

    Keys: `model`, with `pieces`, `scripts.<script>` {pieces, share} and `languages.<code>` {the counts and rates of
    `PieceCounts`, and `tax` {segments, pieces, reference_pieces, ratio} where there is parallel text}; and with a
    baseline `baseline`, likewise, and `ratios.<code>` {`pieces`: ours over the baseline's, below 1 where ours is
    shorter; `unknown` of unknown pieces; `tax`, with parallel text}. A ratio without divisor is null.

    Raises:
        ValueError: the baseline has seen another text.
    """
    content: dict[str, Any] = {"model": _model(ours)}
    if baseline is not None:
        content |= {"baseline": _model(baseline), "ratios": _ratios(ours, baseline)}
    return content


def _model(quality: Quality) -> dict[str, Any]:
    languages: dict[str, dict[str, Any]] = {
        code: {**dataclasses.asdict(counts), **counts.rates()} for code, counts in quality.languages.items()
    }
    for code, tax in quality.tax.items():
        languages.setdefault(code, {})["tax"] = {**dataclasses.asdict(tax), "ratio": tax.ratio}
    total = max(sum(quality.scripts.values()), 1)
    scripts = {name: {"pieces": count, "share": count / total} for name, count in quality.scripts.items()}
    return {"pieces": quality.pieces, "scripts": scripts, "languages": dict(sorted(languages.items()))}


def _ratios(ours: Quality, baseline: Quality) -> dict[str, dict[str, float | None]]:
    _require_same_text(ours, baseline)
    ratios: dict[str, dict[str, float | None]] = {}
    for code, counts in ours.languages.items():
        other = baseline.languages[code]
        ratios[code] = {
            "pieces": quotient(counts.pieces, other.pieces),
            "unknown": quotient(counts.unknown, other.unknown),
        }
    for code, tax in ours.tax.items():
        ratios.setdefault(code, {})["tax"] = quotient(tax.ratio, baseline.tax[code].ratio)
    return dict(sorted(ratios.items()))


def _require_same_text(ours: Quality, baseline: Quality) -> None:
    def text(counts: PieceCounts) -> tuple[int, ...]:
        return counts.paragraphs, counts.words, counts.characters, counts.bytes

    here = {code: text(counts) for code, counts in ours.languages.items()}
    there = {code: text(counts) for code, counts in baseline.languages.items()}
    differing = sorted(code for code in here.keys() | there.keys() if here.get(code) != there.get(code))
    if differing:
        raise ValueError(f"model and baseline were measured on different text of {', '.join(differing)}")
    if {code: tax.segments for code, tax in ours.tax.items()} != {c: tax.segments for c, tax in baseline.tax.items()}:
        raise ValueError("model and baseline were measured on different parallel text")


# --- Tables -----------------------------------------------------------------------------------------------------------

_COUNTS = tuple(field.name for field in dataclasses.fields(PieceCounts))
_RATES = tuple(MEASURES)[:-1]


def report_csv(ours: Quality, baseline: Quality | None = None) -> str:
    """A row per language: counts, rates, tax; of a baseline its pieces, unknown pieces, rates, tax, and the ratio."""
    header = ["language", *_COUNTS, *_RATES, "tax"]
    if baseline is not None:
        _require_same_text(ours, baseline)
        header += [f"baseline_{name}" for name in ("pieces", "unknown", *_RATES, "tax")] + ["pieces_ratio"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for code in _codes(ours):
        row: list[Any] = [code, *(_counts(ours, code).get(name, "") for name in _COUNTS), *_rates(ours, code)]
        if baseline is not None:
            theirs = _counts(baseline, code)
            row += [theirs.get("pieces", ""), theirs.get("unknown", ""), *_rates(baseline, code)]
            row.append(_pieces_ratio(ours, baseline, code))
        writer.writerow(row)
    return text.getvalue()


def _codes(quality: Quality) -> list[str]:
    return sorted(quality.languages.keys() | quality.tax.keys())


def _counts(quality: Quality, code: str) -> dict[str, int]:
    return dataclasses.asdict(quality.languages[code]) if code in quality.languages else {}


def _pieces_ratio(ours: Quality, baseline: Quality, code: str) -> float | None:
    return quotient(_counts(ours, code).get("pieces"), _counts(baseline, code).get("pieces"))


def _rates(quality: Quality, code: str) -> list[float | None]:
    return [value(quality, code, measure) for measure in MEASURES]


def value(quality: Quality, code: str, measure: str) -> float | None:
    """One of `MEASURES` of a language; None where it has no such text."""
    if measure == "tax":
        return quality.tax[code].ratio if code in quality.tax else None
    return quality.languages[code].rates()[measure] if code in quality.languages else None


def report_markdown(ours: Quality, baseline: Quality | None = None, name: str = "baseline") -> str:
    """The report for reading.

    Args:
        ours: the model.
        baseline: another one on the same text.
        name: what the baseline is, for the headers: "alpha = 1".
    """
    parts = [f"# Quality of the tokenizer\n\n{_summary(ours, baseline, name)}"]
    parts.append(f"## Languages\n\n{_language_notes(baseline, name)}\n\n{_language_table(ours, baseline, name)}")
    parts.append(f"## Vocabulary by script\n\n{_script_table(ours, baseline, name)}")
    return "\n\n".join(parts) + "\n"


def _summary(ours: Quality, baseline: Quality | None, name: str) -> str:
    total = sum(ours.languages.values(), PieceCounts())
    lines = f"{ours.pieces:,} pieces, measured on {total.paragraphs:,} paragraphs in {len(ours.languages)} languages."
    if baseline is None:
        return lines
    _require_same_text(ours, baseline)
    shorter = sum(counts.pieces < baseline.languages[code].pieces for code, counts in ours.languages.items())
    return (
        f"{lines} Compared with {name} ({baseline.pieces:,} pieces) the text is shorter in {shorter} of "
        f"{len(ours.languages)} languages."
    )


def _language_notes(baseline: Quality | None, name: str) -> str:
    notes = (
        "Pieces per word, character and byte of NFC text; unknown: unknown pieces of all pieces; covered: paragraphs "
        "without an unknown piece; tax: pieces over those of the same text in English. Words are what white space "
        "separates, so where it does not separate words, read pieces per character."
    )
    if baseline is None:
        return notes
    return (
        f"{notes} The last columns: {name}, and our pieces over its pieces. An unknown piece stands for a whole run of "
        "characters, so a model that knows fewer characters can have fewer pieces: compare where both know the text."
    )


def _language_table(ours: Quality, baseline: Quality | None, name: str) -> str:
    header = ["language", "paragraphs", "per word", "per character", "per byte", "unknown %", "covered %"]
    taxed = bool(ours.tax)
    header += ["tax"] * taxed
    if baseline is not None:
        header += [f"{name}: per word", "unknown %"] + ["tax"] * taxed + ["ratio"]
    rows = []
    for code in _codes(ours):
        paragraphs = ours.languages[code].paragraphs if code in ours.languages else 0
        row = [code, f"{paragraphs:,}", *_cells(ours, code, _RATES)] + _cells(ours, code, ["tax"]) * taxed
        if baseline is not None:
            row += _cells(baseline, code, ["pieces_per_word", "unknown_rate"])
            row += _cells(baseline, code, ["tax"]) * taxed
            ratio = _pieces_ratio(ours, baseline, code)
            row.append("" if ratio is None else f"{ratio:.3f}")
        rows.append(row)
    return _markdown_table(header, rows)


def _cells(quality: Quality, code: str, measures: Sequence[str]) -> list[str]:
    cells = []
    for measure in measures:
        number = value(quality, code, measure)
        percent = measure in ("unknown_rate", "coverage")
        cells.append("" if number is None else f"{100 * number:.3f}" if percent else f"{number:.3f}")
    return cells


def _script_table(ours: Quality, baseline: Quality | None, name: str) -> str:
    total = max(sum(ours.scripts.values()), 1)
    header, rows = ["script", "pieces", "%"], []
    names = [*ours.scripts, *sorted((baseline.scripts if baseline else {}).keys() - ours.scripts.keys())]
    other_total = max(sum(baseline.scripts.values()), 1) if baseline else 1
    for script in names:
        count = ours.scripts.get(script, 0)
        row = [script, f"{count:,}", f"{100 * count / total:.2f}"]
        if baseline is not None:
            count = baseline.scripts.get(script, 0)
            row += [f"{count:,}", f"{100 * count / other_total:.2f}"]
        rows.append(row)
    return _markdown_table(header + [f"{name}: pieces", "%"] * (baseline is not None), rows)


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *rows))


# --- Chart ------------------------------------------------------------------------------------------------------------


def report_chart(
    ours: Quality, baseline: Quality | None, kind: Format, measure: str = "pieces_per_word", name: str = "baseline"
) -> bytes:
    """One of `MEASURES` of every language, highest first, as SVG or PNG.

    Args:
        ours: the model.
        baseline: another one on the same text, or None.
        kind: "svg" or "png".
        measure: one of `MEASURES`.
        name: what the baseline is.
    """
    found = {code: value(ours, code, measure) for code in _codes(ours)}
    present = {code: number for code, number in found.items() if number is not None}
    rows = sorted(present, key=lambda code: (-present[code], code))
    series: dict[str, Sequence[float | None]] = {"this model": [present[code] for code in rows]}
    if baseline is not None:
        series[name] = [value(baseline, code, measure) for code in rows]
    title = f"{MEASURES[measure].capitalize()}, by language"
    linear = measure in ("unknown_rate", "coverage")
    return draw(DotChart(title, MEASURES[measure], rows, series, logarithmic=not linear), kind)
