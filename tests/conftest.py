"""Fixtures shared by all tests."""

import os
import pathlib

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """Folder of real test data, named by CC100_TEST_DATA; tests that need it are skipped where it is absent."""
    folder = os.environ.get("CC100_TEST_DATA", "")
    if not folder or not pathlib.Path(folder).is_dir():
        pytest.skip("real test data: CC100_TEST_DATA names no folder")
    return pathlib.Path(folder)


@pytest.fixture(scope="session")
def repository() -> pathlib.Path:
    """Root of the checkout."""
    return REPOSITORY
