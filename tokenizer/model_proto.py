"""SentencePiece's model file as a protobuf message: the few fields that are read here.

The module that sentencepiece ships (`sentencepiece_model_pb2`) refuses a protobuf runtime older than the compiler that
made it: that of 0.2.3 wants protobuf 7, Beam allows 6. So the message is described here, with the field numbers and
defaults of sentencepiece's `src/sentencepiece_model.proto`; protobuf skips the fields that are not named.
"""

import enum
import functools
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

_PACKAGE = "cc100.tokenizer"
_Field = descriptor_pb2.FieldDescriptorProto

# Message -> (field, number, type, default); a name of a message as type: that message, repeated for "pieces".
_MESSAGES: dict[str, tuple[tuple[str, int, str, str], ...]] = {
    "Piece": (("piece", 1, "string", ""), ("score", 2, "float", "0"), ("type", 3, "int32", "1")),
    "TrainerSpec": (
        ("model_type", 3, "int32", "1"),
        ("vocab_size", 4, "int32", "8000"),
        ("character_coverage", 10, "float", "0.9995"),
        ("num_threads", 16, "int32", "16"),
        ("max_sentence_length", 18, "int32", "4192"),
        ("treat_whitespace_as_suffix", 24, "bool", "false"),
        ("byte_fallback", 35, "bool", "false"),
    ),
    "NormalizerSpec": (
        ("name", 1, "string", ""),
        ("precompiled_charsmap", 2, "bytes", ""),
        ("add_dummy_prefix", 3, "bool", "true"),
        ("remove_extra_whitespaces", 4, "bool", "true"),
        ("escape_whitespaces", 5, "bool", "true"),
    ),
    "ModelProto": (
        ("pieces", 1, "Piece", ""),
        ("trainer_spec", 2, "TrainerSpec", ""),
        ("normalizer_spec", 3, "NormalizerSpec", ""),
    ),
}


class PieceType(enum.IntEnum):
    """`ModelProto.SentencePiece.Type`."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


class ModelType(enum.IntEnum):
    """`TrainerSpec.ModelType`."""

    UNIGRAM = 1
    BPE = 2
    WORD = 3
    CHAR = 4


def parse_model(model: bytes) -> Any:
    """The message in `model`: `pieces`, `trainer_spec`, `normalizer_spec`.

    Raises:
        ValueError: the bytes are no message of this kind.
    """
    message = _message_class()()
    try:
        message.ParseFromString(model)
    except DecodeError as error:
        raise ValueError(str(error)) from error
    return message


@functools.cache
def _message_class() -> type[Message]:
    file = descriptor_pb2.FileDescriptorProto(name=f"{_PACKAGE}.proto", package=_PACKAGE, syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, default in fields:
            label = _Field.LABEL_REPEATED if field == "pieces" else _Field.LABEL_OPTIONAL
            added = message.field.add(name=field, number=number, label=label)
            if kind in _MESSAGES:
                added.type, added.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                added.type, added.default_value = getattr(_Field, f"TYPE_{kind.upper()}"), default
    pool = descriptor_pool.DescriptorPool()  # of its own: names of the default pool are shared by the whole process
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.ModelProto"))
