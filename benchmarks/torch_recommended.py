"""The stages of the preset `recommended` in PyTorch, and the step of those that are told the answer.

The losses of `synthmed_tf.training.ridge_stage`, `refiner_stage` and `renderer_stages`. What needs no gradient has
none, what never changes is computed once, and noise is made in the memory format of the networks.
"""

import numpy as np
import torch
import torch.nn.functional as F
import torch_recommended_networks as networks
from torch import Tensor, nn
from torch_step import (
    Batch,
    DiscriminatorOutput,
    MaskStage,
    discriminator_loss,
    diversity_loss,
    generator_loss,
    metrics,
    update_average,
)

from synthmed_tf.config.schema import Config

_MEASURED = 4
_MARGIN = 4
_MEAN, _DISTANCE_GAIN = 0.2, 3.0
_MAPS_GAINS, _LARGEST_NOISE = (2.0, 4.0), 2.0
_CONTROLS = 5
_NOISES, _TIME_SHIFT = 4, -0.2
_LEAST_SHARE, _LEAST = 0.02, 1e-6
_THUMBNAIL_FACTOR = 4
_THUMBNAIL_GAIN, _COARSE_GAIN, _FINE_GAIN = 2.0, 8.0, 20.0


class RidgeStage(MaskStage):
    """Stage-I, coarse; a batch has `maps` `(batch, 2, coarse, coarse)` in [0, 1]."""

    def __init__(self, config: Config, fov: Tensor, unreached: float):
        """Makes the networks.

        Args:
            config: the run's configuration.
            fov: `(1, 1, coarse, coarse)` in {0, 1}.
            unreached: the mean of `unreached_share` over the training masks.
        """
        self.config, self.fov, self.unreached = config.stage1, fov, unreached
        self._examples = self.config.total_steps(1) * self.config.batch_size
        stage, size = config.stage1, config.coarse_size
        parts = (size, stage.latent_dim, stage.filters, stage.max_filters, stage.norm)
        self.generator = networks.RidgeGenerator(*parts)
        self.generator_ema = networks.RidgeGenerator(*parts)
        self.discriminator = networks.RidgeDiscriminator(size, stage.discriminator_filters, stage.max_filters)

    def generate(self, batch: Batch) -> Batch:
        return {"maps": self.generator(batch["latent"])}

    def discriminate_real(self, batch: Batch) -> DiscriminatorOutput:
        return self.discriminator(self._seen(batch["maps"], batch["shift_real"])), []

    def discriminate_generated(self, batch: Batch, generated: Batch) -> DiscriminatorOutput:
        return self.discriminator(self._seen(generated["maps"], batch["shift_fake"])), []

    def discriminator_terms(self, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Batch:
        whole, patches = (discriminator_loss(*logits) for logits in zip(real[0], fake[0], strict=True))
        return {"adversarial": whole, "patches": self.config.patch_weight * patches}

    def generator_terms(self, batch: Batch, generated: Batch, fake: DiscriminatorOutput, real_features: None) -> Batch:
        whole, patches = (generator_loss(logits) for logits in fake[0])
        terms = {"adversarial": whole, "patches": self.config.patch_weight * patches}
        ridges, calibres = (generated["maps"] * self.fov).split(1, dim=1)
        if self.config.diversity_weight:
            loss = diversity_loss(batch["maps"][:, :1] * self.fov, ridges)
            terms["diversity"] = self.config.diversity_weight * loss
        if self.config.connected_weight:
            excess = F.relu(unreached_share(ridges[::_MEASURED], calibres[::_MEASURED]) - self.unreached)
            of_all = excess.repeat_interleave(_MEASURED)[: len(ridges)]
            terms["connected"] = (self._connected_weight(batch["index"]) * of_all).mean()
        return terms

    def _connected_weight(self, index: Tensor) -> Tensor:
        return self.config.connected_weight * (2.0 * index / self._examples - 1.0).clamp(0.0, 1.0)

    def r1_term(self, batch: Batch) -> Tensor:
        real = self._seen(batch["maps"], batch["shift_real"]).requires_grad_()
        whole, patches = self.discriminator(real)
        logits = whole.sum() + self.config.patch_weight * patches.mean(dim=(1, 2, 3)).sum()
        (gradient,) = torch.autograd.grad(logits, real, create_graph=True)
        return gradient.square().sum(dim=(1, 2, 3)).mean() / 2.0

    def _seen(self, maps: Tensor, shift: Tensor) -> Tensor:
        """Maps in [-1, 1] inside the field of view, shifted by whole pixels."""
        return 2.0 * _shifted(maps * self.fov, shift) - 1.0


class RefinerStage:
    """Stage-I, fine; a batch has `maps` `(batch, 3, crop, crop)` in [0, 1], and `index`."""

    name = "stage1_fine"

    def __init__(self, config: Config, layout: torch.memory_format = torch.contiguous_format):
        self.config, self.factor, self.layout = config.stage1_fine, config.size // config.coarse_size, layout
        self.crop = min(self.config.crop, config.coarse_size)
        self.rate, self.last_share = self.config.learning_rate, 0.01
        self.network = networks.MaskRefiner(self.factor, self.config.filters)
        self.network_ema = networks.MaskRefiner(self.factor, self.config.filters)
        margin = _MARGIN if self.crop < config.coarse_size else 0
        self._inside = torch.zeros(1, 1, self.crop, self.crop)
        self._inside[:, :, margin : self.crop - margin, margin : self.crop - margin] = 1.0
        self._gains = torch.tensor(_MAPS_GAINS)[:, None, None]

    def numbers(self, batch: int) -> Batch:
        """The random numbers of one step."""
        size = self.crop
        numbers = {"maps_noise": torch.rand(batch, 1, 1, 1), "maps_normal": _noise(batch, size, self.layout, 2)}
        numbers["time"] = torch.randn(batch)
        return numbers | {"noise": _noise(batch, size, self.layout, self.factor**2)}

    def terms(self, batch: Batch) -> Batch:
        return {"velocity": _flow_loss(self.network.network, self._seen(batch), batch["noise"], batch["time"])}

    @torch.no_grad()
    def _seen(self, batch: Batch) -> Tensor:
        """What the network learns from: distances, where they count, and maps, as channels."""
        cells = F.pixel_unshuffle(batch["maps"][:, 2:], self.factor)
        inside = self._inside.expand(len(cells), -1, -1, -1)
        return torch.cat([(cells - _MEAN) * _DISTANCE_GAIN, inside, self._given(batch)], dim=1)

    def _given(self, batch: Batch) -> Tensor:
        """The coarse maps of a batch with noise, and its deviation."""
        coarse = F.avg_pool2d(batch["maps"][:, :2], self.factor)
        maps = (coarse.clamp(0.0, 1.0) * 255.0).round() / 255.0
        noise = _LARGEST_NOISE * batch["maps_noise"]
        noisy = maps * self._gains - 1.0 + noise * batch["maps_normal"]
        return torch.cat([noisy, noise.expand(-1, -1, self.crop, self.crop)], dim=1)


class CoarseRendererStage:
    """Stage-II, coarse; a batch has `maps` `(batch, 5, coarse, coarse)` in [0, 1]."""

    name = "stage2"

    def __init__(self, config: Config, layout: torch.memory_format = torch.contiguous_format):
        self.config, self.size, self.layout = config.stage2, config.coarse_size, layout
        self.crop = min(self.config.crop, self.size)
        self.rate, self.last_share = self.config.optimizer.generator_rate, 0.05
        self.network = networks.CoarseRenderer(self.config.filters)
        self.network_ema = networks.CoarseRenderer(self.config.filters)
        self._places, self._small_places = _places(self.size), _places(self.size // _THUMBNAIL_FACTOR)
        self._spline = _spline(self.size)

    def numbers(self, batch: int) -> Batch:
        """The random numbers of one step."""
        noises, crops = batch * _NOISES, batch * self.config.crops
        numbers = {"colour": torch.rand(batch, 5), "corners": torch.rand(batch, 2, self.config.crops)}
        numbers |= {"thumbnail_time": torch.randn(noises), "time": torch.randn(crops)}
        numbers |= {"height": torch.randn(batch, 1, 1, 1), "controls": torch.randn(batch, 1, _CONTROLS, _CONTROLS)}
        numbers["thumbnail_noise"] = _noise(noises, self.size // _THUMBNAIL_FACTOR, self.layout)
        return numbers | {"noise": _noise(crops, self.crop, self.layout)}

    def terms(self, batch: Batch) -> Batch:
        thumbnails, crops = self._seen(batch)
        small = (batch["thumbnail_noise"], batch["thumbnail_time"])
        terms = {"thumbnail_velocity": _flow_loss(self.network.thumbnails, thumbnails, *small)}
        return terms | {"velocity": _flow_loss(self.network.network, crops, batch["noise"], batch["time"])}

    @torch.no_grad()
    def _seen(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What both networks learn from: detail, where it counts, and condition, as channels."""
        image, coverage, fov = _split(batch, self.config.colour)
        share = F.avg_pool2d(fov, _THUMBNAIL_FACTOR)
        thumbnail = _averaged(image, fov, share)
        field = self._spline @ batch["controls"] @ self._spline.T
        kept = torch.where(field < -0.2 + 0.8 * batch["height"], coverage, 0.0)
        cells = F.pixel_unshuffle(kept, _THUMBNAIL_FACTOR)
        parts = [_THUMBNAIL_GAIN * thumbnail, (share > 0.0).float(), 2.0 * cells - 1.0, 2.0 * share - 1.0]
        thumbnails = torch.cat([*parts, self._small_places.expand(len(image), -1, -1, -1)], dim=1)
        base = _enlarged(thumbnail, share, _THUMBNAIL_FACTOR)
        inside = (fov > 0.0).float()
        parts = [_COARSE_GAIN * inside * (image - base), inside, 2.0 * coverage - 1.0, 2.0 * fov - 1.0]
        seen = torch.cat([*parts, self._places.expand(len(image), -1, -1, -1), base], dim=1)
        return thumbnails.repeat_interleave(_NOISES, dim=0), _crops(seen, batch["corners"], self.crop)


class FineRendererStage:
    """Stage-II, fine; a batch has `maps` `(batch, 5, crop, crop)` in [0, 1]."""

    name = "stage2_fine"

    def __init__(self, config: Config, layout: torch.memory_format = torch.contiguous_format):
        self.config, self.factor, self.layout = config.stage2_fine, config.size // config.coarse_size, layout
        self.crop, self._colour = min(self.config.crop, config.size), config.stage2.colour
        self.rate, self.last_share = self.config.learning_rate, 0.05
        self.network = networks.FineRenderer(self.config.filters)
        self.network_ema = networks.FineRenderer(self.config.filters)

    def numbers(self, batch: int) -> Batch:
        """The random numbers of one step."""
        numbers = {"colour": torch.rand(batch, 5), "time": torch.randn(batch)}
        return numbers | {"noise": _noise(batch, self.crop, self.layout)}

    def terms(self, batch: Batch) -> Batch:
        return {"velocity": _flow_loss(self.network.network, self._seen(batch), batch["noise"], batch["time"])}

    @torch.no_grad()
    def _seen(self, batch: Batch) -> Tensor:
        """What the network learns from: detail, where it counts, and condition, as channels."""
        image, coverage, share = _split(batch, self._colour)
        fov = share.round()
        pooled = F.avg_pool2d(fov, self.factor)
        base = _enlarged(_averaged(image, fov, pooled), pooled, self.factor)
        vessels = 2.0 * torch.round(coverage) - 1.0
        return torch.cat([_FINE_GAIN * fov * (image - base), fov, vessels, 2.0 * fov - 1.0, base], dim=1)


SupervisedStage = RefinerStage | CoarseRendererStage | FineRendererStage
SUPERVISED = {stage.name: stage for stage in (RefinerStage, CoarseRendererStage, FineRendererStage)}


class SupervisedStep:
    """Updates a stage's network and its average, as `synthmed_tf.training.supervised`; the rate falls as a cosine."""

    def __init__(self, stage: SupervisedStage):
        self.stage, self.taken, steps = stage, 0, stage.config.total_steps(1)
        self.optimizer = torch.optim.Adam(stage.network.parameters(), stage.rate, eps=1e-7, fused=True)
        least = stage.last_share * stage.rate
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, steps, least)

    def __call__(self, batch: Batch) -> Batch:
        """Takes one step on a batch with its random numbers; returns the terms, without gradient."""
        self.optimizer.zero_grad(set_to_none=True)
        terms = self.stage.terms(batch)
        sum(terms.values()).backward()
        self.optimizer.step()
        self.schedule.step()
        self.taken += 1
        update_average(self.stage.network_ema, self.stage.network, self.stage.config, self.taken)
        return metrics(self.stage.name, terms)


def unreached_share(ridges: Tensor, calibres: Tensor, steps: int = 64) -> Tensor:
    """How much of each tree cannot be reached from its widest vessel (`synthmed_tf.training.losses`)."""
    ridges, calibres = F.max_pool2d(ridges, 2), F.max_pool2d(calibres, 2)
    reached = torch.where(calibres >= calibres.amax(dim=(1, 2, 3), keepdim=True), ridges, 0.0)
    for _ in range(steps):
        reached = torch.minimum(ridges, F.max_pool2d(reached, 3, stride=1, padding=1))
    return 1.0 - reached.mean(dim=(1, 2, 3)) / (ridges.mean(dim=(1, 2, 3)) + 1e-6)


def _shifted(maps: Tensor, shift: Tensor) -> Tensor:
    """Shifts by whole pixels, 0 from beyond the border."""
    pixels = maps.shape[2] / 2.0
    columns, rows = ((shift * pixels).round() / pixels).T
    line = (2.0 * torch.arange(maps.shape[2]) + 1.0) / maps.shape[2] - 1.0
    x, y = (by[:, None] + line for by in (columns, rows))
    grid = torch.stack(torch.broadcast_tensors(x[:, None, :], y[:, :, None]), dim=-1)
    return F.grid_sample(maps, grid, mode="nearest", align_corners=False)


def _spline(size: int) -> Tensor:
    """How much each of the control points counts at each pixel of a line, `(size, 5)`."""
    line = (2.0 * torch.arange(size) + 1.0) / size
    away = (line[:, None] * ((_CONTROLS - 1) / 2) - torch.arange(_CONTROLS)).abs()
    weights = torch.where(away < 1.0, (4.0 - 6.0 * away**2 + 3.0 * away**3) / 6.0, F.relu(2.0 - away) ** 3 / 6.0)
    return weights / weights.sum(dim=1, keepdim=True)


def _split(batch: Batch, strength: float) -> tuple[Tensor, Tensor, Tensor]:
    """Images in [-1, 1], with their colors changed, black outside; coverage and field of view in [0, 1]."""
    image, coverage, fov = batch["maps"].split((3, 1, 1), dim=1)
    fov = torch.where(fov < _LEAST_SHARE, 0.0, fov)
    light = (image / fov.clamp(min=_LEAST_SHARE)).clamp(max=1.0)
    light = torch.where(fov > 0.0, light, 0.0)
    if strength:
        change = strength * (2.0 * batch["colour"][:, :, None, None] - 1.0)
        gain = (1.0 + change[:, :3] / 2.0) * (1.0 + change[:, 3:4])
        light = (light ** change[:, 4:].exp() * gain).clamp(0.0, 1.0)
    return 2.0 * light - 1.0, coverage * (fov > 0.0), fov


def _averaged(images: Tensor, fov: Tensor, share: Tensor) -> Tensor:
    """Averages over the part of a cell in the field of view, of which `share` has as much; -1 where there is none."""
    factor = fov.shape[2] // share.shape[2]
    return F.avg_pool2d((images + 1.0) * fov, factor) / share.clamp(min=_LEAST) - 1.0


def _enlarged(images: Tensor, share: Tensor, factor: int) -> Tensor:
    """Enlarges averages bilinearly, weighted by the share of each pixel in the field of view."""
    light = networks.enlarge((images + 1.0) * share, factor)
    return light / networks.enlarge(share, factor).clamp(min=_LEAST) - 1.0


def _places(size: int) -> Tensor:
    """Distance from the center and a bump in the middle, `(1, 2, size, size)`."""
    line = (2.0 * np.arange(size) + 1.0) / size - 1.0
    away = np.hypot(line[:, None], line[None])
    place = np.stack([2.0 * away - 1.0, 2.0 * np.exp(-(away**2) / 0.03) - 1.0])
    return torch.from_numpy(place.astype(np.float32))[None]


def _crops(images: Tensor, unit: Tensor, side: int) -> Tensor:
    """Squares at random places, which begin at even pixels, those of one image after each other.

    Args:
        images: `(batch, channels, size, size)`.
        unit: `(batch, 2, crops)`, uniform in (0, 1): rows and columns.
        side: of a square, in pixels.
    """
    corners = 2 * (unit * ((images.shape[2] - side) // 2 + 1)).long()
    squares = [
        image[:, :, top : top + side, left : left + side]
        for image, (tops, lefts) in zip(images.split(1), corners.tolist(), strict=True)
        for top, left in zip(tops, lefts, strict=True)
    ]
    return torch.cat(squares)


def _noise(batch: int, side: int, layout: torch.memory_format, channels: int = 3) -> Tensor:
    """Standard normal numbers `(batch, channels, side, side)` in a memory format."""
    if layout == torch.channels_last:
        return torch.randn(batch, side, side, channels).permute(0, 3, 1, 2)
    return torch.randn(batch, channels, side, side)


def _flow_loss(network: nn.Module, seen: Tensor, noise: Tensor, normal: Tensor) -> Tensor:
    """The loss of flow matching: the squared error of the velocity inside.

    Args:
        network: gives velocities.
        seen: `(batch, channels + 1 + conditions, side, side)`: detail, where it counts, and what the network is given.
        noise: `(batch, channels, side, side)`, standard normal.
        normal: `(batch,)`, standard normal, of which the times are made.
    """
    channels = noise.shape[1]
    detail, inside, condition = seen[:, :channels], seen[:, channels : channels + 1], seen[:, channels + 1 :]
    time = (normal + _TIME_SHIFT).sigmoid()
    noisy = torch.lerp(noise, detail, time[:, None, None, None])
    error = (network(noisy, condition, time) - (detail - noise)).square() * inside
    return (error.sum(dim=(1, 2, 3)) / (channels * (inside.sum(dim=(1, 2, 3)) + 1.0))).mean()
