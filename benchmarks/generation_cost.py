"""The cost of a pair at a size, before an artifact of that size is trained: operations, time on this machine, bytes.

    python benchmarks/generation_cost.py --size 512 --images DATA/chase_db1

Time and operations do not depend on the weights. The bytes of the images do, so they are those of real pairs,
resampled to the size.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from synthmed_tf import images
from synthmed_tf.config.schema import load_config
from synthmed_tf.data.sources import find_pairs
from synthmed_tf.models import factory
from synthmed_tf.models.chained_generator import Chain


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--preset", default="gan")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--batches", type=int, default=5)
    parser.add_argument("--images", type=Path, help="Real pairs, for the bytes.")
    given = parser.parse_args()
    config = load_config(given.preset, overrides=(f"size={given.size}",))
    fov = np.full((given.size, given.size, 1), 255, np.uint8)
    chain = Chain(config, factory.mask_generator(config), factory.image_generator(config), 0.0, fov)
    found = {"size": given.size, "preset": given.preset, "gflop_a_pair": round(count(chain.pixels) / 1e9, 2)}
    found["pairs_a_second"] = round(speed(chain, given.batch_size, given.batches), 3)
    if given.images:
        found |= png_bytes(given.images, given.size)
    print(json.dumps(found))


def count(pixels) -> float:
    """Floating-point operations of a pair; a multiplication with its addition is two."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
    from tensorflow.python.profiler import model_analyzer, option_builder

    one = tf.function(
        lambda seed, index: pixels(seed, index),
        input_signature=[tf.TensorSpec((1,), tf.int64, name) for name in ("seed", "index")],
    )
    graph = convert_variables_to_constants_v2(one.get_concrete_function()).graph
    options = option_builder.ProfileOptionBuilder(option_builder.ProfileOptionBuilder.float_operation())
    return model_analyzer.profile(graph, options=options.with_empty_output().build()).total_float_ops


def speed(chain: Chain, batch_size: int, batches: int) -> float:
    """Pairs a second, after the first batch."""
    index = tf.range(batch_size, dtype=tf.int64)
    chain.pixels(tf.zeros_like(index), index)
    start = time.perf_counter()
    for _ in range(batches):
        chain.pixels(tf.zeros_like(index), index)
    return batch_size * batches / (time.perf_counter() - start)


def png_bytes(folder: Path, size: int) -> dict[str, float]:
    """Mean bytes of real photographs and masks, as `images.encode_png` writes them, and its milliseconds a pair."""
    totals = {"image_png_bytes": 0, "mask_png_bytes": 0, "png_milliseconds": 0}
    pairs = find_pairs(folder).pairs
    for pair in pairs:
        photograph = tf.image.resize(images.read_image(pair.photograph)[..., :3], (size, size), "area").numpy()
        vessels = (images.read_image(pair.mask)[..., :1] > 0).astype(np.uint8) * 255
        mask = tf.image.resize(vessels, (size, size), "nearest").numpy()
        start = time.process_time()
        totals["image_png_bytes"] += len(images.encode_png(np.round(photograph).astype(np.uint8)))
        totals["mask_png_bytes"] += len(images.encode_png(mask))
        totals["png_milliseconds"] += 1000 * (time.process_time() - start)
    return {name: round(total / len(pairs)) for name, total in totals.items()}


if __name__ == "__main__":
    main()
