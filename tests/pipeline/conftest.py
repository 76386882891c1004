"""Fixtures of several test files of this folder."""

import shutil

import output_folder
import pytest
from program import CRAWL, DEMO, cc100
from small_corpus import content


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "out"
    return folder, output_folder.make_output(folder)


@pytest.fixture
def out(made, tmp_path):
    """A copy of the folder that a test may spoil."""
    shutil.copytree(made[0], tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture(scope="session")
def local_run(tmp_path_factory):
    """Content of everything, as a local run leaves it."""
    folder = tmp_path_factory.mktemp("local") / "out"
    cc100("run", "--input", CRAWL, "--output", folder, *DEMO, "--workers", 1)
    return content(folder)
