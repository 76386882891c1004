"""A process of its own that trains a SentencePiece model: sentences in on standard input, the model out on standard output.

    python -m cc100.tokenizer.trainer_process OPTIONS      (JSON)

The input is an Arrow stream of (text, copies); the log goes to standard error. A process of its own, because the trainer logs to the file
descriptor, cannot be interrupted otherwise, and gives its memory back only when it ends.
"""

import contextlib
import ctypes
import io
import json
import os
import signal
import sys
from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
import sentencepiece

EXIT_REFUSED = 3
"""Exit code where the trainer refuses text or options; its reason is the last line of the log."""
_PR_SET_PDEATHSIG = 1


def sentences(stream: BinaryIO) -> Iterator[bytes]:
    """Sentences of an Arrow stream, each as often as its copies say."""
    with pa.ipc.open_stream(stream) as reader:
        for batch in reader:
            for text, copies in zip(batch["text"].to_pylist(), batch["copies"].to_pylist(), strict=True):
                for _ in range(copies):
                    yield text


def main(options: str) -> int:
    """Train; the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    model = io.BytesIO()
    with os.fdopen(os.dup(1), "wb") as output:
        os.dup2(2, 1)  # nothing but the model may reach standard output
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=sentences(sys.stdin.buffer), model_writer=model, **json.loads(options)
            )
        except (RuntimeError, OSError) as error:
            print(" ".join(str(error).split()), file=sys.stderr, flush=True)
            return EXIT_REFUSED
        output.write(model.getvalue())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
