"""Import directions, layout and packaging."""

import importlib
import pathlib
import subprocess
import sys

import pytest

PACKAGES = ("pipeline", "transforms", "tokenizer", "shards")


def test_import_directions(repository):
    done = subprocess.run(
        [pathlib.Path(sys.executable).parent / "lint-imports", "--config", "pyproject.toml", "--no-cache"],
        cwd=repository, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("package", ["shards", "tokenizer"])
def test_formats_do_not_load_beam(package):
    code = f"import cc100.{package}, cc100.shards.parquet, sys; sys.exit('apache_beam' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd="/", check=False).returncode == 0


def test_only_storage_knows_file_systems(repository):
    allowed = {"transforms/storage.py"}
    for package in PACKAGES:
        for path in (repository / package).rglob("*.py"):
            name = path.relative_to(repository).as_posix()
            if name not in allowed:
                assert "FileSystems" not in path.read_text(encoding="utf-8"), name


def test_modules_are_short(repository):
    for package in PACKAGES:
        for path in (repository / package).rglob("*.py"):
            assert len(path.read_text(encoding="utf-8").splitlines()) <= 430, path


def test_every_module_can_be_imported_under_its_name(repository):
    for package in PACKAGES:
        for path in (repository / package).glob("*.py"):
            importlib.import_module(f"cc100.{package}" if path.stem == "__init__" else f"cc100.{package}.{path.stem}")
