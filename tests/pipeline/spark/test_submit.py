"""Bundles by the real spark-submit on a standalone cluster: client and cluster mode, a script that was killed; the bytes of a local run."""

import os
import pathlib
import shutil
import signal
import subprocess

import pytest
from program import CRAWL, DEMO, cc100, wait_for
from small_corpus import content

CORPUS_JOBS, LATER_JOBS = 11, 3
ON_MASTER = "--master {master} --conf spark.executor.cores=1 --conf spark.ui.enabled=false"
ON_WORKERS = (
    "--master {master} --deploy-mode cluster --driver-memory 512m --conf spark.standalone.submit.waitAppCompletion=true"
)


class Bundle:
    """A bundle for one output folder, and how its script is run."""

    def __init__(self, folder, spark):
        self.out, self.jars, self._spark = folder / "out", folder / "jars", spark
        cc100("spark", "bundle", "--input", CRAWL, *DEMO, "--set", f"run.output={self.out}", "--output", self.jars)

    def submit(self, flags):
        """Start the script."""
        environment = os.environ | {
            "SPARK_SUBMIT": str(self._spark / "bin" / "spark-submit"),
            "SPARK_HOME": str(self._spark),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_FLAGS": flags,
        }
        return subprocess.Popen(
            [self.jars / "submit.sh"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def clear(self):
        shutil.rmtree(self.out, ignore_errors=True)


def end(process):
    """Wait for the end of the script; the jobs that it submitted."""
    _, said = process.communicate(timeout=1100)
    assert process.returncode == 0, said[-4000:]
    return [line.split()[-1] for line in said.splitlines() if line.startswith("submitting ")]


@pytest.fixture(scope="module")
def bundle(cluster_module, tmp_path_factory):
    made = Bundle(tmp_path_factory.mktemp("bundle"), cluster_module.spark_home())
    yield made
    shutil.rmtree(made.jars)


@pytest.fixture
def flags(cluster):
    return ON_MASTER.format(master=cluster.master)


@pytest.mark.spark
@pytest.mark.timeout(600)
def test_tokenizer_and_encode_in_client_mode(bundle, local_run, flags):
    bundle.clear()
    cc100("corpus", "--input", CRAWL, "--output", bundle.out, *DEMO)
    assert end(bundle.submit(flags)) == ["tokenizer-sample-0", "tokenizer-coverage-0", "encode-0"]
    assert content(bundle.out) == local_run


@pytest.mark.spark_faults
@pytest.mark.timeout(1200)
def test_all_stages_in_client_mode_by_a_script_that_is_killed_once(bundle, local_run, flags):
    bundle.clear()
    process = bundle.submit(flags)
    done = bundle.out / "run" / "steps"
    wait_for(lambda: (done / "mark.json").exists(), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    first = {path.name: path.stat().st_mtime_ns for path in (bundle.out / "run" / "done" / "extract").iterdir()}
    submitted = end(bundle.submit(flags))
    assert submitted[0] == "language-0"
    assert len(submitted) == CORPUS_JOBS + LATER_JOBS - 2
    assert content(bundle.out) == local_run
    assert not list(pathlib.Path(bundle.out).rglob("*.tmp"))
    assert first == {path.name: path.stat().st_mtime_ns for path in (bundle.out / "run" / "done" / "extract").iterdir()}


@pytest.mark.spark_faults
@pytest.mark.timeout(1200)
def test_all_stages_in_cluster_mode(bundle, local_run, cluster):
    bundle.clear()
    submitted = end(bundle.submit(ON_WORKERS.format(master=cluster.master)))
    assert len(submitted) == CORPUS_JOBS + LATER_JOBS
    assert content(bundle.out) == local_run
