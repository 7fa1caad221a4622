"""Kills a training run repeatedly, and compares its result bit by bit with an undisturbed run.

    python benchmarks/kill.py --stage stage1 --kills 20 --work WORK --out kill.json

SIGKILL comes at random moments: two of five kills are aimed at a checkpoint or snapshot that is just being written,
the others are uniform in the seconds after the first metrics of each process. Small networks on the built-in set; the
same command resumes each time. The comparison covers each tensor of the last checkpoint, both snapshots, the
warnings, the images, and all metrics except the speed.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

ROOT = Path(__file__).resolve().parents[1]
SMALL = ("steps_per_loop=10", "image_every=200", "stage1.latent_dim=512", "stage1.filters=4", "stage2.filters=4")
# Few filters train fast; the long latent has many weights, so that a checkpoint takes long enough to be hit.
SMALL += ("stage1.discriminator_filters=4", "stage2.discriminator_filters=4")
REMAINS = ("checkpoints/*temp*", ".snapshot.*", ".best.*", ".*.part", "*/.*.part")
AIMS = ("a checkpoint", "a checkpoint", "a checkpoint", "a snapshot")
WATCHED = {"a checkpoint": ("checkpoints/*temp*", "checkpoints/ckpt-*"), "a snapshot": (".snapshot.*",)}
GRACE = 600.0


class Ended(Exception):
    """The process ended before it was killed."""


class Life:
    """One process of the run, from its start to its end."""

    def __init__(self, command: list[str], folder: Path, log: Path):
        self.folder, self.log = folder, log
        self._metrics = folder / "metrics.jsonl"
        before = self._inode()
        with open(log, "ab") as out:
            environment = os.environ | {"PYTHONPATH": str(ROOT)}
            self.process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
        if before is not None:  # a run that goes on first takes out the metrics of steps that it will take again
            self.wait_for(lambda: self._inode() != before)

    def wait_for(self, condition: Callable[[], bool], pause: float = 0.001) -> None:
        """Waits while the process lives.

        Raises:
            Ended: the run is done.
        """
        deadline = time.monotonic() + GRACE
        while not condition():
            if self.process.poll() == 0:
                raise Ended
            if self.process.poll() is not None:
                sys.exit(f"kill.py: the run failed.\n{self.log.read_text(errors='replace')[-2000:]}")
            if time.monotonic() > deadline:
                self.process.kill()
                sys.exit(f"kill.py: nothing happened for {GRACE:.0f} s; see {self.log}")
            time.sleep(pause)

    def kill(self) -> None:
        """SIGKILL, which no process can handle."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def last_step(self) -> int:
        """The step of the last complete line of metrics."""
        steps = [0]
        for line in self._metrics.read_text(errors="replace").splitlines() if self._metrics.exists() else ():
            if line.startswith("{") and line.endswith("}"):
                steps.append(json.loads(line)["step"])
        return steps[-1]

    def _inode(self) -> int | None:
        return self._metrics.stat().st_ino if self._metrics.exists() else None


def main() -> None:
    """Prints a line for each kill and the comparison, and writes both as JSON; exit code 1 if something differs."""
    options = _options()
    options.work.mkdir(parents=True, exist_ok=True)
    alone, killed = options.work / "alone", options.work / "killed"
    started = time.monotonic()
    with open(options.work / "alone.log", "wb") as log:
        subprocess.run(
            command(options, alone), stdout=log, stderr=log, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
        )
    print(f"left alone: {options.steps} steps in {time.monotonic() - started:.0f} s", flush=True)
    kills = kill_again_and_again(options, killed)
    report = {"command": command(options, Path("RUN"))[1:], "kills": kills}
    report["differences"] = differences(alone / options.stage, killed / options.stage)
    report["left half-written"] = sorted(str(path.relative_to(killed)) for path in remains(killed / options.stage))
    print("\n".join(report["differences"]) or "no difference")
    print(f"left half-written at the end: {', '.join(report['left half-written']) or 'nothing'}")
    if options.out:
        options.out.write_text(json.dumps(report, indent=2) + "\n")
    sys.exit(1 if report["differences"] else 0)


def command(options: argparse.Namespace, run: Path) -> list[str]:
    """The training command; the same for the undisturbed run and for each process of the other."""
    changes = (*SMALL, f"size={options.size}", f"save_every={options.save_every}", f"{options.stage}.batch_size=4")
    changes += (f"{options.stage}.steps={options.steps}", *options.set)
    parts = ["train", options.stage, "--data", options.data, "--run", str(run)]
    return [sys.executable, "-m", "synthmed_tf", *parts, *(f"--override={change}" for change in changes)]


