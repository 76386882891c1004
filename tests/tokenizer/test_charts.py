"""Charts: complete, legible, the same bytes every time."""

import itertools
import random
import xml.etree.ElementTree as ElementTree

import matplotlib
import pytest

from cc100.tokenizer.charts import ROWS, DotChart, draw

SVG = "{http://www.w3.org/2000/svg}"


def row_labels(svg, labels):
    """(label, right end, baseline, font size) of the texts that are labels of rows, in points."""
    found = []
    for text in ElementTree.fromstring(svg).iter(f"{SVG}text"):
        if text.text in labels:
            style = dict(part.split(": ") for part in text.get("style").split("; "))
            found.append(
                (text.text, float(text.get("x")), float(text.get("y")), float(style["font-size"].removesuffix("px")))
            )
    return found


def chart(rows, series=3, **options):
    rng = random.Random(rows)
    labels = [f"l{number:03d}" for number in range(rows)]
    values = {f"s{number}": [10 ** rng.uniform(-5, 2) for _ in labels] for number in range(series)}
    return DotChart("Title", "axis", labels, values, **options)


@pytest.mark.parametrize("rows", [1, 5, ROWS, ROWS + 1, 170, 300])
def test_every_row_has_its_label_and_none_covers_another(rows):
    drawn = chart(rows)
    svg = draw(drawn, "svg")
    found = row_labels(svg, set(drawn.rows))
    assert sorted(label for label, *_ in found) == sorted(drawn.rows)
    root = ElementTree.fromstring(svg)
    width, height = (float(size) for size in root.get("viewBox").split()[2:])
    panels = {}
    for label, x, y, size in found:
        assert 0 < x < width
        assert size < y < height
        panels.setdefault(round(x), []).append((y, label, size))
    assert len(panels) == -(-rows // ROWS)
    for panel in panels.values():
        panel.sort()
        for (upper, _, _), (lower, _, size) in itertools.pairwise(panel):
            assert lower - upper >= 1.3 * size
    order = [label for x in sorted(panels) for _, label, _ in panels[x]]
    assert order == list(drawn.rows)


def test_a_dot_for_every_value_that_has_a_place():
    values = {"a": [1.0, None, 0.0, float("nan")], "b": [2.0, 3.0, -1.0, 4.0]}

    def dots(svg):
        groups = [
            g for g in ElementTree.fromstring(svg).iter(f"{SVG}g") if g.get("id", "").startswith("PathCollection")
        ]
        return [len(list(group.iter(f"{SVG}use"))) for group in groups]

    logarithmic = draw(DotChart("t", "x", ["i", "j", "k", "l"], values), "svg")
    linear = draw(DotChart("t", "x", ["i", "j", "k", "l"], values, logarithmic=False), "svg")
    assert dots(logarithmic)[:2] == [1, 3]
    assert dots(linear)[:2] == [2, 4]


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_same_bytes_whatever_the_users_matplotlib_settings(kind):
    drawn = draw(chart(170), kind)
    with matplotlib.rc_context({"font.size": 20, "savefig.dpi": 10, "svg.hashsalt": None}):
        assert draw(chart(170), kind) == drawn
        assert matplotlib.rcParams["font.size"] == 20
    assert drawn.startswith(b"\x89PNG" if kind == "png" else b"<?xml")


def test_nothing_of_the_machine_in_the_file():
    svg, png = draw(chart(3), "svg"), draw(chart(3), "png")
    assert b"dc:date" not in svg
    assert matplotlib.__version__.encode() not in svg + png
    assert b"matplotlib.org" not in svg + png


@pytest.mark.parametrize("logarithmic", [True, False])
def test_charts_without_values(logarithmic):
    for rows, values in (([], {}), ([], {"a": []}), (["x"], {"a": [None]}), (["x"], {"a": [5.0]})):
        assert draw(DotChart("t", "x", rows, values, logarithmic), "png").startswith(b"\x89PNG")


def test_series_of_another_length():
    with pytest.raises(ValueError, match="series a has 1 values for 2 rows"):
        DotChart("t", "x", ["r", "s"], {"a": [1.0]})
