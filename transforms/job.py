"""What every step knows: the output folder, the settings, the inputs, how the work is cut; and what is already done.

A step turns durable files into durable files, unit by unit (an input file, a block of files, a part). When the files of a unit have
their final names, a receipt `run/done/<step>/<unit>.json` records their sizes and SHA-256 and the step's figures.
A unit is done if its receipt is there and its files have the recorded sizes; nothing is hashed again.
"""

import dataclasses
import functools
import json
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import apache_beam as beam
import pyarrow as pa

from cc100.shards import layout
from cc100.shards.errors import ConfigurationError, DamagedFileError, StorageError
from cc100.shards.manifest import to_json
from cc100.transforms.settings import CorpusSettings
from cc100.transforms.storage import Storage, StoredFile

DIGEST_RANGES = 4096
"""Ranges of the 64-bit digests (by their 12 high bits) that can be read separately."""

DIGESTS, BANDS, COMPONENTS = "digests", "bands", "components"
"""The shuffles that grow with the input: of digests (mark, elect), band keys (candidates), components (decide)."""


@dataclasses.dataclass(frozen=True)
class InputFile:
    """One input: URI, size as stored, number of the scope in which duplicates are looked for.

    Where the size is not known before the file is read, `bytes` is an estimate, and `is_size_known` False.
    """

    uri: str
    bytes: int
    exact_scope: int
    near_scope: int
    is_size_known: bool = True


@dataclasses.dataclass(frozen=True)
class Plan:
    """How the input is cut into blocks of files; follows from its size, and changes no output byte."""

    block_files: int


@dataclasses.dataclass(frozen=True)
class Cut:
    """How a shuffle is cut; follows from what it carries and the runner's memory, and changes no output byte.

    Attributes:
        passes: Beam jobs, each over a part of the 4,096 ranges.
        buckets: keys of a pass, for every scope.
    """

    passes: int
    buckets: int


@dataclasses.dataclass(frozen=True)
class Model:
    """The language model: path as configured (empty: the default of the machine that reads it), name and fingerprint."""

    path: str
    name: str
    sha256: str


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What the work on a unit left: files by relative path, and figures for the report."""

    files: dict[str, StoredFile]
    figures: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Job:
    """Everything about a run that steps need; read from `run/run.json`."""

    storage: Storage
    settings: CorpusSettings
    inputs: tuple[InputFile, ...]
    plan: Plan
    model: Model

    def to_json(self) -> dict[str, Any]:
        """Content of `run/run.json`."""
        return {
            "settings": dataclasses.asdict(self.settings),
            "inputs": [dataclasses.asdict(entry) for entry in self.inputs],
            "plan": dataclasses.asdict(self.plan),
            "model": dataclasses.asdict(self.model),
        }

    @property
    def blocks(self) -> int:
        """Number of file blocks."""
        return -(-len(self.inputs) // self.plan.block_files)

    def block_of(self, file_index: int) -> int:
        """Block of a file."""
        return file_index // self.plan.block_files

    def files_of(self, block: int) -> range:
        """File indexes of a block."""
        begin = block * self.plan.block_files
        return range(begin, min(begin + self.plan.block_files, len(self.inputs)))

    @property
    def shuffles(self) -> tuple[str, ...]:
        """The shuffles that grow with the input."""
        return (DIGESTS,) if self.settings.near.mode == "none" else (DIGESTS, BANDS, COMPONENTS)

    def cut(self, shuffle: str) -> Cut:
        """How a shuffle was cut, before its first pass; read anew each time."""
        return Cut(**self.storage.read_json(layout.cut(shuffle)))

    @property
    def near_groups(self) -> int:
        """Number of groups of files in which near duplicates are looked for."""
        size = self.settings.near.group_files
        return -(-len(self.inputs) // size) if size else 1

    def near_group_of(self, file_index: int) -> int:
        """Group of a file (near.group_files)."""
        size = self.settings.near.group_files
        return file_index // size if size else 0


def load_job(storage: Storage) -> Job:
    """Read `run/run.json`.

    Raises:
        DamagedFileError: it is not what a run wrote.
    """
    content = storage.read_json(layout.RUN_STATE)
    try:
        groups = {field.name: field.type for field in dataclasses.fields(CorpusSettings)}
        made = {name: _section(kind, content["settings"].get(name, {})) for name, kind in groups.items()}
        return Job(
            storage=storage,
            settings=CorpusSettings(**made),
            inputs=tuple(InputFile(**entry) for entry in content["inputs"]),
            plan=Plan(**content["plan"]),
            model=Model(**content["model"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedFileError(
            f"{storage.uri(layout.RUN_STATE)} is not the state of a run ({error}). "
            f"Delete {storage.root} and run the command again."
        ) from error


def _section(kind: Any, values: dict[str, Any]) -> Any:
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


class StageJob(Protocol):
    """What the wiring needs of the job of any stage."""

    @property
    def storage(self) -> Storage:
        """The output folder."""


@dataclasses.dataclass(frozen=True)
class JobReference:
    """What is pickled into a job's graph in place of the job: where it lies, which one it is, and how it is read."""

    root: str
    fingerprint: str
    read: Callable[[Storage], Any] = load_job

    def load(self) -> Any:
        """The job, read once per process."""
        return _load_once(self.root, self.fingerprint, self.read)


