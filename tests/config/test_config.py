"""The configuration: presets, overrides, files, and the sentence for each mistake."""

import json

import pytest

from synthmed_tf.config.schema import PRESETS, Config, config_from_json, load_config
from synthmed_tf.errors import SynthMedError


def _refusal(*overrides, preset="demo", file=None):
    with pytest.raises(SynthMedError) as caught:
        load_config(preset, file, overrides)
    return str(caught.value)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_survive_json(preset):
    config = load_config(preset)
    assert config.preset == preset
    assert config_from_json(config.model_dump_json(), "config.json") == config


def test_paper_preset_is_what_the_published_code_has():
    config = load_config("paper")
    assert config.size == 512
    expected = {
        "architecture": "dcgan",
        "latent_dim": 100,
        "latent": "uniform",
        "filters": 64,
        "discriminator_filters": 64,
        "batch_size": 7,
        "updates": "alternating",
        "generator_updates": 2,
        "r1_gamma": 0.0,
        "ema_half_life": 0.0,
        "soft_masks": False,
        "calibrate": False,
        "augment": dict.fromkeys(("flip_horizontal", "flip_vertical"), False)
        | dict.fromkeys(("rotation", "zoom_in", "zoom_out", "shift"), 0.0),
    }
    stage1 = config.stage1.model_dump()
    assert {name: stage1[name] for name in expected} == expected
    adam = {"name": "adam", "generator_rate": 2e-4, "discriminator_rate": 2e-4, "beta1": 0.5, "beta2": 0.999}
    assert config.stage1.optimizer.model_dump() == adam
    expected = {
        "filters": 64,
        "discriminator_filters": 64,
        "norm": "batch",
        "upsampling": "transposed",
        "dropout": 0.5,
        "style_dim": 0,
        "use_fov": False,
        "steps": None,
        "epochs": 100,
        "updates": "simultaneous",
        "generator_updates": 1,
        "adversarial_weight": 1.0,
        "l1_weight": 1.0,
        "feature_weight": 0.0,
        "r1_gamma": 0.0,
        "ema_half_life": 0.0,
    }
    stage2 = config.stage2.model_dump()
    assert {name: stage2[name] for name in expected} == expected
    assert config.stage2.optimizer.name == "rmsprop"
    assert config.data.augment.model_dump() == stage1["augment"]


@pytest.mark.parametrize("size", [32, 64, 128, 256, 512, 1024])
@pytest.mark.parametrize("preset", PRESETS)
def test_every_power_of_two_is_a_size(preset, size):
    assert load_config(preset, overrides=(f"size={size}",)).size == size


def test_the_last_override_wins_and_the_others_stay():
    config = load_config("demo", overrides=("stage1.batch_size=3", "stage1.optimizer.beta1=0", "stage1.batch_size=4"))
    assert (config.stage1.batch_size, config.stage1.optimizer.beta1) == (4, 0.0)
    assert config.stage2 == load_config("demo").stage2


def test_exponents_are_numbers_with_and_without_a_point():
    overrides = ("stage1.optimizer.generator_rate=1e-4", "stage1.optimizer.discriminator_rate=2.5E-5")
    optimizer = load_config("demo", overrides=overrides).stage1.optimizer
    assert (optimizer.generator_rate, optimizer.discriminator_rate) == (1e-4, 2.5e-5)


