"""The folder through transformers' AutoTokenizer, offline: same ids as SentencePiece's, in XLM-R's numbering.

Runs with transformers 5 and 4.57, and needs nothing but it, sentencepiece, protobuf and `tests/tiny_tokenizer.py`.
"""

import os
import random
import unicodedata

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
from tiny_tokenizer import ALPHABETS, processor, text, tiny_model, train

from cc100.tokenizer.folder import tokenizer_files

transformers = pytest.importorskip("transformers")
transformers.logging.set_verbosity_error()

VERSION = int(transformers.__version__.split(".")[0])
# Version 5 has one class; in version 4 the slow one runs sentencepiece itself, the fast one reads tokenizer.json.
KINDS = [pytest.param({}, id="auto")]
if VERSION < 5:
    KINDS = [pytest.param({"use_fast": True}, id="fast"), pytest.param({"use_fast": False}, id="slow")]
SPECIALS = ("<s>", "</s>", "<pad>", "<unk>", "<mask>")
EXTENDING = "\u200c\u200d\uff9e\uff9f\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"
MASK = 601  # of the shared model


def write(folder, model):
    for name, content in tokenizer_files(model).items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("tokenizer"), tiny_model())


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(folder, request):
    return transformers.AutoTokenizer.from_pretrained(folder, **request.param)


def expected(model, lines):
    """SentencePiece's ids in XLM-R's numbering, between <s> and </s>."""
    return [[0, *(piece + 1 if piece else 3 for piece in ids), 2] for ids in model.encode(lines)]


def differences(model, tokenizer, lines):
    """(line, ids here, ids there) where they differ and it is no tie: two segmentations of the same total score."""
    wanted, got = expected(model, lines), tokenizer(lines)["input_ids"]
    return [
        (line, ours, theirs)
        for line, ours, theirs in zip(lines, wanted, got, strict=True)
        if ours != theirs and abs(score(model, ours) - score(model, theirs)) > 1e-3
    ]


def score(model, ids):
    unknown = min(model.get_score(piece) for piece in range(3, model.vocab_size())) - 10
    return sum(unknown if number == 3 else model.get_score(number - 1) for number in ids[1:-1])


# --- Same ids ---------------------------------------------------------------------------------------------------------


def test_ids_of_text(tokenizer):
    """Held-out text, so with unknown characters and pieces that were rare in training."""
    model = processor(tiny_model())
    lines = text(2000, seed=1) + text(2000)
    assert differences(model, tokenizer, lines) == []
    ties = sum(
        ours != theirs for ours, theirs in zip(expected(model, lines), tokenizer(lines)["input_ids"], strict=True)
    )
    assert ties <= len(lines) * 0.0005


def fuzz(count, seed):
    """NFC strings of letters, symbols, spaces of all kinds and compatibility characters.

    Without what extends a grapheme (marks, joiners, skin tones): `tokenizers` looks up whole graphemes in the
    normalisation table and drops what follows the longest entry. Without U+0085, a space for Hugging Face only.
    """
    rng = random.Random(seed)
    pool = [chr(c) for c in (*range(1, 0x250), *range(0x370, 0x500), *range(0x2000, 0x2700), *range(0x3000, 0x3100),
                             *range(0xFF00, 0xFFF0), *range(0x1F300, 0x1F600))]  # fmt: skip
    pool = [
        c
        for c in pool
        if unicodedata.category(c)[0] != "M" and unicodedata.category(c) != "Cn" and c not in EXTENDING + "\x85"
    ]
    strings = []
    for _ in range(count):
        parts = rng.choices(
            [*ALPHABETS, "▁", " ", "  ", "\t", "\n", "\xa0", "\u3000", "\u200b", "\ufeff"], k=rng.randint(0, 8)
        )
        parts = ["".join(rng.choices(part, k=rng.randint(1, 4))) + rng.choice(pool) for part in parts]
        strings.append(unicodedata.normalize("NFC", "".join(parts)))
    return [string for string in strings if not any(special in string for special in SPECIALS)]


def test_ids_of_fuzz(tokenizer):
    assert differences(processor(tiny_model()), tokenizer, fuzz(4000, seed=2)) == []


@pytest.mark.parametrize(
    "string",
    ["", " ", "  a  b  ", "\ta\nb", "▁", "▁▁a", "a▁b", "\0", "a\x7fb", "x" * 600, "👩‍👩‍👧 🇫🇷 👍🏽", "ﬁ ½ ㍿ Ⅳ", "a\u200bb\ufeff",
     "한국어", "カタカナ ｶﾀｶﾅ", "<S> < s > <mask", "s> <pad", "é́", "नमस्ते"],
)  # fmt: skip
def test_ids_of_strings(tokenizer, string):
    string = unicodedata.normalize("NFC", string)
    assert tokenizer(string)["input_ids"] == expected(processor(tiny_model()), [string])[0]


