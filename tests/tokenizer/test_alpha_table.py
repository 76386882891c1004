"""Shares and repeats for any alpha: worked cases, and what is printed and drawn."""

import csv
import io
import itertools
import random
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cc100.shards.errors import ConfigurationError, InputError
from cc100.tokenizer.alpha_table import (
    ALPHAS,
    CSV_HEADER,
    alpha_csv,
    alpha_table,
    print_alpha_table,
    repeats_chart,
    rich_tables,
    share_chart,
)
from cc100.tokenizer.sampling import shares

WORKED = {"en": 300_000, "fr": 56_000, "hi": 2_000, "sw": 275, "ur": 730}


def many(languages=170):
    rng = random.Random(7)
    return {
        f"{'zh-Hant' if number == 3 else 'l'}{number:03d}": int(10 ** rng.uniform(1, 9)) for number in range(languages)
    }


def printed(table, width):
    written = io.StringIO()
    print_alpha_table(table, Console(file=written, width=width))
    return written.getvalue()


# --- Numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alpha", "percent"),
    [
        (0.3, {"en": 47.3, "fr": 28.6, "hi": 10.5, "sw": 5.8, "ur": 7.8}),
        (1, {"en": 83.6, "fr": 15.6, "hi": 0.6, "sw": 0.1, "ur": 0.2}),
        (0, dict.fromkeys(WORKED, 20.0)),
    ],
)
def test_worked_shares(alpha, percent):
    assert {code: round(100 * share, 1) for code, share in shares(WORKED, alpha).items()} == percent
    (column,) = alpha_table(WORKED, [alpha], 5_000_000).columns
    assert {code: round(100 * share, 1) for code, share in column.share.items()} == percent


def test_worked_repeats():
    """A sample of 100,000 with alpha 0: 20,000 of each, so 1/15 of English and 10 copies of Hindi, if it may."""
    table = alpha_table(WORKED, [0.0], 100_000, max_repeats=3)
    (column,) = table.columns
    assert table.target == 100_000
    assert column.repeats["en"] == pytest.approx(1 / 15)
    assert column.repeats["hi"] == pytest.approx(10)
    assert column.rate["hi"] == 3
    assert column.rate["en"] == column.repeats["en"]


def test_target_is_at_most_the_corpus():
    table = alpha_table(WORKED, [1.0], 10**12)
    assert table.target == sum(WORKED.values())
    assert all(repeats == pytest.approx(1) for repeats in table.columns[0].repeats.values())
    assert "*" not in printed(table, 80)


@given(
    st.dictionaries(st.text("abc-", min_size=1, max_size=4), st.integers(0, 10**9), min_size=1),
    st.floats(0, 2),
    st.integers(1, 10**7),
    st.integers(1, 5),
)
def test_definitions(counts, alpha, sample, max_repeats):
    if not sum(counts.values()):
        counts["x"] = 1
    table = alpha_table(counts, [alpha], sample, max_repeats)
    (column,) = table.columns
    powers = {code: (n / sum(counts.values())) ** alpha if n else 0.0 for code, n in counts.items()}
    for code, n in counts.items():
        q = powers[code] / sum(powers.values())
        repeats = q * min(sample, sum(counts.values())) / n if n else 0.0
        assert column.share[code] == pytest.approx(q, rel=1e-9)
        assert column.repeats[code] == pytest.approx(repeats, rel=1e-9)
        assert column.rate[code] == pytest.approx(min(max_repeats, repeats), rel=1e-9)
    for values in (table.counts, table.p, column.share, column.repeats, column.rate):
        assert list(values) == sorted(counts, key=lambda code: (-counts[code], code))


def test_an_exponent_that_comes_twice():
    assert [column.alpha for column in alpha_table(WORKED, [0.3, 1, 0.3, 1.0], 1000).columns] == [0.3, 1.0]


@pytest.mark.parametrize("alpha", [-0.1, float("nan"), float("inf")])
def test_exponents_that_are_refused(alpha):
    with pytest.raises(ConfigurationError, match=r"alpha .* is not allowed: .* from 0 on"):
        alpha_table(WORKED, [0.3, alpha], 1000)