def test_a_file_comes_between_preset_and_overrides(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("size: 128\nstage1: {batch_size: 5, latent_dim: 7}\ndata: {augment: {rotation: 90}}\n")
    config = load_config("demo", file, ("stage1.batch_size=6",))
    assert (config.size, config.stage1.batch_size, config.stage1.latent_dim) == (128, 6, 7)
    assert config.data.augment.rotation == 90 and config.data.augment.flip_vertical


def test_a_saved_configuration_is_a_file_too(tmp_path):
    config = load_config("paper", overrides=("seed=9", "stage2.epochs=3"))
    (tmp_path / "config.json").write_text(config.model_dump_json())
    assert load_config("paper", tmp_path / "config.json") == config


def test_steps_and_epochs_take_each_others_place():
    stage = load_config("paper", overrides=("stage2.steps=30",)).stage2
    assert (stage.steps, stage.epochs) == (30, None)
    stage = load_config("demo", overrides=("stage1.epochs=3", "stage1.batch_size=16")).stage1
    assert (stage.steps, stage.epochs, stage.total_steps(10)) == (None, 3, 2)
    assert load_config("demo", overrides=("stage1.steps=7",)).stage1.total_steps(10) == 7


@pytest.mark.parametrize("section", ["{steps: null}", "{steps: 3, epochs: 3}"])
def test_exactly_one_of_steps_and_epochs(section):
    assert _refusal(f"stage1={section}") == "In section stage1, exactly one of steps and epochs must be set."


def test_several_updates_of_the_generator_need_turns():
    assert _refusal("stage1.generator_updates=2") == (
        "In section stage1, generator_updates above 1 needs updates=alternating."
    )


def test_a_configuration_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        load_config("demo").size = 64


def test_unknown_preset():
    message = "There is no preset 'demoo' (did you mean 'demo'?); choose paper, gan, recommended or demo."
    assert _refusal(preset="demoo") == message
    assert _refusal(preset="x") == "There is no preset 'x'; choose paper, gan, recommended or demo."


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "stage1.batch_sise=4",
            "'stage1.batch_sise' (did you mean 'batch_size'?); choose batch_size, accumulate, steps, epochs",
        ),
        ("stage2.optimizr.beta1=0.5", "'stage2.optimizr' (did you mean 'optimizer'?)"),
        ("stage1.optimizer.beta3=0.5", "'stage1.optimizer.beta3' (did you mean 'beta2'?); choose name, generator_rate"),
        ("Size=64", "'Size' (did you mean 'size'?)"),
        ("b.b.c=1", "'b'; choose preset, size, seed, strategy"),
        ("stage1={1: 2}", "'stage1.1'; choose batch_size"),
    ],
)
def test_unknown_option(override, said):
    assert f"There is no option {said}" in _refusal(override)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("size=100", "Option size is 100; it must be 32, 64, 128, 256, 512 or 1024 (the nearest is 128)."),
        ("size=16", "Option size is 16; it must be 32, 64, 128, 256, 512 or 1024 (the nearest is 32)."),
        ("size=2048", "Option size is 2048; it must be 32, 64, 128, 256, 512 or 1024 (the nearest is 1024)."),
        ("size=big", "Option size is 'big'; it must be 32, 64, 128, 256, 512 or 1024."),
        ("size.x=1", "Option size is {'x': 1}; it must be 32, 64, 128, 256, 512 or 1024."),
        (
            "stage1.norm=bach",
            "Option stage1.norm is 'bach'; it must be none, batch or instance (did you mean 'batch'?).",
        ),
        ("stage1.norm=3", "Option stage1.norm is 3; it must be none, batch or instance."),
        (
            "stage1.generator_updates=9",
            "Option stage1.generator_updates is 9; it must be a whole number, at least 1 and at most 5.",
        ),
        (
            "stage2.filters=1.5",
            "Option stage2.filters is 1.5; it must be a whole number, at least 2 and at most 1024.",
        ),
        (
            "stage2.filters=true",
            "Option stage2.filters is True; it must be a whole number, at least 2 and at most 1024.",
        ),
        (
            "stage2.filters='16'",
            "Option stage2.filters is '16'; it must be a whole number, at least 2 and at most 1024.",
        ),
        (
            "stage1.steps=0",
            "Option stage1.steps is 0; it must be a whole number, at least 1 and less than 2147483648.",
        ),
        (
            "stage1.optimizer.generator_rate=.nan",
            "Option stage1.optimizer.generator_rate is nan; it must be a number, more than 0 and less than 1.",
        ),
        ("stage2.l1_weight=.inf", "Option stage2.l1_weight is inf; it must be a number, at least 0."),
        ("stage2.use_fov=1", "Option stage2.use_fov is 1; it must be true or false."),
        ("data.patients=3", "Option data.patients is 3; it must be text in quotes."),
        (
            "stage1.augment=3",
            "stage1.augment is a section with the options flip_horizontal, flip_vertical, rotation, zoom_in, zoom_out "
            "or shift; it cannot be 3.",
        ),
        (
            "data=",
            "data is a section with the options patient_regex, vessel_labels, patients, validation_patients, "
            "validation_share, field_of_view, structures, augment or cache_limit_mb; it cannot be None.",
        ),
        ("preset=paper", "Option preset is 'paper' but --preset is demo; leave one of them out."),
    ],
)
def test_a_value_that_is_not_allowed(override, sentence):
    assert _refusal(override) == sentence


@pytest.mark.parametrize("override", ["", "=", "x", "=3", "stage1.=3", ".=3", "stage1..steps=3", "  =3"])
def test_an_override_of_another_form(override):
    message = f"The override {override!r} is not of the form name=value, such as stage1.batch_size=16."
    assert _refusal(override) == message


@pytest.mark.parametrize("override", ["data.patients=[", "data.patients=2020-13-45", "stage1={a", "size=\x00"])
def test_a_value_that_is_not_yaml(override):
    message = f"The value in the override {override!r} is not YAML; put it in quotation marks."
    assert _refusal(override) == message


def test_files_that_hold_no_options(tmp_path):
    missing, text, binary = tmp_path / "none.yaml", tmp_path / "text.yaml", tmp_path / "binary.yaml"
    text.write_text("just words")
    binary.write_bytes(b"\xff\xfe\x00")
    (tmp_path / "open.yaml").write_text("size: [")
    assert _refusal(file=missing) == (
        f"The configuration file {missing} cannot be read (No such file or directory); name another."
    )
    assert "holds no options; write names and values, as in size: 128." in _refusal(file=text)
    for file in (binary, tmp_path / "open.yaml"):
        assert f"{file} is not YAML (" in _refusal(file=file)
    assert "(Is a directory)" in _refusal(file=tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "run/config.json is not JSON ("),
        ("[]", "run/config.json does not hold a configuration: The configuration is a section with the options preset"),
        ('{"preset": "demo"}', "run/config.json does not hold a configuration: Option size is missing; set it."),
    ],
)
def test_a_damaged_saved_configuration_is_named(text, said):
    with pytest.raises(SynthMedError) as caught:
        config_from_json(text, "run/config.json")
    assert str(caught.value).startswith(said)


def test_every_sentence_is_one_line_and_names_what_it_is_about():
    names = json.loads(load_config("demo").model_dump_json())
    for section in ("stage1", "stage2"):
        for option in names[section]:
            message = _refusal(f"{section}.{option}={{wrong: 1}}")
            assert f"{section}.{option}" in message and message.endswith(".") and "\n" not in message


def test_the_schema_has_no_field_without_a_description():
    def undescribed(model):
        described = " ".join(base.__doc__ for base in model.__mro__ if issubclass(base, Config.__base__))
        for name, field in model.model_fields.items():
            if name not in described and not hasattr(field.annotation, "model_fields"):
                yield f"{model.__name__}.{name}"
            if hasattr(field.annotation, "model_fields"):
                yield from undescribed(field.annotation)

    assert list(undescribed(Config)) == []
