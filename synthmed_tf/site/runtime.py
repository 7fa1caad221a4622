"""ONNX Runtime Web, which generates in the browser: from a local npm install, at the version that was tried."""

import json
import os
import shutil
from pathlib import Path

from synthmed_tf.errors import SynthMedError

VERSION = "1.30.0"
_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")


def place(package: Path, out: Path) -> int:
    """Copies what a page needs of it.

    Args:
        package: the package's folder, such as `node_modules/onnxruntime-web`.
        out: folder to copy into.

    Returns:
        Bytes of what was copied.

    Raises:
        SynthMedError: the folder holds something else, or another version.
    """
    install = f"run npm install onnxruntime-web@{VERSION} and name node_modules/onnxruntime-web"
    try:
        described = json.loads((package / "package.json").read_text(encoding="utf-8"))
        name, version = described["name"], described["version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SynthMedError(f"--onnxruntime-web {package} is not an npm package; {install}.") from error
    if (name, version) != ("onnxruntime-web", VERSION):
        raise SynthMedError(f"--onnxruntime-web {package} is {name} {version}; {install}.")
    out.mkdir(parents=True, exist_ok=True)
    for file in _FILES:
        try:
            shutil.copyfile(package / "dist" / file, out / file)
        except OSError as error:
            raise SynthMedError(f"{package / 'dist' / file} cannot be copied ({error.strerror}); {install}.") from error
        os.chmod(out / file, 0o644)
    return sum((out / file).stat().st_size for file in _FILES)
