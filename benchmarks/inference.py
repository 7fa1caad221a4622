"""Inference in each runtime, compared with the machine's matrix products.

    python benchmarks/inference.py
    python benchmarks/inference.py --presets recommended --batch-size 4 --out DIR

The generators of the presets at 256 x 256 after one step of training: their images are useless, but take as long as
those of trained generators. That of `recommended` is `retina`, at 512 x 512. Matrix product and runtimes alternate,
each in its own process. A runtime's speed is the median over its batches, a ratio the median over the rounds.
"""

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

import machine
import numpy as np
import record
import runtimes

from synthmed_tf.config.schema import load_config
from synthmed_tf.exporting import artifact, exporter

PRESETS = ("gan", "paper", "recommended")
RUNTIMES = ("savedmodel", "onnx", "openvino")
_GOALS = {"savedmodel": 0.75, "best": 0.85}
_GOALS_OF = {"recommended": {"savedmodel": 0.6, "best": 0.7}}


def main() -> None:
    """Makes the models, generates, and writes JSON and table."""
    options = _options()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for preset in options.presets:
            made = model(preset, options.size, Path(options.models or folder))
            results[preset] = _measured(made, options)
            print(preset, results[preset], file=sys.stderr, flush=True)
    about = {"batch": options.batch_size, "threads": options.threads, "rounds": options.rounds}
    record.save("inference", about | {"presets": results}, _table(results), options.out)


def model(preset: str, size: int, folder: Path) -> Path:
    """The artifact of a preset after one step on the built-in set, or `retina`; an existing one is reused."""
    from synthmed_tf.exporting import pretrained
    from synthmed_tf.training import run

    if preset == "recommended":
        return pretrained.located("retina")
    made = folder / f"{preset}-{size}"
    if not (made / artifact.CARD).exists():
        small = [f"size={size}", "stage1.steps=1", "stage2.steps=1", "data.validation_share=0"]
        config = load_config(preset, overrides=(*small, "stage1.batch_size=8", "stage2.batch_size=2"))
        run.train(config, "phantom", folder / f"{made.name}-run", run.GANS, print)
        exporter.export(folder / f"{made.name}-run", made, ("savedmodel", "onnx"))
    return made


def operations(file: Path) -> float:
    """Floating-point operations of one image: two for each multiplication in convolutions and matrix products."""
    import onnx

    model = onnx.load(file)
    for given in model.graph.input:  # one image, of which guidance makes two
        given.type.tensor_type.shape.dim[0].dim_value = 1
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {value.name: _shape(value) for value in (*graph.value_info, *graph.output)}
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for node in graph.node:  # a compact artifact stores weights in float16 and in another order
        if node.op_type in ("Cast", "Transpose", "Reshape") and node.input[0] in weights:
            weights[node.output[0]] = weights[node.input[0]]
    total = 0
    for node in graph.node:
        if node.op_type == "Conv":
            batch, _, *pixels = shapes[node.output[0]]
            total += 2 * np.prod(weights[node.input[1]]) * np.prod(pixels) * max(1, batch)
        elif node.op_type == "ConvTranspose":
            total += 2 * np.prod(weights[node.input[1]]) * np.prod(shapes[node.input[0]][2:])
        elif node.op_type in ("MatMul", "Gemm") and node.input[1] in weights:
            total += 2 * np.prod(weights[node.input[1]])
    return float(total)


def _shape(value) -> tuple[int, ...]:
    return tuple(dimension.dim_value for dimension in value.type.tensor_type.shape.dim)


def _measured(made: Path, options: argparse.Namespace) -> dict:
    work = operations(made / artifact.ONNX) / 1e9
    rounds = []
    for _ in range(options.rounds):
        peak = machine.measure(options.threads)["matmul, GFLOP/s"]
        speeds = {runtime: _speed(runtime, made, options) for runtime in options.runtimes}
        rounds.append({"matmul, GFLOP/s": peak, "img/s": speeds})
    share = {
        runtime: statistics.median(one["img/s"][runtime] * work / one["matmul, GFLOP/s"] for one in rounds)
        for runtime in options.runtimes
    }
    size = artifact.read_card(made)["size"]
    return {"size": size, "GFLOP an image": work, "share": share, "rounds": rounds}


def _speed(runtime: str, made: Path, options: argparse.Namespace) -> float:
    """Images per second, after the first batch, in which runtimes compile and tune."""
    _, facts = runtimes.generate(runtime, made, options.batch_size, options.threads)
    return options.batch_size / statistics.median(facts["seconds"])


def _table(results: dict) -> str:
    header = ["preset", "runtime", "img/s", "GFLOP an image", "of the matmul peak", "goal"]
    rows = []
    for preset, one in results.items():
        best = max(one["share"], key=one["share"].get)
        for runtime, share in one["share"].items():
            speed = statistics.median(round["img/s"][runtime] for round in one["rounds"])
            goals = _GOALS_OF.get(preset, _GOALS)
            goal = goals["best"] if runtime == best else goals.get(runtime)
            row = [f"`{preset}`", runtimes.NAMES[runtime], f"{speed:.1f}", f"{one['GFLOP an image']:.2f}"]
            rows.append([*row, f"{share:.0%}", f"{goal:.0%}" if goal else "–"])
    return record.table(header, rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=PRESETS[:2])
    parser.add_argument("--runtimes", nargs="+", choices=runtimes.PYTHON, default=RUNTIMES)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--models", type=Path, help="keep the models here, to measure them again")
    parser.add_argument("--out", type=Path, default=record.RESULTS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
