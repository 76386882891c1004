"""The jar of Beam's job server for an engine: from Maven Central, or assembled from published parts; kept in the user's cache.

The official jar of the installed Beam version is asked for first. Where the repository that Maven reaches does not have it, the engine's
`pom.xml` assembles one from the newest runner and job service that are published apart.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable

from cc100.pipeline.portable.engine import Engine, beam_version
from cc100.shards.errors import ConfigurationError

_RENAMED = "cc100/shaded/"
_RECORD = "job-server.json"
_RECORD_VERSION = 2
_HASHED_BYTES = 1 << 22
_LAST_LINES = 2


@dataclasses.dataclass(frozen=True)
class Jar:
    """A job-server jar.

    Attributes:
        path: where it lies.
        origin: Maven coordinates of the official jar, or those of the parts of an assembled one.
        version: version of the engine in it.
        bytes: its size.
        sha256: SHA-256 of its content in hexadecimal digits.
    """

    path: str
    origin: str
    version: str
    bytes: int
    sha256: str


def cache_folder(engine: Engine) -> pathlib.Path:
    """Where an engine's jar is kept: `$XDG_CACHE_HOME/cc100/<engine>`, by default below ~/.cache."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    return cache / "cc100" / engine.key


def find_jar(engine: Engine) -> Jar:
    """The jar in the cache.

    Raises:
        ConfigurationError: there is none, or it is not the one that was put there.
    """
    record = cache_folder(engine) / _RECORD
    try:
        content = json.loads(record.read_bytes())
        if content.pop("record_version") != _RECORD_VERSION or content.pop("beam") != beam_version():
            raise ValueError("made for another version")
        jar = Jar(**content)
        size = pathlib.Path(jar.path).stat().st_size
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigurationError(
            f"no jar of Beam's {engine.name} job server in {record.parent}. Run {engine.jar_command} once (it needs Maven), "
            f"or name a jar with -- --{engine.jar_flag}=FILE"
        ) from error
    if size != jar.bytes:
        raise ConfigurationError(
            f"{jar.path} has {size} bytes, not {jar.bytes} as recorded. Run {engine.jar_command} again"
        )
    return jar


def make_jar(engine: Engine, say: Callable[[str], None], force_assembly: bool = False) -> Jar:
    """Put the jar into the cache, unless it is there.

    Args:
        engine: for which engine.
        say: told what is being done.
        force_assembly: do not ask for the official jar.

    Raises:
        ConfigurationError: Maven is missing or cannot get the parts.
    """
    try:
        jar = find_jar(engine)
        if sha256_of(pathlib.Path(jar.path)) == jar.sha256 and not force_assembly:
            return jar
    except ConfigurationError:
        pass
    maven = shutil.which("mvn")
    if maven is None:
        raise ConfigurationError(
            f"Maven (mvn) is not in PATH; {engine.jar_command} needs it. Install it, or name a job-server jar with "
            f"-- --{engine.jar_flag}=FILE"
        )
    folder = cache_folder(engine)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="building-") as name:
        work = pathlib.Path(name)
        if not force_assembly and _get_official(maven, engine.official_jar, work):
            made, origin = next(work.glob("*.jar")), engine.official_jar
        else:
            say(f"{engine.official_jar} is not to be had from Maven; assembling a job server from its published parts")
            made, origin = _assemble(maven, engine, work), _parts(engine)
        final = folder / f"beam-{engine.key}-job-server-{beam_version()}.jar"
        os.replace(made, final)
    jar = Jar(str(final), origin, engine_version(engine, final), final.stat().st_size, sha256_of(final))
    record = {"record_version": _RECORD_VERSION, "beam": beam_version(), **dataclasses.asdict(jar)}
    temporary = folder / f"{_RECORD}.tmp"
    temporary.write_text(json.dumps(record, indent=2) + "\n")
    os.replace(temporary, folder / _RECORD)
    return jar


def _get_official(maven: str, official: str, work: pathlib.Path) -> bool:
    arguments = ["dependency:copy", f"-Dartifact={official}:jar", f"-DoutputDirectory={work}", "-Dtransitive=false"]
    done = subprocess.run([maven, "-q", "-B", *arguments], capture_output=True, text=True, check=False, cwd=work)
    return done.returncode == 0 and any(work.glob("*.jar"))


def _assemble(maven: str, engine: Engine, work: pathlib.Path) -> pathlib.Path:
    (work / "pom.xml").write_bytes(engine.pom.read_bytes())
    done = subprocess.run([maven, "-q", "-B", "package"], capture_output=True, text=True, check=False, cwd=work)
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if line.startswith("[ERROR]")][:_LAST_LINES]
        raise ConfigurationError(f"Maven could not assemble the job server: {' '.join(lines) or done.stderr[-300:]}")
    return max((work / "target").glob(f"{engine.key}-job-server-*.jar"), key=lambda path: path.stat().st_size)


def _parts(engine: Engine) -> str:
    versions = dict(re.findall(r"<(beam[\w.]*)\.version>([^<]+)<", engine.pom.read_text(encoding="utf-8")))
    return (
        f"org.apache.beam:{engine.runner}:{versions['beam.runner']} + "
        f"org.apache.beam:beam-runners-java-job-service:{versions['beam.job.service']}"
    )


def engine_version(engine: Engine, jar: pathlib.Path) -> str:
    """Version of the engine in a jar.

    Raises:
        ConfigurationError: it is no job-server jar.
    """
    try:
        with zipfile.ZipFile(jar) as archive, archive.open(engine.version_file) as stream:
            found = re.search(rf"^{re.escape(engine.version_line)}(\S+)", stream.read().decode(), re.MULTILINE)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ConfigurationError(f"{jar} is no jar of a {engine.name} job server: {error}") from error
    return found[1] if found else "unknown"


def find_or_named_jar(engine: Engine, named: str | None) -> tuple[str, str]:
    """Path of the jar that the user names, or of that in the cache, and the version of the engine in it.

    Raises:
        ConfigurationError: there is none, or it is none.
    """
    if named is None:
        jar = find_jar(engine)
        return jar.path, jar.version
    path = pathlib.Path(named)
    if not path.is_file():
        raise ConfigurationError(f"--{engine.jar_flag} {named}: there is no such file; {engine.jar_command} makes one")
    return str(path.absolute()), engine_version(engine, path)


def has_renamed_guava(jar: str) -> bool:
    """True for a jar that Spark's `pom.xml` made: its Guava is not hidden by Spark's."""
    with zipfile.ZipFile(jar) as archive:
        return any(name.startswith(_RENAMED) for name in archive.namelist())


def sha256_of(path: pathlib.Path) -> str:
    """SHA-256 of a local file."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while piece := stream.read(_HASHED_BYTES):
            digest.update(piece)
    return digest.hexdigest()
