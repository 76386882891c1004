"""`cc100 export`: what other programs read, from shards and token arrays; resumed by file, verified on request."""

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Executor, ThreadPoolExecutor, wait
from typing import Any

from cc100.pipeline.export_target import FORMAT_VERSION, Files, Plan, Target, Unit, Written, as_json, from_json
from cc100.pipeline.export_text import TextSource, plan_text, verify_text
from cc100.pipeline.export_tokens import TokenSource, blend_files, plan_datatrove, plan_fairseq, plan_litdata
from cc100.pipeline.progress import StepProgress
from cc100.shards import layout
from cc100.shards.errors import ConfigurationError, DamagedFileError
from cc100.shards.export_formats import blend, blend_arguments
from cc100.transforms.storage import Storage, StoredFile

BLEND, TEXT = "megatron-blend", "cc100-txt"
_TOKEN_PLANS: dict[str, Callable[[TokenSource, list[str]], Plan]] = {
    "fairseq": plan_fairseq,
    "datatrove": plan_datatrove,
    "litdata": plan_litdata,
}
FORMATS = (*_TOKEN_PLANS, TEXT, BLEND)


@dataclasses.dataclass(frozen=True)
class ExportRequest:
    """What the user asked for.

    Attributes:
        form: one of FORMATS.
        to: URI of the folder; None: `export/<format>/` of the output folder.
        languages: codes; empty: all.
        compression: of cc100-txt, `xz` or `zst`.
        workers: threads.
        verify: read a finished export again instead of making one.
    """

    form: str
    to: str | None = None
    languages: tuple[str, ...] = ()
    compression: str = "xz"
    workers: int = 1
    verify: bool = False


def export(storage: Storage, request: ExportRequest, progress: StepProgress) -> int:
    """Bring an export to its end, or verify it; exit code 0.

    Raises:
        Cc100Error: with a line for the user; what is done stays done.
    """
    target = Target(storage, request.form, request.to)
    source = TextSource(storage) if request.form == TEXT else TokenSource(storage)
    languages = _chosen(source.languages, request.languages, storage.root)
    if isinstance(source, TokenSource) and request.form == BLEND:
        return _export_blend(source, target, languages, progress)
    languages = _with_those_there(target, languages, source.languages)
    with ThreadPoolExecutor(request.workers) as blocks, ThreadPoolExecutor(request.workers) as units:
        if isinstance(source, TextSource):
            plan = plan_text(source, languages, request.compression, blocks, request.workers)
        else:
            plan = _TOKEN_PLANS[request.form](source, languages)
        plan = dataclasses.replace(
            plan, identity={"format": request.form, "format_version": FORMAT_VERSION} | plan.identity
        )
        with target.storage.lock():
            if request.verify:
                _verify(source, target, plan, units, progress)
            else:
                _make(target, plan, units, progress)
    target.leave()
    return 0


def _chosen(known: list[str], wanted: Sequence[str], root: str) -> list[str]:
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        raise ConfigurationError(
            f"--languages names {', '.join(unknown)}, which {root} does not have; it has {', '.join(known)}"
        )
    return sorted(set(wanted)) if wanted else known


def _with_those_there(target: Target, wanted: list[str], known: list[str]) -> list[str]:
    """Languages that are wanted or were exported before, so that those are kept whole too."""
    manifest = target.manifest()
    return sorted({*wanted, *(manifest["languages"] if manifest is not None else ())} & set(known))


def _make(target: Target, plan: Plan, pool: Executor, progress: StepProgress) -> None:
    manifest = target.manifest()
    recorded: Files = {}
    if manifest is not None:
        target.refuse_other(manifest, plan.identity)
        recorded = from_json(manifest["files"])
        if plan.languages.keys() <= manifest["languages"].keys() and target.has(recorded):
            progress.say(f"{target.uri} is complete; nothing to do")
            return
    begun = target.begun()
    if begun is not None and begun != plan.identity and target.has_receipts():
        target.refuse_other(begun, plan.identity)
    target.begin(plan.identity)
    done = {unit.name: written for unit in plan.units if (written := target.receipt(unit))}
    if manifest is not None:
        for unit in plan.units:
            found = _recorded(target, unit, recorded, manifest)
            if found is not None:
                done.setdefault(unit.name, found)
    todo = [unit for unit in plan.units if unit.name not in done]
    with progress.step("export", "files", len(plan.units), sum(unit.source_bytes for unit in todo), lambda: len(done)):
        for unit, written in _run(target, todo, pool):
            done[unit.name] = written
    files = dict(recorded)
    languages: dict[str, Any] = dict(manifest["languages"]) if manifest is not None else {}
    for unit in plan.units:
        files |= done[unit.name].files
    for code, facts in plan.languages.items():
        languages[code] = facts | {
            key: value for unit in plan.units if unit.language == code for key, value in done[unit.name].facts.items()
        }
    files |= plan.finish(target, files)
    target.finish(plan.identity | {"languages": languages, "files": as_json(files)})
    progress.say(f"{target.uri}: {len(files)} files, {sum(file.bytes for file in files.values()):,} bytes")


