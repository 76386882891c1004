"""The bytes of the folder, and the models that are refused. What transformers makes of it: test_folder_transformers.py."""

import hashlib
import json
import math

import pytest
from tiny_tokenizer import processor, text, tiny_model, train

from cc100.shards.errors import InputError
from cc100.tokenizer.folder import TOKENIZER_FILES, tokenizer_files, validate_model
from cc100.tokenizer.model_proto import PieceType, parse_model


@pytest.fixture(scope="module")
def files():
    return tokenizer_files(tiny_model())


def edited(edit):
    """The shared model after `edit` has changed its message."""
    proto = parse_model(tiny_model())
    edit(proto)
    return proto.SerializeToString()


# --- The message ------------------------------------------------------------------------------------------------------


def test_message_says_what_sentencepiece_says():
    proto, model = parse_model(tiny_model()), processor(tiny_model())
    assert [piece.piece for piece in proto.pieces] == [model.id_to_piece(i) for i in range(model.vocab_size())]
    assert [piece.score for piece in proto.pieces] == [model.get_score(i) for i in range(model.vocab_size())]
    assert [piece.type for piece in proto.pieces[:4]] == [
        PieceType.UNKNOWN, PieceType.CONTROL, PieceType.CONTROL, PieceType.NORMAL,
    ]  # fmt: skip
    assert proto.normalizer_spec.add_dummy_prefix
    assert proto.normalizer_spec.name == "nmt_nfkc"


def test_message_keeps_what_it_does_not_know():
    """Unknown fields survive, so an edited model is still one that sentencepiece reads."""
    assert parse_model(tiny_model()).SerializeToString() == tiny_model()


# --- validate_model ---------------------------------------------------------------------------------------------------


def test_info():
    info = validate_model(tiny_model(), "model")
    assert info.sha256 == hashlib.sha256(tiny_model()).hexdigest()
    assert (info.pieces, info.vocab_size, info.model_type) == (600, 602, "unigram")
    assert (info.normalization, info.add_dummy_prefix) == ("nmt_nfkc", True)


@pytest.mark.parametrize(
    "model",
    [b"", b"no model", b"\0" * 100, lambda: tiny_model()[:-7], lambda: tiny_model()[:900]],
    ids=["empty", "text", "zeros", "cut at its end", "cut early"],
)
def test_no_model(model):
    with pytest.raises(InputError, match=r"^some/path is no SentencePiece model.*$") as raised:
        validate_model(model() if callable(model) else model, "some/path")
    assert "\n" not in str(raised.value)


