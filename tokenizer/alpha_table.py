"""What an exponent does to the languages: shares and repeats for any alpha, without drawing anything."""

import csv
import dataclasses
import io
import math
from collections.abc import Iterator, Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from cc100.shards.errors import ConfigurationError, InputError
from cc100.tokenizer.charts import DotChart, Format, draw
from cc100.tokenizer.sampling import sampling_rates, shares

ALPHAS = (0.0, 0.3, 0.5, 0.7, 1.0)


@dataclasses.dataclass(frozen=True)
class Smoothing:
    """One exponent.

    Attributes:
        alpha: the exponent.
        share: q = p^alpha / sum p^alpha of each language.
        repeats: how often each paragraph of a language would be in a sample of `target` paragraphs with these shares,
            q target / n: epochs of the language. 0 for one without paragraphs.
        rate: what the sample takes of it, at most `max_repeats`.
    """

    alpha: float
    share: Mapping[str, float]
    repeats: Mapping[str, float]
    rate: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class AlphaTable:
    """Several exponents on the same corpus.

    Attributes:
        counts: paragraphs of each language, largest language first, then by code.
        p: share of each language in the corpus.
        target: paragraphs of the sample.
        max_repeats: most copies of a paragraph in the sample.
        columns: one for each exponent.
    """

    counts: Mapping[str, int]
    p: Mapping[str, float]
    target: int
    max_repeats: int
    columns: tuple[Smoothing, ...]


def alpha_table(
    counts: Mapping[str, int], alphas: Sequence[float], sample_paragraphs: int, max_repeats: int = 1
) -> AlphaTable:
    """Shares and repeats of every language for every exponent.

    Args:
        counts: paragraphs of each language.
        alphas: exponents; one that comes twice is shown once.
        sample_paragraphs: size of the sample; the corpus, where it is smaller.
        max_repeats: most copies of a paragraph.

    Raises:
        InputError: there is no paragraph.
        ConfigurationError: an exponent is negative or no number.
    """
    for alpha in alphas:
        if not (math.isfinite(alpha) and alpha >= 0):
            raise ConfigurationError(f"alpha {alpha} is not allowed: it must be a number from 0 on, 1 for no smoothing")
    total = sum(counts.values())
    if not total:
        raise InputError("there is no paragraph in any language: no shares to show; build a corpus first")
    target = min(sample_paragraphs, total)
    ordered = {code: counts[code] for code in sorted(counts, key=lambda code: (-counts[code], code))}
    columns = tuple(_smoothing(ordered, alpha, target, max_repeats) for alpha in dict.fromkeys(map(float, alphas)))
    return AlphaTable(ordered, _ordered(ordered, shares(ordered, 1.0)), target, max_repeats, columns)


def _smoothing(counts: Mapping[str, int], alpha: float, target: int, max_repeats: int) -> Smoothing:
    share = _ordered(counts, shares(counts, alpha))
    repeats = {code: share[code] * target / n if n else 0.0 for code, n in counts.items()}
    present = {code: n for code, n in counts.items() if n}
    rate = dict.fromkeys(counts, 0.0) | sampling_rates(present, share, target, max_repeats)
    return Smoothing(alpha, share, repeats, rate)


def _ordered(counts: Mapping[str, int], values: Mapping[str, float]) -> dict[str, float]:
    return {code: values[code] for code in counts}


# --- On a terminal ----------------------------------------------------------------------------------------------------


def print_alpha_table(table: AlphaTable, console: Console) -> None:
    """Print the table as wide as the console is: one table, or several below each other."""
    for part in rich_tables(table, console):
        console.print(part)
    console.print("p: share of the paragraphs. q: share wanted in the sample, p^alpha / sum p^alpha.")
    console.print(f"repeats: copies of each paragraph that {table.target:,} with these shares need.")
    if any(_is_capped(table, repeats) for column in table.columns for repeats in column.repeats.values()):
        console.print(f"*: more than max_repeats, of which the sample takes {table.max_repeats}.")


