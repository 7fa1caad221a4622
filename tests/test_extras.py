"""Optional packages are asked for in one place, as setup.cfg has them."""

import configparser
import re
import sys

import pytest
from helpers.paths import ROOT

from synthmed_tf.errors import SynthMedError
from synthmed_tf.extras import EXTRAS, require_extra

IMPORTED_AS = {"apache-beam": "apache_beam", "tensorflow-serving-api": "tensorflow_serving", "grpcio": "grpc"}
IMPORTED_AS |= {"universal-pathlib": "upath"}


def test_extras_are_those_of_setup_cfg():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    for extra, modules in EXTRAS.items():
        names = re.findall(r"^([A-Za-z0-9_-]+)", settings["options.extras_require"][extra], flags=re.MULTILINE)
        assert tuple(IMPORTED_AS.get(name, name) for name in names) == modules


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    require_extra("serving")
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(SynthMedError) as refused:
        require_extra("serving")
    assert str(refused.value) == 'This needs grpc, which is not installed; run pip install "synthmed-tf[serving]".'
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(SynthMedError, match="^This needs grpc and uvicorn, which are not installed; "):
        require_extra("serving")
