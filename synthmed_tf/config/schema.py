"""The configuration of a run: frozen and validated.

An error names the field, the value that was found and the values that are allowed.
"""

from pathlib import Path
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from synthmed_tf.config import fine_tuning, parsing
from synthmed_tf.config.image_kind import FieldOfView, ImageKind, Structures
from synthmed_tf.config.presets import PRESETS
from synthmed_tf.errors import SynthMedError

Size = Literal[32, 64, 128, 256, 512, 1024]
Positive = Annotated[int, Field(ge=1, lt=2**31)]
Filters = Annotated[int, Field(ge=2, le=1024)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]


class Section(pydantic.BaseModel):
    """A part of the configuration: frozen, without unknown fields, and with strict types (true is not 1)."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True, protected_namespaces=())


class AugmentConfig(Section):
    """Ranges of the geometric augmentation; each example is sampled uniformly.

    Attributes:
        flip_horizontal, flip_vertical: whether half of the examples are flipped.
        rotation: largest angle, degrees.
        zoom_in, zoom_out: 0.1 is up to a factor of 1.1, and down to 1/1.1.
        shift: largest shift along each axis, as a share of the side.
    """

    flip_horizontal: bool = False
    flip_vertical: bool = False
    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    zoom_in: Annotated[float, Field(ge=0, le=1)] = 0.0
    zoom_out: Annotated[float, Field(ge=0, le=1)] = 0.0
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.0


class DataConfig(Section):
    """The training data, and its augmentation for both stages.

    Attributes:
        patient_regex: for plain folders: its first group, in the name of a file, is the patient.
        vessel_labels: for masks that are label maps: the values or colours of the vessels, such as `1,2` or `red,blue`.
        patients: the patients to train on, such as `01-10`; None for all except the validation patients.
        validation_patients: the patients that choose the best step, such as `11-14`; they are not trained on.
        validation_share: the share of patients held out for this if none is named; 0 of fewer than 5 patients.
        field_of_view: `disc`, `frame` (the whole image) or `from_file`, as of `image_kind.ImageKind`.
        structures: what masks mark, `vessels` or `any`, likewise.
        augment: image, mask and field of view are augmented jointly; a `frame` is mirrored at its edges.
        cache_limit_mb: above this size the decoded images are kept on disk, not in memory.
    """

    patient_regex: str | None = None
    vessel_labels: str | None = None
    patients: str | None = None
    validation_patients: str | None = None
    validation_share: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    field_of_view: FieldOfView = "disc"
    structures: Structures = "vessels"
    augment: AugmentConfig = AugmentConfig()
    cache_limit_mb: Positive = 4096

    @property
    def kind(self) -> ImageKind:
        """What kind of images these are."""
        return ImageKind(self.field_of_view, self.structures)


class OptimizerConfig(Section):
    """An optimizer of Keras; the generator and the discriminator have one each.

    Attributes:
        name: `adam` or `rmsprop`.
        generator_rate, discriminator_rate: learning rates.
        beta1, beta2: Adam's decay rates (RMSprop keeps Keras' defaults).
    """

    name: Literal["adam", "rmsprop"] = "adam"
    generator_rate: Rate = 2e-4
    discriminator_rate: Rate = 2e-4
    beta1: Share = 0.5
    beta2: Share = 0.99


class TrainedConfig(Section):
    """The options of everything that is trained.

    Attributes:
        batch_size: images a step, over all replicas.
        accumulate: number of parts into which the batch of each replica is divided; they are computed one after the
            other, so that a large batch fits. Without batch statistics and dropout the result is the same.
        steps: number of training steps; None if `epochs` is set.
        epochs: number of times that each pair is seen; None if `steps` is set.
        ema_half_life: half-life of the averaged weights, in images; 0 uses the trained weights themselves.
        patience: training stops after so many validations in a row without an improvement; 0 for never.
        frozen: layers whose weights stay as they are, such as `discriminator.first, discriminator.convolutions.*`; for
            fine-tuning.
    """

    batch_size: Positive = 16
    accumulate: Annotated[int, Field(ge=1, le=64)] = 1
    steps: Positive | None = None
    epochs: Positive | None = None
    ema_half_life: Weight = 0.0
    patience: Annotated[int, Field(ge=0, le=1_000)] = 0
    frozen: str | None = None

    @pydantic.model_validator(mode="after")
    def _one_length(self) -> "TrainedConfig":
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("exactly one of steps and epochs must be set")
        return self

    def total_steps(self, pairs: int) -> int:
        """The number of training steps on so many pairs."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None  # as `_one_length` has it
        return -(-self.epochs * pairs // self.batch_size)


class StageConfig(TrainedConfig):
    """The options of both stages.

    Attributes:
        updates: `simultaneous`: both networks from one pass of the discriminator over each example; `alternating`: the
            generator after the discriminator has learned from the batch.
        generator_updates: updates of the generator for each of the discriminator; several only with `alternating`.
        r1_gamma: weight of the R1 penalty on the discriminator; 0 turns it off.
        r1_interval: the penalty is computed every so many steps, with a weight larger by this factor (lazy R1).
    """

    optimizer: OptimizerConfig = OptimizerConfig()
    updates: Literal["simultaneous", "alternating"] = "simultaneous"
    generator_updates: Annotated[int, Field(ge=1, le=5)] = 1
    r1_gamma: Weight = 0.0
    r1_interval: Positive = 8

    @pydantic.model_validator(mode="after")
    def _one_pass_for_one_update(self) -> "StageConfig":
        if self.generator_updates > 1 and self.updates == "simultaneous":
            raise ValueError("generator_updates above 1 needs updates=alternating")
        return self


class Stage1Config(StageConfig):
    """Stage-I, the mask GAN.

    Attributes:
        architecture: `dcgan`, as in the paper, `resampling`, or `coarse_to_fine`: vessel maps of at most `coarse_size`
            pixels, of which `stage1_fine` makes the mask.
        latent_dim, latent: length and distribution of the latent.
        filters: channels of the generator at full resolution (of the last hidden layer in `dcgan`).
        discriminator_filters: channels of the discriminator's first layer.
        max_filters: the widest layer (not in `dcgan`).
        norm: the generator's normalization (not in `dcgan`).
        augment: differentiable augmentation in front of the discriminator.
        diversity_weight: of the loss that makes masks differ among themselves as much as real ones do.
        soft_masks: whether Stage-I learns the share of each pixel that vessels cover, or two-valued masks.
        calibrate: whether the threshold is set so that vessels cover as much as in the training masks; else it is 0.
        coarse_size: pixels a side of the vessel maps, or `size` where that is less (`coarse_to_fine` alone).
        patch_weight: of the discriminator's logits for patches (`coarse_to_fine` alone).
        connected_weight: of the loss on what cannot be reached from the widest vessel, at the end; it rises from 0 in
            the second half of training (`coarse_to_fine` alone).
        elastic: strength of a smooth warp of the vessel maps, as a share of the side (`coarse_to_fine` alone).
    """

    architecture: Literal["dcgan", "resampling", "coarse_to_fine"] = "resampling"
    latent_dim: Annotated[int, Field(ge=1, le=1024)] = 128
    latent: Literal["normal", "uniform"] = "normal"
    filters: Filters = 16
    discriminator_filters: Filters = 16
    max_filters: Filters = 256
    norm: Literal["none", "batch", "instance"] = "instance"
    augment: AugmentConfig = AugmentConfig()
    diversity_weight: Weight = 4.0
    soft_masks: bool = True
    calibrate: bool = True
    coarse_size: Literal[32, 64, 128] = 128
    patch_weight: Weight = 0.3
    connected_weight: Weight = 0.0
    elastic: Share = 0.025


class Stage1FineConfig(TrainedConfig):
    """Stage-I's fine network, from vessel maps to the mask; trained where `stage1.architecture` is `coarse_to_fine`.

    Attributes:
        learning_rate: of Adam at the start; it falls to 0 as a half cosine.
        filters: channels at the size of the vessel maps.
        flow_steps: steps from noise to the mask.
        crop: pixels a side of the maps that an example has, a multiple of 4; the whole map where that is less.
        noise: deviation of the noise on generated maps; what it hides, the network generates itself. In training it is
            random, up to 2.
        guidance: strength of classifier-free guidance when masks are generated, away from those of maps that noise
            hides; it doubles the evaluations.
    """

    batch_size: Positive = 12
    steps: Positive | None = 5_000
    ema_half_life: Weight = 2_000
    learning_rate: Rate = 1e-3
    filters: Filters = 32
    flow_steps: Positive = 2
    crop: Annotated[int, Field(ge=16, le=128, multiple_of=4)] = 40
    noise: Annotated[float, Field(ge=0, le=2)] = 0.5
    guidance: Annotated[float, Field(ge=0, le=4)] = 0.0


class Stage2Config(StageConfig):
    """Stage-II, from masks to images.

    Attributes:
        architecture: `unet`, a GAN after pix2pix, or `pyramid`: a thumbnail, an image of at most `coarse_size`
            pixels by flow matching, and, by `stage2_fine`, one at full size. Of the options below, a pyramid uses
            `filters`, `style_dim`, `colour` and the last eight, and of the optimizer the generator's rate.
        filters, discriminator_filters: channels of the first level.
        norm: normalization of both networks.
        upsampling: `transposed`, as in the paper, or `nearest`.
        dropout: rate on the first three decoder levels while training.
        style_dim: length of the style latent; 0 for one image a mask.
        calibrate_styles: whether styles are generated as those of the training photographs are distributed, rather than
            from a standard normal distribution.
        use_fov: whether the field of view is a second condition.
        adversarial_weight, l1_weight, feature_weight: of the generator's losses.
        kl_weight, style_weight: of the style's posterior, and of reading a generated style back.
        colour: strength of colour augmentation of the images; 0 turns it off.
        tones: whether each image is given a new tone and contrast in each channel, between those of two training images
            of near tones, so that a mask does not tell the colours of its own image (`pyramid` alone).
        illumination: strength of a smooth random change of light, as a share of the light (`pyramid` alone).
        elastic: strength of a smooth warp of mask and image, as a share of the side (`pyramid` alone).
        crop, crops: pixels a side of the squares that an example is learned from, an even number, and how many
            (`pyramid` alone).
        flow_steps: from noise to detail, two evaluations of the network each (`pyramid` alone).
        thumbnail_steps: from noise to thumbnail; as many as `flow_steps` where None (`pyramid` alone).
        guidance: strength of classifier-free guidance when images are generated: 0.3 gives vessels nearly the
            contrast of photographs; it makes the two evaluations of a step three for the image of `coarse_size` pixels
            (`pyramid` alone).
    """

    architecture: Literal["unet", "pyramid"] = "unet"
    filters: Filters = 32
    discriminator_filters: Filters = 32
    norm: Literal["batch", "instance"] = "instance"
    upsampling: Literal["transposed", "nearest"] = "nearest"
    dropout: Share = 0.0
    style_dim: Annotated[int, Field(ge=0, le=256)] = 8
    calibrate_styles: bool = True
    use_fov: bool = True
    adversarial_weight: Weight = 1.0
    l1_weight: Weight = 100.0
    feature_weight: Weight = 10.0
    kl_weight: Weight = 0.1
    style_weight: Weight = 5.0
    colour: Share = 0.2
    tones: bool = False
    illumination: Share = 0.0
    elastic: Share = 0.0
    crop: Annotated[int, Field(ge=16, le=128, multiple_of=16)] = 64
    crops: Annotated[int, Field(ge=1, le=16)] = 4
    flow_steps: Annotated[int, Field(ge=1, le=100)] = 10
    thumbnail_steps: Annotated[int | None, Field(ge=1, le=100)] = None
    guidance: Annotated[float, Field(ge=0, le=4)] = 0.0

    @pydantic.model_validator(mode="after")
    def _style_of_a_pyramid(self) -> "Stage2Config":
        if self.architecture == "pyramid" and self.style_dim < 2:
            raise ValueError("style_dim must be at least 2 for architecture=pyramid: two numbers choose the noise")
        return self


class Stage2FineConfig(TrainedConfig):
    """Stage-II's fine network; trained where `stage2.architecture` is `pyramid` and `size` is above `coarse_size`.

    Attributes:
        learning_rate: of Adam at the start; it falls to a twentieth as a half cosine.
        filters: channels of the first level.
        crop: pixels a side of the image that an example has, a multiple of 16.
        flow_steps: as of Stage-II.
    """

    batch_size: Positive = 12
    steps: Positive | None = 3_000
    ema_half_life: Weight = 5_000
    learning_rate: Rate = 1e-3
    filters: Filters = 64
    crop: Annotated[int, Field(ge=16, le=512, multiple_of=16)] = 96
    flow_steps: Annotated[int, Field(ge=1, le=100)] = 4


class SegmenterConfig(TrainedConfig):
    """The segmenter, a U-Net that segments the vessels of an image.

    Attributes:
        learning_rate: of Adam.
        filters: channels at full resolution; doubled at each of `levels` halvings.
        norm: `batch`, whose statistics are the same in every tile, or `instance`.
        dice_weight: weight of the Dice loss, which is added to the cross-entropy.
        augment: in place of `data.augment`: a segmenter benefits from stronger augmentation than a generator.
        colour: strength of colour augmentation; 0 turns it off.
    """

    batch_size: Positive = 8
    steps: Positive | None = 2_000
    ema_half_life: Weight = 1_000
    learning_rate: Rate = 1e-3
    filters: Filters = 16
    levels: Annotated[int, Field(ge=1, le=5)] = 4
    norm: Literal["batch", "instance"] = "batch"
    dice_weight: Weight = 1.0
    augment: AugmentConfig = AugmentConfig(
        flip_horizontal=True, flip_vertical=True, rotation=30.0, zoom_in=0.2, zoom_out=0.1, shift=0.05
    )
    colour: Share = 0.2


class Config(Section):
    """A run's whole configuration, saved as `config.json` in its folder.

    Attributes:
        preset: the name of the preset that it began with.
        size: pixels a side, a power of two from 32 to 1024.
        seed: of weights, data order, latents and augmentation.
        strategy: `auto`, `one`, `mirrored` or `multi_worker`.
        precision: `float32`, `mixed_float16` or `mixed_bfloat16`; weights, losses and statistics stay float32.
        xla: whether TensorFlow compiles clusters of operations with XLA.
        steps_per_loop: steps in one call of the compiled training loop.
        save_every, image_every, validate_every: in steps.
    """

    preset: str
    size: Size
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    strategy: Literal["auto", "one", "mirrored", "multi_worker"] = "auto"
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    xla: bool = False
    steps_per_loop: Positive = 20
    save_every: Positive = 500
    image_every: Positive = 500
    validate_every: Positive = 500
    data: DataConfig = DataConfig()
    stage1: Stage1Config
    stage1_fine: Stage1FineConfig = Stage1FineConfig()
    stage2: Stage2Config
    stage2_fine: Stage2FineConfig = Stage2FineConfig()
    segmenter: SegmenterConfig = SegmenterConfig()

    @property
    def coarse_size(self) -> int:
        """Pixels a side of Stage-I's vessel maps, and of Stage-II's coarse images."""
        return min(self.stage1.coarse_size, self.size)

    @property
    def has_fine_renderer(self) -> bool:
        """Whether Stage-II has a second network, from coarse images to those at full size."""
        return self.stage2.architecture == "pyramid" and self.size > self.coarse_size


def load_config(preset: str, file: Path | None = None, overrides: tuple[str, ...] = ()) -> Config:
    """Builds a configuration from the preset, then a YAML file, then `name=value` overrides.

    Args:
        preset: a name in `PRESETS`.
        file: YAML with the same structure as the configuration; options that it omits keep the value of the preset.
        overrides: such as `stage1.batch_size=16`; values are YAML.

    Raises:
        SynthMedError: an unknown preset or field (the nearest valid name is given), or a value that is not allowed.
    """
    if preset not in PRESETS:
        near = parsing.nearest(preset, PRESETS)
        raise SynthMedError(f"There is no preset {preset!r}{near}; choose {parsing.listed(PRESETS)}.")
    values = parsing.changed({"preset": preset} | PRESETS[preset], file, overrides)
    if values["preset"] != preset:
        raise SynthMedError(f"Option preset is {values['preset']!r} but --preset is {preset}; leave one of them out.")
    return parsing.validate(Config, values)


def fine_tuning_config(
    begun: Config, file: Path | None = None, overrides: tuple[str, ...] = (), fine_tuned: bool = False
) -> Config:
    """Builds the configuration of a run that begins with the weights of another.

    Networks and augmentation are those of the other run; learning rates and steps are shares of its own
    (`config.fine_tuning`), and what names its data or its machine is left out.

    Args:
        begun: the configuration of the run that the weights come from.
        file, overrides: as of `load_config`.
        fine_tuned: whether that run was itself begun with trained weights; this one has as many steps then.

    Raises:
        SynthMedError: an unknown field, or a value that is not allowed.
    """
    values = fine_tuning.values(begun.model_dump(), fine_tuned)
    return parsing.validate(Config, parsing.changed(values, file, overrides))


def config_from_json(text: str, origin: str) -> Config:
    """Reads a saved configuration; `origin` names the file in the error's sentence."""
    return parsing.from_json(Config, text, origin)