@pytest.mark.parametrize("kind", KINDS)
def test_ids_of_real_text(kind, shared_data, tmp_path):
    """Real paragraphs in 22 languages, with a model of some of them and on the others."""
    parquet = pytest.importorskip("pyarrow.parquet")
    column = parquet.read_table(shared_data / "truth" / "paragraph_sample.parquet")["text"]
    lines = [unicodedata.normalize("NFC", line) for line in column.to_pylist()]
    lines = [line for line in lines if not any(special in line for special in (*SPECIALS, "\x85"))]
    lines = [line for line in lines if len(line) < 500]
    model = train(lines[::10], vocab_size=4000, character_coverage=0.9995)
    tokenizer = transformers.AutoTokenizer.from_pretrained(write(tmp_path, model), **kind)
    lines = lines[1::10]
    wrong = differences(processor(model), tokenizer, lines)
    assert len(wrong) <= 1, wrong


# --- The rest of a tokenizer ------------------------------------------------------------------------------------------


def test_vocabulary(tokenizer):
    model = processor(tiny_model())
    pieces = {model.id_to_piece(i): i + 1 for i in range(3, model.vocab_size())}
    assert tokenizer.get_vocab() == {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, **pieces, "<mask>": MASK}
    assert len(tokenizer) == MASK + 1


def test_special_ids(tokenizer):
    assert [tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id] == [
        0,
        1,
        2,
        3,
    ]
    assert [tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id] == [0, 2, MASK]
    assert sorted(tokenizer.all_special_tokens) == sorted(SPECIALS)
    assert tokenizer.model_max_length == 512


def test_literal_specials(tokenizer):
    """Hugging Face makes ids of them, <mask> with the space before it; SentencePiece never does."""
    assert tokenizer("<mask>")["input_ids"] == [0, MASK, 2]
    before, after = tokenizer("abc")["input_ids"][1:-1], tokenizer("xyz")["input_ids"][1:-1]
    assert tokenizer("abc <mask> xyz")["input_ids"] == [0, *before, MASK, *after, 2]
    assert tokenizer("<s></s><pad><unk>")["input_ids"] == [0, 0, 2, 1, 3, 2]
    assert not {0, 2, MASK} & {
        number for ids in expected(processor(tiny_model()), list(SPECIALS)) for number in ids[1:-1]
    }


def test_pair(tokenizer):
    first, second = tokenizer("abc")["input_ids"][1:-1], tokenizer("xyz")["input_ids"][1:-1]
    pair = tokenizer("abc", "xyz", return_token_type_ids=True)
    assert pair["input_ids"] == [0, *first, 2, 2, *second, 2]
    assert set(pair["token_type_ids"]) == {0}


def test_padding_and_truncation(tokenizer):
    batch = tokenizer(["abc", "abc " * 20], padding=True)
    short, long = batch["input_ids"]
    assert len(short) == len(long)
    assert set(short[short.index(2) + 1 :]) == {1}
    assert batch["attention_mask"][0] == [int(number != 1) for number in short]
    cut = tokenizer("abc " * 2000, truncation=True)["input_ids"]
    assert len(cut) == 512
    assert (cut[0], cut[-1]) == (0, 2)


def test_decode(tokenizer):
    line = "abc , xyz . 日本"
    model = processor(tiny_model())
    assert tokenizer.decode(tokenizer(line)["input_ids"], skip_special_tokens=True) == model.decode(model.encode(line))


def test_saved_and_loaded_again(tokenizer, tmp_path):
    lines = [*text(300, seed=3), "abc <mask> xyz"]
    tokenizer.save_pretrained(tmp_path)
    again = transformers.AutoTokenizer.from_pretrained(tmp_path, use_fast=tokenizer.is_fast)
    assert again(lines)["input_ids"] == tokenizer(lines)["input_ids"]
    assert again.get_vocab() == tokenizer.get_vocab()
    assert again.model_max_length == 512


def test_without_the_model_file(folder, tmp_path):
    """tokenizer.json is enough for the fast tokenizer."""
    for path in folder.iterdir():
        if path.name != "sentencepiece.bpe.model":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    whole, part = (transformers.AutoTokenizer.from_pretrained(path) for path in (folder, tmp_path))
    lines = text(100, seed=4)
    assert part(lines)["input_ids"] == whole(lines)["input_ids"]


def test_config(folder):
    config = transformers.AutoConfig.from_pretrained(folder)
    assert (config.model_type, config.vocab_size) == ("xlm-roberta", 602)
    assert (config.bos_token_id, config.pad_token_id, config.eos_token_id) == (0, 1, 2)
    assert (config.max_position_embeddings, config.type_vocab_size, config.layer_norm_eps) == (514, 1, 1e-5)


@pytest.mark.parametrize("options", [{"normalization_rule_name": "nmt_nfkc_cf"}, {"vocab_size": 450}], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_other_models(options, kind, tmp_path):
    model = train(text(1500), **options)
    tokenizer = transformers.AutoTokenizer.from_pretrained(write(tmp_path, model), **kind)
    assert differences(processor(model), tokenizer, [*text(500, seed=5), "ABC Xyz ÉÑ"]) == []
