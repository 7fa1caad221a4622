"""How often the search for copies calls an honest phantom a copy, and how many augmented ones it finds, by the number
of real pairs of different patients that its threshold rests on.

    python benchmarks/copy_level.py

Of 140 phantoms some are impostors and 60 are a set, chosen again 600 times; all are searched for in 22 further ones,
which are then augmented and searched for. Masks and images; what a segmenter sees is left out.
"""

import argparse
from pathlib import Path

import numpy as np
import record

from synthmed_tf.data.phantom import generate_phantom
from synthmed_tf.evaluation import copy_audit
from synthmed_tf.evaluation.pairs import Block

SIZES, IMPOSTORS = (64, 128), (4, 6, 8, 14, 22)
POOL, GALLERY, SYNTHETIC, TIMES = 140, 22, 60, 600
SHOWN = ("mask whole", "mask half", "mask quarter", "image whole", "image tile")


def main() -> None:
    """Measures each size, and writes JSON and table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=71, help="of the gallery; the pool has the next")
    parser.add_argument("--out", type=Path, default=record.RESULTS)
    options = parser.parse_args()
    rows = [row for size in SIZES for row in measure(size, options.seed)]
    table = record.table(list(rows[0]), [list(row.values()) for row in rows])
    record.save("copy_level", {"generates": TIMES, "rows": rows}, table, options.out)


def measure(size: int, seed: int) -> list[dict]:
    """A row for each number of impostors."""
    gallery = _phantoms(size, seed, GALLERY)
    real = copy_audit.RealGallery(gallery)
    scores = copy_audit.search_copies(_phantoms(size, seed + 1, POOL), None, real)["score"]
    augmented = copy_audit.search_copies(copy_audit.augmented(gallery, np.random.default_rng(0)), None, real)
    own = augmented["real"] == np.arange(GALLERY)[:, None]
    rows = []
    for impostors in IMPOSTORS:
        alarms, recall = 0, np.zeros(len(copy_audit.SEARCHES))
        for generate in range(TIMES):
            order = np.random.default_rng(generate).permutation(POOL)
            limits = copy_audit.thresholds(scores[order[:impostors]], SYNTHETIC)
            alarms += bool(np.nanmax(scores[order[-SYNTHETIC:]] - limits) >= 0)
            recall += ((augmented["score"] >= limits) & own).mean(axis=0) / TIMES
        found = {name: f"{recall[copy_audit.SEARCHES.index(name)]:.2f}" for name in SHOWN}
        rows.append({"pixels": size, "impostors": impostors, f"false copies in {TIMES} sets": alarms} | found)
    return rows


def _phantoms(size: int, seed: int, count: int) -> Block:
    samples = [generate_phantom(size, seed, index) for index in range(count)]
    return Block(
        np.stack([sample.image for sample in samples]),
        np.stack([sample.mask[..., 0] >= 128 for sample in samples]),
        np.stack([sample.fov[..., 0] > 0 for sample in samples]),
    )


if __name__ == "__main__":
    main()
