"""Fixtures of several test files of this folder."""

import shutil

import output_folder
import pytest


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "out"
    return folder, output_folder.make_output(folder)


@pytest.fixture
def out(made, tmp_path):
    """A copy of the folder that a test may spoil."""
    shutil.copytree(made[0], tmp_path / "out")
    return tmp_path / "out"
