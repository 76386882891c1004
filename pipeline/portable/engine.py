"""The engines that take Beam jobs through a job server in Java."""

import dataclasses
import importlib.metadata
import importlib.resources
from importlib.resources.abc import Traversable


def beam_version() -> str:
    """The installed version of Beam; its package is not loaded."""
    return importlib.metadata.version("apache-beam")


@dataclasses.dataclass(frozen=True)
class Engine:
    """An engine and its job server.

    Attributes:
        name: as people write it.
        key: as commands and folders do.
        official: Maven coordinates of the job server that Beam publishes, without the version.
        runner: artifact of the runner that `pom.xml` assembles one from.
        version_file: entry of the jar that says which version of the engine is in it.
        version_line: what precedes the version there.
        jar_flag: Beam's flag for another jar.
        master_argument: the job server's argument for the engine's master.
        configuration_argument: that for a folder with the engine's own settings; empty: they are properties of the JVM.
        configuration_file: name of the file in it.
    """

    name: str
    key: str
    official: str
    runner: str
    version_file: str
    version_line: str
    jar_flag: str
    master_argument: str
    configuration_argument: str = ""
    configuration_file: str = ""

    @property
    def official_jar(self) -> str:
        """Maven coordinates of the official jar of the installed Beam version."""
        return f"{self.official}:{beam_version()}"

    @property
    def pom(self) -> Traversable:
        """What Maven assembles a job server by."""
        return importlib.resources.files(f"cc100.pipeline.{self.key}") / "pom.xml"

    @property
    def jar_command(self) -> str:
        """What gets the jar."""
        return f"cc100 {self.key} jar"


SPARK = Engine(
    "Spark", "spark", "org.apache.beam:beam-runners-spark-3-job-server", "beam-runners-spark-3", "spark-version-info.properties",
    "version=", "spark_job_server_jar", "--spark-master-url",
)  # fmt: skip
FLINK = Engine(
    "Flink", "flink", "org.apache.beam:beam-runners-flink-1.19-job-server", "beam-runners-flink-1.19", ".flink-runtime.version.properties",
    "project.version=", "flink_job_server_jar", "--flink-master", "--flink-conf-dir", "flink-conf.yaml",
)  # fmt: skip
ENGINES = {engine.key: engine for engine in (SPARK, FLINK)}
