"""Writes the chained generator as ONNX files: as a function of (seed, index), and as a function of the latent."""

import json
import logging
from pathlib import Path
from typing import Any

from synthmed_tf.config.image_kind import kind_of
from synthmed_tf.models.chained_generator import Chain

OPSET = 18


def write_onnx(chain: Chain, file: Path, card: dict[str, Any], function: str = "pixels") -> None:
    """Writes `pixels` or `from_latent` as ONNX (opset 18), checked, with its metadata filled in."""
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    traced = getattr(chain, function)
    model, _ = tf2onnx.convert.from_function(traced, input_signature=traced.input_signature, opset=OPSET)
    kind = kind_of(card["data"])
    what = "retinal images" if kind.structures == "vessels" else "images"
    model.doc_string = f"Labelled synthetic {what}: {_GENERATED_FROM[function]} to {kind.mask} and image."
    save(model, file, card)


def save(model: Any, file: Path, card: dict[str, Any], precision: str = "float32") -> None:
    """Checks an `onnx.ModelProto`, adds its metadata, and writes it."""
    import onnx

    model.domain, model.model_version = "synthmed", 1
    facts = {
        "name": card["name"],
        "model_sha256": card["model_sha256"],
        "precision": precision,
        "license": card["license"],
        "training_data": json.dumps(card["data"]),
        "synthetic": "yes",
        "Image.BitmapPixelFormat": "Rgb8",
        "Image.ColorSpaceGamma": "SRGB",
        "Image.NominalPixelRange": "NominalRange_0_255",
    }
    onnx.helper.set_model_props(model, facts)
    onnx.checker.check_model(model, full_check=True)
    file.write_bytes(model.SerializeToString())


_GENERATED_FROM = {"pixels": "(seed, index)", "from_latent": "latent and style"}
