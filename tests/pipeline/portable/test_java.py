"""Which Java will do."""

import pytest
from java_programs import make_java

from cc100.pipeline.portable.java import find_java
from cc100.shards.errors import ConfigurationError


def test_no_java(monkeypatch, tmp_path):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="needs Java 11 or 17, and java cannot be run"):
        find_java("Spark")


@pytest.mark.parametrize("version", ["21.0.2", "1.8.0_402"])
def test_another_java(monkeypatch, tmp_path, version):
    make_java(tmp_path / "other", version)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "other"))
    with pytest.raises(ConfigurationError, match=r"needs Java 11 or 17; .*/java is Java (21|8)\. Set JAVA_HOME"):
        find_java("Spark")


def test_java_11_will_do(monkeypatch, tmp_path):
    made = make_java(tmp_path / "eleven", "11.0.22")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "eleven"))
    assert find_java("Spark") == str(made)
