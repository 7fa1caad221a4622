"""What a run is doing: the state of each stage, read from the run's files, and printed with the newest contact sheet.

Nothing here imports TensorFlow, and nothing is written. A file that is damaged becomes a sentence of the state.
"""

import contextlib
import fcntl
import functools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

from synthmed_tf import images
from synthmed_tf.config.schema import Config, config_from_json
from synthmed_tf.errors import SynthMedError
from synthmed_tf.training.assessment import assess

STAGES = ("segmenter", "stage1", "stage1_fine", "stage2", "stage2_fine")
NOT_BEGUN, STOPPED, RUNNING, DONE = "not begun", "stopped", "running", "done"

_SPEED_LINES = 10
_GEOMETRY, _OF_REAL = "geometry/", "_of_real"  # as tree_metrics.py names them


@dataclass(frozen=True)
class StageState:
    """What is known of a stage; None where it is not known.

    Attributes:
        name: of `STAGES`.
        status: `running` where a process holds the run and wrote here last, and since it began.
        saved_step: of the newest snapshot, which a stopped run goes on from; 0 where there is none.
        step: that, or the step of the newest metrics where that is larger.
        total: how many steps the configuration asks for.
        ended_by_itself: whether it is done before that, since the measure no longer fell.
        batch_size, speed: images a step, and images a second (the median of the last 10 lines of metrics).
        losses: the last metrics of each network's whole loss, by the network's name.
        validations: the steps and the measures on the validation patients.
        target: the measure of real images that the stage learns from; None where it is not known.
        geometry: the last metrics of generated vessel trees: name, value, and that of real ones.
        best: the step and the measure of the best snapshot.
        warnings: the step and the message of each alarm that rang.
        written: when metrics, snapshot or images were last written, seconds since 1970.
        image: the newest of `samples/`.
    """

    name: str
    status: str = NOT_BEGUN
    saved_step: int = 0
    step: int = 0
    total: int | None = None
    ended_by_itself: bool = False
    batch_size: int | None = None
    speed: float | None = None
    losses: tuple[tuple[str, float], ...] = ()
    validations: tuple[tuple[int, float], ...] = ()
    target: float | None = None
    geometry: tuple[tuple[str, float, float], ...] = ()
    best: tuple[int, float] | None = None
    warnings: tuple[tuple[int, str], ...] = ()
    written: float = 0.0
    image: Path | None = None


@dataclass(frozen=True)
class RunState:
    """What is known of a run.

    Attributes:
        folder: of the run.
        summary: preset, size and data, as far as they are known.
        holder: the process that trains there now, as it wrote it; None where there is none.
        stages: in the order of `STAGES`.
        remarks: a sentence for each file that cannot be read, and for each time that it went on with other options.
    """

    folder: Path
    summary: str
    holder: str | None
    stages: tuple[StageState, ...]
    remarks: tuple[str, ...]

    @property
    def assessment(self) -> str | None:
        """Whether the stage that was written last goes well, in a sentence; None before anything was written."""
        begun = [stage for stage in self.stages if stage.status != NOT_BEGUN]
        if not begun:
            return None
        latest = max(begun, key=lambda stage: stage.written)
        return assess(latest.name, latest.validations, latest.warnings, latest.target)

    @property
    def image(self) -> Path | None:
        """The newest contact sheet of the stage that was written last."""
        generated = [stage for stage in self.stages if stage.image is not None]
        return max(generated, key=lambda stage: stage.written).image if generated else None


def describe(run: Path) -> RunState:
    """Reads what a run's files tell.

    Raises:
        SynthMedError: the folder holds no run.
    """
    run = Path(run)
    if not any((run / name).exists() for name in ("config.json", *STAGES)):
        raise SynthMedError(f"{run} holds no run (no config.json, no stage); give the folder that --run named.")
    reader = _Reader()
    config, facts = reader.config(run / "config.json"), reader.json_object(run / "data.json")
    names = [name for name in STAGES if not name.endswith("_fine") or _has_fine_network(run, config, name)]
    stages = [_stage(run / name, config, facts.get("pairs"), reader) for name in names]
    holder, since = reader.holder(run / "lock")
    latest = max(stages, key=lambda stage: stage.written)
    if holder and latest.written >= since and latest.status == STOPPED:
        stages[stages.index(latest)] = replace(latest, status=RUNNING)
    lines = reader.json_lines(run / "overrides.jsonl", {"steps": dict, "changes": dict})
    changes = (f"Went on with other options (was, is) from {line['steps']}: {line['changes']}" for line in lines)
    return RunState(run, _summary(config, facts), holder, tuple(stages), (*changes, *reader.damage))