def test_model_cut_between_two_fields():
    """Cut behind a piece it is a well-formed message without options."""
    proto = parse_model(tiny_model())
    proto.ClearField("trainer_spec")
    proto.ClearField("normalizer_spec")
    proto.DiscardUnknownFields()
    whole = proto.SerializeToString()
    assert tiny_model().startswith(whole)
    with pytest.raises(InputError, match="600 pieces, or no options"):
        validate_model(whole, "m")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model_type": "bpe"}, "its type is bpe; only unigram"),
        ({"model_type": "char"}, "its type is char; only unigram"),
        ({"byte_fallback": True}, "falls back to bytes"),
        ({"user_defined_symbols": ["[X]"]}, r"its piece \[X\] is user_defined"),
        ({"user_defined_symbols": ["<mask>"]}, "its piece <mask> is one of the special tokens"),
        ({"control_symbols": ["[C]"]}, r"its piece \[C\] is control"),
        ({"pad_id": 3}, "its piece <pad> is one of the special tokens"),
        ({"pad_id": 0, "unk_id": 1, "bos_id": 2, "eos_id": 3}, "its first pieces are <pad> <unk> <s>, not <unk> <s> </s>"),
        ({"add_dummy_prefix": False}, "trained with add_dummy_prefix=false"),
        ({"remove_extra_whitespaces": False}, "trained with remove_extra_whitespaces=false"),
        ({"treat_whitespace_as_suffix": True}, "trained with treat_whitespace_as_suffix=true"),
        ({"normalization_rule_name": "identity"}, "normalises nothing"),
    ],
    ids=str,
)  # fmt: skip
def test_models_of_other_kinds(options, message):
    other = train(text(400), **{"vocab_size": 520, **options})
    processor(other)
    with pytest.raises(InputError, match=f"^m cannot be used as tokenizer: .*{message}") as raised:
        validate_model(other, "m")
    assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match=message):
        tokenizer_files(other)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda proto: setattr(proto.pieces[9], "piece", "a b"), "'a b' cannot be written as a line of dict.txt"),
        (lambda proto: setattr(proto.pieces[9], "piece", "a\n"), r"'a\\n' cannot be written"),
        (lambda proto: setattr(proto.pieces[9], "piece", proto.pieces[8].piece), "the same piece twice"),
        (lambda proto: setattr(proto.pieces[9], "type", PieceType.UNUSED), "is unused"),
        (lambda proto: setattr(proto.pieces[9], "type", 99), "is 99"),
        (lambda proto: setattr(proto.pieces[1], "type", PieceType.NORMAL), "its first pieces are"),
        (lambda proto: proto.pieces.__delitem__(slice(3, None)), "no piece but the special ones"),
        (lambda proto: setattr(proto.normalizer_spec, "precompiled_charsmap", b"\1\2\3"), "sentencepiece refuses it"),
    ],
)
def test_edited_models(edit, message):
    with pytest.raises(InputError, match=message) as raised:
        validate_model(edited(edit), "m")
    assert "\n" not in str(raised.value)


# --- tokenizer_files --------------------------------------------------------------------------------------------------


def test_files_are_deterministic(files):
    assert tuple(files) == TOKENIZER_FILES
    assert tokenizer_files(bytes(tiny_model())) == files
    assert files["sentencepiece.bpe.model"] == tiny_model()


def test_vocabulary(files):
    model = processor(tiny_model())
    written = json.loads(files["tokenizer.json"])
    pieces = [[model.id_to_piece(i), model.get_score(i)] for i in range(3, model.vocab_size())]
    specials = [["<s>", 0.0], ["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0]]
    assert written["model"]["vocab"] == [*specials, *pieces, ["<mask>", 0.0]]
    assert written["model"]["unk_id"] == 3
    assert [(token["id"], token["content"]) for token in written["added_tokens"]] == [
        (0, "<s>"), (1, "<pad>"), (2, "</s>"), (3, "<unk>"), (601, "<mask>"),
    ]  # fmt: skip
    assert [token["lstrip"] for token in written["added_tokens"]] == [False] * 4 + [True]


def test_config(files):
    assert json.loads(files["config.json"]) == {
        "model_type": "xlm-roberta", "vocab_size": 602, "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2,
        "max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5,
    }  # fmt: skip
    assert json.loads(files["tokenizer_config.json"])["model_max_length"] == 512


def test_dictionary_as_fairseq_reads_it(files):
    """fairseq.data.Dictionary.add_from_file: rstrip, split at the last space, int; a word twice is an error."""
    model = processor(tiny_model())
    symbols = ["<s>", "<pad>", "</s>", "<unk>"]
    counts = []
    for line in files["dict.txt"].decode().splitlines(keepends=True):
        word, count = line.rstrip().rsplit(" ", 1)
        assert word not in symbols
        symbols.append(word)
        counts.append(int(count))
    assert symbols[4:] == [model.id_to_piece(i) for i in range(3, model.vocab_size())]
    assert counts == [max(1, round(math.exp(model.get_score(i)) * 1e9)) for i in range(3, model.vocab_size())]
    assert min(counts) >= 1
    assert counts == sorted(counts, reverse=True)


def test_rare_pieces_count_once():
    rare = tokenizer_files(edited(lambda proto: setattr(proto.pieces[-1], "score", -50.0)))["dict.txt"]
    assert rare.decode().splitlines()[-1].endswith(" 1")
