"""A real Spark cluster on this machine, to try the stages on: start it, run the demo on it, stop it.

    python examples/spark/cluster.py start
    python examples/spark/cluster.py run --output out
    python examples/spark/cluster.py stop

`start` makes an environment with pyspark 3.5.0 in .spark/ (once, about 350 MB) and starts a standalone master and two workers, each
with one core, on free ports of the loopback interface. Nothing but .spark/ is written. Needs Java 11 or 17, and nothing but Python's
standard library.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
import venv

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
FOLDER = REPOSITORY / ".spark"
PYSPARK = "3.5.0"
HOST = "127.0.0.1"
START_TIMEOUT_S = 120
MASTER_CLASS = "org.apache.spark.deploy.master.Master"
WORKER_CLASS = "org.apache.spark.deploy.worker.Worker"


def spark_home(version=PYSPARK):
    """Folder of a Spark release, installed now if it is not there."""
    environment = FOLDER / f"pyspark-{version}"
    ready = environment / ".ready"
    if not ready.exists():
        print(f"installing pyspark {version} into {environment}", file=sys.stderr, flush=True)
        venv.create(environment, with_pip=True, clear=True)
        pip = [environment / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, f"pyspark=={version}"], check=True)
        ready.touch()
    return next((environment / "lib").glob("python3.*")) / "site-packages" / "pyspark"


def free_port():
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def begun(pid):
    """When a process began, in clock ticks; None if there is none, or only its remains."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


class Cluster:
    """A standalone cluster whose processes are noted in `folder`/cluster.json.

    Args:
        folder: for logs and the workers' folders.
        version: version of pyspark.
    """

    def __init__(self, folder=FOLDER / "cluster", version=PYSPARK):
        self.folder, self.version = pathlib.Path(folder), version
        self._state = self.folder / "cluster.json"
        self._children = []

    @property
    def state(self):
        return json.loads(self._state.read_text()) if self._state.exists() else {"processes": []}

    @property
    def master(self):
        """Its master URL."""
        return self.state.get("master")

    @property
    def is_running(self):
        processes = self.state["processes"]
        return bool(processes) and all(begun(one["pid"]) == one["begun"] for one in processes)

    def start(self, workers=2, cores=1, memory="1200m"):
        """Start master and workers, and wait until all have registered."""
        self.stop()
        home = spark_home(self.version)
        port, ui = free_port(), free_port()
        state = {"master": f"spark://{HOST}:{port}", "ui": f"http://{HOST}:{ui}"}
        self._write(state | {"processes": []})
        arguments = ["--host", HOST, "--port", str(port), "--webui-port", str(ui)]
        self._spawn(home, "master", MASTER_CLASS, arguments)
        self._wait(port)
        for _ in range(workers):
            self.add_worker(cores, memory)
        return self

    def add_worker(self, cores=1, memory="1200m"):
        """Start one more worker; its process number."""
        number = 1 + sum(one["name"].startswith("worker") for one in self.state["processes"])
        name = f"worker-{number}"
        arguments = ["--host", HOST, "--cores", str(cores), "--memory", memory, "--webui-port", "0"]
        arguments += ["--work-dir", str(self.folder / name), self.master]
        pid = self._spawn(spark_home(self.version), name, WORKER_CLASS, arguments)
        log = self.folder / f"{name}.log"
        deadline = time.monotonic() + START_TIMEOUT_S
        while "Successfully registered with master" not in log.read_text(errors="replace"):
            if time.monotonic() > deadline or begun(pid) is None:
                raise SystemExit(f"{name} did not start; see {log}")
            time.sleep(0.2)
        return pid

    def _spawn(self, home, name, kind, arguments):
        module_options = "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED --add-opens=java.base/java.nio=ALL-UNNAMED"
        environment = os.environ | {
            "SPARK_HOME": str(home),
            "SPARK_LOCAL_IP": HOST,
            "SPARK_CONF_DIR": str(self.folder / "conf"),
            "SPARK_LOCAL_DIRS": str(self.folder / "local"),
            # drivers that a worker starts (cluster deploy mode) get no module options from Spark
            "JDK_JAVA_OPTIONS": f"{module_options} --add-opens=java.base/java.lang=ALL-UNNAMED "
            "--add-opens=java.base/java.util=ALL-UNNAMED --add-opens=java.base/java.lang.invoke=ALL-UNNAMED",
        }
        with open(self.folder / f"{name}.log", "wb") as log:
            process = subprocess.Popen(
                [home / "bin" / "spark-class", kind, *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._children.append(process)
        state = self.state
        state["processes"].append({"name": name, "pid": process.pid, "begun": begun(process.pid)})
        self._write(state)
        return process.pid

    def _write(self, state):
        self.folder.mkdir(parents=True, exist_ok=True)
        self._state.write_text(json.dumps(state, indent=2))

    def _wait(self, port):
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
                return
            time.sleep(0.2)
        raise SystemExit(f"the master did not start; see {self.folder / 'master.log'}")

    def executors(self):
        """Process numbers of the executors."""
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                is_executor = b"CoarseGrainedExecutorBackend" in (path / "cmdline").read_bytes()
                if is_executor and (path / "cwd").resolve().is_relative_to(self.folder.resolve()):
                    found.append(int(path.name))
        return found

    def kill(self, name, number=signal.SIGKILL):
        """Send a signal to the master or a worker, by name."""
        state = self.state
        for one in [one for one in state["processes"] if one["name"] == name]:
            if begun(one["pid"]) == one["begun"]:
                os.kill(one["pid"], number)

    def stop(self):
        """End all processes and delete what they wrote."""
        processes = self.state["processes"]
        alive = [one["pid"] for one in processes if begun(one["pid"]) == one["begun"]]
        for pid in alive:
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 20
        while any(begun(pid) for pid in alive) and time.monotonic() < deadline:
            time.sleep(0.1)
        for pid in alive:
            if begun(pid):
                os.kill(pid, signal.SIGKILL)
        for child in self._children:
            child.wait()
        self._children.clear()
        shutil.rmtree(self.folder, ignore_errors=True)


def run_demo(cluster, output, arguments):
    """The corpus of the bundled crawl, on the cluster."""
    if not cluster.is_running:
        raise SystemExit("no cluster is running; start it with: python examples/spark/cluster.py start")
    program = pathlib.Path(sys.executable).parent / "cc100"
    command = [program, "corpus", "--input", "examples/crawl", "--output", pathlib.Path(output).absolute()]
    command += ["--config", "configs/demo.yaml", *arguments, "--", "--runner=SparkRunner"]
    command += [f"--spark_master_url={cluster.master}"]
    print(" ".join(map(str, command)), flush=True)
    return subprocess.run(command, check=False, cwd=REPOSITORY).returncode


def main():
    parser = argparse.ArgumentParser(description="A Spark cluster on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("start", help="start a master and workers")
    start.add_argument("--workers", type=int, default=2)
    start.add_argument("--cores", type=int, default=1, help="of each worker")
    start.add_argument("--memory", default="1200m", help="of each worker")
    run = commands.add_parser("run", help="build the corpus of the bundled crawl on it")
    run.add_argument("--output", required=True)
    commands.add_parser("stop", help="stop it and delete its files")
    options = parser.parse_args()
    cluster = Cluster()
    if options.command == "start":
        cluster.start(options.workers, options.cores, options.memory)
        print(f"{cluster.master} ({cluster.state['ui']}); stop it with: python examples/spark/cluster.py stop")
    elif options.command == "run":
        return run_demo(cluster, options.output, [])
    else:
        cluster.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
