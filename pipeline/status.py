"""`cc100 status`: how far the stages of a folder have come, and what came out; with --verify, whether every file is still whole."""

from typing import Any

from rich.console import Console
from rich.table import Table

from cc100.pipeline import encode, tokenizer
from cc100.pipeline.corpus import corpus_steps, planned_cut
from cc100.pipeline.quarantine import quarantined_inputs
from cc100.pipeline.report import print_summary, print_tokens
from cc100.pipeline.stage import Stage, read_manifest
from cc100.pipeline.steps import read_step
from cc100.pipeline.training import step_names
from cc100.shards import layout
from cc100.shards.errors import InputError
from cc100.shards.manifest import fingerprint
from cc100.transforms import gather, sample
from cc100.transforms.job import Job, JobReference, load_job, read_receipt
from cc100.transforms.storage import Storage

_STAGES = (tokenizer.STAGE, encode.STAGE)


def print_status(storage: Storage, console: Console, verify: bool) -> int:
    """Print the state of a folder; exit code 0 if nothing in it is unfinished or damaged, else 1.

    Raises:
        InputError: the folder is none of ours.
    """
    is_complete = _print_corpus(storage, console)
    for stage in _STAGES:
        is_complete &= _print_stage(storage, stage, console)
    if verify:
        is_complete &= _verify(storage, console)
    return 0 if is_complete else 1


def _print_corpus(storage: Storage, console: Console) -> bool:
    if storage.size(layout.MANIFEST) is not None:
        manifest = storage.read_json(layout.MANIFEST)
        console.print(
            f"{storage.root}: complete, {len(manifest['inputs'])} input files, model {manifest['model']['name']}"
        )
        rejects = sum(entry["rejects"] for entry in manifest["inputs"])
        if rejects:
            console.print(f"{rejects} records could not be read; see rejects/")
        for entry in quarantined_inputs(manifest)[:10]:
            console.print(f"not fetched: {entry['uri']} ({entry['quarantined']}); the same command again tries it")
        print_summary(manifest, console)
        return True
    if storage.size(layout.RUN_STATE) is None:
        raise InputError(
            f"{storage.root} holds neither {layout.MANIFEST} nor {layout.RUN_STATE}: no run has used it as --output"
        )
    job = load_job(storage)
    console.print(f"{storage.root}: not complete; the same command again continues it")
    console.print(_steps_table(job))
    return False


def _steps_table(job: Job) -> Table:
    table = _new_steps_table()
    reference = JobReference(job.storage.root, fingerprint(job.to_json()))
    for step in corpus_steps(job, reference, lambda shuffle: planned_cut(job, shuffle)):
        units = [unit for part in step.passes for unit in part.units]
        complete = read_step(job.storage, step) is not None
        done = len(units) if complete else sum(read_receipt(job.storage, step.name, unit) is not None for unit in units)
        table.add_row(step.name, str(done), str(len(units)), step.unit)
    table.add_row(gather.STEP, str(len(job.storage.files(f"run/done/{gather.STEP}"))), "?", "parts")
    return table


def _new_steps_table() -> Table:
    table = Table(title="Steps", title_justify="left")
    for column in ("step", "done", "of", "unit"):
        table.add_column(column, justify="right" if column in ("done", "of") else "left")
    return table


def _print_stage(storage: Storage, stage: Stage, console: Console) -> bool:
    """State of a stage after the corpus; one that was never begun is not unfinished."""
    where = storage.uri(stage.folder)
    if storage.size(stage.manifest) is not None:
        manifest = read_manifest(storage, stage)
        if stage is encode.STAGE:
            print_tokens(manifest, where, console)
        else:
            rows = manifest["languages"].values()
            console.print(
                f"{where}: complete, {manifest['options']['vocab_size']:,} pieces, alpha {manifest['sampling']['alpha']}, "
                f"{sum(row['sampled_paragraphs'] for row in rows):,} paragraphs sampled, SentencePiece {manifest['sentencepiece']}"
            )
        current = storage.size(layout.MANIFEST) is not None and storage.fingerprint(layout.MANIFEST).sha256
        if manifest["corpus_sha256"] != current:
            console.print(f"{where} was made for another corpus than the one that is here now")
            return False
        return True
    if storage.size(stage.state) is None:
        console.print(f"{where}: not begun; {stage.command} makes it")
        return True
    console.print(f"{where}: not complete; {stage.command} again continues it")
    parts = len(storage.read_json(stage.state)["job"]["parts"])
    table = _new_steps_table()
    for step in stage.steps:
        total = 1 if step == step_names(sample.TOKENIZER)[1] else parts
        table.add_row(
            step, str(len(storage.files(f"{layout.RUN}/done/{step}"))), str(total), "models" if total == 1 else "parts"
        )
    console.print(table)
    return False


def _verify(storage: Storage, console: Console) -> bool:
    """Read every file that a manifest lists, and name those that are not what it says."""
    listed: dict[str, dict[str, Any]] = {}
    for manifest, folder in ((layout.MANIFEST, ""), *((stage.manifest, f"{stage.folder}/") for stage in _STAGES)):
        if storage.size(manifest) is not None:
            files = storage.read_json(manifest)["files"]
            listed |= {f"{folder}{name}": entry for name, entry in files.items()}
    bad = 0
    for name, entry in sorted(listed.items()):
        problem = _difference(storage, name, entry)
        if problem:
            bad += 1
            console.print(f"{storage.uri(name)}: {problem}", markup=False, soft_wrap=True)
    console.print(f"{len(listed) - bad} of {len(listed)} files are what the manifests list")
    if bad:
        console.print(
            "Delete the others and run the command of their stage again: it makes them anew, as long as run/ is there"
        )
    return not bad


def _difference(storage: Storage, name: str, entry: dict[str, Any]) -> str:
    """How a file differs from what its manifest lists; empty if it does not."""
    if storage.size(name) is None:
        return "missing"
    found = storage.fingerprint(name)
    if (found.bytes, found.sha256) == (entry["bytes"], entry["sha256"]):
        return ""
    listed = f"{entry['bytes']}, {entry['sha256'][:12]}..."
    return f"{found.bytes} bytes, SHA-256 {found.sha256[:12]}..., not what its manifest lists ({listed})"
