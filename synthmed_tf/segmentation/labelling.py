"""Labels a folder of photographs with a trained segmenter, so that Stage-II can be trained without manual masks.

    <out>/images/NAME.jpg     the photograph, byte for byte
    <out>/masks/NAME.png      its vessels, at its own resolution
    <out>/fov/NAME.png        its field of view; none if that is the whole image
    <out>/segment.jsonl       a line a photograph: size, vessel share, confidence, SHA-256 of photograph and mask
    <out>/preview.png         photographs and masks, the least confident first

The folder has the layout `plain`. A photograph is in `segment.jsonl` once all of its files are whole; the same call
resumes.
"""

import contextlib
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from synthmed_tf import files
from synthmed_tf import images as image_files
from synthmed_tf.config.image_kind import ImageKind
from synthmed_tf.data.preprocessing import field_of_view, load_sample, load_samples, uncrop
from synthmed_tf.data.sample import Sample
from synthmed_tf.data.sources import Pair, Source, find_pairs
from synthmed_tf.errors import SynthMedError
from synthmed_tf.metrics import segmentation
from synthmed_tf.models import factory
from synthmed_tf.models.segmenter import Segmenter, least_tile, tiled_probabilities
from synthmed_tf.training import snapshot

Line = dict[str, Any]
LINES = "segment.jsonl"
FOLDERS = ("images", "masks", "fov")

_SHOWN, _SHOWN_SIDE, _SHOWN_COLUMNS = 24, 256, 4


@dataclass(frozen=True)
class Vessels:
    """The vessels of a photograph, at its own resolution.

    Attributes:
        probability: `(height, width)`, float32 in [0, 1]; 0 outside the field of view.
        fov: `(height, width)`, bool: the field of view.
    """

    probability: np.ndarray
    fov: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """`(height, width)`, bool: where the probability of vessel is 0.5 or more."""
        return self.probability >= 0.5


@dataclass(frozen=True)
class Labelled:
    """The result of `segment_folder`.

    Attributes:
        facts: the lines of `segment.jsonl`, one for each photograph, in the order of their names.
        failures: a sentence for each photograph that could not be labelled.
    """

    facts: list[Line]
    failures: list[str]


@dataclass(frozen=True)
class _Labelling:
    """The network, the options of `find_vessels`, both as the lines record them, and the folder that is written."""

    segmenter: Segmenter
    options: dict[str, Any]
    settings: dict[str, Any]
    out: Path


def open_segmenter(run: Path) -> tuple[Segmenter, snapshot.Snapshot]:
    """Opens the segmenter of a run: the best by its validation patients, or the latest if there is no best one.

    Raises:
        SynthMedError: the run has no segmenter, or it is damaged.
    """
    folder = snapshot.chosen(Path(run) / "segmenter")
    loaded = snapshot.load(folder)
    segmenter = factory.segmenter(loaded.config)
    snapshot.restore(segmenter, loaded, folder)
    return segmenter, loaded


def find_vessels(segmenter: Segmenter, pair: Pair, field_pixels: int, flips: bool = False, tile: int = 512) -> Vessels:
    """Finds the vessels of a photograph, at its own resolution.

    Args:
        segmenter: with its weights.
        pair: the files; a mask is ignored.
        field_pixels: side, in pixels, to which the square around the field of view is resized for the segmenter.
        flips, tile: as for `models.segmenter.tiled_probabilities`.

    Raises:
        SynthMedError: the photograph or its field of view cannot be read.
    """
    sample = load_sample(replace(pair, mask=None), field_pixels)
    inside = sample.fov >= 128
    seen = np.where(inside, sample.image, 0).astype(np.float32) / np.float32(127.5) - np.float32(1.0)
    found = tiled_probabilities(segmenter, seen, tile, flips) * inside[..., 0]
    given = None if pair.fov is None else image_files.read_mask(pair.fov)
    fov = field_of_view(image_files.read_image(pair.photograph), given, pair.kind, str(pair.photograph))
    return Vessels(uncrop(found, sample.crop) * fov, fov)


