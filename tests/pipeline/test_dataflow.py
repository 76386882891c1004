"""Jobs for Dataflow as far as they can be shown without an account: job JSON and proto of every stage, a template, a submission."""

import functools
import http.server
import json
import threading
import time

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2

from cc100.pipeline import dataflow
from cc100.pipeline.dataflow import check_dataflow, check_output, dataflow_options, is_dataflow
from cc100.pipeline.graphs import stage_graphs
from cc100.pipeline.steps import Runner
from cc100.shards.errors import Cc100Error, ConfigurationError
from cc100.transforms.job import InputFile, Job, Model, Plan
from cc100.transforms.settings import CorpusSettings, RunnerSettings
from cc100.transforms.storage import Storage

IMAGE = "us-docker.pkg.dev/project/repository/cc100:1"
FLAGS = ["--runner=DataflowRunner", "--project=my-project", "--region=us-central1", f"--sdk_container_image={IMAGE}"]
CLOUD = [*FLAGS, "--temp_location=gs://bucket/temp"]
MOST_PROTO_BYTES = 10_000_000
CUT = CorpusSettings(runner=RunnerSettings(buckets=512))


@pytest.fixture(scope="module")
def gcp():
    """Beam's part for Google Cloud; an extra."""
    return pytest.importorskip(
        "apache_beam.runners.dataflow.internal.apiclient", reason="needs the extra gcp: make dataflow-test"
    )


@functools.cache
def graphs(files=90_000):
    inputs = tuple(InputFile(f"gs://bucket/crawl/{index:06d}.warc.wet.gz", 1, 0, 0) for index in range(files))
    job = Job(Storage("/gs/out"), CUT, inputs, Plan(128), Model("", "lid.176.ftz", "0"))
    return stage_graphs(job)


def template(graph, folder):
    """Job JSON and proto of a graph as a classic template, written to a folder; nothing is contacted."""
    for name in ("staging", "temp"):
        (folder / name).mkdir(parents=True)
    flags = [
        *FLAGS, "--no_auth", "--dataflow_endpoint=http://localhost:9", f"--template_location={folder}/job.json",
        f"--staging_location={folder}/staging", f"--temp_location={folder}/temp",
    ]  # fmt: skip
    pipeline = beam.Pipeline(options=PipelineOptions.from_dictionary(dataflow_options(flags, graph.name)))
    graph.build(pipeline)
    pipeline.run()
    protos = list((folder / "staging").rglob("pipeline.pb"))
    assert len(protos) == 1
    data = protos[0].read_bytes()
    return json.loads((folder / "job.json").read_text()), data


@pytest.mark.slow
def test_job_and_proto_of_every_stage(gcp, tmp_path):
    for number, graph in enumerate(graphs()):
        job, data = template(graph, tmp_path / str(number))
        name = graph.name
        assert job["type"] == "JOB_TYPE_BATCH", name
        assert job["name"].startswith(f"cc100-{name}-"), name
        (pool,) = job["environment"]["workerPools"]
        assert [image["containerImage"] for image in pool["sdkHarnessContainerImages"]] == [IMAGE], name
        assert pool["numThreadsPerWorker"] == 1, name
        assert pool["machineType"] == dataflow.machines(name)["machine_type"], name
        assert pool["diskSizeGb"] == dataflow.machines(name)["disk_size_gb"], name
        assert pool["autoscalingSettings"]["maxNumWorkers"] <= 100, name
        experiments = set(job["environment"]["experiments"])
        assert {"use_runner_v2", "beam_fn_api", "use_portable_job_submission"} <= experiments, name
        assert not any(package["name"].startswith("workflow") for package in pool.get("packages", [])), name
        assert len(data) < MOST_PROTO_BYTES, name
        proto = beam_runner_api_pb2.Pipeline.FromString(data)
        for transform in proto.components.transforms.values():
            if transform.spec.urn == "beam:transform:pardo:v1":
                payload = beam_runner_api_pb2.ParDoPayload.FromString(transform.spec.payload)
                assert not payload.state_specs, name
                assert not payload.timer_family_specs, name
                assert not payload.side_inputs, name
        requirements = set(proto.requirements)
        assert not {one for one in requirements if "stateful" in one or "splittable" in one or "timer" in one}, name


class Service(http.server.BaseHTTPRequestHandler):
    """What the SDK asks of Dataflow: create a job, then its state and messages until it has ended."""

    jobs = ()
    asked = 0  # for the state of a job
    end, message = "JOB_STATE_DONE", ""

    def answer(self, content):
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        kind = type(self)
        kind.jobs = (*kind.jobs, body)
        self.answer({"id": f"job-{len(kind.jobs)}", "name": body.get("name", ""), "currentState": "JOB_STATE_RUNNING"})

    def do_GET(self):
        kind = type(self)
        if "/messages" in self.path:
            said = {
                "messageText": kind.message,
                "messageImportance": "JOB_MESSAGE_ERROR",
                "time": "2026-01-01T00:00:00Z",
            }
            return self.answer({"jobMessages": [said] if kind.message else []})
        if "/metrics" in self.path:
            return self.answer({"metrics": []})
        kind.asked += 1
        state = "JOB_STATE_RUNNING" if kind.asked % 3 == 1 else kind.end
        return self.answer({"id": f"job-{len(kind.jobs)}", "currentState": state})

    def log_message(self, *_):
        pass


