"""The effect of each choice in Stage-I's `gan` preset: one change at a time, on real data.

    python benchmarks/ablation.py --data CHASE_DB1 --train 01-10 --test 11-14 --size 64 --steps 1000 --runs RUNS

Each variant has its own run below RUNS, measured with `masks.py`; the same command resumes. The table has a row for
each variant: the pieces of a mask, the largest piece's share (a real tree is nearly one piece), the share of grey
pixels before the threshold, and the median similarity to the nearest other synthetic mask (high: one tree repeats)
and to the nearest training mask (high: copies).
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

VARIANTS = {
    "gan": (),
    "learning rates 2e-4": ("stage1.optimizer.generator_rate=2e-4", "stage1.optimizer.discriminator_rate=2e-4"),
    "no diversity loss": ("stage1.diversity_weight=0",),
    "two-valued masks to learn from": ("stage1.soft_masks=false",),
    "batch normalization": ("stage1.norm=batch",),
    "no R1 penalty": ("stage1.r1_gamma=0",),
    "no shifts before the discriminator": ("stage1.augment.shift=0",),
    "no averaged weights": ("stage1.ema_half_life=0",),
}


def main() -> None:
    """Trains and measures each variant, and prints a table."""
    options = _options()
    print(
        "| change | pieces | largest piece | grey | nearest synthetic | nearest training |\n|---|---|---|---|---|---|"
    )
    for name in options.variants.split(",") if options.variants else VARIANTS:
        run = options.runs / name.replace(" ", "_")
        _train(run, VARIANTS[name], options)
        report = _measured(run, options)
        print(_row(name, report["synthetic"]), flush=True)
    print(_row("real masks of unseen patients", report["unseen"]))


def _train(run: Path, changes: tuple[str, ...], options: argparse.Namespace) -> None:
    command = [sys.executable, "-m", "synthmed_tf", "train", "stage1", "--preset", "gan"]
    command += ["--data", options.data, "--patients", options.train, "--size", str(options.size), "--run", str(run)]
    settings = (*changes, f"stage1.steps={options.steps}", f"save_every={options.steps}")
    subprocess.run([*command, *(f"--override={setting}" for setting in settings)], check=True)


def _measured(run: Path, options: argparse.Namespace) -> dict:
    command = [sys.executable, str(Path(__file__).with_name("masks.py")), "--run", str(run), "--data", options.data]
    command += ["--train", options.train, "--test", options.test, "-n", "200"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def _row(name: str, metrics: dict) -> str:
    grey = metrics.get("grey share before the threshold")
    cells = [
        name,
        f"{metrics['pieces']:.1f}",
        f"{metrics['largest piece']:.2f}",
        "-" if grey is None else f"{grey:.3f}",
    ]
    cells += [f"{metrics[kind]['median']:.2f}" for kind in ("nearest of its kind", "nearest training mask")]
    return f"| {' | '.join(cells)} |"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--train", required=True)
    parser.add_argument("--test", required=True)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--variants", help="names, separated by commas; all where it is left out")
    return parser.parse_args()


if __name__ == "__main__":
    main()