def _has_fine_network(run: Path, config: Config | None, name: str) -> bool:
    if config is None:
        return (run / name).exists()
    named = config.stage1.architecture == "coarse_to_fine" if name == "stage1_fine" else config.has_fine_renderer
    return named or (run / name).exists()


def render(state: RunState, console: Console, now: float | None = None) -> None:
    """Prints a state and the newest contact sheet: on a terminal with colours in half blocks, else as the file's path.

    Args:
        state: what `describe` gave.
        console: where to.
        now: seconds since 1970, which ages are counted up to; by default the clock's.
    """
    now = time.time() if now is None else now
    lines = [f"{state.folder}: {state.summary}" + (f"; in use by {state.holder}" if state.holder else "")]
    for stage in state.stages:
        lines += _stage_lines(stage, now)
    lines += [f"  {sentence}" for sentence in state.remarks]
    if state.image is not None:
        lines.append(f"  newest contact sheet: {state.image}")
    if state.assessment is not None:
        lines.append(f"  {state.assessment}")
    say = functools.partial(console.print, markup=False, highlight=False, soft_wrap=True)
    say("\n".join(lines))
    if state.image is not None and console.is_terminal and console.color_system is not None:
        try:
            say(half_blocks(state.image, console.width), end="")
        except SynthMedError as error:
            say(f"  {error}")


def half_blocks(image: Path, columns: int) -> Text:
    """An image as text; each character shows two pixels, the upper one in front of the lower one.

    Args:
        image: the file.
        columns: characters a line; a narrower image is not enlarged.

    Raises:
        SynthMedError: the file is no image.
    """
    pixels = images.read_image(image)
    columns = min(columns, pixels.shape[1])
    lines = max(1, round(pixels.shape[0] * columns / pixels.shape[1] / 2))
    small = Image.fromarray(pixels).resize((columns, 2 * lines), Image.Resampling.BOX)
    rows = [[Color.from_rgb(*map(int, colour)) for colour in row] for row in np.asarray(small)]
    text = Text(no_wrap=True)
    for upper, lower in zip(rows[::2], rows[1::2], strict=True):
        for front, ground in zip(upper, lower, strict=True):
            text.append("▀", Style(color=front, bgcolor=ground))
        text.append("\n")
    return text


class _Reader:
    """Reads a run's files, and keeps a sentence for each that is damaged."""

    def __init__(self):
        self.damage: list[str] = []

    def config(self, file: Path) -> Config | None:
        return self._parsed(file, lambda text: config_from_json(text, str(file)))

    def json_object(self, file: Path) -> dict[str, Any]:
        """The file's object; empty where there is none."""
        return self._parsed(file, _object) or {}

    def json_lines(self, file: Path, fields: dict[str, type]) -> list[dict[str, Any]]:
        """The lines that are objects with these fields. The last may be cut short: it may just be written."""
        text = self._parsed(file, str) or ""
        whole, broken = [], []
        ended = text.count("\n")
        for number, line in enumerate(text.split("\n"), 1):
            with contextlib.suppress(ValueError, RecursionError):
                entry = _object(line)
                if all(isinstance(entry.get(name), kind) for name, kind in fields.items()):
                    whole.append(entry)
                    continue
            if number <= ended:
                broken.append(number)
        if broken:
            self.damage.append(f"{file} has {len(broken)} line(s) that cannot be read, the first is line {broken[0]}.")
        return whole

    def holder(self, file: Path) -> tuple[str | None, float]:
        """Which process holds the lock file, and since when (seconds since 1970)."""
        try:
            with open(file, "rb") as lock:
                # A shared lock, and for a moment only: a second reader must not take the first for a training.
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return self._parsed(file, str.strip) or "another process", file.stat().st_mtime
        except OSError as error:
            if file.exists():
                self.damage.append(f"{file} cannot be read ({error.strerror}), so a process may be using the run.")
        return None, 0.0

    def _parsed(self, file: Path, parse: Callable[[str], Any]) -> Any:
        try:
            return parse(file.read_text(encoding="utf-8", errors="replace"))
        except FileNotFoundError:
            return None
        except SynthMedError as error:
            self.damage.append(str(error))
        except (OSError, ValueError, RecursionError) as error:
            self.damage.append(f"{file} cannot be read ({getattr(error, 'strerror', None) or error}).")
        return None


