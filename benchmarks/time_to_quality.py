"""How long training takes until generated pairs have 90 and 95 percent of the utility of real ones.

    python benchmarks/time_to_quality.py --data CHASE_DB1 --work WORK --out FILE

Trains both stages of a preset at 128 pixels on children 01 to 10 to one mark after the other, exports each mark,
generates 1,000 pairs, and trains the segmenter of `synthmed evaluate` on them (TSTR). The result is the mean Dice on
children 11 to 14, as a share of that of a segmenter trained on the real pairs (TRTR). Minutes are those of training
alone: steps of both stages times the time of a step, which is measured first, on a machine without other load
(`--seconds-per-step` takes it from an earlier run). WORK and FILE keep what is finished; the same command resumes.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

from synthmed_tf import files
from synthmed_tf.data.sources import find_pairs, parse_patients
from synthmed_tf.evaluation import segmenters
from synthmed_tf.evaluation.context import Cache, EvaluationContext, Settings
from synthmed_tf.evaluation.pairs import ArrayPairs, Pairs, SyntheticSet, load_real
from synthmed_tf.exporting import artifact, exporter
from synthmed_tf.generation import synthesis
from synthmed_tf.metrics import segmentation

MARKS = {  # steps of Stage-I and of Stage-II
    "gan": ((600, 600), (1200, 1200), (2000, 2000), (3200, 4400), (5000, 7000)),
    "paper": ((500, 32), (1000, 63)),
}
GOALS = (0.90, 0.95)
SIZE, TRAIN, TEST = 128, "01-10", "11-14"
GENERATED, GENERATED_SEED = 1000, 2


def main() -> None:
    """Does what is missing and prints a table."""
    options = _options()
    results = json.loads(options.out.read_text()) if options.out.exists() else {}
    results.setdefault("seconds_per_step", {})
    results.setdefault("dice", {})
    presets = options.presets.split(",")
    for preset in presets:
        if options.seconds_per_step:
            results["seconds_per_step"] |= json.loads(options.seconds_per_step)
        elif preset not in results["seconds_per_step"]:
            results["seconds_per_step"][preset] = [_seconds_per_step(preset, stage) for stage in ("stage1", "stage2")]
        _keep(options.out, results)
    train, unseen = (_real_pairs(options.data, patients) for patients in (TRAIN, TEST))
    _measure("real", train, unseen, options, results)
    for preset in presets:
        for mark in MARKS[preset][: options.marks]:
            name = f"{preset}/{mark[0]}+{mark[1]}"
            if any(f"{name}/{seed}" not in results["dice"] for seed in range(options.seeds)):
                _measure(name, _generated(_artifact(preset, mark, options)), unseen, options, results)
    print(table(results))


def table(results: dict) -> str:
    """A line a mark: minutes of training, and Dice as a share of the real arm's; then when the goals were reached."""
    lines = ["| preset | steps | minutes | Dice | of real |", "|---|---|---|---|---|"]
    real = _dice(results, "real")
    for preset, seconds in results["seconds_per_step"].items():
        shares = {}
        for mark in MARKS[preset]:
            dice = _dice(results, f"{preset}/{mark[0]}+{mark[1]}")
            if dice is not None:
                minutes = sum(steps * each for steps, each in zip(mark, seconds, strict=True)) / 60
                shares[minutes] = dice / real
                lines.append(f"| {preset} | {mark[0]} + {mark[1]} | {minutes:.1f} | {dice:.3f} | {dice / real:.3f} |")
        for goal in GOALS:
            when = next((minutes for minutes, share in shares.items() if share >= goal), None)
            said = "not reached at these marks" if when is None else f"reached after {when:.1f} minutes"
            lines.append(f"| {preset} | {goal:.0%} of real: {said} | | | |")
    return "\n".join([f"TRTR mean Dice {real:.3f}", "", *lines])