def kill_again_and_again(options: argparse.Namespace, run: Path) -> list[dict]:
    """Starts, kills and resumes the run, and finally lets it finish. Returns a dict for each kill."""
    rng = random.Random(options.seed)
    aims = [AIMS[i % len(AIMS)] for i in range(options.kills * 2 // 5)]
    aims += [None] * (options.kills - len(aims))
    rng.shuffle(aims)
    kills, folder = [], run / options.stage
    print("kill  after  aimed at       at step  being written, and the step that it then went on from", flush=True)
    for aim in aims:
        before, began = set(remains(folder)), time.monotonic()
        try:
            life = begin(options, run, kills)
            if not kills:
                life.wait_for(lambda: any(folder.glob("checkpoints/*.index")), pause=0.01)
            await_moment(life, aim, options.window, rng)
        except Ended:
            print("the run is done before all kills; give more --steps", flush=True)
            break
        life.kill()
        found = {"aimed at": aim or "any moment", "seconds": round(time.monotonic() - began, 2)}
        kills.append(found | {"at step": life.last_step(), "being written": being_written(folder, before)})
    begin(options, run, kills).process.wait()
    return kills


def begin(options: argparse.Namespace, run: Path, kills: list[dict]) -> Life:
    """Starts the command, and records in the last kill the step from which the run resumes."""
    life = Life(command(options, run), run / options.stage, options.work / "killed.log")
    if kills:
        kills[-1]["went on from step"] = life.last_step() // options.save_every * options.save_every
        print(line(len(kills), kills[-1]), flush=True)
    return life


def await_moment(life: Life, aim: str | None, window: float, rng: random.Random) -> None:
    """Waits until the process is to be killed."""
    if aim is not None:
        await_writing(life, aim, rng)
        return
    here = life.last_step()
    life.wait_for(lambda: life.last_step() > here, pause=0.01)
    ends = time.monotonic() + rng.uniform(0.0, window)
    life.wait_for(lambda: time.monotonic() >= ends)


def await_writing(life: Life, aim: str, rng: random.Random) -> None:
    """Waits until the writing of a checkpoint or snapshot begins: the first to the third from now."""
    for _ in range(rng.randint(1, 3)):
        known = names(life.folder, WATCHED[aim])
        life.wait_for(lambda: names(life.folder, WATCHED[aim]) - known, pause=0.0002)  # noqa: B023
        time.sleep(rng.choice((0.0, 0.0, 0.002, 0.01)))


def names(folder: Path, patterns: tuple[str, ...]) -> set[str]:
    """The present files and folders."""
    return {path.name for pattern in patterns for path in folder.glob(pattern)}


def remains(folder: Path) -> list[Path]:
    """The half-written files."""
    found = [path for pattern in REMAINS for path in folder.glob(pattern)]
    data = [path for path in folder.glob("checkpoints/ckpt-*.data-*") if not path.with_suffix(".index").exists()]
    return [*found, *data]


def being_written(folder: Path, left_before: set[Path]) -> list[str]:
    """The names of the files that were half-written when the process was killed."""
    found = {path.name for path in set(remains(folder)) - left_before}
    text = folder / "metrics.jsonl"
    if text.exists() and not text.read_bytes().endswith(b"\n"):
        found.add("a line of metrics.jsonl")
    return sorted(found)


def line(number: int, kill: dict) -> str:
    """A row of the table."""
    written = ", ".join(kill["being written"]) or "-"
    start = f"{number:4d} {kill['seconds']:5.1f} s  {kill['aimed at']:13} {kill['at step']:8d}"
    return f"{start}  {written}; {kill['went on from step']}"


def differences(alone: Path, killed: Path) -> list[str]:
    """A sentence for each difference between the folders of both runs."""
    found = []
    there, here = (
        tf.train.load_checkpoint(tf.train.latest_checkpoint(str(f / "checkpoints"))) for f in (alone, killed)
    )
    names_there, names_here = (set(reader.get_variable_to_shape_map()) for reader in (there, here))
    found += [f"tensor {name} is in one checkpoint alone" for name in names_there ^ names_here]
    compared = [n for n in names_there & names_here if n != "_CHECKPOINTABLE_OBJECT_GRAPH" and "save_counter" not in n]
    found += [f"tensor {n} differs" for n in compared if not same(there.get_tensor(n), here.get_tensor(n))]
    files = sorted({str(p.relative_to(f)) for f in (alone, killed) for p in f.glob("*/*.png")})
    files += [
        name for name in ("snapshot/snapshot.json", "best/snapshot.json", "warnings.jsonl") if (alone / name).exists()
    ]
    for name in files:
        both = [(folder / name).read_bytes() if (folder / name).exists() else None for folder in (alone, killed)]
        found += [f"{name} differs"] if both[0] != both[1] else []
    for name in ("snapshot", "best"):
        if (alone / name).exists():
            with np.load(alone / name / "weights.npz") as a, np.load(killed / name / "weights.npz") as b:
                found += [f"{name}: {key} differs" for key in a.files if not same(a[key], b[key])]
    lines = [metrics(folder) for folder in (alone, killed)]
    found += (
        ["the steps of metrics.jsonl differ"] if [f["step"] for f in lines[0]] != [f["step"] for f in lines[1]] else []
    )
    found += [f"metrics of step {a['step']} differ" for a, b in zip(*lines, strict=False) if a != b]
    print(f"compared {len(compared)} tensors, {len(files)} files, {len(lines[0])} lines of metrics")
    return found


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two arrays have the same bits."""
    one, other = np.asarray(one), np.asarray(other)
    return one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes()


def metrics(folder: Path) -> list[dict]:
    """The metrics without the speed."""
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{name: value for name, value in entry.items() if name != "images_per_second"} for entry in lines]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stage", default="stage1", help="stage1, stage2 or segmenter")
    parser.add_argument("--data", default="phantom")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--save-every", type=int, default=40)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--window", type=float, default=5.0, help="seconds in which a kill that is not aimed comes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--set", action="append", default=[], help="more options of the run, such as segmenter.filters=4"
    )
    parser.add_argument("--work", type=Path, required=True, help="an empty folder")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