def segment_folder(
    run: Path,
    images: Path,
    out: Path,
    flips: bool = False,
    field_pixels: int | None = None,
    tile: int = 512,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Labelled:
    """Labels the photographs of a folder that are not labelled yet. A mask that was corrected by hand is kept.

    Args:
        run: with a trained segmenter.
        images: a folder of any known layout; masks in it are ignored.
        out: the folder to write; made if it is missing.
        flips, tile: as of `find_vessels`.
        field_pixels: as of `find_vessels`; default: the size that the segmenter was trained at.
        progress: called with (done, total).

    Returns:
        All lines, and the failures; a photograph that fails does not stop the others.

    Raises:
        SynthMedError: no segmenter, no photographs, an option that is not allowed, or a folder that holds something
            else or cannot be written.
    """
    run, images, out = Path(run), Path(images), Path(out)
    segmenter, loaded = open_segmenter(run)
    field_pixels = loaded.config.size if field_pixels is None else field_pixels
    options = {"field_pixels": field_pixels, "flips": flips, "tile": tile}
    _check_options(segmenter, field_pixels, tile)
    source = find_pairs(images, kind=loaded.config.data.kind)
    model = files.sha256(snapshot.chosen(run / "segmenter") / "weights.npz")
    labelling = _Labelling(segmenter, options, {"model_sha256": model} | options, out)
    with files.failing_clearly(out):
        results = _label_all(labelling, source, _prepare(out, source, labelling.settings), progress)
        facts = [line for line in results if isinstance(line, dict)]
        files.write_text(out / LINES, "".join(json.dumps(line) + "\n" for line in facts))
        if facts:
            _write_preview(out, facts, loaded.config.data.kind)
    return Labelled(facts, [line for line in results if isinstance(line, str)])


def _check_options(segmenter: Segmenter, field_pixels: int, tile: int) -> None:
    if tile < (least := least_tile(segmenter.levels)):
        raise SynthMedError(f"The tile is {tile} pixels; a segmenter of {segmenter.levels} levels needs {least}.")
    if not 32 <= field_pixels <= 8192:
        raise SynthMedError(f"The field of view is to have {field_pixels} pixels; give a number from 32 to 8192.")


def _prepare(out: Path, source: Source, settings: dict[str, Any]) -> dict[str, Line]:
    """Makes the folders, and returns the lines of the photographs whose files are all there, by name."""
    inside, outside = out.resolve(), source.root.resolve()
    if inside == outside or outside in inside.parents:
        raise SynthMedError(f"{out} lies in the folder of the photographs; choose another --out.")
    if out.exists() and not (out.is_dir() and ((out / LINES).is_file() or not any(out.iterdir()))):
        raise SynthMedError(f"{out} is there and was not written by synthmed segment; choose another --out.")
    for folder in FOLDERS:
        (out / folder).mkdir(parents=True, exist_ok=True)
        for part in (out / folder).glob(f".*{files.PART}"):
            part.unlink()
    (out / LINES).touch()
    lines = _read_lines(out / LINES)
    _refuse_others(out, source, settings, lines)
    there = (pair.name for pair in source.pairs if all(path.is_file() for path in _files(out, pair)[:2]))
    return {name: lines[name] for name in there if name in lines}


def _refuse_others(out: Path, source: Source, settings: dict[str, Any], lines: dict[str, Line]) -> None:
    """Refuses to mix the labels of two folders, segmenters or settings, since Stage-II would learn from all of them."""
    for name in sorted(set(lines) - {pair.name for pair in source.pairs}):
        raise SynthMedError(f"{out} holds labels of {name}, which is not in {source.root}; choose another --out.")
    for line, name in itertools.product(lines.values(), settings):
        if line.get(name) != settings[name]:
            raise SynthMedError(
                f"{out} was made with {name} {line.get(name)}, not {settings[name]}; use another --out."
            )


def _read_lines(path: Path) -> dict[str, Line]:
    """The lines by name; a line that a crash cut short is ignored."""
    lines = {}
    for text in path.read_bytes().splitlines():
        with contextlib.suppress(ValueError, TypeError, KeyError):
            line = json.loads(text)
            lines[str(line["name"])] = line
    return lines


def _label_all(
    labelling: _Labelling, source: Source, finished: dict[str, Line], progress: Callable[[int, int], None]
) -> list[Line | str]:
    """A line or a failure for each photograph, in order; photographs are labelled in parallel."""
    results: list[Line | str] = []
    pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1))
    try:
        with open(labelling.out / LINES, "a", encoding="utf-8") as lines:
            lines.write("\n")  # ends a line that a crash cut short
            for result in pool.map(lambda pair: _label(labelling, pair, finished.get(pair.name)), source.pairs):
                results.append(result)
                if isinstance(result, dict):
                    lines.write(json.dumps(result) + "\n")
                    lines.flush()
                progress(len(results), len(source.pairs))
    finally:
        pool.shutdown(cancel_futures=True)
    return results


