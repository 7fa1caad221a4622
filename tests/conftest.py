"""What several test files share."""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
import tensorflow as tf  # noqa: E402

# Two logical CPUs stand for two replicas; they must be made before TensorFlow starts.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Each test has the same random numbers, alone or among others."""
    keras.utils.set_random_seed(0)
    np.random.seed(0)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of public data sets (chase_db1/, hrf/): SYNTHMED_DATA, or ../shared/data beside the repository."""
    folder = Path(os.environ.get("SYNTHMED_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    if not (folder / "chase_db1").is_dir() or not (folder / "hrf").is_dir():
        pytest.skip(f"no chase_db1/ and hrf/ in {folder}; set SYNTHMED_DATA")
    return folder
