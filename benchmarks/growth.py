"""How a step's time and memory grow with the pixels of an image and with the batch: slopes on logarithmic axes.

    python benchmarks/growth.py

A slope of 1 means proportional growth. Memory is the process's peak minus its memory before the first step.
"""

import argparse
import os
import statistics
from pathlib import Path

import numpy as np
import record
from training_speed import Worker

SIZES, BATCHES = (64, 128, 256, 512), (2, 4, 8, 16, 32)
FIXED_SIZE, FIXED_BATCH = 128, 4
GOAL = 1.1
_QUANTITIES = ("seconds", "memory, MB")


def main() -> None:
    """Measures both stages, and writes JSON and table."""
    options = _options()
    sizes, batches = (SIZES[:3], BATCHES[:3]) if options.quick else (SIZES, BATCHES)
    results = []
    for stage in ("stage1", "stage2"):
        results.append(grow(stage, "pixels", [(size, FIXED_BATCH) for size in sizes], options))
        results.append(grow(stage, "batch", [(FIXED_SIZE, batch) for batch in batches], options))
    header = ["networks", "against", "range", "slope of time", "slope of memory", "goal, at most"]
    rows = [
        [r["stage"], r["against"], f"{r['values'][0]:,} to {r['values'][-1]:,}"]
        + [f"{r['slope of ' + quantity]:.2f}" for quantity in _QUANTITIES]
        + [GOAL]
        for r in results
    ]
    record.save("growth", {"rows": results}, record.table(header, rows), options.out)


def grow(stage: str, against: str, points: list[tuple[int, int]], options: argparse.Namespace) -> dict:
    """Seconds and memory of a step at each (size, batch), and their slopes."""
    measured = [_step(stage, size, batch, options) for size, batch in points]
    values = [size**2 if against == "pixels" else batch for size, batch in points]
    result = {"stage": stage, "against": against, "values": values}
    for quantity in _QUANTITIES:
        result[quantity] = [step[quantity] for step in measured]
        result[f"slope of {quantity}"] = slope(values, result[quantity])
    return result


def slope(x: list[float], y: list[float]) -> float:
    """The least-squares slope of log y against log x."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def _step(stage: str, size: int, batch: int, options: argparse.Namespace) -> dict[str, float]:
    job = {"preset": "gan", "stage": stage, "settings": [f"size={size}", f"{stage}.batch_size={batch}"]}
    steps = 8 if stage == "stage1" else 2  # eight have one R1 penalty
    with Worker("tensorflow", job, options.threads) as worker:
        rounds = [worker.run(steps) for _ in range(options.rounds)]
        memory = rounds[-1]["peak memory, MB"] - worker.facts["memory before, MB"]
    return {"seconds": statistics.median(r["seconds"] for r in rounds) / steps, "memory, MB": memory}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=record.RESULTS)
    parser.add_argument("--quick", action="store_true", help="fewer points")
    return parser.parse_args()


if __name__ == "__main__":
    main()