def _label(labelling: _Labelling, pair: Pair, line: Line | None) -> Line | str:
    """Labels one photograph, unless its line says that it is done. Returns the line, or the reason of a failure."""
    image, mask, fov = _files(labelling.out, pair)
    try:
        known = {"photograph_sha256": _readable_sha256(pair.photograph)} | labelling.settings
        if line is not None and line.get("photograph_sha256") == known["photograph_sha256"]:
            return line
        for old in (image, mask, fov):
            old.unlink(missing_ok=True)
        vessels = find_vessels(labelling.segmenter, pair, **labelling.options)
        share = _plausible_share(pair, vessels)
    except SynthMedError as error:
        return str(error)
    content = image_files.encode_png(vessels.mask)
    files.write_bytes(mask, content)
    if not vessels.fov.all():
        files.write_bytes(fov, image_files.encode_png(vessels.fov))
    with open(pair.photograph, "rb") as original, files.replaced_file(image) as copy:
        shutil.copyfileobj(original, copy)
    return {
        "name": pair.name,
        "width": vessels.fov.shape[1],
        "height": vessels.fov.shape[0],
        "vessel_share": round(share, 5),
        "confidence": round(segmentation.expected_dice(vessels.probability, vessels.mask), 5),
        "mask_sha256": hashlib.sha256(content).hexdigest(),
    } | known


def _files(out: Path, pair: Pair) -> tuple[Path, Path, Path]:
    return out / "images" / pair.photograph.name, out / "masks" / f"{pair.name}.png", out / "fov" / f"{pair.name}.png"


def _readable_sha256(path: Path) -> str:
    try:
        return files.sha256(path)
    except OSError as error:
        raise SynthMedError(f"{path} could not be opened ({error.strerror}); check its name and rights.") from error


def _plausible_share(pair: Pair, vessels: Vessels) -> float:
    """The share of the field of view that is vessel; refuses shares that training would refuse."""
    share, kind = float(vessels.mask.sum() / vessels.fov.sum()), pair.kind
    if not 0 < share <= kind.most:
        raise SynthMedError(
            f"{pair.photograph}: the segmenter finds {share:.0%} {kind.noun} in the {kind.place}; remove it, or train "
            "for longer."
        )
    return share


def _write_preview(out: Path, facts: list[Line], kind: ImageKind) -> None:
    """Photographs, each with its mask as an overlay on its right: the 24 least confident ones, by confidence."""
    shown = sorted(facts, key=lambda line: line["confidence"])[:_SHOWN]
    pairs = {pair.name: pair for pair in find_pairs(out, kind=kind).pairs}
    samples = load_samples([pairs[line["name"]] for line in shown], _SHOWN_SIDE)
    cells = [_cell(sample, line["confidence"]) for sample, line in zip(samples, shown, strict=True)]
    sheet = image_files.grid(np.stack(cells), _SHOWN_COLUMNS)
    files.write_bytes(out / "preview.png", image_files.encode_png(sheet))


def _cell(sample: Sample, confidence: float) -> np.ndarray:
    """`(side, 2 side, 3)`, uint8; the sample has a mask."""
    assert sample.mask is not None
    marked = sample.image // 2 + np.array([0, 127, 127], np.uint8)
    cell = Image.fromarray(np.hstack([sample.image, np.where(sample.mask >= 128, marked, sample.image)]))
    ImageDraw.Draw(cell).text((2, 1), f"{sample.name}  {confidence:.3f}", fill="white")
    return np.asarray(cell)
