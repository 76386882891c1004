"""Jobs for Dataflow as far as they can be shown without an account: job JSON and proto of every stage, a template, a submission."""

import functools
import http.server
import json
import threading

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2

from cc100.pipeline import dataflow
from cc100.pipeline.dataflow import check_dataflow, check_output, dataflow_options, is_dataflow
from cc100.pipeline.graphs import stage_graphs
from cc100.pipeline.steps import Runner
from cc100.shards.errors import ConfigurationError
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
    """What the SDK asks of Dataflow: create a job, then its state and messages until it is done."""

    jobs = ()

    def answer(self, content):
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Service.jobs = (*Service.jobs, body)
        self.answer({"id": "job-1", "name": body.get("name", ""), "currentState": "JOB_STATE_RUNNING"})

    def do_GET(self):
        if "/messages" in self.path:
            return self.answer({"jobMessages": []})
        if "/metrics" in self.path:
            return self.answer({"metrics": []})
        return self.answer({"id": "job-1", "currentState": "JOB_STATE_DONE"})

    def log_message(self, *_):
        pass


def test_a_submission_that_is_followed_until_it_is_done(gcp, tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("staging", "temp"):
        (tmp_path / name).mkdir()
    flags = [
        *FLAGS, "--no_auth", f"--dataflow_endpoint=http://localhost:{server.server_address[1]}",
        f"--staging_location={tmp_path}/staging", f"--temp_location={tmp_path}/temp",
    ]  # fmt: skip
    graph = next(graph for graph in graphs(3) if graph.name == "mark-0")
    Runner(flags, 1, None, 1 << 30).run(graph.build, False, graph.name)
    server.shutdown()
    (job,) = Service.jobs
    assert job["name"].startswith("cc100-mark-0-")
    assert job["environment"]["workerPools"][0]["machineType"] == "n2-highmem-4"


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
    check_dataflow(CLOUD)
    for flag in ("project", "region", "temp_location", "sdk_container_image"):
        rest = [one for one in CLOUD if not one.startswith(f"--{flag}=")]
        with pytest.raises(ConfigurationError, match=f"Dataflow needs -- --{flag}"):
            check_dataflow(rest)


def test_a_local_output_is_refused():
    with pytest.raises(ConfigurationError, match="is a folder of this machine"):
        check_output("/data/out")
    check_output("gs://bucket/out")
