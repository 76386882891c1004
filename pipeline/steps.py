"""Steps of any stage: Beam jobs whose units leave durable files; how a run goes through them, resuming where one stopped."""

import dataclasses
import re
from collections.abc import Callable, Iterable
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from cc100.pipeline.fork_server import ForkServer
from cc100.pipeline.local_runner import LocalRunner
from cc100.pipeline.progress import StepProgress
from cc100.shards import layout
from cc100.shards.errors import Cc100Error, StorageError
from cc100.shards.manifest import to_json
from cc100.transforms.job import Outcome, read_receipt
from cc100.transforms.storage import Storage, StoredFile

Build = Callable[[beam.Pipeline], Any]


@dataclasses.dataclass(frozen=True)
class Pass:
    """One Beam job: what it makes, and how its graph is built."""

    units: tuple[str, ...]
    build: Build


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of the data flow.

    Attributes:
        name: name of its receipts.
        unit: what is counted, in the plural.
        passes: the Beam jobs that make it up.
        is_map: no shuffle of any size, so that worker processes pay.
    """

    name: str
    unit: str
    passes: tuple[Pass, ...]
    is_map: bool


def is_local_runner(flags: Iterable[str]) -> bool:
    """True unless Beam's flags name another runner than the local one."""
    return PipelineOptions(list(flags)).get_all_options()["runner"] in (None, "DirectRunner")


class Runner:
    """Runs Beam jobs: locally, or wherever Beam's flags say.

    Args:
        flags: Beam's own flags.
        workers: processes of the local runner for steps without a shuffle.
        server: where they are forked; None: such steps run in this process too.
    """

    def __init__(self, flags: list[str], workers: int, server: ForkServer | None) -> None:
        self._options = PipelineOptions(flags)
        self.is_local = is_local_runner(flags)
        self._workers, self._server = workers, server

    def run(self, build: Build, is_map: bool) -> None:
        """Build a graph and run it to its end.

        Raises:
            Cc100Error: a step met something that the user can mend.
        """
        options = dict(self._options.get_all_options(drop_default=True))
        runner: Any = None
        if self.is_local:
            options.pop("runner", None)
            server = self._server if is_map else None
            runner = LocalRunner(server)
            if server is not None:
                options["direct_num_workers"] = self._workers
        pipeline = beam.Pipeline(runner=runner, options=PipelineOptions.from_dictionary(options))
        build(pipeline)
        try:
            pipeline.run().wait_until_finish()
        except Cc100Error:
            raise
        except Exception as error:
            raise _known_error(error) or error from None


_KNOWN = re.compile(r"cc100\.shards\.errors\.\w+: (.*?)(?: \[while running .*)?$", re.MULTILINE)


def _known_error(error: Exception) -> Cc100Error | None:
    """What a step raised, out of the text that runners wrap it in."""
    found = _KNOWN.findall(str(error))
    return Cc100Error(found[-1]) if found else None


def run_step(
    storage: Storage, step: Step, stored_bytes: int, runner: Runner, progress: StepProgress
) -> dict[str, Outcome]:
    """Bring a step to its end; outcomes of all units by name.

    Args:
        storage: the output folder.
        step: the step.
        stored_bytes: what all its units stand for, for the speed that is shown.
        runner: runs Beam jobs.
        progress: shows the step.
    """
    finished = read_step(storage, step)
    if finished is not None:
        return finished
    names = [unit for part in step.passes for unit in part.units]
    done = {name: outcome for name in names if (outcome := read_receipt(storage, step.name, name))}
    if len(done) < len(names):
        folder = f"{layout.RUN}/done/{step.name}"
        with progress.step(step.name, step.unit, len(names), stored_bytes, lambda: len(storage.files(folder))):
            for part in step.passes:
                if not all(unit in done for unit in part.units):
                    runner.run(part.build, step.is_map)
        for name in names:
            outcome = done.get(name) or read_receipt(storage, step.name, name)
            if outcome is None:
                raise StorageError(
                    f"step {step.name} ended, but {storage.root} does not hold the files of its unit {name}. "
                    "Run the same command again; if it happens again, the file system loses files"
                )
            done[name] = outcome
    write_step(storage, step.name, done)
    return done


def _step_name(name: str) -> str:
    return f"{layout.RUN}/steps/{name}.json"


def write_step(storage: Storage, name: str, outcomes: dict[str, Outcome]) -> None:
    """Record that a step is done, with the outcomes of its units."""
    storage.write(_step_name(name), to_json({unit: dataclasses.asdict(outcome) for unit, outcome in outcomes.items()}))


def read_step(storage: Storage, step: Step) -> dict[str, Outcome] | None:
    """Outcomes of a step that is done and whose files are all there; else None. Each folder is listed once."""
    name = _step_name(step.name)
    if storage.size(name) is None:
        return None
    try:
        content = storage.read_json(name)
        outcomes = {
            unit: Outcome({path: StoredFile(**file) for path, file in entry["files"].items()}, entry["figures"])
            for unit, entry in content.items()
        }
    except (StorageError, KeyError, TypeError, AttributeError):
        return None
    expected = {path: file.bytes for outcome in outcomes.values() for path, file in outcome.files.items()}
    present = folder_files(storage, expected)
    complete = set(outcomes) == {unit for part in step.passes for unit in part.units}
    return outcomes if complete and all(present.get(path) == size for path, size in expected.items()) else None


def folder_files(storage: Storage, names: Any) -> dict[str, int]:
    """Sizes of the files in all folders of some paths; each folder is listed once."""
    present: dict[str, int] = {}
    for folder in sorted({path.rpartition("/")[0] for path in names}):
        present.update(storage.files(folder))
    return present


def undo_step(storage: Storage, name: str, keep_receipts: bool = False) -> None:
    """Forget that a step is done, so that it is done again; its files stay until they are written anew."""
    storage.delete([_step_name(name)])
    if not keep_receipts:
        storage.delete_folder(f"{layout.RUN}/done/{name}")
