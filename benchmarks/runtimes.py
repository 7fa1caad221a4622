"""The same 64 images in every runtime: are they the same, how fast, and in how much memory?

    python benchmarks/runtimes.py --model MODEL

Each runtime generates in its own process, one after the other, in batches of 8. Mask pixels and grey levels are
compared with the SavedModel in TensorFlow. `npm ci` in tests/web installs ONNX Runtime Web.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import record
import runtime_worker

from synthmed_tf.exporting import artifact

WEB = Path(__file__).resolve().parents[1] / "tests" / "web"
PYTHON = ("savedmodel", "onnx", "openvino", "openvino-savedmodel", "onnx-fp16", "onnx-int8")
BROWSER = {"node": "wasm", "chromium": "wasm", "chromium-webgpu": "webgpu", "chromium-webgpu-latent": "webgpu"}
NAMES = {
    "savedmodel": "TensorFlow, SavedModel",
    "onnx": "ONNX Runtime",
    "openvino": "OpenVINO, from the ONNX file",
    "openvino-savedmodel": "OpenVINO, from the SavedModel",
    "node": "ONNX Runtime Web (wasm), Node.js",
    "chromium": "ONNX Runtime Web (wasm), Chromium",
    "chromium-webgpu": "ONNX Runtime Web (WebGPU in software), Chromium",
    "chromium-webgpu-latent": "the same, `generator_from_latent.onnx`",
    "onnx-fp16": "ONNX Runtime, float16 file",
    "onnx-int8": "ONNX Runtime, int8 file",
}
Generated = tuple[dict[str, np.ndarray], dict[str, Any]]


def main() -> None:
    """Generates everywhere, and writes JSON and table."""
    options = _options()
    rows, reference = {}, None
    for runtime in options.runtimes:
        try:
            images, facts = generate(runtime, options.model, options.batch_size, options.threads)
        except (subprocess.SubprocessError, OSError) as error:
            rows[runtime] = {"failed": _last_line(error)}
        else:
            reference = reference or images
            rows[runtime] = facts | compared(images, reference)
        print(runtime, json.dumps(rows[runtime]), file=sys.stderr, flush=True)
    about = {"images": runtime_worker.IMAGES, "batch": options.batch_size, "threads": options.threads}
    about["size"] = artifact.read_card(options.model)["size"]
    record.save("runtimes", about | {"runtimes": rows}, _table(rows), options.out)


def generate(runtime: str, model: Path, batch: int = 8, threads: int = 1) -> Generated:
    """Generates the images of `runtime_worker.numbers` in a runtime's own process.

    Returns:
        `mask` and `image`, uint8; and `opened, s`, `seconds` of each batch, `peak memory, MB`.

    Raises:
        subprocess.CalledProcessError: the runtime failed; `stderr` says why.
    """
    with tempfile.TemporaryDirectory() as folder:
        by = _in_python if runtime in PYTHON else _in_javascript
        return by(runtime, Path(model).resolve(), batch, threads, Path(folder))


def compared(images: dict[str, np.ndarray], reference: dict[str, np.ndarray]) -> dict[str, float]:
    """Share of the mask pixels that differ, and the largest and the mean difference of images in grey levels."""
    apart = np.abs(images["image"].astype(int) - reference["image"])
    share = float(np.mean(images["mask"] != reference["mask"]))
    return {"mask_share": share, "grey_levels": int(apart.max()), "mean_grey_levels": float(apart.mean())}


def environment(threads: int) -> dict[str, str]:
    """For a Python worker: this checkout, and so many threads."""
    path = os.pathsep.join(filter(None, [str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH")]))
    count = {"OMP_NUM_THREADS": str(threads), "TF_NUM_INTRAOP_THREADS": str(threads)}
    return os.environ | count | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": path}


def _in_python(runtime: str, model: Path, batch: int, threads: int, folder: Path) -> Generated:
    file, worker = folder / "generated.npz", Path(runtime_worker.__file__)
    command = [sys.executable, str(worker), runtime, str(model), str(batch)]
    given = {"input": f"{file}\n", "capture_output": True, "text": True, "check": True, "env": environment(threads)}
    facts, timed = (json.loads(line) for line in subprocess.run(command, **given).stdout.splitlines()[-2:])
    with np.load(file) as images:
        return dict(images), facts | timed


def _in_javascript(runtime: str, model: Path, batch: int, threads: int, folder: Path) -> Generated:
    latent = runtime.endswith("-latent")
    inputs = _latents(model) if latent else _integers()
    parts = [slice(start, start + batch) for start in range(0, runtime_worker.IMAGES, batch)]
    batches = [{name: _input(kind, values[part]) for name, (kind, values) in inputs.items()} for part in parts]
    job = {"provider": BROWSER[runtime], "threads": threads, "batches": batches}
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    script = WEB / ("node.mjs" if runtime == "node" else "chromium.mjs")
    file = model / (artifact.ONNX_LATENT if latent else artifact.ONNX)
    command = ["node", str(script), str(file), str(folder / "job.json"), str(folder)]
    subprocess.run(command, capture_output=True, text=True, check=True, timeout=1_200)
    size = artifact.read_card(model)["size"]

    def read(name: str, channels: int) -> np.ndarray:
        content = b"".join((folder / f"{i}.{name}").read_bytes() for i in range(len(parts)))
        return np.frombuffer(content, np.uint8).reshape(-1, size, size, channels)

    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    facts["opened, s"], facts["first batch, s"] = facts.pop("opened"), facts["seconds"][0]
    return {"mask": read("mask", 1), "image": read("image", 3)}, facts


def _integers() -> dict[str, tuple[str, np.ndarray]]:
    pair = runtime_worker.numbers(runtime_worker.IMAGES)
    return {name: ("int64", values) for name, values in zip(("seed", "index"), pair, strict=True)}


def _latents(model: Path) -> dict[str, tuple[str, np.ndarray]]:
    import tensorflow as tf

    from synthmed_tf.models import latents

    card = artifact.read_card(model)
    pair = [tf.constant(numbers) for numbers in runtime_worker.numbers(runtime_worker.IMAGES)]
    distribution = card["config"]["stage1"]["latent"]
    generated = {"latent": latents.sample(*pair, card["latent_dim"], latents.LATENT, distribution)}
    if card["style_dim"]:
        generated["style"] = latents.sample(*pair, card["style_dim"], latents.STYLE)
    return {name: ("float32", values.numpy()) for name, values in generated.items()}


def _input(kind: str, values: np.ndarray) -> dict[str, Any]:
    convert: Callable = str if kind == "int64" else float  # JavaScript's numbers have 53 bits
    return {"type": kind, "dims": list(values.shape), "data": [convert(value) for value in values.ravel()]}


def _table(rows: dict[str, dict[str, Any]]) -> str:
    header = ["runtime", "mask pixels that differ", "grey levels, at most", "on average", "images a second"]
    header += ["opened, s", "first batch, s", "peak memory, MB"]
    lines = []
    for runtime, row in rows.items():
        if "failed" in row:
            lines.append([NAMES[runtime], *["–"] * 7])
            continue
        speed = runtime_worker.IMAGES / len(row["seconds"]) / statistics.median(row["seconds"])
        line = [NAMES[runtime], f"{row['mask_share']:.1e}", row["grey_levels"], f"{row['mean_grey_levels']:.1e}"]
        line += [f"{speed:.1f}", f"{row['opened, s']:.1f}", f"{row['first batch, s']:.2f}"]
        lines.append([*line, f"{row['peak memory, MB']:.0f}"])
    return record.table(header, lines)


def _last_line(error: BaseException) -> str:
    said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
    return next((line for line in said if "Error" in line), said[-1] if said else "no word")[:300]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    usual = [name for name in NAMES if "webgpu" not in name]  # without a graphics card it takes a minute a batch
    parser.add_argument("--model", type=Path, required=True, help="an artifact, best exported in every --format")
    parser.add_argument("--runtimes", nargs="+", choices=NAMES, default=usual, help="the first is compared with")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, default=record.RESULTS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
