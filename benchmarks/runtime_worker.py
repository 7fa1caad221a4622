"""One runtime in a process of its own: opens an artifact, and draws batches when told.

    python benchmarks/runtime_worker.py onnx MODEL 8

`runtimes.py` and `inference.py` start it. It prints a JSON object about itself. For each line that it reads it prints
another one: a number draws so many batches, anything else is a file (`.npz`) that the pictures of `numbers` go to.
The runtime `matmul` multiplies matrices instead of drawing.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

PICTURES = 64
Pixels = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
_SIDE = 2048
MATMUL_GFLOP = 2 * _SIDE**3 / 1e9


def main() -> None:
    """Opens, draws two batches, and then serves."""
    runtime, model, batch = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    started = time.perf_counter()
    pixels = _matmul() if runtime == "matmul" else opened(runtime, model)
    facts = {"opened, s": time.perf_counter() - started}
    first = time.perf_counter()
    pixels(*numbers(batch))
    facts |= {"first batch, s": time.perf_counter() - first}
    pixels(*numbers(batch))
    print(json.dumps(facts), flush=True)
    for line in sys.stdin:
        seconds = _timed(pixels, batch, int(line)) if line.strip().isdigit() else _saved(pixels, batch, line.strip())
        print(json.dumps({"seconds": seconds, "peak memory, MB": _peak_memory()}), flush=True)


def numbers(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Seeds, negative ones too, and indices of the pictures that are compared: `(count,)` int64 within 32 bits."""
    place = np.arange(count, dtype=np.int64)
    return place * 7_919 - 200_000, place * 31_337_007


def opened(runtime: str, model: Path) -> Pixels:
    """The function (seed, index) to masks and photographs."""
    if runtime == "openvino-savedmodel":
        return _openvino_savedmodel(model)
    if runtime == "savedmodel-frozen":
        return _frozen(model)
    from synthmed_tf.artifact import open_artifact

    return open_artifact(model, runtime).pixels


def _timed(pixels: Pixels, batch: int, times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        pixels(*numbers(batch))
    return time.perf_counter() - started


def _saved(pixels: Pixels, batch: int, file: str) -> list[float]:
    """Seconds of each batch."""
    seed, index = numbers(PICTURES)
    drawn, seconds = [], []
    for start in range(0, PICTURES, batch):
        started = time.perf_counter()
        drawn.append(pixels(seed[start : start + batch], index[start : start + batch]))
        seconds.append(time.perf_counter() - started)
    masks, photographs = zip(*drawn, strict=True)
    np.savez(file, mask=np.concatenate(masks), image=np.concatenate(photographs))
    return seconds


def _openvino_savedmodel(model: Path) -> Pixels:
    """`serving_default`, with the encoding of PNG left out, of which OpenVINO knows nothing."""
    import openvino
    from openvino.frontend import ConversionExtension

    from synthmed_tf.artifact import SAVEDMODEL

    core, compiled = openvino.Core(), {}
    core.add_extension(ConversionExtension("EncodePng", lambda node: [node.get_input(0)]))
    read = core.read_model(model / SAVEDMODEL)

    def pixels(seed, index):
        count = len(seed)
        if count not in compiled:
            read.reshape({"seed": [count], "index": [count]})
            compiled[count] = core.compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        drawn = compiled[count]({"seed": seed, "index": index})
        return drawn["mask_bytes"], drawn["image_bytes"]

    return pixels


def _frozen(model: Path) -> Pixels:
    """The SavedModel with its variables as constants."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    from synthmed_tf.artifact import SAVEDMODEL

    loaded = tf.saved_model.load(str(model / SAVEDMODEL))
    frozen = convert_variables_to_constants_v2(loaded.signatures["pixels"])
    order = [tensor.name.split(":")[0] for tensor in frozen.inputs]

    def pixels(seed, index):
        given = {"seed": tf.constant(seed), "index": tf.constant(index)}
        drawn = sorted(frozen(*(given[name] for name in order)), key=lambda tensor: tensor.shape[-1])
        return drawn[0].numpy(), drawn[1].numpy()

    return pixels


def _matmul() -> Pixels:
    """A product of 2,048 x 2,048 in TensorFlow: 2 n^3 operations."""
    import tensorflow as tf

    a, b = tf.random.normal((_SIDE, _SIDE)), tf.random.normal((_SIDE, _SIDE))
    return lambda seed, index: tf.matmul(a, b)[0, 0].numpy()


def _peak_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
