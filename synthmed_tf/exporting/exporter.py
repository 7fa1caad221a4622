"""Exports the snapshots of a run as an artifact, which is compared across the runtimes."""

import hashlib
import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, cast

import keras
import numpy as np
import tensorflow as tf

from synthmed_tf import __version__, files, local_copies, stores
from synthmed_tf.config import generation_options
from synthmed_tf.errors import SynthMedError
from synthmed_tf.exporting import artifact, label_visibility, parity, quantization, shared_weights, warmup
from synthmed_tf.exporting.label_visibility import Measure
from synthmed_tf.exporting.model_card import write_card
from synthmed_tf.exporting.onnx_graph import write_onnx
from synthmed_tf.models import factory
from synthmed_tf.models.chained_generator import Chain
from synthmed_tf.models.coarse_to_fine import CoarseToFine
from synthmed_tf.models.pyramid import Pyramid
from synthmed_tf.training import discriminators, snapshot
from synthmed_tf.training.run import read_lineage

FORMATS = ("savedmodel", "onnx", "onnx-latent", "onnx-fp16", "onnx-int8", "training")
DEFAULT_FORMATS = FORMATS[:2]
Say = Callable[[str], None]
_SAID = {"onnx-latent": "of the latent", "onnx-fp16": "in float16", "onnx-int8": "in int8"}
_RULES = {"pyramid": 2}
"""By architecture; raised when the same weights and options come to generate other images."""


