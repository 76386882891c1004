"""Progress: a live line per step on a terminal, one plain line per step elsewhere."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

_POLL_S = 0.5


class _Speed(ProgressColumn):
    """MB of stored input per second of wall time."""

    def render(self, task: Task) -> Text:
        """Text of the column."""
        total_bytes = task.fields["total_bytes"]
        if not (task.total and task.elapsed and task.completed and total_bytes):
            return Text("")
        return Text(f"{total_bytes * task.completed / task.total / task.elapsed / 1e6:6.1f} MB/s")


class StepProgress:
    """Shows the steps of a run.

    Args:
        live: draw bars; else print lines. Default: whether standard error is a terminal.
    """

    def __init__(self, live: bool | None = None) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live = self._console.is_terminal if live is None else live

    def close(self) -> None:
        """Give the terminal back as it was found, wherever a step is."""
        if self._live:
            self._console.show_cursor(True)

    def say(self, text: str) -> None:
        """Print a line."""
        if self._live:
            self._console.print(text, markup=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def step(self, title: str, unit: str, total: int, total_bytes: int, count: Callable[[], int]) -> Iterator[None]:
        """Show a step while its block runs.

        Args:
            title: name of the step.
            unit: what is counted, in the plural.
            total: number of units.
            total_bytes: stored bytes that all units stand for.
            count: number of units done so far; called twice a second.
        """
        begin = time.monotonic()
        if not self._live:
            yield
            seconds = time.monotonic() - begin
            rate = f", {total_bytes / max(seconds, 1e-3) / 1e6:.1f} MB/s of stored input" if total_bytes else ""
            self.say(f"{title}: {total} {unit if total != 1 else unit.removesuffix('s')} in {seconds:.1f} s{rate}")
            return
        columns = (
            TextColumn("{task.description:<12}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn(unit),
            _Speed(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console) as progress:
            task = progress.add_task(title, total=total, total_bytes=total_bytes)
            with _polling(lambda: progress.update(task, completed=min(count(), total))):
                yield
            progress.update(task, completed=total)

    @contextlib.contextmanager
    def share(self, title: str) -> Iterator[Callable[[float, str], None]]:
        """Show work that knows which share of it is done; gives the function to be told by, with a word on what it is at."""
        begin = time.monotonic()
        if not self._live:
            steps = _Steps(title, self.say)
            yield steps.tell
            self.say(f"{title}: done in {time.monotonic() - begin:.1f} s")
            return
        columns = (
            TextColumn("{task.description:<12}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False, compact=False),
            TextColumn("{task.fields[doing]}"),
        )
        with Progress(*columns, console=self._console, speed_estimate_period=3600) as progress:
            task = progress.add_task(title, total=1.0, doing="")
            yield lambda done, doing: progress.update(task, completed=done, doing=doing)
            progress.update(task, completed=1.0, doing="")


class _Steps:
    """A line for each fifth of some work, for logs."""

    def __init__(self, title: str, say: Callable[[str], None]) -> None:
        self._title, self._say, self._next = title, say, 0.2

    def tell(self, done: float, doing: str) -> None:
        """Print a line if another fifth is done."""
        if done >= self._next and done < 1:
            self._say(f"{self._title}: {100 * done:.0f} % ({doing})")
            self._next = (int(done * 5) + 1) / 5


@contextlib.contextmanager
def _polling(update: Callable[[], None]) -> Iterator[None]:
    stop = threading.Event()

    def poll() -> None:
        while not stop.wait(_POLL_S):
            with contextlib.suppress(Exception):  # a number that cannot be had now is no reason to stop
                update()

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