def rich_tables(table: AlphaTable, console: Console) -> list[Table]:
    """The table for the width of a console, cut between exponents where it does not fit."""
    blocks = [
        [(f"q %\nα {column.alpha:g}", _shares(table, column)) for column in table.columns],
        [(f"repeats\nα {column.alpha:g}", _repeats(table, column)) for column in table.columns],
    ]
    whole = _rich_table(table, [*blocks[0], *blocks[1]])
    if _fits(whole, console):
        return [whole]
    return [part for block in blocks for part in _cut(table, block, console)]


def _cut(table: AlphaTable, columns: Sequence[tuple[str, list[str]]], console: Console) -> Iterator[Table]:
    while columns:
        fitting = len(columns)
        while fitting > 1 and not _fits(_rich_table(table, columns[:fitting]), console):
            fitting -= 1
        yield _rich_table(table, columns[:fitting])
        columns = columns[fitting:]


def _fits(table: Table, console: Console) -> bool:
    return console.measure(table, options=console.options.update(width=10_000)).maximum <= console.width


def _rich_table(table: AlphaTable, columns: Sequence[tuple[str, list[str]]]) -> Table:
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    made.add_column("language", no_wrap=True)
    for header in ("paragraphs", "p %", *(header for header, _ in columns)):
        made.add_column(header, justify="right", no_wrap=True)
    p = [_short(100 * share) for share in table.p.values()]
    for number, (code, count) in enumerate(table.counts.items()):
        made.add_row(code, f"{count:,}", p[number], *(values[number] for _, values in columns))
    return made


def _shares(table: AlphaTable, column: Smoothing) -> list[str]:
    return [_short(100 * column.share[code]) for code in table.counts]


def _repeats(table: AlphaTable, column: Smoothing) -> list[str]:
    values = (column.repeats[code] for code in table.counts)
    return [("*" if _is_capped(table, value) else "") + _short(value) for value in values]


def _is_capped(table: AlphaTable, repeats: float) -> bool:
    return repeats > table.max_repeats * (1 + 1e-9)  # shares are rounded to 12 digits


def _short(value: float) -> str:
    """Two significant digits and at least one decimal below 1,000; one digit and the power of ten below 0.001."""
    if value == 0:
        return "0"
    if value >= 1000:
        return f"{value:,.0f}"
    if value < 0.001:
        return f"{value:.0e}".replace("e-0", "e-")
    exponent = int(f"{value:.1e}".partition("e")[2])  # of the rounded value
    return f"{value:.{max(1, 1 - exponent)}f}"


# --- As files ---------------------------------------------------------------------------------------------------------

CSV_HEADER = ("language", "paragraphs", "p", "alpha", "share", "repeats", "rate")


def alpha_csv(table: AlphaTable) -> str:
    """A row per exponent and language, with the columns of `CSV_HEADER`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    writer.writerows(_csv_rows(table))
    return text.getvalue()


def _csv_rows(table: AlphaTable) -> Iterator[tuple[str | int | float, ...]]:
    for column in table.columns:
        for code, count in table.counts.items():
            yield (
                code,
                count,
                table.p[code],
                column.alpha,
                column.share[code],
                column.repeats[code],
                column.rate[code],
            )


def share_chart(table: AlphaTable, kind: Format) -> bytes:
    """Share of each language for every exponent, largest language first, as SVG or PNG."""
    series: dict[str, Sequence[float | None]] = {
        f"α = {column.alpha:g}": [100 * column.share[code] for code in table.counts] for column in table.columns
    }
    title = "Share of each language in the sample, by alpha"
    return draw(DotChart(title, "share q, %", list(table.counts), series), kind)


def repeats_chart(table: AlphaTable, kind: Format) -> bytes:
    """Repeats of each language's paragraphs for every exponent, with a line at `max_repeats`, as SVG or PNG."""
    series: dict[str, Sequence[float | None]] = {
        f"α = {column.alpha:g}": [column.repeats[code] for code in table.counts] for column in table.columns
    }
    title = f"Repeats of each language in a sample of {table.target:,} paragraphs, by alpha"
    chart = DotChart(title, "repeats", list(table.counts), series, mark=float(table.max_repeats))
    return draw(chart, kind)