@functools.lru_cache(maxsize=4)
def _load_once(root: str, fingerprint: str, read: Callable[[Storage], Any]) -> Any:
    del fingerprint  # part of the key: another job in the same folder is read anew
    limit_threads()
    try:
        return read(Storage(root))
    except StorageError as error:
        raise StorageError(
            f"{str(error).rstrip('.')}, as seen from {socket.gethostname()}. Workers must see --output as the machine that starts the run "
            "does: on a cluster it has to lie on a shared file system or an object store"
        ) from error


def limit_threads() -> None:
    """One thread for pyarrow's pools: workers are processes, and would otherwise fight for the cores."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)


# --- Receipts -------------------------------------------------------------------------------------------------------


def receipt_name(step: str, unit: str) -> str:
    """Path of a unit's receipt."""
    return f"{layout.RUN}/done/{step}/{unit}.json"


def read_receipt(storage: Storage, step: str, unit: str) -> Outcome | None:
    """Outcome of a unit if it is done, else None."""
    name = receipt_name(step, unit)
    if storage.size(name) is None:
        return None
    try:
        content = json.loads(storage.read(name))
        outcome = Outcome({path: StoredFile(**entry) for path, entry in content["files"].items()}, content["figures"])
    except (ValueError, KeyError, TypeError, StorageError):
        return None  # cut by a crash of the machine: the unit is done again
    if any(storage.size(path) != entry.bytes for path, entry in outcome.files.items()):
        return None
    return outcome


def write_receipt(storage: Storage, step: str, unit: str, outcome: Outcome) -> None:
    """Record that a unit is done."""
    files = {path: dataclasses.asdict(entry) for path, entry in outcome.files.items()}
    storage.write(receipt_name(step, unit), to_json({"files": files, "figures": outcome.figures}))


def do_once(job: StageJob, step: str, unit: str, work: Callable[[], Outcome]) -> Outcome:
    """Outcome of a unit: from its receipt, or by doing the work now."""
    outcome = read_receipt(job.storage, step, unit)
    if outcome is None:
        outcome = work()
        write_receipt(job.storage, step, unit, outcome)
    return outcome


# --- Wiring ---------------------------------------------------------------------------------------------------------


