"""One runtime in its own process: opens an artifact and generates the images.

    python benchmarks/runtime_worker.py onnx MODEL 8

`runtimes.py` starts it. It prints a JSON object about itself, reads the name of a file (`.npz`), writes the images of
`numbers` there, and prints a second object.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

IMAGES = 64
Pixels = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def main() -> None:
    """Opens, generates two batches, and then the images."""
    runtime, model, batch = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    started = time.perf_counter()
    pixels = opened(runtime, model)
    facts = {"opened, s": time.perf_counter() - started}
    first = time.perf_counter()
    pixels(*numbers(batch))
    facts |= {"first batch, s": time.perf_counter() - first}
    pixels(*numbers(batch))
    print(json.dumps(facts), flush=True)
    seconds = _saved(pixels, batch, input())
    print(json.dumps({"seconds": seconds, "peak memory, MB": _peak_memory()}))


def numbers(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Seeds, negative ones too, and indices of the images that are compared: `(count,)` int64 within 32 bits."""
    place = np.arange(count, dtype=np.int64)
    return place * 7_919 - 200_000, place * 31_337_007


def opened(runtime: str, model: Path) -> Pixels:
    """The function (seed, index) to masks and images."""
    if runtime == "openvino-savedmodel":
        return _openvino_savedmodel(model)
    from synthmed_tf.exporting.artifact import open_artifact

    return open_artifact(model, runtime).pixels


def _saved(pixels: Pixels, batch: int, file: str) -> list[float]:
    """Seconds of each batch."""
    seed, index = numbers(IMAGES)
    generated, seconds = [], []
    for start in range(0, IMAGES, batch):
        started = time.perf_counter()
        generated.append(pixels(seed[start : start + batch], index[start : start + batch]))
        seconds.append(time.perf_counter() - started)
    masks, images = zip(*generated, strict=True)
    np.savez(file, mask=np.concatenate(masks), image=np.concatenate(images))
    return seconds


def _openvino_savedmodel(model: Path) -> Pixels:
    """`serving_default` without PNG encoding, which OpenVINO does not implement."""
    import openvino
    from openvino.frontend import ConversionExtension

    from synthmed_tf.exporting.artifact import SAVEDMODEL

    core, compiled = openvino.Core(), {}
    core.add_extension(ConversionExtension("EncodePng", lambda node: [node.get_input(0)]))
    read = core.read_model(model / SAVEDMODEL)

    def pixels(seed, index):
        count = len(seed)
        if count not in compiled:
            read.reshape({"seed": [count], "index": [count]})
            compiled[count] = core.compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        generated = compiled[count]({"seed": seed, "index": index})
        return generated["mask_bytes"], generated["image_bytes"]

    return pixels


def _peak_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
