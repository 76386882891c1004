"""Steps of any stage: Beam jobs whose units leave durable files; how a run goes through them, resuming where one stopped."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from cc100.pipeline.dataflow import check_dataflow, check_output, dataflow_options, explain_failure, is_dataflow
from cc100.pipeline.flink.flags import is_flink, is_one_flink_jvm, plan_flink
from cc100.pipeline.fork_server import ForkServer
from cc100.pipeline.local_runner import LocalRunner
from cc100.pipeline.plan import JVM_COPIES, LOCAL_COPIES
from cc100.pipeline.portable.faults import told_error
from cc100.pipeline.portable.job_server import ServedPlan
from cc100.pipeline.progress import StepProgress
from cc100.pipeline.runners import DIRECT, FN_API, PRISM, runner_of
from cc100.pipeline.spark.elsewhere import JobNeededError, is_elsewhere
from cc100.pipeline.spark.flags import is_one_jvm, is_spark, plan_spark
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
    return runner_of(flags) == DIRECT


class Runner:
    """Runs Beam jobs: locally, or wherever Beam's flags say.

    Args:
        flags: Beam's own flags.
        workers: processes of the local runner for steps without a shuffle.
        server: where they are forked; None: such steps run in this process too.
        memory_per_worker: bytes, the setting; what a local engine in Java gets as heap follows from it.
        partitions: of a shuffle, where executors share it; 1: as Spark chooses.

    Attributes:
        is_local: Beam's local runner.
        copies: how many times one process holds what a shuffle carries; 0: it is spread over executors.
        is_elsewhere: somebody else submits the jobs.
    """

    def __init__(
        self, flags: list[str], workers: int, server: ForkServer | None, memory_per_worker: int, partitions: int = 1
    ) -> None:
        self._options = PipelineOptions(flags)
        self.is_local = is_local_runner(flags)
        is_jvm = is_one_jvm(flags) or is_one_flink_jvm(flags)
        self.copies = JVM_COPIES if is_jvm else LOCAL_COPIES if runner_of(flags) in (DIRECT, FN_API, PRISM) else 0
        self._workers, self._server = workers, server
        self.is_elsewhere = is_elsewhere(flags)
        self._served: ServedPlan | None = None
        if self.is_elsewhere:
            pass
        elif is_spark(flags):
            self._served = plan_spark(flags, memory_per_worker, partitions)
        elif is_flink(flags):
            self._served = plan_flink(flags, memory_per_worker)
        self._flags = flags if is_dataflow(flags) else None
        if self._flags is not None:
            check_dataflow(flags)

    def run(self, build: Build, is_map: bool, name: str) -> None:
        """Build a graph and run it to its end.

        Args:
            build: makes the graph.
            is_map: no shuffle of any size.
            name: name of the Beam job, `<step>-<pass>`.

        Raises:
            Cc100Error: a step met something that the user can mend.
            JobNeededError: somebody else submits the jobs.
        """
        if self.is_elsewhere:
            raise JobNeededError(name)
        options = dict(self._options.get_all_options(drop_default=True))
        runner: Any = None
        if self.is_local:
            options.pop("runner", None)
            server = self._server if is_map else None
            runner = LocalRunner(server)
            if server is not None:
                options["direct_num_workers"] = self._workers
        elif self._served is not None:
            options = self._served.options | {"job_endpoint": self._served.server().endpoint}
        elif self._flags is not None:
            options = dataflow_options(self._flags, name)
        pipeline = beam.Pipeline(runner=runner, options=PipelineOptions.from_dictionary(options))
        build(pipeline)
        try:
            pipeline.run().wait_until_finish()
        except Cc100Error:
            raise
        except Exception as error:
            raise self._known_error(error) or error from None

    def check(self, storage: Storage) -> None:
        """Refuse an output folder that workers cannot reach.

        Raises:
            ConfigurationError: it is local, and the workers are elsewhere.
        """
        if self._flags is not None:
            check_output(storage.root)

    def _known_error(self, error: Exception) -> Cc100Error | None:
        """What a step raised, out of the text that runners wrap it in; None where nobody foresaw it."""
        told = explain_failure(error) or told_error(str(error))
        if told is None and self._served is not None:
            told = self._served.explain(str(error))
        return None if told is None else Cc100Error(told)

    def watched(self, say: Callable[[str], None]) -> contextlib.AbstractContextManager[None]:
        """Tell what the runner waits for while a job runs."""
        return self._served.server().watched(say) if self._served is not None else contextlib.nullcontext()

    def keep_log(self, storage: Storage) -> None:
        """Write what the runner's own processes have said so far, where there are any."""
        if self._served is not None and (log := self._served.server().read_log()):
            storage.write(f"{layout.RUN}/log/{self._served.engine.key}.log", log.encode())


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
            runner.check(storage)
            for number, part in enumerate(step.passes):
                if not all(unit in done for unit in part.units):
                    with _kept_log(storage, runner), runner.watched(progress.say):
                        runner.run(part.build, step.is_map, f"{step.name}-{number}")
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


@contextlib.contextmanager
def _kept_log(storage: Storage, runner: Runner) -> Iterator[None]:
    """Keep what the runner's processes said, however a job ends."""
    try:
        yield
    finally:
        with contextlib.suppress(Cc100Error):
            runner.keep_log(storage)


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
