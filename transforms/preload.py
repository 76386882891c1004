"""Load what worker processes need once, before they are forked: compiled kernels and the language model.

The first call of a kernel in a process loads it from Numba's cache, and the first of all starts Numba: together half a second that
every worker of every step would pay.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.ipc
import pyarrow.parquet

from cc100.transforms import decide, extract, gather, scatter  # noqa: F401 - imported once, before the first fork
from cc100.transforms.candidates import partition_keys, signer
from cc100.transforms.exact import NO_FORM, elect_in_file, number_forms
from cc100.transforms.html import html_text
from cc100.transforms.job import Model, limit_threads
from cc100.transforms.language import load_model
from cc100.transforms.normalisation import digest_paragraphs
from cc100.transforms.paragraphs import split_pages, string_array, text_buffers
from cc100.transforms.settings import HtmlSettings, NearSettings

_PAGE = b"A page with a line that is long enough for a shingle.\nAnd another one."


def preload(**model: str) -> None:
    """Take a tiny page through the kernels of the steps that run in worker processes.

    Args:
        model: the fields of the language model.
    """
    limit_threads()
    block = np.frombuffer(_PAGE, np.uint8)
    paragraphs = text_buffers(string_array(split_pages(block, np.array([0, len(block)], np.int64))))
    offsets = paragraphs.offsets.astype(np.int64)
    starts, ends = offsets[:-1], offsets[1:]
    forms = number_forms(digest_paragraphs(paragraphs.text, starts, ends))
    elect_in_file(forms.form, forms.form != NO_FORM, len(forms.digests))
    keys = signer(NearSettings()).band_keys(paragraphs.text, starts, ends, np.zeros(len(starts), np.uint64)).keys
    partition_keys(keys, np.arange(len(keys), dtype=np.uint32))
    html_text(_PAGE.decode(), HtmlSettings())
    load_model(Model(**model)).predict(paragraphs.text, starts, ends, np.array([0, len(starts)], np.int64))
    pa.compute.index_in(pa.array(["kept"]), pa.array(["kept"]))
