"""Builds the model that the package ships, from a run: `synthmed_tf/pretrained/retina`.

    python benchmarks/pretrained.py --run RUN --trained-on "CHASE_DB1: children 01 to 10" \
        --held-out "CHASE_DB1: children 11 to 14" --command "synthmed train ..." [--report REPORT]

It exports both forms with one file of weights in float16 and the discriminators for fine-tuning, and completes the
card: which eyes trained and which were held out, citations, the commands that made it, and from a report of
`synthmed evaluate` on its pairs (the same call again, with --report) the verdicts and the training photographs that may
be memorized. Prints the size of each file.
"""

import argparse
from pathlib import Path
from typing import Any

from synthmed_tf.evaluation import report as reports
from synthmed_tf.exporting import artifact, exporter, pretrained
from synthmed_tf.exporting.model_card import write_card

FORMATS = ("savedmodel", "onnx", "training")
MOST_BYTES = 25_000_000
CITATIONS = (
    "Fraz et al., An ensemble classification-based approach applied to retinal blood vessel segmentation, IEEE TBME "
    "59(9), 2012, doi:10.1109/TBME.2012.2205687 (CHASE_DB1, CC BY 4.0)",
    "Budai et al., Robust vessel segmentation in fundus images, International Journal of Biomedical Imaging, 2013, "
    "doi:10.1155/2013/154860 (HRF, CC BY 4.0)",
    "Guibas, Virdi, Li, Synthetic medical images from dual generative adversarial networks, 2017, arXiv:1709.01872",
)


def main() -> None:
    """Exports, completes the card, and checks the size."""
    options = _options()
    if options.run is not None:
        named = {"name": options.name, "license": "CC BY 4.0", "latest": options.latest}
        exporter.export(options.run, options.out, FORMATS, **named, say=print, compact=True)
    card = artifact.read_card(options.out)
    given = {"trained_on": options.trained_on, "held_out": options.held_out, "commands": options.command}
    card |= {name: value for name, value in given.items() if value} | {"citations": list(CITATIONS)}
    if options.report is not None:
        card |= evaluated(options.report)
    write_card(options.out, card)
    sizes = {file.relative_to(options.out).as_posix(): file.stat().st_size for file in _files(options.out)}
    for name, size in sizes.items():
        print(f"{size:>12,} {name}")
    forms = sum(size for name, size in sizes.items() if name != artifact.TRAINING.name)
    print(f"{forms:>12,} without {artifact.TRAINING}")
    if forms > MOST_BYTES:
        raise SystemExit(f"The forms have {forms:,} bytes, more than {MOST_BYTES:,}.")


def evaluated(folder: Path) -> dict[str, Any]:
    """The card's fields on an evaluation: verdicts, and real photographs of which copies were found."""
    read = reports.read(folder)
    verdicts = {answer.question: {"state": answer.state.value, "sentence": answer.sentence} for answer in read.verdicts}
    privacy = read.sections.privacy
    copied = [] if privacy is None else sorted({copy.real for copy in privacy.copies if copy.real_set == "train"})
    of = read.sections.compared.model_sha256
    return {"evaluation": read.verdict.value, "evaluated_model": of, "verdicts": verdicts, "may_be_memorized": copied}


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="without it, only the card is completed")
    parser.add_argument("--latest", action="store_true", help="the latest step of each stage, not the best")
    parser.add_argument("--name", default="retina")
    parser.add_argument("--out", type=Path, default=pretrained.FOLDER / "retina")
    parser.add_argument("--trained-on")
    parser.add_argument("--held-out")
    parser.add_argument("--command", action="append", help="may be repeated")
    parser.add_argument("--report", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
