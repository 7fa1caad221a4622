"""What each part of the preset `recommended` does: one is taken away at a time, each with a short training of its own.

    python benchmarks/parts.py --data DIR --patient-regex '^([ch]\\d+)' --train c01-c08,h01-h08 --test c09-c10,h09-h10 \
        --masks SET --runs RUNS --precision mixed_bfloat16

Four tables. `maps`: Stage-I's GAN, each variant with a fine network of its own. `fine`: Stage-I's fine network, for the
maps of the first GAN. `rule`: how probabilities become two values, for the first GAN and fine network, thresholds
calibrated again. `images`: thumbnails and images of 128 pixels. Masks of 512 pixels are measured as by `masks.py`
(geometry of half of them). The discs of thumbnails are measured as by `discs.py`, on the masks of SET, a set of
`synthmed generate`; and who was in the training is told by the attack by velocities. A part that is no option is taken
away by a line of Python before the command. What is finished is kept in RUNS; the same command goes on.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from exchange import blocks, real_pairs

from synthmed_tf.evaluation import network_attacks
from synthmed_tf.evaluation.membership import auc

HERE = Path(__file__).parent
FULL = "as it is"


class Variant(NamedTuple):
    """Overrides of a run, and a line of Python that is run before it."""

    overrides: tuple[str, ...] = ()
    line: str = ""


RENDERERS = "from synthmed_tf.training import renderer_stages as s;"
MAPS = "from synthmed_tf.data import vessel_maps as v;"
RULE = "from synthmed_tf.models import mask_refiner as m;"
VARIANTS = {
    "maps": {
        FULL: Variant(),
        "no loss on connectedness": Variant(("stage1.connected_weight=0",)),
        "no smooth warp": Variant(("stage1.elastic=0",)),
    },
    "fine": {
        FULL: Variant(),
        "maps without noise": Variant(("stage1_fine.noise=0",)),
        "one step in place of two": Variant(("stage1_fine.flow_steps=1",)),
        "thin vessels not kept whole": Variant(line=f"{MAPS} v._THIN = 0.0"),
    },
    "rule": {
        FULL: Variant(),
        "no crests": Variant(line=f"{RULE} m._CREST = 2.0"),
        "no closing": Variant(line=f"{RULE} m._closed = lambda pixels: pixels"),
        "crests at rounded ends too": Variant(line=f"{RULE} m._SLOPE = 2.0"),
    },
    "images": {
        FULL: Variant(),
        "no erased vessels": Variant(
            line=f"{RENDERERS} s.CoarseRendererStage._erased = lambda self, given, batch: given"
        ),
        "30 % erased, not 58 %": Variant(line=f"{RENDERERS} s._ERASED_FROM = (0.4, 0.6)"),
        "one noise a thumbnail": Variant(line=f"{RENDERERS} s._NOISES = 1"),
        "light as it was": Variant(("stage2.tones=false", "stage2.illumination=0", "stage2.colour=0")),
        "no smooth warp": Variant(("stage2.elastic=0",)),
    },
}

CALIBRATED = 20
"""Steps of a finished fine network after which its thresholds are calibrated again."""

MASK_METRICS = {"pieces": 1, "largest piece": 3, "vessel share": 3, "width": 2}

HEADS = {
    "images": "| part | disc, photographs | real masks | generated masks | AUC by velocities |\n|---|---|---|---|---|",
} | dict.fromkeys(
    ("maps", "fine", "rule"),
    "| part | pieces | largest piece | share | width | ends | junctions | loops |\n|---|---|---|---|---|---|---|---|",
)


def main() -> None:
    """Trains and measures what is missing, and prints the tables."""
    options = _options()
    for group in options.groups.split(","):
        print(f"\n{group}\n\n{HEADS[group]}", flush=True)
        for number, (name, variant) in enumerate(VARIANTS[group].items()):
            run = options.runs / f"{group}-{number}"
            report = run / "parts.json"
            if not report.exists():
                _train(run, group, variant, options)
                measured = _disc_and_velocities if group == "images" else _masks
                report.write_text(json.dumps(measured(run, variant, options)))
            print(_row(name, json.loads(report.read_text())), flush=True)


def _train(run: Path, group: str, variant: Variant, options: argparse.Namespace) -> None:
    stage, fine = "stage2" if group == "images" else "stage1", options.fine_steps
    steps = [f"stage1.steps={options.maps_steps}", f"stage2.steps={options.images_steps}", "stage2_fine.steps=1"]
    first = options.runs / "maps-0"
    if group in ("fine", "rule") and not run.exists():
        # The GAN of the first run is finished; so is its fine network, where only the rule changes.
        shutil.copytree(first / "stage1", run / "stage1")
        if group == "rule":
            shutil.copytree(first / "stage1_fine", run / "stage1_fine")
        for file in ("config.json", "data.json"):
            shutil.copy(first / file, run)
    if group == "rule":
        fine += CALIBRATED
    command = ["train", stage, "--preset", "recommended", "--data", options.data, "--patients", options.train]
    command += ["--run", str(run), "--patient-regex", options.patient_regex, "--precision", options.precision]
    settings = (*steps, f"stage1_fine.steps={fine}", "data.validation_share=0", *variant.overrides)
    command += ["--override-config", *(f"--override={setting}" for setting in settings)]
    _python(variant.line, "import sys; from synthmed_tf.cli.main import main; main()", command)


def _masks(run: Path, variant: Variant, options: argparse.Namespace) -> list[str]:
    command = ["--run", str(run), "--data", options.data, "--patient-regex", options.patient_regex, "--latest"]
    command += [
        "--train",
        options.train,
        "--test",
        options.test,
        "-n",
        str(options.count),
        "--geometry",
        str(options.count // 2),
    ]
    found = json.loads(_python(variant.line, _script("masks.py"), command, stdout=subprocess.PIPE))["synthetic"]
    geometry = found["geometry"]
    cells = [f"{found[name]:.{digits}f}" for name, digits in MASK_METRICS.items()]
    return cells + [f"{geometry[name]:.1f}" for name in ("endpoints", "junctions", "loops")]


def _disc_and_velocities(run: Path, variant: Variant, options: argparse.Namespace) -> list[str]:
    command = ["--run", str(run), "--data", options.data, "--patient-regex", options.patient_regex]
    command += ["--patients", options.train, "--masks", str(options.masks)]
    found = json.loads(_python(variant.line, _script("discs.py"), command, stdout=subprocess.PIPE))
    cells = [f"{found[name]:.0f}" for name in ("photographs", "real masks", "generated masks")]
    return [*cells, f"{_membership(run, options):.2f}"]


def _membership(run: Path, options: argparse.Namespace) -> float:
    size = json.loads((run / "config.json").read_text())["size"]
    seen, unseen = (real_pairs(options.data, who, size, options.patient_regex) for who in (options.train, options.test))
    scores = network_attacks.velocities(run, blocks(np.concatenate([seen, unseen])), 1)
    return auc(scores[: len(seen)], scores[len(seen) :])


def _script(name: str) -> str:
    return f"import runpy; runpy.run_path({str(HERE / name)!r}, run_name='__main__')"


def _python(line: str, program: str, arguments: list[str], **options: int) -> str | None:
    """Runs a program after a line; the program's output, where it is asked for."""
    command = [sys.executable, "-c", f"{line}\n{program}", *arguments]
    return subprocess.run(command, check=True, text=True, **options).stdout


def _row(name: str, cells: list[str]) -> str:
    return f"| {' | '.join([name, *cells])} |"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--patient-regex", default="^(.+)$")
    parser.add_argument("--train", required=True)
    parser.add_argument("--test", required=True, help="patients that no network sees")
    parser.add_argument("--masks", type=Path, help="a set of generated pairs, for the group images")
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--groups", default=",".join(VARIANTS))
    parser.add_argument("--maps-steps", type=int, default=1500)
    parser.add_argument("--fine-steps", type=int, default=800)
    parser.add_argument("--images-steps", type=int, default=3000)
    parser.add_argument("-n", dest="count", type=int, default=96, help="masks of each variant")
    return parser.parse_args()


if __name__ == "__main__":
    main()
