"""Files that could not be fetched: they are tried again by the next run, and what depends on them is done anew.

A retry must not leave later steps that were made without the file. So before it, a note `run/retry.json` names the files that
are tried; after extract it is settled: if one of them was read, every later step is undone. A run that is killed between leaves
the note, and the next one settles it.
"""

from typing import Any

from cc100.pipeline.steps import undo_step
from cc100.shards import layout
from cc100.shards.errors import InputError
from cc100.shards.manifest import to_json
from cc100.transforms import extract
from cc100.transforms.http_file import QUARANTINE_REASONS
from cc100.transforms.job import Job, Outcome, read_receipt, receipt_name, unit_name
from cc100.transforms.storage import Storage

_NOTE = f"{layout.RUN}/retry.json"


def quarantined_inputs(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Entries of a manifest's inputs that could not be fetched."""
    return [entry for entry in manifest["inputs"] if entry.get("quarantined")]


def begin_retry(job: Job, later_steps: list[str]) -> list[str]:
    """Make extract try the quarantined files again; the units concerned.

    Args:
        job: the job.
        later_steps: names of all steps after extract.
    """
    storage = job.storage
    noted = set(storage.read_json(_NOTE)) if storage.size(_NOTE) is not None else set()
    units = [unit for unit in (unit_name(index) for index in range(len(job.inputs))) if _is_quarantined(storage, unit)]
    if noted - set(units):  # a killed run has read them, or was about to
        _undo(storage, later_steps)
    if units:
        storage.write(_NOTE, to_json(units))
        undo_step(storage, extract.STEP, keep_receipts=True)
        storage.delete([receipt_name(extract.STEP, unit) for unit in units])
    return units


def settle_retry(job: Job, outcomes: dict[str, Outcome], later_steps: list[str]) -> None:
    """After extract: undo later steps if a file that was tried again has been read."""
    storage = job.storage
    if storage.size(_NOTE) is None:
        return
    if any(not outcomes[unit].figures["quarantined"] for unit in storage.read_json(_NOTE)):
        _undo(storage, later_steps)
    storage.delete([_NOTE])


def check_quarantine(job: Job, outcomes: dict[str, Outcome]) -> None:
    """End the run if too many files could not be fetched.

    Raises:
        InputError: their share is above `input.max_quarantined`.
    """
    missing = {unit: reason for unit, outcome in outcomes.items() if (reason := outcome.figures["quarantined"])}
    allowed = job.settings.input.max_quarantined
    if len(missing) > allowed * len(outcomes):
        first = min(missing)
        raise InputError(
            f"{len(missing)} of {len(outcomes)} files could not be fetched, input.max_quarantined allows a share of {allowed}. "
            f"The first is {job.inputs[int(first)].uri}: {missing[first]} ({QUARANTINE_REASONS[missing[first]]}). "
            "Run the same command again later: it fetches these files only"
        )


def _is_quarantined(storage: Storage, unit: str) -> bool:
    outcome = read_receipt(storage, extract.STEP, unit)
    return outcome is not None and bool(outcome.figures.get("quarantined"))


def _undo(storage: Storage, steps: list[str]) -> None:
    for step in steps:
        undo_step(storage, step)
