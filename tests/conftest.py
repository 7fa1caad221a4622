"""What several test files share."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# There is a test process for each core.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import keras
import pytest
import tensorflow as tf

# Two logical CPUs stand for two replicas; they must be made before TensorFlow starts.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


# A file is run by one process. The longest come first, so that none is left to one process while the other waits.
LONGEST = ("test_training.py", "test_resume.py", "test_exporter.py", "test_step.py", "test_coarse_to_fine.py")
LONGEST += ("test_renderer_stages.py", "test_precision.py", "test_cli.py")


# Their code touches neither TensorFlow nor Keras, and NumPy and Pillow only in ways that all versions share.
ONE_STACK = ("data/doctor/", "repository/", "site/", "test_docs.py")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest files first, all others in their order; with Addons, without tests that the current stack covers."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))
    if keras.__version__.startswith("2."):
        config.hook.pytest_deselected(items=[item for item in items if _once(item)])
        items[:] = [item for item in items if not _once(item)]


def _once(item: pytest.Item) -> bool:
    place = item.path.relative_to(Path(__file__).parent).as_posix()
    return place.startswith(ONE_STACK) or item.get_closest_marker("once") is not None


@pytest.fixture(scope="session")
def two_replicas() -> tf.distribute.MirroredStrategy:
    """One for all tests: TensorFlow takes the collectives of a second one in a process for those of the first."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Each test has the same random numbers, alone or among others."""
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of public data sets (chase_db1/, hrf/): SYNTHMED_DATA, or ../shared/data next to the checkout."""
    folder = Path(os.environ.get("SYNTHMED_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    if not (folder / "chase_db1").is_dir() or not (folder / "hrf").is_dir():
        pytest.skip(f"no chase_db1/ and hrf/ in {folder}; set SYNTHMED_DATA")
    return folder


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that all test processes share: the first that needs it makes it, while the others wait."""
    base = factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = base / name, base / f"{name}.done"
    with open(base / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory) -> Path:
    """Four phantom pairs of 160 pixels a side. Not to be changed."""
    from helpers.phantoms import PHANTOM_SIDE

    from synthmed_tf.data.phantom import write_phantoms

    return made_once(tmp_path_factory, "set", lambda folder: write_phantoms(folder, PHANTOM_SIDE, 4, seed=5))


@pytest.fixture
def root(phantoms, tmp_path) -> Path:
    """A copy of them to change."""
    shutil.copytree(phantoms, tmp_path / "set")
    return tmp_path / "set"


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory) -> Path:
    """A run with snapshots of both stages, 32 pixels, with a style and a field of view. Not to be changed."""
    from helpers.tiny import make_run

    options = ("stage1.calibrate=true", "stage2.use_fov=true")
    return made_once(tmp_path_factory, "run", lambda folder: make_run(folder, "gan", *options))


@pytest.fixture(scope="session")
def tiny_artifact(tiny_run, tmp_path_factory) -> Path:
    """Its artifact in both formats. Not to be changed."""
    from synthmed_tf.exporting.exporter import export

    return made_once(tmp_path_factory, "model", lambda folder: export(tiny_run, folder, license="CC BY 4.0"))


@pytest.fixture(scope="session")
def tiny_chain(tiny_run):
    """Its chain in Keras."""
    from synthmed_tf.exporting import exporter
    from synthmed_tf.training import snapshot

    parts = (snapshot.load(tiny_run / stage / "snapshot") for stage in ("stage1", "stage2"))
    return exporter.make_chain(*parts, tiny_run)
