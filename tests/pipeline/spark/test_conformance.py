"""The same bytes from the other runners: local with two processes, and Beam's Prism; Spark has tests of its own."""

import os
import pathlib
import shutil
import subprocess

import pytest
from small_corpus import content

from .conftest import CRAWL, DEMO, cc100

PRISM = "github.com/apache/beam/sdks/v2/go/cmd/prism@v{version}"


@pytest.fixture(scope="module")
def prism():
    """Beam's Prism, built once into the user's cache; needs Go."""
    from apache_beam.version import __version__ as version

    folder = (
        pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "cc100" / f"prism-{version}"
    )
    if not (folder / "prism").exists():
        if shutil.which("go") is None:
            pytest.skip("Prism: there is no Go to build it with")
        environment = os.environ | {"GOBIN": str(folder), "GOFLAGS": "-mod=mod"}
        command = ["go", "install", PRISM.format(version=version)]
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"Prism cannot be built: {done.stderr.splitlines()[-1:]}")
    return folder / "prism"


@pytest.mark.spark
@pytest.mark.timeout(900)
@pytest.mark.parametrize("runner", ["two local processes", "Prism"])
def test_all_stages_are_the_same_on(runner, request, local_run, tmp_path):
    arguments, flags = [], []
    if runner == "two local processes":
        arguments = ["--workers", "2", "--set", "runner.worker_processes_from=0"]
    else:
        flags = [
            "--",
            "--runner=PrismRunner",
            f"--prism_location={request.getfixturevalue('prism')}",
            "--environment_type=LOOPBACK",
        ]
    cc100("run", "--input", CRAWL, "--output", tmp_path / "out", *DEMO, *arguments, *flags)
    assert content(tmp_path / "out") == local_run
