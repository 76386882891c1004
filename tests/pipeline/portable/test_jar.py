"""The job-server jar: made once, recorded, found again."""

import pathlib
import zipfile

import pytest

from cc100.pipeline.portable.engine import FLINK, SPARK
from cc100.pipeline.portable.jar import find_jar, make_jar, sha256_of
from cc100.shards.errors import ConfigurationError


class Maven:
    """A program in the place of Maven: has the official jar or not."""

    def __init__(self, folder, engine, has_official):
        self.calls = folder / "calls"
        program = folder / "bin" / "mvn"
        program.parent.mkdir(parents=True)
        made = folder / "made.jar"
        with zipfile.ZipFile(made, "w") as archive:
            archive.writestr(engine.version_file, f"#x\n{engine.version_line}3.5.0\n")
        program.write_text(
            f"""#!/bin/sh
echo "$*" >> {self.calls}
case "$*" in
*dependency:copy*) {"true" if has_official else "exit 1"}; cp {made} ./official.jar;;
*package*) test -f pom.xml && mkdir target && cp {made} target/{engine.key}-job-server-1.jar;;
esac
"""
        )
        program.chmod(0o755)
        self.path = f"{program.parent}:/usr/bin:/bin"


@pytest.mark.parametrize("engine", [SPARK, FLINK], ids=lambda engine: engine.key)
@pytest.mark.parametrize("has_official", [True, False])
def test_the_jar_is_made_once_and_recorded(tmp_path, monkeypatch, engine, has_official):
    maven = Maven(tmp_path / "maven", engine, has_official)
    monkeypatch.setenv("PATH", maven.path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    said = []
    made = make_jar(engine, said.append)
    assert made == find_jar(engine) == make_jar(engine, said.append)
    assert len(maven.calls.read_text().splitlines()) == (1 if has_official else 2)
    assert made.sha256 == sha256_of(pathlib.Path(made.path))
    assert made.version == "3.5.0"
    if has_official:
        assert made.origin == engine.official_jar
        assert not said
    else:
        assert f"{engine.runner}:2.70.0" in made.origin
        assert "not to be had" in said[0]
    pathlib.Path(made.path).write_bytes(b"cut")
    with pytest.raises(ConfigurationError, match=rf"as recorded\. Run cc100 {engine.key} jar again"):
        find_jar(engine)
    assert make_jar(engine, said.append).sha256 == made.sha256


def test_no_maven(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(ConfigurationError, match=r"Maven .* is not in PATH"):
        make_jar(SPARK, print)
