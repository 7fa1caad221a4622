"""The optional packages, by the extra of setup.cfg that installs them."""

import importlib.util

from synthmed_tf.errors import SynthMedError

EXTRAS = {
    "abfs": ("adlfs", "upath"),
    "beam": ("apache_beam",),
    "dicom": ("pydicom", "highdicom"),
    "evaluate": ("skan", "matplotlib", "jinja2"),
    "gs": ("gcsfs", "upath"),
    "openvino": ("openvino",),
    "ray": ("ray",),
    "repository": ("tuf", "cryptography", "urllib3", "mlcroissant", "jinja2"),
    "s3": ("s3fs", "upath"),
    "spark": ("pyspark",),
    "serving": ("tensorflow_serving", "grpc", "starlette", "uvicorn", "prometheus_client", "requests"),
}
"""What each extra makes importable."""


def require_extra(name: str) -> None:
    """Checks that the packages of an extra are installed; imports none of them.

    Args:
        name: one of `EXTRAS`.

    Raises:
        SynthMedError: a package is missing; the sentence names it and the command that installs it.
    """
    missing = [module for module in EXTRAS[name] if importlib.util.find_spec(module) is None]
    if missing:
        raise SynthMedError(
            f"This needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed; run "
            f'pip install "synthmed-tf[{name}]".'
        )
