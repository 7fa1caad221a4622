"""What the search for copies costs, by the numbers of synthetic and of real pairs: seconds, memory, slopes, and what
10,000 pairs against 500 would take.

    python benchmarks/copy_search.py

Everything that `synthmed evaluate` does for a pair but for segmenting it: its mask, the mask seen in its image and
its image, in all flips, 128 pairs at a time. A process for each point; memory is its peak less what it had before.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import record
from growth import slope

SIZE = 256
REALS, SYNTHETIC = (25, 50, 100), (16, 32, 64, 128)
QUICK_REALS, QUICK_SYNTHETIC = (8, 16), (16, 32)
GOAL = (10_000, 500)
_GENERATED, _CHUNK = 24, 128


def main() -> None:
    """Measures both sweeps, and writes JSON and table."""
    options = _options()
    if options.job:
        print(json.dumps(search(*options.job)))
        return
    reals, synthetic = (QUICK_REALS, QUICK_SYNTHETIC) if options.quick else (REALS, SYNTHETIC)
    by_reals = [_measured(synthetic[1], count, options) for count in reals]
    by_synthetic = [_measured(count, reals[1], options) for count in synthetic]
    rows = [_row("real pairs", reals, by_reals), _row("synthetic pairs", synthetic, by_synthetic)]
    whole = extrapolated(reals, [one | {"each": one["seconds"] / synthetic[1]} for one in by_reals])
    header = ["against", "range", "seconds", "memory, MB", "slope of time", "slope of memory"]
    table = record.table(header, [[row[name] for name in header] for row in rows])
    table += (
        f"\nA synthetic pair at {options.size} pixels takes {whole['fixed']:.2f} s and {1000 * whole['each']:.2f} ms "
        f"for each real one; {GOAL[0]:,} against {GOAL[1]} take about {whole['seconds'] / 3600:.1f} h.\n"
    )
    results = {"size": options.size, "rows": rows, "extrapolated": whole}
    record.save("copy_search", results, table, options.out)


def search(size: int, count: int, reals: int) -> dict[str, float]:
    """Searches `count` pairs for copies of `reals`, as the evaluation does: seconds and memory."""
    from synthmed_tf.evaluation import copy_audit
    from synthmed_tf.evaluation.pairs import Block

    real, synthetic = _pairs(size, reals, seed=0), _pairs(size, count, seed=1)
    copy_audit.search_copies(
        _rows(synthetic, [0]), synthetic.masks[:1], copy_audit.RealGallery(_rows(real, [0]))
    )  # compiles
    before = _peak()
    start = time.perf_counter()
    prepared = copy_audit.RealGallery(real)
    ready = time.perf_counter()
    for first in range(0, count, _CHUNK):
        part: Block = _rows(synthetic, range(first, min(first + _CHUNK, count)))
        copy_audit.search_copies(part, part.masks[::-1], prepared)
    done = time.perf_counter()
    return {"preparing": ready - start, "seconds": done - ready, "memory, MB": _peak() - before}


def extrapolated(reals: tuple[int, ...], measured: list[dict[str, float]]) -> dict[str, float]:
    """Seconds of a synthetic pair, fixed and for each real one, and of the whole of `GOAL`."""
    each, fixed = np.polyfit(reals, [one["each"] for one in measured], 1)
    preparing = GOAL[1] * measured[-1]["preparing"] / reals[-1]
    seconds = preparing + GOAL[0] * (fixed + GOAL[1] * each)
    return {"fixed": float(fixed), "each": float(each), "preparing": float(preparing), "seconds": float(seconds)}


def _pairs(size: int, count: int, seed: int):
    """Phantoms, turned and shifted so that there are as many as needed."""
    from synthmed_tf.data.phantom import generate_phantom
    from synthmed_tf.evaluation.copy_audit import augmented
    from synthmed_tf.evaluation.pairs import Block

    samples = [generate_phantom(size, seed, index % _GENERATED) for index in range(min(count, _GENERATED))]
    samples = [samples[index % len(samples)] for index in range(count)]
    block = Block(
        np.stack([sample.image for sample in samples]),
        np.stack([sample.mask[..., 0] >= 128 for sample in samples]),
        np.stack([sample.fov[..., 0] > 0 for sample in samples]),
    )
    return augmented(block, np.random.default_rng(seed))


def _rows(block, rows):
    rows = np.asarray(rows)
    return type(block)(block.images[rows], block.masks[rows], block.fields[rows])


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _row(against: str, values: tuple[int, ...], measured: list[dict[str, float]]) -> dict:
    seconds, memory = ([one[name] for one in measured] for name in ("seconds", "memory, MB"))
    return {
        "against": against,
        "range": f"{values[0]:,} to {values[-1]:,}",
        "values": values,
        "seconds": f"{seconds[0]:.1f} to {seconds[-1]:.1f}",
        "memory, MB": f"{memory[0]:.0f} to {memory[-1]:.0f}",
        "slope of time": f"{slope(values, seconds):.2f}",
        "slope of memory": f"{slope(values, np.maximum(memory, 1)):.2f}",
        "measured": measured,
    }


def _measured(count: int, reals: int, options: argparse.Namespace) -> dict[str, float]:
    job = [str(number) for number in (options.size, count, reals)]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, __file__, "--job", *job]
    told = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(told.stdout.splitlines()[-1])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--out", type=Path, default=record.RESULTS)
    parser.add_argument("--quick", action="store_true", help="fewer points")
    parser.add_argument("--job", type=int, nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
