"""The manifest of a corpus as later stages read it."""

import json

import pytest
from small_corpus import make_corpus, two_languages

from cc100.shards.corpus import read_corpus
from cc100.shards.errors import InputError


def test_parts_and_sizes(tmp_path):
    folder = make_corpus(tmp_path, two_languages())
    data = (folder / "manifest.json").read_bytes()
    corpus = read_corpus(data, "manifest.json")
    assert [(part.language, part.part) for part in corpus.parts] == [("el", 0), ("xx", 0), ("xx", 1)]
    assert list(corpus.languages) == ["el", "xx"]
    assert corpus.languages["xx"].paragraphs == 300
    assert all((folder / part.name).stat().st_size == part.bytes for part in corpus.parts)


def change(folder, edit):
    content = json.loads((folder / "manifest.json").read_text())
    edit(content)
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda content: content.update(format_version=7), "format_version 7; this cc100 reads 1"),
        (lambda content: content.pop("languages"), "is not the manifest of a corpus"),
        (lambda content: content.update(files={}), "lists no shards"),
        (lambda content: content["languages"].pop("xx"), "lists no shards"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, edit, message):
    folder = make_corpus(tmp_path, two_languages())
    with pytest.raises(InputError, match=message):
        read_corpus(change(folder, edit), "out/manifest.json")


def test_a_language_without_text_is_none(tmp_path):
    folder = make_corpus(tmp_path, two_languages())
    empty = {"pages": 0, "paragraphs": 0, "text_bytes": 0, "files": 0}
    data = change(folder, lambda content: content["languages"].update(zz=empty))
    assert list(read_corpus(data, "m").languages) == ["el", "xx"]
