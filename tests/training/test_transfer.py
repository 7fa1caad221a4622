"""Weights of a trained model in a new run: layer by layer, refused where they do not fit, frozen where named."""

import dataclasses
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.tiny import make_coarse_run, make_config

from synthmed_tf import api
from synthmed_tf.config import fine_tuning
from synthmed_tf.config.schema import fine_tuning_config, load_config
from synthmed_tf.errors import SynthMedError
from synthmed_tf.exporting import starting
from synthmed_tf.models import factory
from synthmed_tf.training import run as training
from synthmed_tf.training import snapshot, transfer


@pytest.fixture(scope="module")
def coarse_run(tmp_path_factory):
    """64 pixels, maps of 32. Not to be changed."""
    run = make_coarse_run(tmp_path_factory.mktemp("start") / "run")
    config = snapshot.load(run / "stage1" / "snapshot").config
    (run / "config.json").write_text(config.model_dump_json())
    return run


@pytest.fixture(scope="module")
def start(coarse_run):
    return starting.open_start(coarse_run)


def _same(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_run_gives_its_averaged_weights_and_its_lineage(coarse_run, start):
    assert set(start.networks) == {"stage1/generator", "stage1_fine/network", "stage2/network", "stage2_fine/network"}
    for name, network in start.networks.items():
        _same(network.get_weights(), snapshot.load(coarse_run / name.split("/")[0] / "snapshot").weights)
    assert start.lineage["steps"] == dict.fromkeys(("stage1", "stage1_fine", "stage2", "stage2_fine"), 7)
    assert start.lineage["lineage"] is None and len(start.lineage["model_sha256"]) == 64


def _stage(config, name, network, average):
    return SimpleNamespace(name=name, config=getattr(config, name), network=network, network_ema=average)


def test_another_size_takes_what_the_fine_network_shares(start):
    larger = start.config.model_copy(update={"size": 128})
    stage = _stage(larger, "stage1_fine", *(factory.mask_refiner(larger) for _ in range(2)))
    assert start.give(stage, larger) == [
        "stage1_fine/network: network.first, network.to_velocity begin without weights, since the size differs"
    ]
    trained = start.networks["stage1_fine/network"]
    for place in ("time", "before", "halve", "middle", "after"):
        for one, other in zip(*(getattr(each.network, place) for each in (stage.network, trained)), strict=True):
            _same(one.get_weights(), other.get_weights())
    _same(stage.network.get_weights(), stage.network_ema.get_weights())


def test_other_shapes_are_refused_with_the_option_that_differs(start):
    config = make_config("recommended", "size=64", "stage1.coarse_size=32", "stage1.filters=8")
    stage = SimpleNamespace(name="stage1", config=config.stage1, generator=factory.mask_generator(config))
    with pytest.raises(SynthMedError) as caught:
        start.give(stage, config)
    assert str(caught.value) == (
        "The weights of run do not fit stage1: stage1.filters is 4 there and 8 here; choose the same values, or train "
        "without --from."
    )


def test_a_discriminator_that_is_not_there_is_told(start):
    networks = {name: factory.mask_generator(start.config) for name in ("generator", "generator_ema")}
    discriminator = factory.mask_discriminator(start.config)
    stage = SimpleNamespace(name="stage1", config=start.config.stage1, discriminator=discriminator, **networks)
    [told] = start.give(stage, start.config)
    assert told == "stage1/discriminator begins without weights: run has none of it (--format training)"
    _same(stage.generator_ema.get_weights(), start.networks["stage1/generator"].get_weights())


def test_every_variable_has_a_place(start):
    networks = [*start.networks.values(), factory.mask_discriminator(start.config)]
    networks += [make(make_config("paper")) for make in (factory.mask_generator, factory.image_discriminator)]
    for network in networks:
        placed = [id(variable) for _, layer in transfer._layers(network) for variable in layer.trainable_variables]
        assert sorted(placed) == sorted(id(variable) for variable in network.trainable_variables)


def _frozen(start, frozen):
    network = factory.mask_refiner(start.config)
    options = start.config.stage1_fine.model_copy(update={"frozen": frozen})
    stage = SimpleNamespace(name="stage1_fine", config=options, network=network)
    return network, transfer.learned(stage, network.trainable_variables)


def test_frozen_layers_are_left_out_of_what_is_learned(start):
    network, learned = _frozen(start, "network.network.first, network.network.middle.*")
    left_out = {id(v) for layer in (network.network.first, *network.network.middle) for v in layer.trainable_variables}
    assert {id(v) for v in learned} == {id(v) for v in network.trainable_variables} - left_out
    assert len(_frozen(start, None)[1]) == len(network.trainable_variables)


@pytest.mark.parametrize(
    ("frozen", "said"),
    [
        ("network.frist", "names network.frist, which is no layer; choose from network.network.time.0, "),
        ("network.*", "leaves nothing of a network to train; name fewer layers"),
    ],
)
def test_wrong_names_of_layers(start, frozen, said):
    with pytest.raises(SynthMedError, match=f"Option stage1_fine.frozen {said}"):
        _frozen(start, frozen)


def test_learning_rates_and_steps_are_shares_and_other_data_is_not_named():
    begun = load_config("recommended", overrides=("data.patients=01-08", "precision=mixed_bfloat16"))
    config = fine_tuning_config(begun, overrides=("size=256", "stage2.steps=7"))
    assert config.size == 256 and config.preset == "recommended" and config.precision == "float32"
    assert config.data.patients is None and config.data.augment == begun.data.augment
    assert config.stage1.steps == 2_500 and config.stage2.steps == 7 and config.stage2_fine.steps == 500
    assert config.stage1.optimizer.generator_rate == pytest.approx(4e-4 * fine_tuning.ADVERSARIAL_RATE_SHARE)
    assert config.stage2.optimizer.generator_rate == pytest.approx(1e-3 * fine_tuning.RATE_SHARE)
    assert config.stage1_fine.learning_rate == pytest.approx(1e-3 * fine_tuning.RATE_SHARE)
    again = fine_tuning_config(config, fine_tuned=True)
    assert (again.stage1, again.stage1_fine, again.stage2) == (config.stage1, config.stage1_fine, config.stage2)
    epochs = fine_tuning_config(load_config("paper")).stage2
    assert epochs.epochs == 25 and epochs.steps is None


def test_a_run_that_was_fine_tuned_is_fine_tuned_as_long(coarse_run, tmp_path):
    run = shutil.copytree(coarse_run, tmp_path / "run")
    begun = load_config("recommended")
    (run / "config.json").write_text(begun.model_dump_json())
    assert api.training_config(None, run, None, ()).stage1.steps == begun.stage1.steps // 4
    (run / "lineage.json").write_text('{"name": "M"}')
    assert api.training_config(None, run, None, ()).stage1.steps == begun.stage1.steps


def test_a_model_has_a_preset_of_its_own(tmp_path):
    with pytest.raises(SynthMedError, match="Option --preset is demo and --from is M, which has networks of its own;"):
        api.training_config("demo", "M", None, ())
    with pytest.raises(SynthMedError, match="nowhere is neither a model of the package nor an artifact nor a run;"):
        api.training_config(None, tmp_path / "nowhere", None, ())


def test_a_run_goes_on_with_the_weights_that_it_was_begun_with(start, tmp_path):
    training._check_same_start(tmp_path, start)  # nothing there yet
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(SynthMedError, match="was begun without --from, and now it is --from run; go on as before"):
        training._check_same_start(tmp_path, start)
    training.files.write_text(tmp_path / "lineage.json", '{"name": "run", "model_sha256": "%s"}' % ("ab" * 32))
    with pytest.raises(SynthMedError, match=r"was begun --from run \(model abababababab\), and now it is model "):
        training._check_same_start(tmp_path, start)
    with pytest.raises(SynthMedError, match="was begun --from run, and now it is without --from"):
        training._check_same_start(tmp_path, None)
    lineage = start.lineage | {"model_sha256": "ab" * 32}
    training._check_same_start(tmp_path, dataclasses.replace(start, lineage=lineage))
