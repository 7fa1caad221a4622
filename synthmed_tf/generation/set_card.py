"""The card of a synthetic set, `card.json`: what generated it, and the plan of a set in shards."""

import json
from pathlib import Path
from typing import Any

from synthmed_tf import __version__, files, stores
from synthmed_tf.config.image_kind import kind_of
from synthmed_tf.errors import SynthMedError
from synthmed_tf.exporting.artifact import Artifact
from synthmed_tf.generation import formats
from synthmed_tf.generation.plan import Plan
from synthmed_tf.old_names import renamed

KIND = "synthetic set"
FILE = "card.json"


def make(model: Artifact, plan: Plan) -> dict[str, Any]:
    """The content of the card of a set; a plain set has no plan in it, since it can grow."""
    card = {
        "kind": KIND,
        "model_sha256": model.model_sha256,
        "precision": model.precision,
        "seed": plan.seed,
        "size": model.card["size"],
        "synthetic": True,
        "license": model.card["license"],
        "data": model.card["data"],
        "evaluation": "not evaluated",
        "made_with": f"synthmed_tf {__version__}",
    }
    return card | {"plan": plan.facts()} if plan.shards else card


def prepare(model: Artifact, plan: Plan, out: Path) -> None:
    """Makes the folder of a set with its card, or checks that it is there. May be called by many processes at once.

    Raises:
        SynthMedError: the folder holds something else or another set, a package is missing, or the format is for
            other images.
        OSError: it cannot be written.
    """
    formats.writer(plan.format).require()
    if plan.format == "dicom" and kind_of(model.card["data"]).structures != "vessels":
        raise SynthMedError("DICOM files are of retinas, but this model's images are not; give another --format.")
    card = make(model, plan)
    if out.exists() and any(not path.name.endswith(files.PART) for path in out.iterdir()):
        check_same_set(out, card)
        return
    if not stores.in_store(out):
        out.mkdir(parents=True, exist_ok=True)
    if not files.create_text(out / FILE, json.dumps(card, indent=2) + "\n") or stores.in_store(out):
        check_same_set(out, card)  # another process was faster


def read(folder: Path, otherwise: str = "choose another --out or empty it") -> dict[str, Any]:
    """The card of a set.

    Args:
        folder: the set.
        otherwise: what to do if it is not a set.

    Raises:
        SynthMedError: the folder is not a set, or its card is damaged.
    """
    try:
        card = json.loads((folder / FILE).read_text(encoding="utf-8"), object_hook=renamed)
    except (FileNotFoundError, NotADirectoryError):
        card = None
    except (OSError, ValueError) as error:
        if stores.in_store(folder) and isinstance(error, OSError):
            raise
        raise SynthMedError(f"{folder / FILE} is damaged ({error}); {otherwise}.") from error
    if not folder.exists():
        raise SynthMedError(f"There is no folder {folder}; {otherwise}.")
    if not isinstance(card, dict) or card.get("kind") != KIND:
        raise SynthMedError(f"{folder} is there and is not a synthetic set; {otherwise}.")
    return card


def plan_of(card: dict[str, Any]) -> Plan | None:
    """The plan of a set in shards, or None. A filtered set has the plan of the set that it came from, but no shards.

    Raises:
        SynthMedError: it is damaged.
    """
    return Plan.from_facts(card["plan"]) if "plan" in card and "filtered" not in card else None


def check_same_set(out: Path, card: dict[str, Any]) -> None:
    """Raises SynthMedError if a folder holds anything but the set of this card."""
    there = read(out)
    if "filtered" in there:
        raise SynthMedError(f"{out} is a filtered set, to which nothing can be added; choose another --out.")
    planned, plan = there.get("plan"), card.get("plan")
    if (planned is None) != (plan is None):
        found = f"in {planned.get('shards')} shards of {planned.get('format')}" if planned else "of png without shards"
        raise SynthMedError(f"{out} holds a set {found}; name the same --format and --shards, or another --out.")
    facts = [(there, card)] + ([(planned, plan)] if plan and planned else [])
    for old, new in facts:
        for name in ("model_sha256", "precision", "seed") if new is card else new:
            if old.get(name, "float32" if name == "precision" else None) != new[name]:
                raise SynthMedError(
                    f"{out} holds a set with {name} {old.get(name)}, not {new[name]}; choose another --out."
                )
