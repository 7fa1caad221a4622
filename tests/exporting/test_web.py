"""ONNX Runtime Web generates the images of TensorFlow: in Node.js, and in headless Chromium."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import runtimes

from synthmed_tf.exporting import artifact, exporter, parity

if shutil.which("node") is None:
    pytest.skip("no node on the path", allow_module_level=True)
if not (runtimes.WEB / "node_modules").is_dir():
    pytest.skip("no packages in tests/web: run npm ci there", allow_module_level=True)


@pytest.fixture(scope="module")
def reference(tiny_artifact):
    """Of TensorFlow."""
    pair = artifact.open_artifact(tiny_artifact, "savedmodel").pixels(*runtimes.runtime_worker.numbers(64))
    return dict(zip(("mask", "image"), pair, strict=True))


@pytest.fixture
def chromium():
    if not Path(os.environ.get("CHROMIUM") or "/usr/bin/chromium").exists():
        pytest.skip("no Chromium; CHROMIUM names its program")


def _assert_same(images, reference):
    assert len(np.unique(images["image"].reshape(64, -1), axis=0)) == 64
    compared = runtimes.compared(images, reference)
    assert compared["mask_share"] <= parity.MOST_MASK_SHARE and compared["grey_levels"] <= parity.MOST_GREY_LEVELS


def test_wasm_in_node(tiny_artifact, reference):
    images, facts = runtimes.generate("node", tiny_artifact, batch=24)
    _assert_same(images, reference)
    assert len(facts["seconds"]) == 3 and facts["versions"]["onnxruntime-web"] == "1.30.0"


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["chromium", "chromium-webgpu"])
def test_chromium(chromium, tiny_artifact, reference, runtime):
    images, facts = runtimes.generate(runtime, tiny_artifact, batch=32)
    _assert_same(images, reference)
    assert facts["isolated"] and "Chrom" in facts["versions"]["chromium"]


@pytest.mark.slow
def test_the_latent_file_in_webgpu(chromium, tiny_run, reference, tmp_path):
    exporter.export(tiny_run, tmp_path / "model", ("onnx-latent",))
    _assert_same(runtimes.generate("chromium-webgpu-latent", tmp_path / "model", batch=32)[0], reference)
