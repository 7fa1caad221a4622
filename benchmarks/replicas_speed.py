"""Two replicas compared with one, with the same global batch on one machine: the cost of dividing the work.

    python benchmarks/replicas_speed.py

Both use the same cores: two replicas cannot be faster, and should be only slightly slower. Rounds are interleaved.
"""

import argparse
import os
import statistics
from pathlib import Path

import record
from training_speed import Worker

ROWS = (("stage1", 64, 16), ("stage1", 128, 16), ("stage2", 64, 8), ("stage2", 128, 8))
GOAL = 1.15
_ROUND = 8


def main() -> None:
    """Measures every row, and writes JSON and table."""
    options = _options()
    results = [compare(*row, options) for row in ROWS[:: 2 if options.quick else 1]]
    header = ["networks", "pixels", "global batch", "one replica, s/step", "two, s/step", "ratio", "goal, at most"]
    rows = [
        [r["stage"], r["size"], r["batch"], f"{r['one']:.3f}", f"{r['two']:.3f}", f"{r['ratio']:.2f}", GOAL]
        for r in results
    ]
    record.save("replicas_speed", {"rows": results}, record.table(header, rows), options.out)


def compare(stage: str, size: int, batch: int, options: argparse.Namespace) -> dict:
    """Seconds a step with one and with two replicas, medians over the rounds."""
    settings = [f"size={size}", f"{stage}.batch_size={batch}"]
    jobs = [{"preset": "gan", "stage": stage, "settings": settings, "replicas": count} for count in (1, 2)]
    with Worker("tensorflow", jobs[0], options.threads) as one, Worker("tensorflow", jobs[1], options.threads) as two:
        workers, seconds = {"one": one, "two": two}, {"one": [], "two": []}
        for worker in workers.values():
            worker.run(_ROUND)
        for _ in range(options.rounds):
            for name, worker in workers.items():
                seconds[name].append(worker.run(_ROUND)["seconds"] / _ROUND)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratios = [b / a for a, b in zip(seconds["one"], seconds["two"], strict=True)]
    return {
        "stage": stage,
        "size": size,
        "batch": batch,
        "ratio": statistics.median(ratios),
        "ratios": ratios,
    } | medians


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=record.RESULTS)
    parser.add_argument("--quick", action="store_true", help="64 pixels alone, three rounds")
    options = parser.parse_args()
    options.rounds = min(options.rounds, 3) if options.quick else options.rounds
    return options


if __name__ == "__main__":
    main()