def _recorded(target: Target, unit: Unit, recorded: Files, manifest: dict[str, Any]) -> Written | None:
    """What an earlier export left of a unit, as its manifest lists it; None unless all of it is there."""
    files = {path: file for path, file in recorded.items() if _belongs(path, unit.name)}
    if not files or not target.has(files):
        return None
    return Written(files, dict(manifest["languages"].get(unit.language, {})))


def _belongs(path: str, name: str) -> bool:
    """Whether a file is of a unit: the unit's name, and what follows is no further digit of a number."""
    return path.startswith(name) and not path[len(name) : len(name) + 1].isalnum()


def _run(target: Target, units: list[Unit], pool: Executor) -> Iterator[tuple[Unit, Written]]:
    """Write units and their receipts: small ones side by side, those that use all threads one after the other."""

    def do(unit: Unit) -> tuple[Unit, Written]:
        written = unit.write(target)
        target.record(unit, written)
        return unit, written

    waiting = {pool.submit(do, unit) for unit in units if not unit.alone}
    try:
        while waiting:
            finished, waiting = wait(waiting, return_when=FIRST_EXCEPTION, timeout=0.5)
            for future in finished:
                yield future.result()
    finally:
        for future in waiting:
            future.cancel()
    for unit in units:
        if unit.alone:
            yield do(unit)


def _verify(
    source: TextSource | TokenSource, target: Target, plan: Plan, pool: Executor, progress: StepProgress
) -> None:
    """Read every file of a finished export and compare it with its manifest, texts with the shards too.

    Raises:
        DamagedFileError: a file is not what the manifest says.
    """
    manifest = target.manifest()
    if manifest is None:
        raise ConfigurationError(f"{target.uri} holds no finished export: run the same command without --verify first")
    target.refuse_other(manifest, plan.identity)
    files = from_json(manifest["files"])
    present = target.sizes(files)

    def check(path: str, file: StoredFile) -> None:
        if path not in present:
            raise _wrong(target, path, "is missing")
        digest, size = hashlib.sha256(), 0
        for piece in target.pieces(path):
            digest.update(piece)
            size += len(piece)
        if (size, digest.hexdigest()) != (file.bytes, file.sha256):
            raise _wrong(target, path, f"is not what was written: {size} bytes with SHA-256 {digest.hexdigest()}")

    total = sum(file.bytes for file in files.values())
    done: list[str] = []
    with progress.step("verify", "files", len(files), total, lambda: len(done)), contextlib.ExitStack() as stack:
        checks = [pool.submit(check, path, file) for path, file in files.items()]
        if isinstance(source, TextSource):
            checks += [pool.submit(verify_text, source, target, manifest, code) for code in manifest["languages"]]
        stack.callback(lambda: [future.cancel() for future in checks])
        for future in checks:
            future.result()
            done.append("")
    progress.say(f"{target.uri}: {len(files)} files verified")


def _wrong(target: Target, path: str, what: str) -> DamagedFileError:
    return DamagedFileError(f"{target.uri}/{path} {what}. Delete it and run the same export without --verify again")


def _export_blend(source: TokenSource, target: Target, languages: list[str], progress: StepProgress) -> int:
    """Write the blend; it holds absolute paths, so it is made anew whenever it differs."""
    tokens = source.storage.uri(layout.TOKENS)
    arguments = {split: blend_arguments(blend(source.manifest, split, languages), tokens) for split in layout.SPLITS}
    identity = {"format": BLEND, "format_version": FORMAT_VERSION} | source.identity()
    files = blend_files(arguments)
    with target.storage.lock():
        manifest = target.manifest()
        if manifest is not None:
            target.refuse_other(manifest, {"format": BLEND})
        if manifest is not None and all(b"".join(target.pieces(path)) == data for path, data in files.items()):
            progress.say(f"{target.uri} is complete; nothing to do")
        else:
            stored = {path: target.write(path, data) for path, data in files.items()}
            target.finish(identity | {"languages": source.facts(languages), "files": as_json(stored)})
    target.leave()
    progress.say(f"give Megatron --per-split-data-args-path {target.uri}/per-split.json")
    return 0
