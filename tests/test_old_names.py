import json

from synthmed_tf.config import parsing
from synthmed_tf.config.schema import config_from_json, load_config
from synthmed_tf.exporting.artifact import CARD, KIND, read_card
from synthmed_tf.old_names import renamed


def test_present_names_win():
    assert renamed({"licence": "old", "license": "new", "picture_every": 5}) == {"license": "new", "image_every": 5}
    assert renamed({"photographs": 3, "mask": "m", "photograph": "i"}) == {"images": 3, "mask": "m", "image": "i"}
    assert renamed("licence") == "licence"


def test_a_configuration_of_an_earlier_version_is_read(tmp_path):
    saved = load_config("demo").model_dump(mode="json")
    saved["picture_every"] = saved.pop("image_every") + 1
    assert config_from_json(json.dumps(saved), "config.json").image_every == 201


def test_an_old_name_overrides_the_preset():
    assert load_config("demo", overrides=("picture_every=7",)).image_every == 7
    assert parsing.merge({"image_every": 1}, {"picture_every": 2}) == {"image_every": 2}


def test_a_card_of_an_earlier_version_is_read(tmp_path):
    card = {"kind": KIND, "model_sha256": "0" * 64, "size": 64, "licence": "CC0-1.0", "data": {}}
    (tmp_path / CARD).write_text(json.dumps(card))
    assert read_card(tmp_path)["license"] == "CC0-1.0"