def _measure(name: str, pairs: Pairs, unseen: ArrayPairs, options: argparse.Namespace, results: dict) -> None:
    """Mean Dice per photograph of unseen children, for each seed that is missing."""
    settings = Settings(segmenter_steps=options.segmenter_steps)
    context = EvaluationContext(pairs, pairs, unseen, Cache(options.work / "cache"), settings, progress=_show)
    block, arm = unseen.all(), segmenters.Arm(name, (pairs,))
    for seed in range(options.seeds):
        key = f"{name}/{seed}"
        if key not in results["dice"]:
            threshold = segmenters.threshold(context, arm, seed)
            found = segmenters.find(segmenters.trained(context, arm, seed), block)
            scored = segmentation.image_scores(block.masks, found, block.fields, threshold)
            results["dice"][key] = float(scored["dice"].mean())
            _keep(options.out, results)


def _show(what: str, done: int, total: int) -> None:
    if done % 100 == 0 or done == total:
        print(f"{what}: {done} of {total}", file=sys.stderr, flush=True)


def _real_pairs(folder: str, patients: str, size: int = SIZE) -> ArrayPairs:
    source = find_pairs(folder)
    chosen = parse_patients(patients, source.patients)
    return load_real([pair for pair in source.pairs if pair.patient in chosen and pair.mask is not None], size)


def _generated(model: Path) -> SyntheticSet:
    folder = model.with_name(model.name + "-set")
    synthesis.generate_set(artifact.open_artifact(model), folder, GENERATED, seed=GENERATED_SEED)
    return SyntheticSet(folder)


def _artifact(preset: str, mark: tuple[int, int], options: argparse.Namespace) -> Path:
    out = options.work / preset / f"model-{mark[0]}-{mark[1]}"
    if not out.exists():
        run = options.work / preset / f"run-{mark[0]}-{mark[1]}"
        for stage, steps in zip(("stage1", "stage2"), mark, strict=True):
            shutil.copytree(_snapshot(preset, stage, steps, options), run / stage / "snapshot", dirs_exist_ok=True)
        exporter.export(run, out, ("savedmodel",))
    return out


def _snapshot(preset: str, stage: str, steps: int, options: argparse.Namespace) -> Path:
    """Trains a stage to a mark, from the mark before on; resuming is exact, so this is one training."""
    kept = options.work / preset / "snaps" / f"{stage}-{steps}"
    if not kept.exists():
        run = options.work / preset / f"{stage}.run"
        _train(preset, stage, steps, run, options.data)
        shutil.copytree(run / stage / "snapshot", kept)
    return kept


def _train(preset: str, stage: str, steps: int, run: Path, data: str, *more: str) -> None:
    command = [sys.executable, "-m", "synthmed_tf", "train", stage, "--preset", preset, "--size", str(SIZE)]
    command += ["--data", data, "--run", str(run), "--override", f"{stage}.steps={steps}"]
    command += [
        "--override",
        "data.validation_share=0",
        "--override",
        "save_every=200",
        "--override",
        "image_every=100000",
        *more,
    ]
    subprocess.run([*command, *(() if data == "phantom" else ("--patients", TRAIN))], check=True)


def _seconds_per_step(preset: str, stage: str) -> float:
    """The median over calls of ten steps, the first three calls left out; on the built-in set."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        _train(preset, stage, 100, Path(folder), "phantom", "--override", "steps_per_loop=10")
        lines = [json.loads(line) for line in (Path(folder) / stage / "metrics.jsonl").read_text().splitlines()]
        config = json.loads((Path(folder) / "config.json").read_text())
    speeds = sorted(line["images_per_second"] for line in lines[3:])
    return config[stage]["batch_size"] / speeds[len(speeds) // 2]


def _keep(file: Path, results: dict) -> None:
    files.write_text(file, json.dumps(results, indent=2) + "\n")


def _dice(results: dict, name: str) -> float | None:
    """The mean over seeds; None where there is none."""
    values = [value for key, value in results["dice"].items() if key.rpartition("/")[0] == name]
    return sum(values) / len(values) if values else None


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the folder of CHASE_DB1")
    parser.add_argument("--work", type=Path, required=True, help="folder for runs and models")
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the results")
    parser.add_argument("--presets", default=",".join(MARKS))
    parser.add_argument("--marks", type=int, default=9, help="only the first so many marks of each preset")
    parser.add_argument("--seeds", type=int, default=1, help="of the segmenter")
    parser.add_argument("--segmenter-steps", type=int, default=1000, help="of each segmenter")
    parser.add_argument("--seconds-per-step", help='JSON such as {"paper": [1.2, 3.4]}')
    return parser.parse_args()


if __name__ == "__main__":
    main()
