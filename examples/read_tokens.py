"""Reads token arrays with NumPy alone, and shows some of their text again.

    python examples/read_tokens.py OUTPUT [LANGUAGE]

`np.memmap` needs nothing of this project; `TokenArrays` adds where sequences and documents begin.
"""

import pathlib
import sys

import numpy as np
import sentencepiece

from cc100.shards.token_arrays import TokenArrays


def main(output: str, language: str = "en") -> None:
    prefix = min(pathlib.Path(output, "tokens", language).glob("train-*.bin")).with_suffix("")
    tokens = np.memmap(f"{prefix}.bin", dtype="<i4", mode="r")
    print(f"{prefix}.bin: {len(tokens):,} tokens, the first ones {tokens[:12].tolist()}")

    arrays = TokenArrays(str(prefix))
    print(f"{len(arrays):,} sequences in {len(arrays.index.documents) - 1:,} documents; the first sequences are")
    model = sentencepiece.SentencePieceProcessor(
        model_file=str(pathlib.Path(output, "tokenizer", "sentencepiece.bpe.model"))
    )
    for number in range(min(3, len(arrays))):
        pieces = [int(token) - 1 for token in arrays[number][:-1] if token > 3]  # without </s> and <unk>
        print(f"  {arrays[number][:8].tolist()}...  {model.decode(pieces)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
