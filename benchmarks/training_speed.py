"""The training step against the same step in PyTorch: images a second, in one run.

    pip install ".[benchmarks]" && python benchmarks/training_speed.py

Each framework runs in its own process with the same batches and number of threads. Rounds are interleaved (A B A B)
and medians are compared; construction, tracing and compilation are not counted. A round is a multiple of the interval
of lazy R1. The batch is the preset's up to 256 pixels, and a quarter of it at 512; of `recommended`, whose networks
work on crops and on 128 pixels, it is the preset's, and 512 pixels are the least.

PyTorch runs in both memory formats and takes two kinds of steps: alternating, as in the public code of DCGAN and
pix2pix, which is the reference for the goal; and as this package does (`-simultaneous`). A network without a
discriminator has one kind of step.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import machine
import record

from synthmed_tf.config.schema import load_config


class Row(NamedTuple):
    """What is measured.

    Attributes:
        preset, stage: the networks.
        batch: up to 256 pixels; None for that of the preset at each size.
        least_size: smaller sizes are left out.
        adversarial: whether there are two kinds of steps.
        goal: for the ratio; None for that of the size.
    """

    preset: str
    stage: str
    batch: int | None = None
    least_size: int = 0
    adversarial: bool = True
    goal: float | None = None


ROWS = {
    "Stage-I": Row("gan", "stage1", 16),
    "Stage-II": Row("gan", "stage2", 8),
    "Stage-II of `paper`, 64 filters": Row("paper", "stage2", 4),
    "`recommended`, Stage-I coarse": Row("recommended", "stage1", least_size=512, goal=1.2),
    "`recommended`, Stage-I fine": Row("recommended", "stage1_fine", least_size=512, adversarial=False, goal=1.2),
    "`recommended`, Stage-II coarse": Row("recommended", "stage2", least_size=512, adversarial=False, goal=1.2),
    "`recommended`, Stage-II fine": Row("recommended", "stage2_fine", least_size=512, adversarial=False, goal=1.2),
}
SIZES = (64, 128, 256, 512)
VARIANTS = ("torch", "torch-channels_last", "torch-simultaneous", "torch-channels_last-simultaneous")
GOAL = {64: 1.2, 128: 1.2, 256: 1.1, 512: 1.1}


class Worker:
    """A process that takes steps when told."""

    def __init__(self, framework: str, job: dict[str, Any], threads: int, python: str = sys.executable):
        """Starts it and waits until it is warm; `facts` is what it says of itself."""
        here = Path(__file__).resolve().parent
        count = {"OMP_NUM_THREADS": str(threads), "TF_NUM_INTRAOP_THREADS": str(threads)}
        path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(here.parent)]))
        self._process = subprocess.Popen(
            [python, str(here / "training_worker.py"), framework, json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if not os.environ.get("SHOW_ERRORS") else None,
            text=True,
            env=os.environ | count | {"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        self.facts = self._read()

    def run(self, steps: int) -> dict[str, float]:
        """Takes steps; gives their `seconds` and the process's `peak memory, MB`."""
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"A worker ended with code {self._process.wait()}; SHOW_ERRORS=1 shows why.")
        return json.loads(line)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_) -> None:
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    """Measures every row and size, and writes JSON and table."""
    options = _options()
    peak = machine.measure(options.threads)
    results = []
    for name in options.rows:
        for size in (size for size in options.sizes if size >= ROWS[name].least_size):
            results.append(compare(name, size, options) | {"matmul peak, GFLOP/s": peak["matmul, GFLOP/s"]})
            print(json.dumps(results[-1]), file=sys.stderr, flush=True)
    record.save("training_speed", {"machine": peak, "rows": results}, _table(results), options.out)


