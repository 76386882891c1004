"""The jar of Beam's Spark job server: from Maven Central, or assembled from published parts; kept in the user's cache.

The official jar of the installed Beam version is asked for first. Where the repository that Maven reaches does not have it, `pom.xml` in
this folder assembles one: the newest runner and job service that are published apart, Spark, and the newer Guava that Beam's file systems
need, renamed, because Spark puts an old one before it.
"""

import dataclasses
import hashlib
import importlib.resources
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable

from apache_beam.version import __version__ as BEAM_VERSION  # noqa: N812 - a constant

from cc100.shards.errors import ConfigurationError

POM = importlib.resources.files("cc100.pipeline.spark") / "pom.xml"
OFFICIAL = f"org.apache.beam:beam-runners-spark-3-job-server:{BEAM_VERSION}"
_RENAMED = "cc100/shaded/"
_RECORD = "job-server.json"
_RECORD_VERSION = 1
_HASHED_BYTES = 1 << 22
_LAST_LINES = 2


@dataclasses.dataclass(frozen=True)
class Jar:
    """A job-server jar.

    Attributes:
        path: where it lies.
        origin: Maven coordinates of the official jar, or those of the parts of an assembled one.
        spark: version of Spark in it.
        bytes: its size.
        sha256: SHA-256 of its content in hexadecimal digits.
    """

    path: str
    origin: str
    spark: str
    bytes: int
    sha256: str


def cache_folder() -> pathlib.Path:
    """Where jars are kept: `$XDG_CACHE_HOME/cc100/spark`, by default below ~/.cache."""
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "cc100" / "spark"


def find_jar() -> Jar:
    """The jar in the cache.

    Raises:
        ConfigurationError: there is none, or it is not the one that was put there.
    """
    record = cache_folder() / _RECORD
    try:
        content = json.loads(record.read_bytes())
        if content.pop("record_version") != _RECORD_VERSION or content.pop("beam") != BEAM_VERSION:
            raise ValueError("made for another version")
        jar = Jar(**content)
        size = pathlib.Path(jar.path).stat().st_size
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigurationError(
            f"no jar of Beam's Spark job server in {record.parent}. Run cc100 spark jar once (it needs Maven), or name a jar "
            "with -- --spark_job_server_jar=FILE"
        ) from error
    if size != jar.bytes:
        raise ConfigurationError(f"{jar.path} has {size} bytes, not {jar.bytes} as recorded. Run cc100 spark jar again")
    return jar


def make_jar(say: Callable[[str], None], force_assembly: bool = False) -> Jar:
    """Put the jar into the cache, unless it is there.

    Args:
        say: told what is being done.
        force_assembly: do not ask for the official jar.

    Raises:
        ConfigurationError: Maven is missing or cannot get the parts.
    """
    try:
        jar = find_jar()
        if sha256_of(pathlib.Path(jar.path)) == jar.sha256 and not force_assembly:
            return jar
    except ConfigurationError:
        pass
    maven = shutil.which("mvn")
    if maven is None:
        raise ConfigurationError(
            "Maven (mvn) is not in PATH; cc100 spark jar needs it. Install it, or name a job-server jar with "
            "-- --spark_job_server_jar=FILE"
        )
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="building-") as name:
        work = pathlib.Path(name)
        if not force_assembly and _get_official(maven, work):
            made, origin = next(work.glob("*.jar")), OFFICIAL
        else:
            say(f"{OFFICIAL} is not to be had from Maven; assembling a job server from its published parts")
            made, origin = _assemble(maven, work), _parts()
        final = folder / f"beam-spark-job-server-{BEAM_VERSION}.jar"
        os.replace(made, final)
    jar = Jar(str(final), origin, spark_version(final), final.stat().st_size, sha256_of(final))
    record = {"record_version": _RECORD_VERSION, "beam": BEAM_VERSION, **dataclasses.asdict(jar)}
    temporary = folder / f"{_RECORD}.tmp"
    temporary.write_text(json.dumps(record, indent=2) + "\n")
    os.replace(temporary, folder / _RECORD)
    return jar


def _get_official(maven: str, work: pathlib.Path) -> bool:
    arguments = ["dependency:copy", f"-Dartifact={OFFICIAL}:jar", f"-DoutputDirectory={work}", "-Dtransitive=false"]
    done = subprocess.run([maven, "-q", "-B", *arguments], capture_output=True, text=True, check=False, cwd=work)
    return done.returncode == 0 and any(work.glob("*.jar"))


def _assemble(maven: str, work: pathlib.Path) -> pathlib.Path:
    (work / "pom.xml").write_bytes(POM.read_bytes())
    done = subprocess.run([maven, "-q", "-B", "package"], capture_output=True, text=True, check=False, cwd=work)
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if line.startswith("[ERROR]")][:_LAST_LINES]
        raise ConfigurationError(f"Maven could not assemble the job server: {' '.join(lines) or done.stderr[-300:]}")
    return max((work / "target").glob("spark-job-server-*.jar"), key=lambda path: path.stat().st_size)


def _parts() -> str:
    text = POM.read_text(encoding="utf-8")
    versions = dict(re.findall(r"<((?:beam|spark)[\w.]*)\.version>([^<]+)<", text))
    return (
        f"org.apache.beam:beam-runners-spark-3:{versions['beam.runner']} + "
        f"org.apache.beam:beam-runners-java-job-service:{versions['beam.job.service']} + Spark {versions['spark']}"
    )


def spark_version(jar: pathlib.Path) -> str:
    """Version of the Spark in a jar.

    Raises:
        ConfigurationError: it is no job-server jar.
    """
    try:
        with zipfile.ZipFile(jar) as archive, archive.open("spark-version-info.properties") as stream:
            found = re.search(rb"^version=(\S+)", stream.read(), re.MULTILINE)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ConfigurationError(f"{jar} is no jar of a Spark job server: {error}") from error
    return found[1].decode() if found else "unknown"


def has_renamed_guava(jar: str) -> bool:
    """True for a jar that `pom.xml` made: its Guava is not hidden by Spark's."""
    with zipfile.ZipFile(jar) as archive:
        return any(name.startswith(_RENAMED) for name in archive.namelist())


def sha256_of(path: pathlib.Path) -> str:
    """SHA-256 of a local file."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while piece := stream.read(_HASHED_BYTES):
            digest.update(piece)
    return digest.hexdigest()
