"""Shares the artifact that drew a set: its files as they are, its cards without names of folders and patients."""

import json
import shutil
from pathlib import Path
from typing import Any

from synthmed_tf.errors import SynthMedError
from synthmed_tf.exporting import artifact
from synthmed_tf.exporting.model_card import write_card
from synthmed_tf.repository import paths
from synthmed_tf.repository.entry import Generator
from synthmed_tf.repository.publish import redaction

FOLDER = "generator"


def check(folder: Path, model_sha256: str, judged: Path) -> dict[str, Any]:
    """The card of an artifact that may be shared beside a set.

    Raises:
        SynthMedError: it is no artifact, its files are not those of its card or are named oddly, or it did not draw
            the set.
    """
    card = artifact.read_card(folder)
    if card["model_sha256"] != model_sha256:
        raise SynthMedError(
            f"{folder} is model {card['model_sha256'][:16]} but {judged} was drawn by {model_sha256[:16]}; name the "
            "artifact that drew it."
        )
    if not card.get("files"):
        raise SynthMedError(f"{folder / artifact.CARD} lists no files; export the run again.")
    for name in card["files"]:
        paths.safe(name)
    artifact.check_files(folder, card, Path())
    return card


def copy(folder: Path, card: dict[str, Any], out: Path, name: str, evaluation: str, attacked: bool) -> Generator:
    """Copies what the card lists to `generator/` in a version's folder, and writes both cards anew.

    Args:
        folder: the artifact's.
        card: its, from `check`.
        out: the version's folder.
        name: that the generator is published under.
        evaluation: of the set that is published, for the card.
        attacked: as `entry.Generator` has it.

    Raises:
        OSError: a file cannot be read or written.
    """
    place, shared = out / FOLDER, redaction.artifact_card(card, name, evaluation)
    facts = {"name": name, "training_data": json.dumps(shared["data"])}
    for part in card["files"]:
        target = place / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".onnx":
            target.write_bytes(_with_facts((folder / part).read_bytes(), facts))
        else:
            shutil.copyfile(folder / part, target)
    write_card(place, shared)
    onnx, savedmodel = (
        f"{FOLDER}/{part.as_posix()}" if (place / part).exists() else None
        for part in (artifact.ONNX, artifact.SAVEDMODEL)
    )
    return Generator(onnx=onnx, savedmodel=savedmodel, attacked=attacked)


def _with_facts(content: bytes, facts: dict[str, str]) -> bytes:
    """An ONNX file with these facts in its metadata; it computes the same."""
    import onnx

    model = onnx.load_model_from_string(content)
    for fact in model.metadata_props:
        fact.value = facts.get(fact.key, fact.value)
    return model.SerializeToString()
