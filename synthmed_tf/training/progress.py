"""What a run tells: the terminal, `metrics.jsonl` and TensorBoard, all with the same metrics."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rich.console
import rich.progress
import tensorflow as tf

from synthmed_tf import files

_PLAIN_INTERVAL_SECONDS = 10.0


class MetricsLog:
    """Writes scalars, warnings and images of a stage.

    What stands for steps that a resumed run takes again is dropped, so that each step stands once.
    """

    def __init__(self, folder: Path, first_step: int, read_from: Path):
        """Takes up the metrics of a stage's folder in the run, `read_from`, up to a step, and writes into `folder`."""
        self._lines_file, self._warnings_file = folder / "metrics.jsonl", folder / "warnings.jsonl"
        self._lines = _kept_lines(read_from / "metrics.jsonl", first_step, self._lines_file)
        warnings = _kept_lines(read_from / "warnings.jsonl", first_step, self._warnings_file)
        self._said = {line["alarm"] for line in warnings}
        self._writer = tf.summary.create_file_writer(str(folder / "tensorboard"))
        self._samples = folder / "samples"

    def scalars(self, step: int, metrics: dict[str, float]) -> None:
        """Adds a line of metrics for a step."""
        self._lines.append({"step": step} | metrics)
        _append(self._lines_file, self._lines[-1])
        with self._writer.as_default(step):
            for name, value in metrics.items():
                tf.summary.scalar(name, value)

    def warning(self, step: int, alarm: str, metric: float, threshold: float, message: str) -> None:
        """Adds a line to `warnings.jsonl`."""
        entry = {"step": step, "alarm": alarm, "value": metric, "threshold": threshold, "message": message}
        _append(self._warnings_file, entry)

    def once(self, alarm: str) -> bool:
        """Whether this is the first time that this is asked, in the whole run for alarms that were written."""
        first = alarm not in self._said
        self._said.add(alarm)
        return first

    def values(self, name: str, after: int = -1) -> list[float]:
        """A metric in the lines of later steps than `after`, in their order."""
        return [line[name] for line in self._lines if name in line and line["step"] > after]

    def image(self, step: int, name: str, png: bytes, pixels: np.ndarray) -> None:
        """Keeps a grid `(height, width, channels)` uint8, in TensorBoard and as `samples/<step>.png`."""
        files.write_bytes(self._samples / f"{step:08d}.png", png)
        with self._writer.as_default(step):
            tf.summary.image(name, pixels[None])

    def flush(self) -> None:
        """Writes out what is buffered."""
        self._writer.flush()


def _append(file: Path, entry: dict) -> None:
    with open(file, "a", encoding="utf-8") as lines:
        lines.write(json.dumps(entry) + "\n")


def _kept_lines(file: Path, last_step: int, written: Path) -> list[dict]:
    """The lines of a file up to a step, which become the file `written`."""
    if not file.exists():
        return []
    kept = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
            if entry["step"] <= last_step:
                kept.append(entry)
        except (ValueError, TypeError, KeyError):  # the last line of a run that was killed may be cut short
            continue
    files.write_text(written, "".join(json.dumps(entry) + "\n" for entry in kept))
    return kept


class StepProgress:
    """A bar with img/s and time left; plain lines where there is no terminal."""

    def __init__(self, title: str, total: int, done: int, say: Callable[[str], None]):
        self._title, self._total, self._say = title, total, say
        self._started, self._first, self._last_line = time.monotonic(), done, time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            columns = ("{task.description}", rich.progress.BarColumn(), "{task.completed}/{task.total}")
            columns += ("{task.fields[speed]}", rich.progress.TimeRemainingColumn())
            self._bar = rich.progress.Progress(*columns, console=rich.console.Console(stderr=True))
            self._task = self._bar.add_task(title, total=total, completed=done, speed="")
            self._bar.start()

    def update(self, step: int, images_per_second: float) -> None:
        """Says where the run is."""
        if self._bar is not None:
            self._bar.update(self._task, completed=step, speed=f"{images_per_second:.1f} img/s")
        elif time.monotonic() - self._last_line >= _PLAIN_INTERVAL_SECONDS or step == self._total:
            self._last_line = time.monotonic()
            left = (time.monotonic() - self._started) * (self._total - step) / max(step - self._first, 1)
            self._say(
                f"{self._title}: step {step}/{self._total}, {images_per_second:.1f} img/s, {_duration(left)} left"
            )

    def close(self) -> None:
        """Leaves the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
