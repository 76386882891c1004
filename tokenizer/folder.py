"""The tokenizer's folder, from the bytes of a SentencePiece model: what Hugging Face and fairseq read.

XLM-R's numbering (fairseq's, kept by Hugging Face): `<s>` 0, `<pad>` 1, `</s>` 2, `<unk>` 3, piece i of the model, from
the fourth on, i + 1, and `<mask>` last. So a model of n pieces gives a vocabulary of n + 2.

The files are written here and not by transformers, because versions 4 and 5 write different ones. Version 5 makes an
`XLMRobertaTokenizer` anew from the vocabulary and the first `Precompiled` normalizer of tokenizer.json; version 4 takes
tokenizer.json as it stands, or, asked for the slow tokenizer, the model. `<mask>` takes the space before it, as XLM-R's.
"""

import base64
import dataclasses
import hashlib
import json
import math
from typing import Any

import sentencepiece

from cc100.shards.errors import InputError
from cc100.tokenizer.model_proto import ModelType, PieceType, parse_model

MODEL = "sentencepiece.bpe.model"
TOKENIZER_FILES = (
    MODEL, "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "config.json", "dict.txt",
)  # fmt: skip

FIRST_PIECES = ("<unk>", "<s>", "</s>")
BOS, PAD, EOS, UNK = 0, 1, 2, 3
MAX_LENGTH = 512  # tokens
MAX_PIECES = 2**31 - 3  # ids are int32

_SPACE = "▁"  # U+2581
_ROLES = {
    "bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>",
    "pad_token": "<pad>", "unk_token": "<unk>",
}  # fmt: skip
_COUNT_SCALE = 10**9  # pieces of text in which dict.txt counts


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """What a model is.

    Attributes:
        sha256: of its bytes, in hexadecimal digits.
        pieces: number of pieces, the three special ones included.
        vocab_size: number of ids in XLM-R's numbering, pieces + 2.
        model_type: "unigram".
        normalization: name of SentencePiece's normalisation rule, such as "nmt_nfkc".
        add_dummy_prefix: whether a space is put before the text; true in every model that is accepted.
    """

    sha256: str
    pieces: int
    vocab_size: int
    model_type: str
    normalization: str
    add_dummy_prefix: bool


def validate_model(model: bytes, name: str) -> ModelInfo:
    """What the model is, if Hugging Face's XLM-R tokenizer can give the same ids as SentencePiece does with it.

    Args:
        model: bytes of the model file.
        name: how messages call it: its path.

    Raises:
        InputError: it is no SentencePiece model, or one of which the folder would not hold.
    """
    proto = _parsed(model, name)
    model_type = _name_of(ModelType, proto.trainer_spec.model_type)
    problems = _problems(proto, model_type)
    if problems:
        raise InputError(f"{name} cannot be used as tokenizer: {problems[0]}")
    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    except RuntimeError as error:
        raise InputError(
            f"{name} cannot be used as tokenizer: sentencepiece refuses it ({_one_line(error)})"
        ) from error
    return ModelInfo(
        sha256=hashlib.sha256(model).hexdigest(),
        pieces=processor.vocab_size(),
        vocab_size=processor.vocab_size() + 2,
        model_type=model_type,
        normalization=proto.normalizer_spec.name,
        add_dummy_prefix=proto.normalizer_spec.add_dummy_prefix,
    )


def tokenizer_files(model: bytes) -> dict[str, bytes]:
    """The six files by name; equal bytes for equal models.

    Args:
        model: bytes of a model that `validate_model` accepts.

    Raises:
        InputError: it does not.
    """
    validate_model(model, MODEL)
    proto = _parsed(model, MODEL)
    pieces = [piece.piece for piece in proto.pieces[3:]]
    scores = [piece.score for piece in proto.pieces[3:]]
    mask = len(pieces) + 4
    return {
        MODEL: model,
        "tokenizer.json": _json(_tokenizer(pieces, scores, proto.normalizer_spec.precompiled_charsmap), indent=None),
        "tokenizer_config.json": _json(_tokenizer_config(mask)),
        "special_tokens_map.json": _json({**_ROLES, "mask_token": _mask_token()}),
        "config.json": _json(_config(vocab_size=mask + 1)),
        "dict.txt": _dictionary(pieces, scores),
    }