class StartUnits(beam.PTransform):
    """Begin of a step: numbers 0..count-1, each a key of its own, so that a runner can give them to any worker."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count

    def expand(self, root: Any) -> beam.PCollection[int]:
        """Impulse -> numbers, regrouped by themselves (no random keys)."""
        return (
            root
            | "Impulse" >> beam.Impulse()
            | "Number" >> beam.ParDo(_Number(self._count))
            | "Spread" >> SpreadUnits()
        )


class SpreadUnits(beam.PTransform):
    """Let units go to any worker: a GroupByKey by the unit itself, or by its lane.

    Args:
        lanes: number of keys; units of one lane are done one after another. 0: every unit has a lane of its own.
    """

    def __init__(self, lanes: int = 0) -> None:
        super().__init__()
        self._lanes = lanes

    def expand(self, units: beam.PCollection[int]) -> beam.PCollection[int]:
        """Unit -> (lane, unit) -> group -> unit."""
        return (
            units
            | "KeyByLane" >> beam.ParDo(_KeyByLane(self._lanes))
            | "Group" >> beam.GroupByKey()
            | "Unit" >> beam.ParDo(_UnitsOf())
        )


class _Number(beam.DoFn):
    def __init__(self, count: int) -> None:
        self._count = count

    def process(self, element: bytes) -> Iterator[int]:
        yield from range(self._count)


class _KeyByLane(beam.DoFn):
    def __init__(self, lanes: int) -> None:
        self._lanes = lanes

    def process(self, element: int) -> Iterator[tuple[int, bytes]]:
        yield element % self._lanes if self._lanes else element, element.to_bytes(8, "little")


class _UnitsOf(beam.DoFn):
    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[int]:
        yield from sorted(int.from_bytes(value, "little") for value in element[1])


class DoUnits(beam.PTransform):
    """A map-only step: unit -> durable files -> unit.

    Args:
        job: reference of the job.
        step: name of the step.
        work: module-level function from job and unit to the outcome; not called for units that are done.
    """

    def __init__(self, job: JobReference, step: str, work: Callable[[Any, int], Outcome]) -> None:
        super().__init__()
        self._job, self._step, self._work = job, step, work

    def expand(self, units: beam.PCollection[int]) -> beam.PCollection[int]:
        """Unit -> unit, when its files are complete."""
        return units | "Do" >> beam.ParDo(_DoUnit(self._job, self._step, self._work))


class _DoUnit(beam.DoFn):
    def __init__(self, job: JobReference, step: str, work: Callable[[Any, int], Outcome]) -> None:
        self._job, self._step, self._work = job, step, work

    def process(self, element: int) -> Iterator[int]:
        job = self._job.load()
        do_once(job, self._step, unit_name(element), lambda: self._work(job, element))
        yield element


class WriteGroups(beam.PTransform):
    """End of a shuffle: (unit, values) -> durable files -> unit.

    Args:
        job: reference of the job.
        step: name of the step.
        shuffle: which shuffle.
        cut: how it is cut.
        part: which pass this is.
        work: module-level function from job, unit, pass and values to the outcome; not called for units that are done.
    """

    def __init__(
        self,
        job: JobReference,
        step: str,
        shuffle: str,
        cut: Cut,
        part: int,
        work: Callable[[Job, int, int, Iterable[bytes]], Outcome],
    ) -> None:
        super().__init__()
        self._do = _WriteGroup(job, step, shuffle, cut, part, work)

    def expand(self, groups: beam.PCollection[tuple[int, Iterable[bytes]]]) -> beam.PCollection[int]:
        """(unit, values) -> unit, when its files are complete."""
        return groups | "Write" >> beam.ParDo(self._do)


class _WriteGroup(beam.DoFn):
    def __init__(
        self,
        job: JobReference,
        step: str,
        shuffle: str,
        cut: Cut,
        part: int,
        work: Callable[[Job, int, int, Iterable[bytes]], Outcome],
    ) -> None:
        self._job, self._step, self._shuffle, self._cut, self._part, self._work = job, step, shuffle, cut, part, work

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[int]:
        unit, values = element
        job: Job = self._job.load()
        if job.cut(self._shuffle) != self._cut:  # frozen for another plan, it would leave out what others ask for
            raise ConfigurationError(
                f"this job was made for {self._cut} of the {self._shuffle}, {job.storage.uri(layout.cut(self._shuffle))} says "
                f"{job.cut(self._shuffle)}: the folder was begun otherwise. Make the bundle again"
            )
        do_once(job, self._step, unit_name(unit, self._part), lambda: self._work(job, unit, self._part, values))
        yield unit


def unit_name(number: int, part: int | None = None) -> str:
    """Name of a unit: its number, and the pass where there are several."""
    return f"{number:06d}" if part is None else f"{number:06d}-{part:04d}"