def export(
    run: str | Path,
    out: str | os.PathLike[str],
    formats: Sequence[str] = DEFAULT_FORMATS,
    name: str | None = None,
    license: str = "not stated",
    say: Say = lambda line: None,
    latest: bool = False,
    compact: bool = False,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Writes the artifact of a run: both generators as one graph. It is written completely or not at all.

    Args:
        run: the folder of a run, with snapshots of both stages.
        out: the folder of the artifact, on this disk or in an object store (`s3://`, `gs://`, `abfs://`); an older
            artifact there is replaced.
        formats: of `savedmodel`, `onnx`, `onnx-latent` (without integers, for WebGPU), `onnx-fp16` and `onnx-int8`
            (smaller, with a measured loss), and `training` (the discriminators, for fine-tuning).
        name: on the card; default: the name of the folder.
        license: of the model, on the card.
        say: called with each line for the user.
        latest: whether to take the latest step of each stage instead of the best one.
        compact: whether weights are rounded to float16 and kept once, for the SavedModel and the ONNX file.
        overrides: `name=value` for options that act when images are generated and not in training
            (`config.generation_options.OPTIONS`), such as `stage2.guidance=0.4`.

    Returns:
        The differences between the runtimes and Keras, as in `parity.json`.

    Raises:
        SynthMedError: a snapshot is missing, the stages do not belong together, the runtimes differ too much, or a
            smaller file loses too much; an option cannot be changed.

    Example:
        >>> import synthmed_tf as sm
        >>> parity = sm.export("RUN", "NEW_MODEL", formats=["savedmodel"], license="CC0-1.0")
        >>> parity["savedmodel"]["grey_levels"] <= 1
        True
    """
    _check_formats(formats, compact)
    place = stores.place(out)
    with stores.reading(place):
        _refuse_other_folder(place)
    run, parts = Path(run), Parts.load(Path(run), latest).sampled_with(overrides)
    say(", ".join(f"{part.stage} of step {part.step}" for part in parts.present))
    chain, facts = parts.chain(run), dict[str, Any]()
    if compact:
        exact, parts = chain, parts.rounded()
        chain = parts.chain(run)
        facts = {"weights": shared_weights.describe(exact, chain)}
    lineage = read_lineage(run)
    facts |= {"lineage": lineage} if lineage else {}
    card = _describe(*parts[:2], name or place.resolve().name, license, parts[2:]) | facts
    smaller = set(formats) & set(parity.MOST_LOSS)
    inside, kind = np.asarray(parts.masks.fov) >= 128, parts.masks.config.data.kind
    measure = label_visibility.of_run(run, inside, kind) if smaller else None
    with (
        local_copies.working_copy(out, last=artifact.CARD.name) as written,
        files.failing_clearly(written, again=""),
        files.replaced_folder(written) as new,
    ):
        if "training" in formats:
            discriminators.save(discriminators.read(run, parts.present), new / artifact.TRAINING)
        return _write(chain, card, new, [known for known in FORMATS if known in formats], measure, say)


class Parts(NamedTuple):
    """The snapshots that an artifact is made of; those of the fine networks are None where a stage has none."""

    masks: snapshot.Snapshot
    photographs: snapshot.Snapshot
    refiner: snapshot.Snapshot | None = None
    renderer: snapshot.Snapshot | None = None

    @classmethod
    def load(cls, run: Path, latest: bool = False) -> "Parts":
        """Those of a run: the best step of each stage, or the latest.

        Raises:
            SynthMedError: one is missing or damaged.
        """
        masks, refiner = load_stage1(run, latest)
        photographs, renderer = load_stage2(run, latest)
        return cls(masks, photographs, refiner, renderer)

    @property
    def present(self) -> list[snapshot.Snapshot]:
        """In the order of training."""
        return [part for part in (self.masks, self.refiner, self.photographs, self.renderer) if part is not None]

    @property
    def identity(self) -> str:
        """The model's SHA-256, as on its card."""
        return _identity(*(part for part in self if part is not None))

    def sampled_with(self, overrides: Sequence[str]) -> "Parts":
        """With other values of `config.generation_options`.

        Raises:
            SynthMedError: an option is none of them, or its value is not allowed.
        """

        def changed(part: snapshot.Snapshot) -> snapshot.Snapshot:
            return replace(part, config=generation_options.changed(part.config, overrides))

        masks, photographs = (changed(part) for part in self[:2])
        refiner, renderer = (part and changed(part) for part in self[2:])
        return Parts(masks, photographs, refiner, renderer)

    def rounded(self) -> "Parts":
        """With weights that float16 represents."""
        masks, photographs = (shared_weights.rounded(part) for part in self[:2])
        refiner, renderer = (part and shared_weights.rounded(part) for part in self[2:])
        return Parts(masks, photographs, refiner, renderer)

    def chain(self, run: Path) -> Chain:
        """As `make_chain`."""
        return make_chain(self.masks, self.photographs, run, self.refiner, self.renderer)


def load_stage1(run: Path, latest: bool = False) -> tuple[snapshot.Snapshot, snapshot.Snapshot | None]:
    """Stage-I's snapshot and, where its architecture is `coarse_to_fine`, that of its fine network.

    Raises:
        SynthMedError: one is missing or damaged.
    """
    stage1 = _load(run, "stage1", latest)
    two = stage1.config.stage1.architecture == "coarse_to_fine"
    return stage1, _load(run, "stage1_fine", latest) if two else None


def load_stage2(run: Path, latest: bool = False) -> tuple[snapshot.Snapshot, snapshot.Snapshot | None]:
    """Stage-II's snapshot and, where it has a fine network, that of this one.

    Raises:
        SynthMedError: one is missing or damaged.
    """
    stage2 = _load(run, "stage2", latest)
    return stage2, _load(run, "stage2_fine", latest) if stage2.config.has_fine_renderer else None


def _load(run: Path, stage: str, latest: bool) -> snapshot.Snapshot:
    return snapshot.load(run / stage / "snapshot" if latest else snapshot.chosen(run / stage))


def make_mask_generator(stage1: snapshot.Snapshot, run: Path, refiner: snapshot.Snapshot | None = None) -> keras.Model:
    """Stage-I with its averaged weights: from latents to `coverage_tanh` at full size.

    Args:
        stage1, refiner: as `load_stage1` gives them.
        run: names the snapshots in an error's sentence.

    Raises:
        SynthMedError: the weights do not fit, or the two networks are of different sizes.
    """
    generator = factory.mask_generator(stage1.config)
    snapshot.restore(generator, stage1, run / "stage1" / "snapshot")
    if refiner is None:
        return generator
    if refiner.thresholds is None or _sizes(stage1) != _sizes(refiner):
        raise _do_not_belong_together(run, stage1, refiner)
    fine = factory.mask_refiner(refiner.config)
    snapshot.restore(fine, refiner, run / "stage1_fine" / "snapshot")
    return CoarseToFine(generator, fine, stage1.fov >= 128, refiner.thresholds)


def make_image_generator(
    stage2: snapshot.Snapshot, run: Path, renderer: snapshot.Snapshot | None = None
) -> keras.Model:
    """Stage-II with its averaged weights: from conditions and styles to images at full size.

    Args:
        stage2, renderer: as `load_stage2` gives them.
        run: names the snapshots in an error's sentence.

    Raises:
        SynthMedError: the weights do not fit, or the two networks are of different sizes.
    """
    generator = factory.image_generator(stage2.config)
    snapshot.restore(generator, stage2, run / "stage2" / "snapshot")
    if renderer is None:
        return generator
    if _sizes(stage2) != _sizes(renderer):
        raise _do_not_belong_together(run, stage2, renderer)
    fine = factory.fine_renderer(renderer.config)
    snapshot.restore(fine, renderer, run / "stage2_fine" / "snapshot")
    return Pyramid(generator, fine)


def _sizes(part: snapshot.Snapshot) -> tuple[int, int]:
    return part.config.size, part.config.coarse_size


def _do_not_belong_together(run: Path, coarse: snapshot.Snapshot, fine: snapshot.Snapshot) -> SynthMedError:
    return SynthMedError(
        f"In {run} the snapshots of {coarse.stage} and {fine.stage} do not belong together (sizes {_sizes(coarse)} and "
        f"{_sizes(fine)}); train both with one configuration."
    )


def make_chain(
    stage1: snapshot.Snapshot,
    stage2: snapshot.Snapshot,
    run: Path,
    refiner: snapshot.Snapshot | None = None,
    renderer: snapshot.Snapshot | None = None,
) -> Chain:
    """The chained generator of two snapshots, with those of the fine networks where a stage has one.

    Raises:
        SynthMedError: they are of other stages or of different sizes, or their weights do not fit.
    """
    if (stage1.stage, stage2.stage) != ("stage1", "stage2"):
        raise SynthMedError(
            f"In {run} the snapshots are of {stage1.stage} and {stage2.stage}, not of stage1 and stage2; "
            "put each into its own folder."
        )
    if stage1.config.size != stage2.config.size:
        sizes = f"stage1 generates {stage1.config.size} pixels and stage2 {stage2.config.size}"
        raise SynthMedError(f"In {run} {sizes}; train both at one size.")
    mask_generator = make_mask_generator(stage1, run, refiner)
    image_generator = make_image_generator(stage2, run, renderer)
    config = stage1.config.model_copy(update={"stage2": stage2.config.stage2})
    return Chain(config, mask_generator, image_generator, stage1.threshold, stage1.fov, stage2.styles)


def _write(
    chain: Chain, card: dict[str, Any], folder: Path, formats: Sequence[str], measure: Measure | None, say: Say
) -> dict[str, Any]:
    """Fills the artifact's folder, and returns the parity report."""
    (folder / artifact.CARD).write_text(json.dumps(card), encoding="utf-8")
    if "savedmodel" in formats:
        say("writing the SavedModel")
        saved = shared_weights.compacted(chain) if "weights" in card else chain
        with files.glob_free(folder) as place:
            tf.saved_model.save(saved, str(place / artifact.SAVEDMODEL), signatures=saved.signatures())
        warmup.write(folder / artifact.SAVEDMODEL)
    if set(formats) - {"savedmodel", "onnx-latent", "training"}:
        say("writing the ONNX file")
        write_onnx(chain, folder / artifact.ONNX, card)
    for form in formats:
        if form in _SAID:
            say(f"writing the ONNX file {_SAID[form]}")
        if form == "onnx-latent":
            write_onnx(chain, folder / artifact.ONNX_LATENT, card, "from_latent")
        elif form in parity.MOST_LOSS:
            quantization.write(folder / artifact.ONNX, folder / artifact.RUNTIMES[form], card, form)
    if "onnx" not in formats:
        (folder / artifact.ONNX).unlink(missing_ok=True)
    if "weights" in card:
        for file in folder.glob("*.onnx"):
            shared_weights.share(file, folder / shared_weights.WEIGHTS)
    say("comparing the runtimes")
    opened = [_opened(chain, card, folder, form) for form in formats if form != "training"]
    report = parity.compare(chain, opened, measure)
    (folder / "parity.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    write_card(folder, card | {"parity": report})
    return report


def _opened(chain: Chain, card: dict[str, Any], folder: Path, form: str) -> artifact.Artifact:
    if form == "onnx-latent":
        return parity.FromLatent(folder / artifact.ONNX_LATENT, card, chain)
    return artifact.open_artifact(folder, cast(artifact.Runtime, form))


def _describe(
    stage1: snapshot.Snapshot,
    stage2: snapshot.Snapshot,
    name: str,
    license: str,
    fine: Sequence[snapshot.Snapshot | None] = (),
) -> dict[str, Any]:
    parts = [part for part in (stage1, stage2, *fine) if part is not None]
    return {
        "kind": artifact.KIND,
        "name": name,
        "schema": 1,
        "model_sha256": _identity(*parts),
        "size": stage1.config.size,
        "latent_dim": stage1.config.stage1.latent_dim,
        "style_dim": stage2.config.stage2.style_dim,
        "threshold": stage1.threshold,
        "synthetic": True,
        "license": license,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "data": {"stage1": stage1.data, "stage2": stage2.data},
        "steps": {part.stage: part.step for part in parts},
        "evaluation": "not evaluated",
        "config": stage1.config.model_dump(mode="json")
        | {part.stage: getattr(part.config, part.stage).model_dump(mode="json") for part in parts},
        "versions": {"synthmed_tf": __version__, "python": platform.python_version()}
        | {package: metadata.version(package) for package in ("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime")},
    }


def _identity(stage1: snapshot.Snapshot, *others: snapshot.Snapshot) -> str:
    """SHA-256 over all that decides the images: configurations, weights, thresholds, styles and field of view."""
    digest = hashlib.sha256()
    for part in (stage1, *others):
        section = getattr(part.config, part.stage)
        facts = {"size": part.config.size, "stage": section.model_dump(mode="json"), "threshold": part.threshold}
        if part.thresholds is not None:
            facts["thresholds"] = part.thresholds._asdict()
        if (architecture := getattr(section, "architecture", None)) in _RULES:
            facts["rules"] = _RULES[architecture]
        digest.update(json.dumps(facts, sort_keys=True).encode())
        styles = [] if part.styles is None else [part.styles.mean, part.styles.factor]
        for array in [*part.weights, *styles]:
            digest.update(np.ascontiguousarray(array, np.float32).data)
    digest.update(np.ascontiguousarray(stage1.fov).data)
    return digest.hexdigest()


def _check_formats(formats: Sequence[str], compact: bool) -> None:
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown or not formats:
        found = f"There is no format {unknown[0]!r}" if unknown else "No format is given"
        raise SynthMedError(f"{found}; choose from {', '.join(FORMATS)}.")
    if compact and "savedmodel" not in formats:
        raise SynthMedError("A compact artifact keeps its weights in the SavedModel; add savedmodel to the formats.")


def _refuse_other_folder(out: Path) -> None:
    """An artifact may be replaced; anything else that is there may not."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    try:
        artifact.read_card(out)
    except SynthMedError:
        raise SynthMedError(f"{out} is there and is not an artifact; choose another --out or empty it.") from None
