"""The report in all its forms."""

import csv
import io
import json
import xml.etree.ElementTree as ElementTree

import pytest
from tiny_tokenizer import processor, text, tiny_model, train

from cc100.tokenizer.evaluate import PieceCounts, Quality, Tax, evaluate
from cc100.tokenizer.quality_report import MEASURES, report, report_chart, report_csv, report_markdown

OURS = Quality(
    pieces=10,
    scripts={"Latin": 6, "Common": 1},
    languages={
        "en": PieceCounts(paragraphs=4, covered=4, words=10, characters=50, bytes=50, pieces=12, unknown=0),
        "hi": PieceCounts(paragraphs=2, covered=1, words=10, characters=40, bytes=100, pieces=30, unknown=3),
    },
    tax={"en": Tax(5, 40, 40), "hi": Tax(5, 60, 40), "yo": Tax(0, 0, 0)},
)
BASELINE = Quality(
    pieces=11,
    scripts={"Latin": 5, "Thai": 3},
    languages={
        "en": PieceCounts(paragraphs=4, covered=4, words=10, characters=50, bytes=50, pieces=10, unknown=0),
        "hi": PieceCounts(paragraphs=2, covered=0, words=10, characters=40, bytes=100, pieces=40, unknown=6),
    },
    tax={"en": Tax(5, 32, 32), "hi": Tax(5, 64, 32), "yo": Tax(0, 0, 0)},
)


def table(markdown, heading):
    """Rows of the table under a heading, cells stripped, without the rule."""
    lines = [
        line for line in markdown.split(f"## {heading}\n")[1].split("\n## ")[0].splitlines() if line.startswith("|")
    ]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert len({len(row) for row in rows}) == 1
    return [rows[0], *rows[2:]]


# --- JSON -------------------------------------------------------------------------------------------------------------


def test_json():
    content = report(OURS, BASELINE)
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["model"]["pieces"] == 10
    assert content["model"]["scripts"] == {
        "Latin": {"pieces": 6, "share": 6 / 7},
        "Common": {"pieces": 1, "share": 1 / 7},
    }
    assert content["model"]["languages"]["hi"] == {
        "paragraphs": 2, "covered": 1, "words": 10, "characters": 40, "bytes": 100, "pieces": 30, "unknown": 3,
        "pieces_per_word": 3.0, "pieces_per_character": 0.75, "pieces_per_byte": 0.3, "unknown_rate": 0.1,
        "coverage": 0.5, "tax": {"segments": 5, "pieces": 60, "reference_pieces": 40, "ratio": 1.5},
    }  # fmt: skip
    assert content["ratios"] == {
        "en": {"pieces": 1.2, "unknown": None, "tax": 1.0},
        "hi": {"pieces": 0.75, "unknown": 0.5, "tax": 0.75},
        "yo": {"tax": None},
    }


def test_json_without_baseline():
    assert list(report(OURS)) == ["model"]
    assert report(OURS)["model"] == report(OURS, BASELINE)["model"]


def test_a_baseline_on_other_text_is_refused():
    other = Quality(11, {}, {**BASELINE.languages, "fr": PieceCounts(paragraphs=1)}, BASELINE.tax)
    for function in (report, report_csv, report_markdown):
        with pytest.raises(ValueError, match="different text of fr"):
            function(OURS, other)
    with pytest.raises(ValueError, match="different parallel text"):
        report(OURS, Quality(11, {}, BASELINE.languages, {}))


# --- CSV and Markdown -------------------------------------------------------------------------------------------------


