"""Progress of a command: bars with the time left on a terminal; otherwise a line now and then on stderr."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.progress import Progress

_SECONDS = 30


@contextlib.contextmanager
def bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """One bar; yields a function to call with (done, total).

    Without a terminal a line is written twice a minute, and none by a command that is faster.
    """
    with bars(quiet=True) as update:
        yield lambda done, total: update(title, done, total)


@contextlib.contextmanager
def bars(quiet: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each thing that is done; yields a function to call with (what, done, total).

    Without a terminal a line is written twice a minute, and, unless `quiet`, when something begins or is finished.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    tasks: dict[str, int] = {}
    written = time.monotonic() if quiet else 0.0

    shown = _shown(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with contextlib.ExitStack() as display:

        def update(what: str, done: int, total: int) -> None:
            nonlocal written
            if not tasks:  # not earlier: an engine that reports nothing here shows a bar of its own
                display.enter_context(shown)
            if what not in tasks:
                tasks[what] = shown.add_task(what, total=total)
            shown.update(tasks[what], completed=done, total=total)
            is_finished = done == total and not quiet
            if shown.disable and (is_finished or time.monotonic() - written > _SECONDS):
                written = time.monotonic()
                click.echo(f"{what}: {done} of {total}", err=True)

        yield update


@contextlib.contextmanager
def bytes_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """As `bar`, for bytes: with the amount, the speed and the time left."""
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with _shown(TextColumn(title), *columns) as shown:
        task = shown.add_task(title, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)


def _shown(*columns) -> "Progress":
    """On stderr, and only if that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    return Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())
