"""How long training takes until drawn pairs are worth 90 and 95 percent of real ones.

    python benchmarks/time_to_quality.py --data CHASE_DB1 --work WORK --out FILE

Trains both stages of a preset at 128 pixels on children 01 to 10 to one mark after the other, exports each mark, and
trains the U-Net of `utility.py` on 1,000 drawn pairs (TSTR); children 11 to 14 give the F1, in relation to that of a
U-Net trained on the real pairs (TRTR). Minutes are those of training alone: steps of both stages times the time of a
step, which is measured first, on an otherwise idle machine (`--seconds-per-step` takes it from an earlier run). What is
finished is kept in WORK and FILE: the same command goes on.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import utility

from synthmed_tf import artifact, exporting, files

MARKS = {  # steps of Stage-I and of Stage-II
    "recommended": ((600, 600), (1200, 1200), (2000, 2000), (3200, 4400)),
    "paper": ((500, 32), (1000, 63), (2000, 126)),
}
GOALS = (0.90, 0.95)
SIZE, TRAIN, TEST = 128, "01-10", "11-14"


def main() -> None:
    """Does what is missing and prints a table."""
    options = _options()
    results = json.loads(options.out.read_text()) if options.out.exists() else {}
    results.setdefault("seconds_per_step", {})
    results.setdefault("f1", {})
    for preset in options.presets.split(","):
        if options.seconds_per_step:
            results["seconds_per_step"] |= json.loads(options.seconds_per_step)
        elif preset not in results["seconds_per_step"]:
            results["seconds_per_step"][preset] = [_seconds_per_step(preset, stage) for stage in ("stage1", "stage2")]
        _keep(options.out, results)
    tests = utility._real_pairs(options.data, TEST, SIZE)
    for seed in range(options.seeds):
        key = f"real/{seed}"
        if key not in results["f1"]:
            model = utility.train(utility._real_pairs(options.data, TRAIN, SIZE), seed, options.judge_steps)
            results["f1"][key] = utility.score(model, tests)["f1"]
            _keep(options.out, results)
        for preset in options.presets.split(","):
            for mark in MARKS[preset][: options.marks]:
                key = f"{preset}/{mark[0]}+{mark[1]}/{seed}"
                if key not in results["f1"]:
                    opened = artifact.open_artifact(_artifact(preset, mark, options), "savedmodel")
                    model = utility.train(utility._drawn(opened, 1000), seed, options.judge_steps)
                    results["f1"][key] = utility.score(model, tests)["f1"]
                    _keep(options.out, results)
    print(table(results))


def table(results: dict) -> str:
    """A line a mark: minutes of training, and F1 as a share of the real arm's; then when the goals were reached."""
    f1, lines = results["f1"], ["| preset | steps | minutes | F1 | of real |", "|---|---|---|---|---|"]
    real = _mean([value for key, value in f1.items() if key.startswith("real/")])
    reached: dict[str, dict[float, float]] = {}
    for preset in results["seconds_per_step"]:
        for mark in MARKS[preset]:
            values = [value for key, value in f1.items() if key.startswith(f"{preset}/{mark[0]}+{mark[1]}/")]
            if values:
                seconds = results["seconds_per_step"][preset]
                minutes = sum(steps * each for steps, each in zip(mark, seconds, strict=True)) / 60
                share = _mean(values) / real
                lines.append(
                    f"| {preset} | {mark[0]} + {mark[1]} | {minutes:.1f} | {_mean(values):.3f} | {share:.3f} |"
                )
                for goal in GOALS:
                    if share >= goal:
                        reached.setdefault(preset, {}).setdefault(goal, minutes)
        for goal in GOALS:
            when = reached.get(preset, {}).get(goal)
            said = "not reached at these marks" if when is None else f"reached after {when:.1f} minutes"
            lines.append(f"| {preset} | {goal:.0%} of real: {said} | | | |")
    return "\n".join([f"TRTR F1 {real:.3f}", "", *lines])


def _artifact(preset: str, mark: tuple[int, int], options: argparse.Namespace) -> Path:
    out = options.work / preset / f"model-{mark[0]}-{mark[1]}"
    if not out.exists():
        run = options.work / preset / f"run-{mark[0]}-{mark[1]}"
        for stage, steps in zip(("stage1", "stage2"), mark, strict=True):
            shutil.copytree(_snapshot(preset, stage, steps, options), run / stage / "snapshot", dirs_exist_ok=True)
        exporting.export(run, out, ("savedmodel",))
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
    command = [sys.executable, "-m", "synthmed_tf.cli", "train", stage, "--preset", preset, "--size", str(SIZE)]
    command += ["--data", data, "--run", str(run), "--set", f"{stage}.steps={steps}"]
    command += ["--set", "data.validation_share=0", "--set", "save_every=200", "--set", "picture_every=100000", *more]
    subprocess.run([*command, *(() if data == "phantom" else ("--patients", TRAIN))], check=True)


def _seconds_per_step(preset: str, stage: str) -> float:
    """The median over calls of ten steps, the first three calls left out; on the built-in set."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        _train(preset, stage, 100, Path(folder), "phantom", "--set", "steps_per_loop=10")
        lines = [json.loads(line) for line in (Path(folder) / stage / "metrics.jsonl").read_text().splitlines()]
        config = json.loads((Path(folder) / "config.json").read_text())
    speeds = sorted(line["images_per_second"] for line in lines[3:])
    return config[stage]["batch_size"] / speeds[len(speeds) // 2]


def _keep(file: Path, results: dict) -> None:
    files.write_text(file, json.dumps(results, indent=2) + "\n")


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the folder of CHASE_DB1")
    parser.add_argument("--work", type=Path, required=True, help="folder for runs and models")
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the results")
    parser.add_argument("--presets", default=",".join(MARKS))
    parser.add_argument("--marks", type=int, default=9, help="only the first so many marks of each preset")
    parser.add_argument("--seeds", type=int, default=1, help="of the U-Net")
    parser.add_argument("--judge-steps", type=int, default=700)
    parser.add_argument("--seconds-per-step", help='JSON such as {"paper": [1.2, 3.4]}')
    return parser.parse_args()


if __name__ == "__main__":
    main()
