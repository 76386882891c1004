"""Readers of other projects, on a finished output folder.

`make readers-test` sets CC100_READERS_OUTPUT, a folder that the commands made, and CC100_READERS=required: a package that is missing is
then a failure. Elsewhere the folder is made here, and tests of packages that are not installed are skipped.
"""

import os
import pathlib
import re
from collections.abc import Callable
from typing import Any

import pytest
from reader_support import Pair

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="session")
def out(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A finished output folder with all exports, named `out`."""
    given = os.environ.get("CC100_READERS_OUTPUT")
    if given:
        return pathlib.Path(given).resolve()
    from output_folder import make_output

    from cc100.pipeline.export import FORMATS, ExportRequest, export
    from cc100.pipeline.progress import StepProgress
    from cc100.transforms.storage import Storage

    folder = tmp_path_factory.mktemp("readers") / "out"
    make_output(folder)
    for form in FORMATS:
        export(Storage(str(folder)), ExportRequest(form), StepProgress(live=False))
    return folder


@pytest.fixture
def snippet(
    out: pathlib.Path, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> Callable[..., dict[str, Any]]:
    """Run a Python block of a page, as a user would: beside `out/`. What it defines.

    The folder of the test gets a link to `out`, so that caches of readers do not go there.
    """
    (tmp_path / "out").symlink_to(out)
    monkeypatch.chdir(tmp_path)

    def run(heading: str, page: str = "docs/readers.md", number: int = 0) -> dict[str, Any]:
        text = (REPOSITORY / page).read_text(encoding="utf-8")
        section = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
        assert section, f"{page} has no section {heading}"
        blocks = re.findall(r"^```python\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL)
        names: dict[str, Any] = {}
        exec(compile(blocks[number], f"{page}: {heading}", "exec"), names)
        return names

    return run


@pytest.fixture(scope="session")
def pairs(out: pathlib.Path) -> dict[str, Pair]:
    """All pairs by their path in tokens/ without suffix."""
    found = {}
    for path in sorted(out.glob("tokens/*/*.bin")):
        prefix = path.with_suffix("")
        found[prefix.relative_to(out / "tokens").as_posix()] = Pair(prefix)
    assert found
    return found
