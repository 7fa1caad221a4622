"""Runs a piece of work again and again, each time in a process that is killed before another of its file operations."""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

_CHANGES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate")


def moments(work: Callable[[], None], folder: Path) -> Iterator[int]:
    """Gives a number for each process that was killed; ends when one was through.

    Args:
        work: to be done in a new process.
        folder: only operations that change something in it count. The caller restores it each time.
    """
    number = 0
    while True:
        child = os.fork()
        if child == 0:
            _kill_before(number, folder)
            try:
                work()
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            if os.WEXITSTATUS(status):
                raise RuntimeError(f"the work failed by itself with {os.WEXITSTATUS(status)}")
            return
        yield number
        number += 1


def _kill_before(number: int, folder: Path) -> None:
    left = number

    def hook(event: str, arguments: tuple) -> None:
        nonlocal left
        if event not in _CHANGES or not str(arguments[0]).startswith(str(folder)):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    sys.addaudithook(hook)