@pytest.mark.parametrize("counts", [{}, {"en": 0, "fr": 0}])
def test_no_paragraphs(counts):
    with pytest.raises(InputError, match="no paragraph in any language"):
        alpha_table(counts, ALPHAS, 1000)


# --- Terminal ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "tables"), [(80, 2), (200, 1)])
def test_tables_fit(width, tables):
    for counts in (WORKED, many()):
        table = alpha_table(counts, ALPHAS, 5_000_000)
        assert len(rich_tables(table, Console(width=width, file=io.StringIO()))) == tables
        lines = printed(table, width).splitlines()
        assert max(map(len, lines)) <= width
        assert "…" not in "".join(lines)
        for code, count in counts.items():
            rows = [line.split() for line in lines if line.split()[:1] == [code]]
            assert len(rows) == tables
            assert {row[1] for row in rows} == {f"{count:,}"}
            assert sum(len(row) - 3 for row in rows) == 2 * len(ALPHAS)


def test_table_of_one_exponent_in_little_room():
    table = alpha_table(WORKED, [n / 10 for n in range(11)], 1000)
    parts = rich_tables(table, Console(width=50, file=io.StringIO()))
    assert sum(len(part.columns) - 3 for part in parts) == 22
    assert max(map(len, printed(table, 50).splitlines())) <= 50


def test_piped_table_is_plain_text():
    text = printed(alpha_table(WORKED, [0.3], 5_000_000), 80)
    assert "\x1b" not in text
    rows = {
        line.split()[0]: line.split()[1:]
        for line in text.splitlines()
        if line.split()[:1] and line.split()[0] in WORKED
    }
    assert rows == {
        "en": ["300,000", "83.6", "47.3", "0.57"],
        "fr": ["56,000", "15.6", "28.6", "*1.8"],
        "hi": ["2,000", "0.56", "10.5", "*18.9"],
        "ur": ["730", "0.20", "7.8", "*38.2"],
        "sw": ["275", "0.077", "5.8", "*75.7"],
    }
    assert "359,005" in text
    assert "*: more than max_repeats, of which the sample takes 1." in text


def test_language_without_paragraphs():
    text = printed(alpha_table({"en": 10, "xx": 0}, [0.0, 0.3], 5), 80)
    assert "xx 0 0 0 0" in " ".join(text.split())


# --- Files ------------------------------------------------------------------------------------------------------------


def test_csv():
    table = alpha_table(WORKED, ALPHAS, 5_000_000)
    text = alpha_csv(table)
    assert "\r" not in text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert tuple(rows[0]) == CSV_HEADER
    assert [(row["language"], float(row["alpha"])) for row in rows] == [
        (code, alpha) for alpha in ALPHAS for code in ("en", "fr", "hi", "ur", "sw")
    ]
    for row in rows:
        column = next(column for column in table.columns if column.alpha == float(row["alpha"]))
        code = row["language"]
        assert (int(row["paragraphs"]), float(row["p"])) == (WORKED[code], table.p[code])
        assert float(row["share"]) == column.share[code]
        assert (float(row["repeats"]), float(row["rate"])) == (column.repeats[code], column.rate[code])


@pytest.mark.parametrize("chart", [share_chart, repeats_chart])
def test_charts_of_170_languages(chart):
    """Every label is there, and no label touches the one below it (test_charts.py tells more)."""
    counts = many()
    svg = chart(alpha_table(counts, ALPHAS, 5_000_000), "svg")
    texts = list(ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"))
    places = {}
    for text in texts:
        if text.text in counts:
            places.setdefault(round(float(text.get("x"))), []).append(float(text.get("y")))
    assert sum(map(len, places.values())) == len(counts)
    for column in places.values():
        column.sort()
        assert all(below - above > 7 for above, below in itertools.pairwise(column))
    assert {f"α = {alpha:g}" for alpha in ALPHAS} <= {text.text for text in texts}
    assert chart(alpha_table(counts, ALPHAS, 5_000_000), "png").startswith(b"\x89PNG")