def recorded_options(model: bytes) -> dict[str, Any]:
    """Options of its training that a model records itself: those that a tokenizer's manifest holds in any case.

    Args:
        model: bytes of a model that `validate_model` accepts.
    """
    trainer = _parsed(model, MODEL).trainer_spec
    return {
        "model_type": _name_of(ModelType, trainer.model_type),
        "vocab_size": trainer.vocab_size,
        "character_coverage": float(f"{trainer.character_coverage:.7g}"),  # a float32
        "num_threads": trainer.num_threads,
        "max_sentence_length": trainer.max_sentence_length,
    }


# --- What is refused --------------------------------------------------------------------------------------------------


def _parsed(model: bytes, name: str) -> Any:
    try:
        proto = parse_model(model)
    except ValueError as error:
        raise InputError(f"{name} is no SentencePiece model, or a damaged one ({_one_line(error)})") from error
    if not proto.pieces or not proto.HasField("trainer_spec") or not proto.HasField("normalizer_spec"):
        raise InputError(
            f"{name} is no SentencePiece model, or a damaged one: {len(proto.pieces)} pieces, or no options"
        )
    return proto


def _problems(proto: Any, model_type: str) -> list[str]:
    """Why Hugging Face or fairseq would give other ids than SentencePiece, most basic first."""
    pieces = [piece.piece for piece in proto.pieces]
    types = [piece.type for piece in proto.pieces]
    trainer, normalizer = proto.trainer_spec, proto.normalizer_spec
    problems = []
    if model_type != "unigram":
        problems.append(f"its type is {model_type}; only unigram models are supported (model_type=unigram)")
    if trainer.byte_fallback or PieceType.BYTE in types:
        problems.append(
            "it falls back to bytes, which XLM-R's numbering has no ids for; train with byte_fallback=false"
        )
    if tuple(pieces[:3]) != FIRST_PIECES or types[:3] != [PieceType.UNKNOWN, PieceType.CONTROL, PieceType.CONTROL]:
        problems.append(
            f"its first pieces are {' '.join(pieces[:3])}, not {' '.join(FIRST_PIECES)}; "
            "train with unk_id=0 bos_id=1 eos_id=2 pad_id=-1"
        )
    problems += _piece_problems(pieces, types)
    if len(pieces) > MAX_PIECES:
        problems.append(f"it has {len(pieces)} pieces; ids are int32")
    flags = ("add_dummy_prefix", "remove_extra_whitespaces", "escape_whitespaces")
    off = [flag for flag in flags if not getattr(normalizer, flag)]
    if off or trainer.treat_whitespace_as_suffix:
        wrong = f"{off[0]}=false" if off else "treat_whitespace_as_suffix=true"
        problems.append(f"it was trained with {wrong}; XLM-R's tokenizer marks the space before each word, once")
    if not normalizer.precompiled_charsmap:
        problems.append(
            "it normalises nothing, so that a no-break space would separate words for Hugging Face only; "
            "train with normalization_rule_name=nmt_nfkc"
        )
    return problems


def _piece_problems(pieces: list[str], types: list[int]) -> list[str]:
    problems = []
    if len(pieces) < 4:
        problems.append("it has no piece but the special ones")
    for piece, kind in zip(pieces[3:], types[3:], strict=True):
        if piece in ("<pad>", "<mask>"):
            problems.append(f"its piece {piece} is one of the special tokens that XLM-R's numbering adds")
        elif kind != PieceType.NORMAL:
            problems.append(
                f"its piece {piece} is {_name_of(PieceType, kind)}; Hugging Face would take it for a normal one. "
                "Train without user_defined_symbols and control_symbols"
            )
        elif not piece or any(character in piece for character in " \n\r"):
            problems.append(f"its piece {piece!r} cannot be written as a line of dict.txt")
    if len(set(pieces)) != len(pieces):
        problems.append("it has the same piece twice")
    return problems


