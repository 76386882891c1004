"""The job on WARC files, alone and beside WET files; hostile records."""

import gzip
import json
import pathlib

import pyarrow.parquet as pq
import pytest
from warc_files import response_record

from cc100.pipeline.config import load_settings
from cc100.pipeline.inputs import resolve_inputs
from cc100.pipeline.progress import StepProgress
from cc100.pipeline.run import Request, run
from cc100.transforms.storage import Storage

CRAWL = pathlib.Path(__file__).parent.parent.parent / "examples" / "crawl"
TEXT = "Ein Absatz auf einer Seite, die als HTML gekommen ist, mit genug Text, damit er erkannt wird, und noch etwas mehr davon. "


def page(number: int) -> bytes:
    menu = "".join(f"<li><a href=/{k}>Eintrag {k}</a>" for k in range(8))
    text = f"<h1>Seite Nummer {number} im Archiv</h1><p>{TEXT * 2}<p>{number}. {TEXT}"
    return f"<html><body><nav><ul>{menu}</ul></nav><main>{text}</main>".encode()


def corpus(folder, inputs, *overrides):
    settings = load_settings(None, ["near.mode=none", *overrides])
    request = Request(resolve_inputs(inputs, None, settings), settings, 1, ())
    return run(Storage(str(folder)), request, StepProgress(live=False))


def documents(folder, index):
    return pq.read_table(pathlib.Path(folder) / f"documents/{index:06d}.parquet").to_pylist()


def test_warc_and_wet_may_be_mixed(tmp_path):
    wet = next(iter(sorted(CRAWL.glob("*.wet.gz"))))
    with open(wet, "rb") as stream:
        conversions = stream.read()
    parts = [response_record(page(k), url=f"http://site-{k}.example/") for k in range(3)]
    parts += [
        response_record(b"", status=301),
        response_record(b"%PDF", content_type="application/pdf"),
        response_record(b"<p>" * 9, status=404),
    ]
    parts += [response_record(b"<html><title>Nothing"), response_record(b"<div>" * 9000, url="http://deep.example/")]
    (tmp_path / "a.warc.gz").write_bytes(b"".join(gzip.compress(part) for part in parts))
    (tmp_path / "b.wet").write_bytes(conversions)  # by content, not by name
    (tmp_path / "c.warc.gz").write_bytes(conversions + gzip.compress(parts[0]))
    manifest = corpus(tmp_path / "out", [str(tmp_path)])
    first, second, third = manifest["inputs"]
    assert (first["pages"], first["rejects"], first["pages_by_status"]["no_text"]) == (4, 1, 1)
    assert first["skipped"] == {"media_type": 1, "status_3xx": 1, "status_4xx": 1}
    assert second["skipped"] == third["skipped"] == {}
    assert third["pages"] == second["pages"] + 1
    rows = documents(tmp_path / "out", 0)
    assert [row["url"] for row in rows[:3]] == [f"http://site-{k}.example/" for k in range(3)]
    assert rows[1]["paragraphs"] == ["Seite Nummer 1 im Archiv", (TEXT * 2).strip(), f"1. {TEXT}".strip()]
    reject = json.loads((tmp_path / "out/rejects/000000.jsonl").read_text())
    assert (reject["reason"], reject["detail"]) == ("html_too_deep", "over 2000 elements inside each other")
    everything = corpus(tmp_path / "all", [str(tmp_path / "a.warc.gz")], "html.content=all")
    assert everything["inputs"][0]["paragraphs"] > first["paragraphs"]
    assert everything["configuration"]["html"]["content"] == "all"


HOSTILE = [
    "../../../../etc/passwd", "file:///etc/passwd", "http://a\0b.example/", "\x1b]0;title\x07", "http://x/" + "a" * 60_000, "%00%2e%2e/",
    "http://[::1", "javascript:alert(1)", "\u202egpj.exe",
]  # fmt: skip


def test_hostile_names_and_records_stay_data(tmp_path):
    parts = [response_record(page(k), url=url) for k, url in enumerate(HOSTILE)]
    parts.append(response_record(page(50), url="http://long.example/", X_Long="x" * 3_000_000))
    parts.append(
        response_record(
            b"<p>" + b"\0" * 1000 + TEXT.encode() * 3 + b"<p>" + b"word " * 400_000, url="http://lines.example/"
        )
    )
    parts.append(response_record(page(60), url="http://last.example/"))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.warc").write_bytes(b"".join(parts))
    before = {path for path in tmp_path.rglob("*") if "out" not in path.parts}
    manifest = corpus(tmp_path / "out", [str(tmp_path / "in")])
    assert {path for path in tmp_path.rglob("*") if "out" not in path.parts} == before
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {
        "documents",
        "languages",
        "shards",
        "removed",
        "rejects",
        "run",
        "manifest.json",
    }
    rows = documents(tmp_path / "out", 0)
    assert [row["url"] for row in rows[: len(HOSTILE)]] == HOSTILE
    assert [row["url"] for row in rows[-2:]] == ["http://lines.example/", "http://last.example/"]
    assert all(row["paragraphs"] for row in rows)
    rejects = (tmp_path / "out/rejects/000000.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["reason"] for line in rejects] == ["header_invalid"]
    assert manifest["inputs"][0]["pages"] == len(HOSTILE) + 2


@pytest.mark.slow
def test_main_content_of_real_pages(shared_data, tmp_path):
    """What was measured must not be lost: F1 over strings that must and must not be there."""
    gold = json.loads((shared_data / "gold" / "evaldata.json").read_text(encoding="utf-8"))
    corpus(tmp_path / "out", [str(path) for path in sorted((shared_data / "warc").glob("CC-*.warc.gz"))])
    texts = {
        row["url"]: " ".join(" ".join(row["paragraphs"]).split())
        for index in range(2)
        for row in documents(tmp_path / "out", index)
    }
    assert len(texts.keys() & gold.keys()) > 450
    found = missed = unwanted = 0
    for url in texts.keys() & gold.keys():
        hits = sum(" ".join(string.split()) in texts[url] for string in gold[url]["with"])
        found, missed = found + hits, missed + len(gold[url]["with"]) - hits
        unwanted += sum(" ".join(string.split()) in texts[url] for string in gold[url]["without"])
    assert 2 * found / (2 * found + missed + unwanted) > 0.9
