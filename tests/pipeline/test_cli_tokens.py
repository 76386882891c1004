"""`cc100 run`, `tokenizer`, `encode` and `status` as a user meets them."""

import csv
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree

import pytest
from small_corpus import content, make_corpus, two_languages

REPOSITORY = pathlib.Path(__file__).parent.parent.parent
CRAWL = REPOSITORY / "examples" / "crawl"
DEMO = REPOSITORY / "configs" / "demo.yaml"
CC100 = [sys.executable, "-m", "cc100.pipeline.cli"]
SMALL = ["--set", "tokenizer.vocab_size=300"]


def cc100(*arguments, **options):
    command = [*CC100, *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Everything, from the bundled crawl, by one command."""
    folder = tmp_path_factory.mktemp("run") / "out"
    done = cc100("run", "--input", CRAWL, "--output", folder, "--config", DEMO, "--workers", 1)
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.fixture
def corpus(tmp_path):
    return make_corpus(tmp_path / "out", two_languages())


def test_run_takes_a_crawl_to_token_arrays(finished):
    folder, done = finished
    lines = done.stderr.splitlines()
    steps = [line.partition(":")[0] for line in lines]
    for step in ("extract", "gather", "tokenizer-sample", "train", "tokenizer-coverage", "encode"):
        assert step in steps
    assert re.search(r"train: [\d,]+ pieces from [\d.]+ MB; about \d+ s on two cores, [\d.]+ GB of memory", done.stderr)
    assert re.search(r"/tokens: [\d,]+ tokens of [\d,]+ documents in 22 languages, [\d.]+ MB$", lines[-1])
    assert (folder / "tokens" / "manifest.json").exists()
    assert not list(folder.rglob("*.tmp"))


def test_run_again_changes_nothing(finished):
    folder, _ = finished
    before = content(folder)
    done = cc100("run", "--input", CRAWL, "--output", folder, "--config", DEMO, "--workers", 1)
    assert done.returncode == 0
    assert done.stderr.count("is complete; nothing to do") == 3
    assert content(folder) == before


def test_a_configuration_can_say_it_all(finished, tmp_path):
    config = tmp_path / "all.yaml"
    config.write_text(f"run:\n  input: ['{CRAWL}']\n  output: out\n" + DEMO.read_text())
    done = cc100("run", "--config", config, "--workers", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert content(tmp_path / "out", "tokens", "tokenizer") == content(finished[0], "tokens", "tokenizer")


def test_status_shows_all_stages_and_verifies_files(finished, tmp_path):
    done = cc100("status", finished[0], "--verify")
    assert done.returncode == 0, done.stdout
    assert re.search(r"tokenizer: complete, [\d,]+ pieces, alpha 0\.3", done.stdout)
    assert re.search(r"tokens: complete, [\d,]+ tokens in \d+ pairs", done.stdout)
    assert "│ el " in done.stdout
    assert re.search(r"(\d+) of \1 files are what the manifests list", done.stdout)
    shutil.copytree(finished[0], tmp_path / "copy")
    damaged = next((tmp_path / "copy" / "tokens" / "de").glob("*.bin"))
    damaged.write_bytes(damaged.read_bytes()[:-4] + b"\0\0\0\1")
    done = cc100("status", tmp_path / "copy", "--verify")
    assert done.returncode == 1
    assert re.search(rf"{damaged.name}: \d+ bytes, SHA-256 .* not what its manifest lists", done.stdout)


def test_status_of_unfinished_stages(finished, tmp_path):
    folder = tmp_path / "out"
    for name in ("documents", "languages", "shards", "removed"):
        shutil.copytree(finished[0] / name, folder / name)
    shutil.copy(finished[0] / "manifest.json", folder)
    done = cc100("status", folder)
    assert done.returncode == 0
    assert "tokenizer: not begun; cc100 tokenizer makes it" in done.stdout
    done = cc100("tokenizer", "--output", folder, "--set", "tokenizer.vocab_size=90000")
    assert done.returncode == 1
    assert re.search(r"tokenizer\.vocab_size = 90000 is too large for this sample: at most \d+ pieces", done.stderr)
    assert "Traceback" not in done.stderr
    assert not (folder / "tokenizer").exists()
    done = cc100("status", folder)
    assert done.returncode == 1
    assert "tokenizer: not complete; cc100 tokenizer again continues it" in done.stdout
    assert re.search(r"tokenizer-sample +│ +34 +│ +34 ", done.stdout)


def test_alpha_table(finished):
    done = cc100("tokenizer", "--alpha-table", finished[0], "--alpha", "0", "0.3", "1")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^ en +\d+ ", done.stdout, re.MULTILINE)
    rows = list(csv.DictReader((finished[0] / "report-alpha.csv").read_text().splitlines()))
    assert len(rows) == 3 * 22
    xml.etree.ElementTree.parse(finished[0] / "report-alpha-share.svg")
    assert (finished[0] / "report-alpha-share.png").read_bytes()[:4] == b"\x89PNG"
    assert cc100("status", finished[0]).returncode == 0


def test_report_beside_a_baseline_and_on_parallel_text(finished, tmp_path):
    parallel = tmp_path / "parallel.tsv"
    parallel.write_text("en\tde\nthe house is old\tdas Haus ist alt\n", encoding="utf-8")
    before = content(finished[0])
    arguments = ["tokenizer", "--report", finished[0], "--parallel", parallel, "--baseline-alpha", "1"]
    done = cc100(*arguments)
    assert done.returncode == 0, done.stderr
    report = json.loads((finished[0] / "report-tokenizer.json").read_text())
    assert report["model"]["pieces"] == report["baseline"]["pieces"]
    assert report["model"]["languages"]["de"]["tax"]["segments"] == 1
    assert report["ratios"]["de"]["pieces"] > 0
    again = cc100(*arguments)
    assert again.stdout == done.stdout
    assert "train:" not in again.stderr, "the baseline is trained once"
    after = content(finished[0])
    assert {name: after[name] for name in before} == before
    model = finished[0] / "tokenizer"
    assert cc100("tokenizer", "--report", finished[0], "--baseline", model).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "--output", "out"], 1, "no input: give"),
        (["run", "--input", CRAWL], 2, r"no output: give --output, or run\.output"),
        (["tokenizer"], 2, "one of the arguments --output --alpha-table --report is required"),
        (["tokenizer", "--output", "nothing"], 1, "holds no finished corpus"),
        (["tokenizer", "--output", "nothing", "--alpha", "0.5"], 2, "--alpha goes with --alpha-table"),
        (["tokenizer", "--output", "nothing", "--baseline-alpha", "1"], 2, "--baseline-alpha goes with --report"),
        (["tokenizer", "--alpha-table", "nothing"], 1, "holds no finished corpus"),
        (["tokenizer", "--report", "nothing"], 1, "holds no finished corpus"),
        (["encode", "--output", "nothing"], 1, "holds no finished corpus"),
        (["encode", "--output", "nothing", "--set", "tokens.valid_fraction=0.7"], 2, r"tokens\.valid_fraction = 0\.7 is not allowed"),
        (["tokenizer", "--output", "nothing", "--set", "tokenizer.vocab_size=many"], 2, "100 to 2000000, or auto"),
        (["tokenizer", "--output", "nothing", "--set", "tokenizer.vocab_size=[1]"], 2, "it must be a int or str"),
        (["tokenizer", "--output", "nothing", "--set", "tokenizer.vocabsize=1"], 2, "did you mean tokenizer.vocab_size"),
    ],
)  # fmt: skip
def test_wrong_use_is_named_in_a_line(tmp_path, arguments, code, message):
    done = cc100(*arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert re.search(message, done.stderr), done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "nothing").exists()


def test_ctrl_c_during_training_ends_the_trainer(corpus):
    command = [*CC100, "tokenizer", "--output", str(corpus), *SMALL]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for(lambda: trainers(process.pid))
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in errors
    wait_for(lambda: not trainers(process.pid))
    assert not (corpus / "tokenizer").exists()
    assert cc100(*command[len(CC100) :]).returncode == 0


def trainers(session):
    """Process ids of trainers in a session."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if b"trainer_process" in command and int(fields[3]) == session and fields[0] != "Z":
            found.append(int(entry.name))
    return found


@pytest.mark.parametrize("command", ["tokenizer", "encode"])
def test_a_full_disk_is_named_and_the_command_continues(finished, tmp_path, command):
    disk = tmp_path / "disk"
    disk.mkdir()
    room = 1200 if command == "tokenizer" else 2000  # KiB: the shards fit, the result does not
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={room}k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("no small file system can be mounted here")
    try:
        folder = disk / "out"
        shutil.copytree(finished[0] / "shards", folder / "shards")
        shutil.copy(finished[0] / "manifest.json", folder)
        if command == "encode":
            shutil.copytree(finished[0] / "tokenizer", folder / "tokenizer")
        used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        subprocess.run(["mount", "-o", f"remount,size={used // 1024 + 400}k", str(disk)], check=True)
        done = cc100(command, "--output", folder, "--config", DEMO)
        assert done.returncode == 1
        assert "No space left on device. Free some space and run the same command again" in done.stderr
        assert "Traceback" not in done.stderr
        result = folder / ("tokenizer" if command == "tokenizer" else "tokens")
        assert not (result / "manifest.json").exists()
        subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
        again = cc100(command, "--output", folder, "--config", DEMO)
        assert again.returncode == 0, again.stderr
        assert content(folder, result.name) == content(finished[0], result.name)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
