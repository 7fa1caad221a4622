r"""How well a segmenter finds vessels in photographs that it has not seen, at their own resolution.

    python benchmarks/segmenter.py --run RUN --data CHASE_DB1 --patients 11-14 --fields 256,384 --other HRF \
        --other-fields 256,768 --out FILE

Inside the field of view, averaged over photographs: F1 at 0.5, area under the ROC curve, clDice; the predicted and
the true vessel share; the confidence, its mean difference from F1, and its correlation with F1 (Pearson and
Spearman). With and without test-time flips. FILE has a line for each finished photograph; the same command resumes.
"""

import argparse
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from synthmed_tf.data.sources import Pair, find_pairs, parse_patients
from synthmed_tf.images import read_mask
from synthmed_tf.metrics import segmentation
from synthmed_tf.segmentation import labelling


def main() -> None:
    """Scores what is missing, and prints the table."""
    options = _options()
    segmenter, loaded = labelling.open_segmenter(options.run)
    lines = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    done = {(line["set"], line["field_pixels"], line["flips"], line["name"]) for line in lines}
    with open(options.out, "a", encoding="utf-8") as file:
        for name, field, flips, pair in _plan(options):
            if (name, field, flips, pair.name) not in done:
                key = {"set": name, "field_pixels": field, "flips": flips, "name": pair.name}
                lines.append(key | score(segmenter, pair, field, flips))
                file.write(json.dumps(lines[-1]) + "\n")
                file.flush()
    print(f"step {loaded.step}, {segmenter.count_params():,} parameters, trained at {loaded.config.size} pixels")
    print(table(lines))


def score(segmenter, pair: Pair, field_pixels: int, flips: bool) -> dict[str, float]:
    """The metrics of one photograph."""
    truth, start = read_mask(pair.mask), time.perf_counter()
    vessels = labelling.find_vessels(segmenter, pair, field_pixels, flips)
    seconds = time.perf_counter() - start
    found, inside = vessels.mask, vessels.fov
    return {
        "f1": segmentation.f1(truth, found, inside),
        "auc": segmentation.auc(truth, vessels.probability, inside),
        "cl_dice": segmentation.cl_dice(truth, found, inside),
        "share": float(found[inside].mean()),
        "true_share": float(truth[inside].mean()),
        "confidence": segmentation.expected_dice(vessels.probability, found),
        "seconds": round(seconds, 2),
    }


def table(lines: list[dict]) -> str:
    """A row for each set, field and choice of flips."""
    rows = ["| set | field | flips | photographs | F1 (SD) | AUC | clDice | share found, true | confidence | r, rho |"]
    rows.append("|---" * 10 + "|")
    key = lambda line: (line["set"] == "other camera", line["field_pixels"], line["flips"])  # noqa: E731
    for _, group in itertools.groupby(sorted(lines, key=key), key):
        group = list(group)
        names = ("f1", "auc", "cl_dice", "share", "true_share", "confidence")
        f1, auc, cl, share, true, sure = (np.array([line[name] for line in group]) for name in names)
        first = group[0]
        rows.append(
            f"| {first['set']} | {first['field_pixels']} | {'yes' if first['flips'] else 'no'} | {len(group)} | "
            f"{f1.mean():.3f} ({f1.std(ddof=1):.3f}) | {auc.mean():.3f} | {cl.mean():.3f} | "
            f"{share.mean():.3f}, {true.mean():.3f} | {sure.mean():.3f} | "
            f"{np.corrcoef(f1, sure)[0, 1]:.2f}, {spearmanr(f1, sure)[0]:.2f} |"
        )
    return "\n".join(rows)


def _plan(options: argparse.Namespace) -> Iterator[tuple[str, int, bool, Pair]]:
    """Set, field, flips and photograph of each line."""
    sets = [("patients", options.fields, _pairs(options.data, options.patients))]
    if options.other:
        sets.append(("other camera", options.other_fields, _pairs(options.other, None)[:: options.every]))
    for name, fields, pairs in sets:
        for field, flips, pair in itertools.product(map(int, fields.split(",")), (False, True), pairs):
            yield name, field, flips, pair


def _pairs(folder: str, patients: str | None) -> list[Pair]:
    source = find_pairs(folder)
    chosen = parse_patients(patients, source.patients) if patients else source.patients
    return [pair for pair in source.pairs if pair.patient in chosen and pair.mask is not None]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", required=True, help="folder of labelled photographs")
    parser.add_argument("--patients", help="of them, these alone, such as 11-14")
    parser.add_argument("--other", help="folder of another camera's labelled photographs")
    parser.add_argument("--every", type=int, default=1, help="of the other camera, every so many photographs")
    parser.add_argument("--fields", default="256", help="pixels that the field of view has a side, such as 256,384")
    parser.add_argument("--other-fields", default="256", help="the same for the other camera")
    parser.add_argument("--out", type=Path, required=True, help="file of the metrics, a JSON line a photograph")
    return parser.parse_args()


if __name__ == "__main__":
    main()
