"""Some hundred damaged files; `benchmarks/fuzz.py` makes any number of them."""

import importlib
import pathlib
import sys

import pytest
from warc_files import response_record

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(REPOSITORY / "benchmarks"))
fuzz = importlib.import_module("fuzz")


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    warc = folder / "pages.warc"
    pages = [
        f"<title>{k}</title><p>Page {k} of a file that will be damaged.<p>{'Text. ' * k * 9}".encode() for k in range(8)
    ]
    warc.write_bytes(b"".join(response_record(page, url=f"http://site.example/{k}") for k, page in enumerate(pages)))
    return fuzz.Fuzzer([*sorted((REPOSITORY / "examples" / "crawl").glob("*.wet.gz"))[:2], warc])


@pytest.mark.parametrize("batch", range(6))
def test_damage_costs_what_is_damaged(fuzzer, batch):
    assert [fault for seed in range(100 * batch, 100 * batch + 100) for fault in fuzzer.judge(seed)] == []


def test_faults_would_be_seen(fuzzer, monkeypatch):
    """The judge is not blind: a reader that stops at the first damage fails."""
    real = fuzz.read

    def careless(stored):
        records, rejects = real(stored)
        return (records[:1] if rejects else records), []

    monkeypatch.setattr(fuzz, "read", careless)
    assert any(fuzzer.judge(seed) for seed in range(100))


def test_real_files(shared_data):
    fuzzer = fuzz.Fuzzer(
        [
            shared_data / "wet" / "real" / "whatsinthebox_v1.warc.wet.gz",
            shared_data / "warc" / "other" / "dolma__sample-0000.warc.gz",
        ]
    )
    assert [fault for seed in range(200) for fault in fuzzer.judge(seed)] == []