def _name_of(kinds: type[ModelType] | type[PieceType], number: int) -> str:
    return kinds(number).name.lower() if number in list(kinds) else str(number)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


# --- The files --------------------------------------------------------------------------------------------------------


def _json(content: Any, indent: int | None = 2) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=indent) + "\n").encode()


def _added_token(content: str, lstrip: bool = False) -> dict[str, Any]:
    return {
        "content": content, "single_word": False, "lstrip": lstrip, "rstrip": False, "normalized": False,
        "special": True,
    }  # fmt: skip


def _added_tokens(mask: int) -> dict[int, dict[str, Any]]:
    tokens = {BOS: "<s>", PAD: "<pad>", EOS: "</s>", UNK: "<unk>", mask: "<mask>"}
    return {number: _added_token(token, lstrip=token == "<mask>") for number, token in tokens.items()}


def _mask_token() -> dict[str, Any]:
    return {key: value for key, value in _added_token("<mask>", lstrip=True).items() if key != "special"}


def _tokenizer(pieces: list[str], scores: list[float], charsmap: bytes) -> dict[str, Any]:
    """tokenizer.json of the `tokenizers` library: Unigram over the model's own pieces, scores and normalisation."""
    metaspace = {"type": "Metaspace", "replacement": _SPACE, "prepend_scheme": "always", "split": True}
    specials = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocabulary = [*specials, *zip(pieces, scores, strict=True), ("<mask>", 0.0)]
    added = _added_tokens(len(vocabulary) - 1)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": number, **token} for number, token in added.items()],
        "normalizer": {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap).decode()},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace]},
        "post_processor": _template(),
        "decoder": metaspace,
        "model": {"type": "Unigram", "unk_id": UNK, "vocab": vocabulary, "byte_fallback": False},
    }


def _template() -> dict[str, Any]:
    """`<s> A </s>` for one text, `<s> A </s> </s> B </s>` for two; all of type 0."""
    start, end = ({"SpecialToken": {"id": token, "type_id": 0}} for token in ("<s>", "</s>"))
    first, second = ({"Sequence": {"id": text, "type_id": 0}} for text in "AB")
    return {
        "type": "TemplateProcessing",
        "single": [start, first, end],
        "pair": [start, first, end, end, second, end],
        "special_tokens": {
            token: {"id": token, "ids": [number], "tokens": [token]} for token, number in (("<s>", BOS), ("</s>", EOS))
        },
    }


def _tokenizer_config(mask: int) -> dict[str, Any]:
    return {
        "tokenizer_class": "XLMRobertaTokenizer",
        "model_max_length": MAX_LENGTH,
        "clean_up_tokenization_spaces": False,
        **_ROLES,
        "mask_token": {"__type": "AddedToken", **_mask_token()},
        "added_tokens_decoder": {str(number): token for number, token in _added_tokens(mask).items()},
    }


def _config(vocab_size: int) -> dict[str, Any]:
    """XLM-R where the library's defaults are BERT's; the sizes of the network are left to who trains one."""
    return {
        "model_type": "xlm-roberta",
        "vocab_size": vocab_size,
        "bos_token_id": BOS,
        "pad_token_id": PAD,
        "eos_token_id": EOS,
        "max_position_embeddings": MAX_LENGTH + 2,  # fairseq's positions start after the padding id
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-05,
    }


def _dictionary(pieces: list[str], scores: list[float]) -> bytes:
    """fairseq's dict.txt, "piece count": its order gives the ids, which start behind the four specials.

    The count is the frequency that the model gives to the piece, exp(score), in 10^9 pieces of text, at least 1. fairseq
    wants an int, and reads it only where it draws or weighs words by frequency.
    """
    counts = [max(1, round(math.exp(min(score, 0.0)) * _COUNT_SCALE)) for score in scores]
    return "".join(f"{piece} {count}\n" for piece, count in zip(pieces, counts, strict=True)).encode()