def compare(name: str, size: int, options: argparse.Namespace) -> dict[str, Any]:
    """One row of the table."""
    row = ROWS[name]
    job, batch, unit = _job(row, size)
    variants = [variant for variant in options.variants if row.adversarial or "simultaneous" not in variant]
    workers: dict[str, Worker] = {}
    seconds: dict[str, list[float]] = {}
    try:
        for framework in ("tensorflow", *variants):
            workers[framework] = Worker(framework, job, options.threads)
        _assert_equal_networks(workers)
        once = workers["tensorflow"].run(unit)["seconds"]
        steps = unit * max(1, round(options.seconds / once))
        for framework, worker in workers.items():
            worker.run(unit)
            seconds[framework] = []
        for _ in range(options.rounds):
            for framework, worker in workers.items():
                seconds[framework].append(worker.run(steps)["seconds"] / steps)
    finally:
        for worker in workers.values():
            worker.__exit__()
    speed = {framework: batch / statistics.median(times) for framework, times in seconds.items()}
    usual = [v for v in variants if "simultaneous" not in v]
    ratios = _ratios(seconds, max(usual, key=speed.get))
    same = [v for v in variants if "simultaneous" in v]
    counted = workers.get("torch-simultaneous" if row.adversarial else "torch")
    return {
        "row": name,
        "size": size,
        "batch": batch,
        "steps a round": steps,
        "images a second": speed,
        "ratio": statistics.median(ratios),
        "ratios of rounds": ratios,
        "ratio to the same step": statistics.median(_ratios(seconds, max(same, key=speed.get))) if same else None,
        "goal": row.goal or GOAL.get(size),
        "GFLOP an image": counted.facts["GFLOP an image"] if counted else None,
        "versions": {framework: worker.facts["version"] for framework, worker in workers.items()},
        "first step": {framework: worker.facts["first step"] for framework, worker in workers.items()},
    }


def _job(row: Row, size: int) -> tuple[dict[str, Any], int, int]:
    """What a worker is told, the batch, and the least number of steps in which R1 is computed as often as it should."""
    settings = [f"size={size}"]
    if row.batch is not None:
        batch = row.batch if size <= 256 else max(row.batch // 4, 2)
        settings.append(f"{row.stage}.batch_size={batch}")
    stage = getattr(load_config(row.preset, overrides=tuple(settings)), row.stage)
    unit = stage.r1_interval if getattr(stage, "r1_gamma", 0.0) else 1
    return {"preset": row.preset, "stage": row.stage, "settings": settings}, stage.batch_size, unit


def _ratios(seconds: dict[str, list[float]], best: str) -> list[float]:
    """The ratio of our speed to PyTorch's, round by round."""
    return [theirs / ours for ours, theirs in zip(seconds["tensorflow"], seconds[best], strict=True)]


def _assert_equal_networks(workers: dict[str, Worker]) -> None:
    counts = {framework: worker.facts["parameters"] for framework, worker in workers.items()}
    if len({tuple(count) for count in counts.values()}) != 1:
        raise SystemExit(f"The networks differ: {counts} parameters.")


def _table(results: list[dict[str, Any]]) -> str:
    header = ["networks", "pixels", "batch", "ours, img/s", "PyTorch, img/s", "ratio", "goal"]
    header += ["PyTorch with our step, img/s", "ratio", "GFLOP an image", "of the matmul peak"]
    rows = []
    for result in results:
        speeds = result["images a second"]
        usual = max(value for name, value in speeds.items() if "torch" in name and "simultaneous" not in name)
        same = max((value for name, value in speeds.items() if "simultaneous" in name), default=None)
        row = [result["row"], result["size"], result["batch"], f"{speeds['tensorflow']:.1f}"]
        row += [f"{usual:.1f}", f"{result['ratio']:.2f}", result["goal"]]
        row += ["-", "-"] if same is None else [f"{same:.1f}", f"{result['ratio to the same step']:.2f}"]
        row += _share_of_peak(result)
        rows.append(row)
    return record.table(header, rows)


def _share_of_peak(result: dict[str, Any]) -> list[str]:
    """Operations of an image, and their speed as a share of the machine's matrix products."""
    operations = result["GFLOP an image"]
    if operations is None:
        return ["-", "-"]
    share = operations * result["images a second"]["tensorflow"] / result["matmul peak, GFLOP/s"]
    return [f"{operations:.2f}", f"{share:.0%}"]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--variants", nargs="+", default=VARIANTS, help="torch, with -channels_last or -compile added")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0, help="about how long a round takes")
    parser.add_argument("--out", type=Path, default=record.RESULTS)
    parser.add_argument("--quick", action="store_true", help="64 and 128 pixels, three short rounds")
    options = parser.parse_args()
    if options.quick:
        options.sizes, options.rounds, options.seconds = (64, 128), 3, 2.0
    return options


if __name__ == "__main__":
    main()
