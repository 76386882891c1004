"""Names of all files of an output folder, relative to it (docs/formats.md says what they hold)."""

import re
import urllib.parse

MANIFEST = "manifest.json"
RUN = "run"
RUN_STATE = "run/run.json"
DATA_FOLDERS = ("documents", "languages", "shards", "removed", "rejects")


def documents(file_index: int) -> str:
    """Pages and paragraphs of one input file."""
    return f"documents/{file_index:06d}.parquet"


def languages(file_index: int) -> str:
    """Language verdicts of the pages of one input file."""
    return f"languages/{file_index:06d}.parquet"


def rejects(file_index: int) -> str:
    """What could not be read in one input file."""
    return f"rejects/{file_index:06d}.jsonl"


def _partition(language: str) -> str:
    # Labels of other models may hold characters that mean something in a path; pyarrow and DuckDB unquote them.
    return f"language={urllib.parse.quote(language, safe='')}"


def shard(language: str, part: int, parts: int) -> str:
    """One part of the paragraphs kept for a language."""
    return f"shards/{_partition(language)}/part-{part:05d}-of-{parts:05d}.parquet"


def removed(language: str, part: int, parts: int) -> str:
    """One part of the near duplicates removed from a language."""
    return f"removed/near/{_partition(language)}/part-{part:05d}-of-{parts:05d}.parquet"


def language_of(path: str) -> str | None:
    """Language of a shard or of a file of removed paragraphs; None for any other path."""
    found = re.search(r"(?:^|/)language=([^/]+)/", path)
    return urllib.parse.unquote(found[1]) if found else None


def digests(file_index: int) -> str:
    """Digests of the normalised forms of one input file."""
    return f"run/digests/{file_index:06d}.arrays"


def marks(block: int, part: int) -> str:
    """Which forms of a file block occur in other files too, for one pass over the digests."""
    return f"run/marks/{block:06d}-{part:04d}.arrays"


def fates(file_index: int) -> str:
    """Which paragraphs of a file were elected among exact duplicates, seen from its own pages."""
    return f"run/fates/{file_index:06d}.arrays"


def elections(block: int, part: int) -> str:
    """Forms of a file block whose smallest accepted copy stands in another file, for one pass over the digests."""
    return f"run/elections/{block:06d}-{part:04d}.arrays"


def bands(file_index: int) -> str:
    """Band keys of the elected paragraphs of one input file."""
    return f"run/bands/{file_index:06d}.arrays"


def edges(forest: int, part: int) -> str:
    """Spanning forest of candidate pairs of a group of files, found in some buckets of one pass over the band keys."""
    return f"run/edges/{forest:06d}-{part:04d}.arrays"


def components(group: int) -> str:
    """Candidates of a group of files with the component of each."""
    return f"run/components/{group:06d}.arrays"


def cut(shuffle: str) -> str:
    """Into how many passes and buckets a shuffle was cut."""
    return f"run/cuts/{shuffle}.json"


def shingled(file_index: int) -> str:
    """Shingle sets and band keys of the candidates of one input file."""
    return f"run/shingled/{file_index:06d}.arrays"


def decisions(block: int, part: int) -> str:
    """Near duplicates removed from a file block, for one pass over the components."""
    return f"run/decisions/{block:06d}-{part:04d}.arrays"


def scattered(block: int) -> str:
    """Kept pages of a file block, grouped by language."""
    return f"run/scatter/{block:06d}.arrow"


def scattered_removed(block: int) -> str:
    """Removed near duplicates of a file block, grouped by language."""
    return f"run/scatter/{block:06d}.arrays"


# --- Tokenizer and token arrays -------------------------------------------------------------------------------------

TOKENIZER = "tokenizer"
TOKENIZER_MANIFEST = "tokenizer/manifest.json"
MODEL = "tokenizer/sentencepiece.bpe.model"
TOKENS = "tokens"
TOKENS_MANIFEST = "tokens/manifest.json"
SPLITS = ("train", "valid")
TOKENS_STATE = "run/tokens/run.json"


def part_of(path: str) -> int:
    """Number of a part of shards/ or removed/."""
    found = re.search(r"part-(\d+)-of-\d+\.parquet$", path)
    if not found:
        raise ValueError(f"{path} is no part")
    return int(found[1])


def tokens(language: str, split: str, part: int) -> str:
    """Token arrays of one part of a language's shards, without `.bin` and `.idx`."""
    return f"tokens/{urllib.parse.quote(language, safe='')}/{split}-{part:05d}"


def training_state(work: str) -> str:
    """State of a training, `tokenizer` or `baseline`."""
    return f"run/{work}/run.json"


def trained_model(work: str) -> str:
    """The model of a training, before it is put into its place."""
    return f"run/{work}/trained.model"


def sample(work: str, language: str, part: int) -> str:
    """What the sample of a training takes of one part of a language's shards."""
    return f"run/{work}/sample/{urllib.parse.quote(language, safe='')}-{part:05d}.arrow"
