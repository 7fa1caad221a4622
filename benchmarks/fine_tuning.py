"""What fine-tuning gains: pairs of a model that began with trained weights, and of one that began from nothing.

    python benchmarks/fine_tuning.py --from MODEL --data HRF --patients 01_h,02_h --test 14_h,15_h --marks 400 \
        --marks-from-nothing 400,1600 --work WORK --out FILE

For each mark, a model is trained for so many steps in every network, exported, and generates a set. The segmenter of
`synthmed evaluate` learns from it (TSTR) and is scored on the test patients: mean Dice, as a share of that of a
segmenter that learns from the real pairs (TRTR), all of them averaged down to the size of the segmenter. Minutes are
those of training, as `metrics.jsonl` has them. WORK and FILE keep what is finished; the same command resumes.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from time_to_quality import _measure, _real_pairs

from synthmed_tf.evaluation.pairs import Pairs, ReducedPairs, SyntheticSet
from synthmed_tf.exporting import artifact, exporter
from synthmed_tf.exporting.starting import read_config
from synthmed_tf.generation import synthesis

STAGES = ("stage1", "stage1_fine", "stage2", "stage2_fine")
SEED = 2


def main() -> None:
    """Does what is missing and prints a table."""
    options = _options()
    results = json.loads(options.out.read_text()) if options.out.exists() else {"dice": {}, "minutes": {}}
    config = read_config(options.start)
    size = options.size or config.size
    train, unseen = (
        _reduced(_real_pairs(options.data, names, size), options) for names in (options.patients, options.test)
    )
    _measure("real", train, unseen, options, results)
    for begun, marks in (("trained weights", options.marks), ("nothing", options.marks_from_nothing or options.marks)):
        for mark in map(int, marks.split(",")):
            name = f"{begun}/{mark}"
            if any(f"{name}/{seed}" not in results["dice"] for seed in range(options.seeds)):
                run = options.work / name.replace(" ", "-")
                _train(run, begun, mark, size, options)
                results["minutes"][name] = _minutes(run)
                _measure(name, _reduced(_generated(run, options.pairs), options), unseen, options, results)
    print(table(results))


def table(results: dict) -> str:
    """A line a mark."""
    real = results["dice"]["real/0"]
    lines = ["| began with | steps of each network | minutes | Dice | of real |", "|---|---|---|---|---|"]
    for name, minutes in results["minutes"].items():
        dice, (begun, mark) = results["dice"][f"{name}/0"], name.split("/")
        lines.append(f"| {begun} | {mark} | {minutes:.1f} | {dice:.3f} | {dice / real:.3f} |")
    return "\n".join(lines)


def _train(run: Path, begun: str, mark: int, size: int, options: argparse.Namespace) -> None:
    command = [sys.executable, "-m", "synthmed_tf", "train", "--data", options.data, "--patients", options.patients]
    command += ["--run", str(run), "--size", str(size), "--precision", options.precision]
    command += ["--from", str(options.start)] if begun == "trained weights" else ["--preset", options.preset]
    fixed = {f"{stage}.steps": mark for stage in STAGES} | {"data.validation_share": 0, "image_every": 100_000}
    for name, value in fixed.items():
        command += ["--override", f"{name}={value}"]
    subprocess.run(command, check=True)


def _minutes(run: Path) -> float:
    """Of training alone."""
    config, seconds = json.loads((run / "config.json").read_text()), 0.0
    for stage in STAGES:
        file, last = run / stage / "metrics.jsonl", 0
        for line in map(json.loads, file.read_text().splitlines() if file.exists() else ()):
            seconds += (line["step"] - last) * config[stage]["batch_size"] / line["images_per_second"]
            last = line["step"]
    return seconds / 60


def _generated(run: Path, count: int) -> SyntheticSet:
    model, folder = run / "model", run / "set"
    if not model.exists():
        exporter.export(run, model, ("savedmodel",))
    synthesis.generate_set(artifact.open_artifact(model), folder, count, seed=SEED)
    return SyntheticSet(folder)


def _reduced(pairs: Pairs, options: argparse.Namespace) -> Pairs:
    return pairs if pairs.size == options.judge_size else ReducedPairs(pairs, options.judge_size)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--from", dest="start", type=Path, required=True, help="a run, an artifact or a name")
    parser.add_argument("--data", required=True)
    parser.add_argument("--patients", required=True, help="to train on")
    parser.add_argument("--test", required=True, help="patients to score the segmenter on")
    parser.add_argument("--marks", default="400", help="steps of each network")
    parser.add_argument("--marks-from-nothing", help="the same for training from nothing; default: as --marks")
    parser.add_argument("--preset", default="recommended", help="for training from nothing")
    parser.add_argument("--judge-size", type=int, default=128, help="pixels a side for the segmenter")
    parser.add_argument("--size", type=int, help="default: that of the model")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--pairs", type=int, default=500, help="generated for each mark")
    parser.add_argument("--seeds", type=int, default=1, help="of the segmenter")
    parser.add_argument("--segmenter-steps", type=int, default=1000)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
