"""Smaller ONNX files with a measured loss: Stage-II's convolutions in float16 or int8.

Stage-I stays in float32, and so does the mask, which is the label: (model, seed, index) keeps its mask to the last
pixel. In Stage-II the first and the last convolution stay too, and all that follows the last one.
"""

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from synthmed_tf.exporting import onnx_graph

CALIBRATION_IMAGES = 32
"""Generated from (seed, index); no real image is needed, since Stage-II's inputs are what Stage-I generates."""

_CONVOLUTIONS = ("Conv", "ConvTranspose")
_CALIBRATION_SEED, _BATCH = 77_003, 4


def write(float_file: Path, file: Path, card: dict[str, Any], runtime: str) -> None:
    """Writes the reduced form of `generator.onnx`.

    Args:
        float_file: the ONNX file of `pixels` in float32.
        file: where to.
        card: of the artifact.
        runtime: `onnx-fp16` or `onnx-int8`.
    """
    model = {"onnx-fp16": _in_float16, "onnx-int8": _in_int8}[runtime](float_file)
    onnx_graph.save(model, file, card, {"onnx-fp16": "float16", "onnx-int8": "int8"}[runtime])


def inner_convolutions(model: Any) -> list[str]:
    """Names of Stage-II's convolutions but for the first and the last, in the order of the graph.

    Stage-II is what the photograph depends on and the mask does not.
    """
    stage2 = _ancestors(model, "image") - _ancestors(model, "mask")
    nodes = [node for i, node in enumerate(model.graph.node) if i in stage2 and node.op_type in _CONVOLUTIONS]
    return [node.name for node in nodes][1:-1]


def _ancestors(model: Any, output: str) -> set[int]:
    """Positions of the nodes that an output of the graph depends on; the graph is sorted."""
    needed, found = {output}, set()
    for i in reversed(range(len(model.graph.node))):
        node = model.graph.node[i]
        if needed.intersection(node.output):
            found.add(i)
            needed.update(node.input)
    return found


def _in_float16(float_file: Path) -> Any:
    """The inner convolutions and their weights in float16, between casts: all else could overflow and gains nothing.

    onnxconverter-common would put casts between the operations that it is told to leave as they are, too: 1 mask pixel
    in 8,000 changed.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(float_file))
    halved, weights = set(inner_convolutions(model)), {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        if node.name not in halved:
            nodes.append(node)
            continue
        features, result = node.input[0], node.output[0]
        for position, name in enumerate(node.input[1:], start=1):
            node.input[position] = f"{name}/float16"
            half = numpy_helper.to_array(weights[name]).astype(np.float16)
            model.graph.initializer.append(numpy_helper.from_array(half, node.input[position]))
        node.input[0], node.output[0] = f"{node.name}/features", f"{node.name}/result"
        nodes.append(helper.make_node("Cast", [features], [node.input[0]], to=TensorProto.FLOAT16))
        nodes.append(node)
        nodes.append(helper.make_node("Cast", [node.output[0]], [result], to=TensorProto.FLOAT))
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    for field, values in (("node", nodes), ("initializer", kept)):
        model.graph.ClearField(field)
        getattr(model.graph, field).extend(values)
    return model


def _in_int8(float_file: Path) -> Any:
    """Static quantization (QDQ, signed, a scale for each output channel), calibrated on generated images."""
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    logging.getLogger().setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        prepared, quantized = Path(folder) / "prepared.onnx", Path(folder) / "quantized.onnx"
        # Symbolic shapes would need SymPy, and a graph of convolutions has no use for them.
        quant_pre_process(float_file, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            quantized,
            _Generated(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QInt8,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_quantize=inner_convolutions(onnx.load(str(prepared))),
        )
        return onnx.load(str(quantized))


def _calibration() -> Iterator[dict[str, np.ndarray]]:
    for start in range(0, CALIBRATION_IMAGES, _BATCH):
        index = np.arange(start, start + _BATCH, dtype=np.int64)
        yield {"seed": np.full_like(index, _CALIBRATION_SEED), "index": index}


class _Generated:
    """What ONNX Runtime reads calibration inputs from."""

    def __init__(self):
        self._batches = _calibration()

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)
