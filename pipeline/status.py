"""`cc100 status`: how far a run has come, and what came out."""

from rich.console import Console
from rich.table import Table

from cc100.pipeline.corpus import corpus_steps, read_step
from cc100.pipeline.quarantine import quarantined_inputs
from cc100.pipeline.report import print_summary
from cc100.shards import layout
from cc100.shards.errors import InputError
from cc100.shards.manifest import fingerprint
from cc100.transforms import gather
from cc100.transforms.job import Job, JobReference, load_job, read_receipt
from cc100.transforms.storage import Storage


def print_status(storage: Storage, console: Console) -> int:
    """Print the state of a folder; exit code 0 if it is complete, else 1.

    Raises:
        InputError: the folder is none of ours.
    """
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
        return 0
    if storage.size(layout.RUN_STATE) is None:
        raise InputError(
            f"{storage.root} holds neither {layout.MANIFEST} nor {layout.RUN_STATE}: no run has used it as --output"
        )
    job = load_job(storage)
    console.print(f"{storage.root}: not complete; the same command again continues it")
    console.print(_steps_table(job))
    return 1


def _steps_table(job: Job) -> Table:
    table = Table(title="Steps", title_justify="left")
    for column in ("step", "done", "of", "unit"):
        table.add_column(column, justify="right" if column in ("done", "of") else "left")
    steps = corpus_steps(job, JobReference(job.storage.root, fingerprint(job.to_json())))
    for step in steps:
        units = [unit for part in step.passes for unit in part.units]
        complete = read_step(job.storage, step) is not None
        done = len(units) if complete else sum(read_receipt(job.storage, step.name, unit) is not None for unit in units)
        table.add_row(step.name, str(done), str(len(units)), step.unit)
    table.add_row(gather.STEP, str(len(job.storage.files(f"run/done/{gather.STEP}"))), "?", "parts")
    return table
