"""`cc100 export` as a user meets it: exit codes, one line for an error, another file system, a full disk, a kill."""

import pathlib
import re
import signal
import subprocess
import sys

import output_folder
import pytest

CC100 = [sys.executable, "-m", "cc100.pipeline.cli"]


def cc100(*arguments, **options):
    """Run the program; the finished process."""
    command = [*CC100, *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **options)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli-export") / "out"
    output_folder.make_output(folder)
    return folder


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_made_verified_and_complete(out, tmp_path):
    arguments = [
        "export",
        out,
        "--format",
        "cc100-txt",
        "--to",
        tmp_path / "text",
        "--languages",
        "de, sw",
        "--workers",
        2,
    ]
    done = cc100(*arguments)
    assert (done.returncode, done.stdout) == (0, "")
    assert re.fullmatch(r"export: 2 files in .*\n.*/text: 2 files, [\d,]+ bytes\n", done.stderr)
    assert sorted(content(tmp_path / "text")) == ["de.txt.xz", "manifest.json", "sw.txt.xz"]
    assert "is complete; nothing to do" in cc100(*arguments).stderr
    assert "2 files verified" in cc100(*arguments, "--verify").stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--format", "parquet"], 2, "invalid choice: 'parquet'"),
        ([], 2, "required: --format"),
        (["--format", "fairseq", "--languages", "xx"], 2, "cc100: --languages names xx, .* it has de, sw, zh-Hant"),
        (["--format", "fairseq", "--to", "text"], 2, "cc100: .*text holds another export"),
        (["--format", "fairseq", "--verify", "--to", "new"], 2, "holds no finished export"),
        (["--format", "fairseq", "--to", "/proc/sys/cc100"], 1, "cc100: cannot write /proc/sys/cc100"),
    ],
)
def test_wrong_use_is_named_in_a_line(out, tmp_path, arguments, code, message):
    assert cc100("export", out, "--format", "cc100-txt", "--to", "text", cwd=tmp_path).returncode == 0
    done = cc100("export", out, *arguments, cwd=tmp_path)
    assert done.returncode == code
    assert re.search(message, done.stderr), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("form", ["fairseq", "cc100-txt"])
def test_an_empty_folder_says_what_to_run(tmp_path, form):
    done = cc100("export", tmp_path, "--format", form)
    assert done.returncode == 1
    assert re.fullmatch(r"cc100: .* has no .*manifest\.json: run cc100 (encode|corpus) --output .*\n", done.stderr)


@pytest.mark.parametrize("form", ["fairseq", "litdata", "cc100-txt"])
def test_a_full_disk_is_named_and_the_export_goes_on(out, tmp_path, form):
    disk = tmp_path / "disk"
    disk.mkdir()
    size = {"fairseq": "40k", "litdata": "40k", "cc100-txt": "12k"}[form]
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("no small file system can be mounted here")
    try:
        done = cc100("export", out, "--format", form, "--to", disk / "to")
        assert done.returncode == 1
        assert "No space left on device. Free some space and run the same command again" in done.stderr
        assert not (disk / "to/manifest.json").exists()
        subprocess.run(["mount", "-o", "remount,size=10m", str(disk)], check=True)
        done = cc100("export", out, "--format", form, "--to", disk / "to")
        assert done.returncode == 0, done.stderr
        assert cc100("export", out, "--format", form, "--to", tmp_path / "here").returncode == 0
        assert content(disk / "to") == content(tmp_path / "here")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_killed_export_leaves_nothing_half_written(out, tmp_path):
    """Killed while it reads back its first text: what has a name is whole, and the same command goes on."""
    program = (
        "import os, signal, sys, cc100.pipeline.export_text as module; from cc100.pipeline.cli import main; "
        f"module._compare = lambda *_: os.kill(os.getpid(), {int(signal.SIGKILL)}); main(sys.argv[1:])"
    )
    arguments = ["export", str(out), "--format", "cc100-txt", "--to", str(tmp_path / "to")]
    killed = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    named = [path for path in pathlib.Path(tmp_path / "to").iterdir() if path.name != "run"]
    assert "manifest.json" not in [path.name for path in named]
    done = cc100(*arguments)
    assert done.returncode == 0, done.stderr
    assert sorted(content(tmp_path / "to")) == ["de.txt.xz", "manifest.json", "sw.txt.xz", "zh-Hant.txt.xz"]
    assert cc100(*arguments, "--verify").returncode == 0
