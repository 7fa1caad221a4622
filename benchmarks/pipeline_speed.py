"""The input pipeline compared with the consumption of the training step: images per second, in one run.

    python benchmarks/pipeline_speed.py

Pairs in memory, the preset's augmentation, batches as in `training_speed.py`. Rounds of pipeline and step are
interleaved; while one runs, the other waits.
"""

import argparse
import os
import statistics
import time
from pathlib import Path

import numpy as np
import record
from training_speed import SIZES, Worker

BATCH = {"stage1": 16, "stage2": 8}
GOAL = 5.0
_PAIRS = 20


def main() -> None:
    """Measures both stages at every size, and writes JSON and table."""
    options = _options()
    results = [compare(stage, size, options) for stage in BATCH for size in options.sizes]
    header = ["networks", "pixels", "pipeline, img/s", "step, img/s", "ratio", "goal, at least"]
    rows = [
        [r["stage"], r["size"], f"{r['pipeline']:.0f}", f"{r['step']:.1f}", f"{r['ratio']:.1f}", GOAL] for r in results
    ]
    record.save("pipeline_speed", {"rows": results}, record.table(header, rows), options.out)


def compare(stage: str, size: int, options: argparse.Namespace) -> dict:
    """Images a second of both."""
    batch = BATCH[stage] if size <= 256 else BATCH[stage] // 4
    job = {"preset": "gan", "stage": stage, "settings": [f"size={size}", f"{stage}.batch_size={batch}"]}
    steps = 8 if stage == "stage1" else 2
    stream = _stream(job, batch)
    with Worker("tensorflow", job, options.threads) as worker:
        worker.run(steps)
        speeds = {"pipeline": [], "step": []}
        for _ in range(options.rounds):
            speeds["pipeline"].append(_pipeline_speed(stream, batch, options.seconds))
            speeds["step"].append(steps * batch / worker.run(steps)["seconds"])
    ratios = [a / b for a, b in zip(speeds["pipeline"], speeds["step"], strict=True)]
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    return {"stage": stage, "size": size, "batch": batch, "ratio": statistics.median(ratios)} | medians


def _stream(job: dict, batch: int):
    import tensorflow as tf
    from training_worker import load

    from synthmed_tf.data import augmentation, pipeline

    config = load(job)
    tf.config.set_visible_devices([], "GPU")
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, 256, (_PAIRS, config.size, config.size, 5)).astype(np.uint8)
    ranges = augmentation.ranges_of(config.data)
    colour = getattr(getattr(config, job["stage"]), "colour", 0.0)
    return pipeline.batches(pairs, batch, config.seed, ranges, colour=colour)


def _pipeline_speed(stream, batch: int, seconds: float) -> float:
    """Images per second over about so many seconds; images prefetched before the clock started are not counted."""
    batches = iter(stream)  # a new one each time: while the step runs, this one must not generate ahead
    for _ in range(8):
        next(batches)
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        next(batches)["image"].numpy()
        count += batch
    return count / (time.perf_counter() - started)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--out", type=Path, default=record.RESULTS)
    parser.add_argument("--quick", action="store_true", help="64 and 128 pixels")
    options = parser.parse_args()
    options.sizes = (64, 128) if options.quick else options.sizes
    return options


if __name__ == "__main__":
    main()