def _object(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("it holds no JSON object")
    return found


def _stage(folder: Path, config: Config | None, pairs: Any, reader: _Reader) -> StageState:
    lines = reader.json_lines(folder / "metrics.jsonl", {"step": int})
    saved, best = (reader.json_object(folder / name / "snapshot.json") for name in ("snapshot", "best"))
    rang = reader.json_lines(folder / "warnings.jsonl", {"step": int, "message": str})
    samples = sorted(folder.glob("samples/*.png"))
    files = (folder / "metrics.jsonl", folder / "snapshot" / "snapshot.json", *samples[-1:])
    times = [file.stat().st_mtime for file in files if file.exists()]
    options = getattr(config, folder.name, None)
    total = options.total_steps(pairs) if options and (options.steps or isinstance(pairs, int)) else None
    measures, speeds = (_series(lines, name) for name in ("validation", "images_per_second"))
    last = lines[-1] if lines else {"step": 0}
    losses = {name: value for name, value in last.items() if name.endswith("/loss") and isinstance(value, int | float)}
    saved_step = saved["step"] if isinstance(saved.get("step"), int) else 0
    step = max(saved_step, last["step"])
    done = bool(saved_step and total and saved_step >= total)
    ended = not done and saved_step == step and _no_longer_better(measures, getattr(options, "patience", 0))
    return StageState(
        name=folder.name,
        status=DONE if done or ended else STOPPED if times else NOT_BEGUN,
        saved_step=saved_step,
        step=step,
        total=total,
        ended_by_itself=ended,
        batch_size=getattr(options, "batch_size", None),
        speed=median(speed for _, speed in speeds[-_SPEED_LINES:]) if speeds else None,
        losses=tuple((name.removesuffix("/loss"), value) for name, value in losses.items()),
        validations=tuple(measures),
        target=next((value for _, value in reversed(_series(lines, f"validation{_OF_REAL}"))), None),
        geometry=_geometry(lines),
        best=next(iter(_series([best], "measure")), None),
        warnings=tuple((line["step"], line["message"]) for line in rang),
        written=max(times, default=0.0),
        image=samples[-1] if samples else None,
    )


def _series(lines: list[dict[str, Any]], name: str) -> list[tuple[int, float]]:
    """The step and the value of each line that has a number of this name."""
    return [(line["step"], line[name]) for line in lines if isinstance(line.get(name), int | float) and "step" in line]


def _geometry(lines: list[dict[str, Any]]) -> tuple[tuple[str, float, float], ...]:
    """The last metrics of geometry that have a target."""
    last = next((line for line in reversed(lines) if any(name.startswith(_GEOMETRY) for name in line)), {})
    named = [name for name in last if name.startswith(_GEOMETRY) and not name.endswith(_OF_REAL)]
    pairs = ((name.removeprefix(_GEOMETRY), last[name], last.get(f"{name}{_OF_REAL}")) for name in named)
    return tuple(each for each in pairs if all(isinstance(value, int | float) for value in each[1:]))


def _no_longer_better(measures: list[tuple[int, float]], patience: int) -> bool:
    """Whether the last `patience` measures were none better than one before them: then training ends by itself."""
    values = [value for _, value in measures]
    return bool(patience and values) and len(values) - 1 - values.index(min(values)) >= patience


def _stage_lines(stage: StageState, now: float) -> list[str]:
    if stage.status == NOT_BEGUN:
        return [f"  {stage.name}: not begun"]
    step = stage.saved_step if stage.status == STOPPED else stage.step
    head = {DONE: f"done, {step} steps", STOPPED: f"stopped at step {step}", RUNNING: f"running, step {step}"}
    facts = [head[stage.status] + (f" of {stage.total}" if stage.total and stage.status != DONE else "")]
    facts[0] += " (it ended by itself)" if stage.ended_by_itself else ""
    facts[0] += f" (metrics up to {stage.step})" if stage.step > step else ""
    if stage.speed is not None:
        facts.append(f"{stage.speed:.1f} img/s")
    if stage.status == RUNNING and stage.speed and stage.total:
        facts.append(f"{_duration((stage.total - step) * stage.batch_size / stage.speed)} left")
    lines = [f"  {stage.name}: {', '.join(facts)}; last written {_duration(now - stage.written)} ago"]
    if stage.losses:
        lines.append("    losses: " + ", ".join(f"{name} {value:.4g}" for name, value in stage.losses))
    if stage.geometry:
        named = (f"{name.replace('_', ' ')} {value:.3g} ({real:.3g})" for name, value, real in stage.geometry)
        lines.append(f"    generated trees (real ones): {', '.join(named)}")
    last = stage.validations[-1] if stage.validations else None
    for name, validated in (("best", stage.best), ("last validated", last)):
        if validated:
            lines.append(f"    {name}: step {validated[0]}, measure {validated[1]:.4g}")
    return lines + [f"    warning at step {step}: {message}" for step, message in stage.warnings]


def _summary(config: Config | None, facts: dict[str, Any]) -> str:
    preset = f"preset {config.preset}, {config.size}x{config.size}" if config else "no configuration that can be read"
    source, pairs, patients = (facts.get(name, "?") for name in ("source", "pairs", "patients"))
    return f"{preset}; data {source}, {pairs} pairs of {patients} patients"


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=max(0, round(seconds))))