@pytest.fixture
def service(gcp, tmp_path, monkeypatch):
    """A service, and the flags that reach it."""
    from apache_beam.runners.dataflow import dataflow_runner

    class Clock:  # the SDK asks every five seconds
        time = staticmethod(time.time)
        sleep = staticmethod(lambda seconds: time.sleep(0.01))

    monkeypatch.setattr(dataflow_runner, "time", Clock)
    kind = type("OneService", (Service,), {})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("staging", "temp"):
        (tmp_path / name).mkdir()
    flags = [
        *FLAGS, "--no_auth", f"--dataflow_endpoint=http://localhost:{server.server_address[1]}",
        f"--staging_location={tmp_path}/staging", f"--temp_location={tmp_path}/temp",
    ]  # fmt: skip
    yield kind, flags
    server.shutdown()


@pytest.mark.slow
def test_submissions_of_all_stages_that_are_followed_until_they_are_done(service):
    kind, flags = service
    for graph in graphs(3):
        kind.asked = 0
        Runner(flags, 1, None, 1 << 30).run(graph.build, False, graph.name)
        job = kind.jobs[-1]
        assert kind.asked >= 2, graph.name  # it was running first
        assert job["name"].startswith(f"cc100-{graph.name}-")
        (pool,) = job["environment"]["workerPools"]
        assert pool["machineType"] == dataflow.machines(graph.name)["machine_type"]
        assert [image["containerImage"] for image in pool["sdkHarnessContainerImages"]] == [IMAGE]
    assert [job["name"].rpartition("-")[0] for job in kind.jobs] == [f"cc100-{graph.name}" for graph in graphs(3)]
    assert len(kind.jobs) == 14


TRACE = """Error message from worker: Traceback (most recent call last):
  File "x.py", line 1, in process
cc100.shards.errors.StorageError: cannot open gs://bucket/out/run/run.json: it is gone [while running 'SignFile/Do-ptransform-12']
"""


@pytest.mark.parametrize(
    ("end", "message", "expected"),
    [
        ("JOB_STATE_FAILED", "The zone has no n2-standard-4.", "ended as FAILED: The zone has no n2-standard-4."),
        ("JOB_STATE_FAILED", TRACE, "ended as FAILED: cannot open gs://bucket/out/run/run.json: it is gone."),
        ("JOB_STATE_CANCELLED", "", "ended as CANCELLED: the service gave no reason."),
    ],
)
def test_a_job_that_does_not_end_well_is_told_in_a_line(service, end, message, expected):
    kind, flags = service
    kind.end, kind.message = end, message
    with pytest.raises(Cc100Error) as caught:
        Runner(flags, 1, None, 1 << 30).run(graphs(3)[0].build, True, "extract-0")
    assert str(caught.value) == (
        f"Dataflow's job job-1 {expected} Its log: "
        "https://console.cloud.google.com/dataflow/jobs/us-central1/job-1?project=my-project"
    )


def test_credentials_are_asked_for_first(gcp, monkeypatch, tmp_path):
    import google.auth
    import google.auth.exceptions

    def default():
        raise google.auth.exceptions.DefaultCredentialsError("none here\nmore")

    monkeypatch.setattr(google.auth, "default", default)
    with pytest.raises(
        ConfigurationError, match=r"needs credentials .* gcloud auth application-default login .*\(none here\)"
    ):
        check_dataflow(CLOUD)
    check_dataflow([*CLOUD, "--no_auth"])


def test_the_users_flags_come_before_the_defaults():
    assert is_dataflow(FLAGS)
    assert not is_dataflow(["--runner=SparkRunner"])
    own = [
        "--machine_type=e2-standard-8",
        "--max_num_workers=7",
        "--job_name=mine",
        "--number_of_worker_harness_threads=2",
    ]
    made = dataflow_options([*CLOUD, *own], "mark-0")
    assert made["machine_type"] == "e2-standard-8"
    assert made["max_num_workers"] == 7
    assert made["number_of_worker_harness_threads"] == 2
    assert made["job_name"].startswith("mine-mark-0-")
    assert made["sdk_location"] == "container"


def test_machines_fit_the_steps():
    assert dataflow.machines("extract-0")["machine_type"] == "n2-standard-4"
    assert dataflow.machines("mark-12")["machine_type"] == "n2-highmem-4"
    assert dataflow.machines("components-0")["max_num_workers"] == 8
    assert {graph.name for graph in graphs(3)} >= {"candidates-0", "components-0", "decide-0", "elect-0", "mark-0"}


def test_flags_that_are_missing_are_named(gcp):
    check_dataflow([*CLOUD, "--no_auth"])
    for flag in ("project", "region", "temp_location", "sdk_container_image"):
        rest = [one for one in CLOUD if not one.startswith(f"--{flag}=")]
        with pytest.raises(ConfigurationError, match=f"Dataflow needs -- --{flag}"):
            check_dataflow(rest)


def test_a_local_output_is_refused():
    with pytest.raises(ConfigurationError, match="is a folder of this machine"):
        check_output("/data/out")
    check_output("gs://bucket/out")