def test_csv():
    content = report_csv(OURS, BASELINE)
    assert "\r" not in content
    rows = {row["language"]: row for row in csv.DictReader(io.StringIO(content))}
    assert list(rows) == ["en", "hi", "yo"]
    for code in ("en", "hi"):
        ours, theirs = (report(OURS, BASELINE)[which]["languages"][code] for which in ("model", "baseline"))
        for name, number in ours.items():
            if name != "tax":
                assert float(rows[code][name]) == number
        assert float(rows[code]["tax"]) == ours["tax"]["ratio"]
        assert float(rows[code]["baseline_tax"]) == theirs["tax"]["ratio"]
        for name in ("pieces", "unknown", "pieces_per_word", "unknown_rate"):
            assert float(rows[code][f"baseline_{name}"]) == theirs[name]
        assert float(rows[code]["pieces_ratio"]) == ours["pieces"] / theirs["pieces"]
    assert set(rows["yo"].values()) == {"yo", ""}


def test_csv_without_baseline():
    rows = list(csv.reader(io.StringIO(report_csv(OURS))))
    assert [len(row) for row in rows] == [14] * 4
    assert not any("baseline" in name or "ratio" in name for name in rows[0])


def test_markdown():
    markdown = report_markdown(OURS, BASELINE, "alpha = 1")
    assert "10 pieces, measured on 6 paragraphs in 2 languages." in markdown
    assert "Compared with alpha = 1 (11 pieces) the text is shorter in 1 of 2 languages." in markdown
    header, *rows = table(markdown, "Languages")
    assert header == [
        "language", "paragraphs", "per word", "per character", "per byte", "unknown %", "covered %", "tax",
        "alpha = 1: per word", "unknown %", "tax", "ratio",
    ]  # fmt: skip
    assert rows == [
        ["en", "4", "1.200", "0.240", "0.240", "0.000", "100.000", "1.000", "1.000", "0.000", "1.000", "1.200"],
        ["hi", "2", "3.000", "0.750", "0.300", "10.000", "50.000", "1.500", "4.000", "15.000", "2.000", "0.750"],
        ["yo", "0", "", "", "", "", "", "", "", "", "", ""],
    ]
    assert table(markdown, "Vocabulary by script") == [
        ["script", "pieces", "%", "alpha = 1: pieces", "%"],
        ["Latin", "6", "85.71", "5", "62.50"],
        ["Common", "1", "14.29", "0", "0.00"],
        ["Thai", "0", "0.00", "3", "37.50"],
    ]


def test_markdown_without_baseline_and_parallel_text():
    markdown = report_markdown(Quality(OURS.pieces, OURS.scripts, OURS.languages, {}))
    header, *rows = table(markdown, "Languages")
    assert header == ["language", "paragraphs", "per word", "per character", "per byte", "unknown %", "covered %"]
    assert len(rows) == 2
    assert "Compared" not in markdown
    assert len(table(markdown, "Vocabulary by script")[0]) == 3


# --- Chart ------------------------------------------------------------------------------------------------------------


def svg_texts(svg):
    return [text.text for text in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("measure", MEASURES)
def test_chart(measure):
    texts = svg_texts(report_chart(OURS, BASELINE, "svg", measure, "alpha = 1"))
    assert [code for code in texts if code in ("en", "hi", "yo")] == (
        ["en", "hi"] if measure == "coverage" else ["hi", "en"]
    )
    assert {"this model", "alpha = 1"} <= set(texts)
    assert report_chart(OURS, None, "png", measure).startswith(b"\x89PNG")


def test_chart_of_170_languages():
    counts = {f"l{n:03d}": PieceCounts(1, 1, 10, 50, 60, 10 + n) for n in range(170)}
    drawn = report_chart(Quality(10, {}, counts, {}), None, "svg")
    assert [text for text in svg_texts(drawn) if text in counts] == sorted(counts, reverse=True)
    assert report_chart(Quality(10, {}, counts, {}), None, "svg") == drawn


def test_real_models():
    """A model that has seen more of a language makes fewer pieces of it."""
    lines = text(400, seed=1)
    texts = [("en", lines[:200]), ("xx", lines[200:])]
    small = evaluate(processor(train(text(1500), vocab_size=450)), texts)
    large = evaluate(processor(tiny_model()), texts)
    content = report(large, small)
    assert all(ratios["pieces"] < 1 for ratios in content["ratios"].values())
    assert report_markdown(large, small).count("\n| en |") == 1
