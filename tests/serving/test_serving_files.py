"""What `export/serving` ships for TensorFlow Serving."""

import re

import pytest
import yaml

pytest.importorskip("tensorflow_serving", reason="needs the extra serving")

from google.protobuf import text_format
from helpers.paths import ROOT
from tensorflow_serving.config import model_server_config_pb2

from synthmed_tf.serving.limits import BATCH_SIZES
from synthmed_tf.serving.metrics import PATH

FOLDER = ROOT / "export" / "serving"


def test_the_models_are_what_the_official_class_reads():
    text = (FOLDER / "models.config").read_text()
    (model,) = text_format.Parse(text, model_server_config_pb2.ModelServerConfig()).model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == ("synthmed", "/models/synthmed", "tensorflow")
    assert list(model.model_version_policy.specific.versions) == [1, 2]
    assert dict(model.version_labels) == {"stable": 1, "next": 2}


def test_batches_are_of_the_sizes_that_are_warmed_up():
    """tensorflow-serving-api has no class for this file nor for the next."""
    text = (FOLDER / "batching.config").read_text()
    assert [int(size) for size in re.findall(r"^allowed_batch_sizes: (\d+)$", text, re.M)] == list(BATCH_SIZES)
    assert re.findall(r"^max_batch_size { value: (\d+) }$", text, re.M) == [str(BATCH_SIZES[-1])]


def test_metrics_are_where_synthmed_serve_has_them():
    assert f'path: "{PATH}"' in (FOLDER / "monitoring.config").read_text()


def test_every_file_that_the_composition_names_is_there():
    (service,) = yaml.safe_load((FOLDER / "docker-compose.yml").read_text())["services"].values()
    named = [flag.split("/config/")[1] for flag in service["command"] if "/config/" in flag]
    assert sorted(named) == ["batching.config", "models.config", "monitoring.config"]
    assert all((FOLDER / name).is_file() for name in named)
