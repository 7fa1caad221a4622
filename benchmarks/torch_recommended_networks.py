"""The networks of the preset `recommended` in PyTorch, for a comparison of speed.

Layer by layer those of `synthmed_tf.models.ridge_gan`, `mask_refiner`, `flow` and `pyramid`. PyTorch orders the pixels
of a cell otherwise among the channels, so that equal weights differ in their order where a layer reads or writes cells.
Images and maps are `(batch, channels, height, width)`, float32, in either memory format.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_networks import NORMS, Modulation, minibatch_deviation, pyramid_widths, strided, upsample

_PATCH_LEVEL = 2
_BACKGROUND_LOGIT = -1.0


class CellConvolution(nn.Conv2d):
    """A 3x3 convolution of cells, whose pixels become channels: the size is divided by `cell`."""

    def __init__(self, before: int, after: int, cell: int):
        super().__init__(before * cell * cell, after, 3, padding=1)
        self.cell = cell

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(F.pixel_unshuffle(features, self.cell) if self.cell > 1 else features)


class SubPixelConvolution(nn.Conv2d):
    """A 3x3 convolution whose channels become the pixels of cells: the size is multiplied by `cell`."""

    def __init__(self, before: int, after: int, cell: int):
        super().__init__(before, after * cell * cell, 3, padding=1)
        self.cell = cell

    def forward(self, features: Tensor) -> Tensor:
        cells = super().forward(features)
        return F.pixel_shuffle(cells, self.cell) if self.cell > 1 else cells


class RidgeGenerator(nn.Module):
    """Stage-I's coarse generator: latent `(batch, latent_dim)` to maps `(batch, 2, size, size)` in [0, 1]."""

    def __init__(self, size: int, latent_dim: int, filters: int, max_filters: int, norm: str):
        super().__init__()
        widths = pyramid_widths(size // 2, filters, max_filters)[::-1]
        self.linear = nn.Linear(latent_dim, 16 * widths[0])
        pairs = zip(widths[:-1], widths[1:], strict=True)
        self.coarse = nn.ModuleList(ModulatedBlock(before, after, latent_dim, norm) for before, after in pairs)
        self.fine = nn.ModuleList(ModulatedBlock(width, width, latent_dim, norm) for width in widths[1:])
        self.refine = nn.Conv2d(filters, filters // 2, 3, padding=1)
        self.to_maps = nn.Conv2d(filters // 2, 2, 3, padding=1)

    def forward(self, latent: Tensor) -> Tensor:
        # Keras' order of the linear layer's outputs is height, width, channels; the weights decide the memory format.
        x = F.leaky_relu(self.linear(latent).unflatten(1, (4, 4, -1)).permute(0, 3, 1, 2).contiguous(), 0.2)
        for coarse, fine in zip(self.coarse, self.fine, strict=True):
            x = fine(upsample(coarse(x, latent)), latent)
        x = enlarge(F.leaky_relu(self.refine(x), 0.2, inplace=True), 2)
        return torch.sigmoid(self.to_maps(x) + _BACKGROUND_LOGIT)


class ModulatedBlock(nn.Module):
    """Convolution, normalization, modulation by the latent, leaky ReLU."""

    def __init__(self, before: int, after: int, latent_dim: int, norm: str):
        super().__init__()
        self.convolution = nn.Conv2d(before, after, 3, padding=1)
        self.norm = NORMS[norm](after)
        self.modulation = Modulation(after, latent_dim)

    def forward(self, features: Tensor, latent: Tensor) -> Tensor:
        return F.leaky_relu(self.modulation(self.norm(self.convolution(features)), latent), 0.2, inplace=True)


class RidgeDiscriminator(nn.Module):
    """Stage-I's coarse discriminator: maps in [-1, 1] to logits `(batch, 1)`, and of patches, `(batch, 1, h, w)`."""

    def __init__(self, size: int, filters: int, max_filters: int):
        super().__init__()
        widths = pyramid_widths(size // 2, filters, max_filters)
        self.first = CellConvolution(2, widths[0], 2)
        pairs = zip(widths[:-1], widths[1:], strict=True)
        self.convolutions = nn.ModuleList(strided(before, after) for before, after in pairs)
        self.last = nn.Conv2d(widths[-1] + 1, widths[-1], 3, padding=1)
        self.to_logit = nn.Linear(16 * widths[-1], 1)
        self.patch = nn.Conv2d(widths[_PATCH_LEVEL], widths[_PATCH_LEVEL], 3, padding=1)
        self.to_patch_logits = nn.Conv2d(widths[_PATCH_LEVEL], 1, 1)

    def forward(self, signed: Tensor) -> tuple[Tensor, Tensor]:
        x = patches = F.leaky_relu(self.first(signed), 0.2, inplace=True)
        for level, convolution in enumerate(self.convolutions, start=1):
            x = F.leaky_relu(convolution(x), 0.2, inplace=True)
            patches = x if level == _PATCH_LEVEL else patches
        patch_logits = self.to_patch_logits(F.leaky_relu(self.patch(patches), 0.2, inplace=True))
        x = F.leaky_relu(self.last(minibatch_deviation(x)), 0.2, inplace=True)
        return self.to_logit(x.permute(0, 2, 3, 1).flatten(1)), patch_logits


class MaskRefiner(nn.Module):
    """Stage-I's fine network, given 3 channels; it generates the distances of a cell as channels."""

    def __init__(self, factor: int, filters: int):
        super().__init__()
        self.network = FlowNetwork(1, filters, 3, factor**2)


class CoarseRenderer(nn.Module):
    """Stage-II's coarse networks: that of the thumbnails, given 19 channels, and that of the detail, given 7."""

    def __init__(self, filters: int):
        super().__init__()
        self.thumbnails = FlowNetwork(1, max(1, filters // 2), 19)
        self.network = FlowNetwork(2, filters, 7)


class FineRenderer(nn.Module):
    """Stage-II's fine network, given 5 channels."""

    def __init__(self, filters: int):
        super().__init__()
        self.network = FlowNetwork(4, filters, 5)


class FlowNetwork(nn.Module):
    """A U-Net of three levels: noisy detail `(batch, channels, h, w)`, condition and time to the velocity."""

    def __init__(self, cell: int, filters: int, conditions: int, channels: int = 3):
        super().__init__()
        wide, widest, dim = 2 * filters, 3 * filters, 2 * filters
        frequencies = np.geomspace(1.0, 200.0, 32, dtype=np.float32)
        self.register_buffer("frequencies", torch.from_numpy(frequencies), persistent=False)
        self.time = nn.ModuleList((nn.Linear(2 * len(frequencies), dim), nn.Linear(dim, dim)))
        self.first = CellConvolution(channels + conditions, filters, cell)
        self.before = nn.ModuleList((FlowBlock(filters, filters, dim), FlowBlock(wide, wide, dim)))
        pairs = ((filters, wide), (wide, widest))
        self.halve = nn.ModuleList(nn.Conv2d(before, after, 2, stride=2) for before, after in pairs)
        self.middle = nn.ModuleList(FlowBlock(widest, widest, dim) for _ in range(2))
        self.after = nn.ModuleList((FlowBlock(widest + wide, wide, dim), FlowBlock(wide + filters, filters, dim)))
        self.to_velocity = SubPixelConvolution(filters, channels, cell)

    def forward(self, noisy: Tensor, condition: Tensor, time: Tensor) -> Tensor:
        embedding = self._embed(time)
        x = self.first(torch.cat([noisy, condition], dim=1))
        skips = []
        for block, halve in zip(self.before, self.halve, strict=True):
            x = block(x, embedding)
            skips.append(x)
            x = halve(x)
        for block in self.middle:
            x = block(x, embedding)
        for block in self.after:
            x = block(torch.cat([upsample(x), skips.pop()], dim=1), embedding)
        return self.to_velocity(F.silu(pixel_norm(x)))

    def _embed(self, time: Tensor) -> Tensor:
        angles = time[:, None] * self.frequencies
        first, second = self.time
        return F.silu(second(F.silu(first(torch.cat([angles.sin(), angles.cos()], dim=1)))))


class FlowBlock(nn.Module):
    """Features plus two convolutions of them; between the two, the time scales and shifts each channel."""

    def __init__(self, before: int, after: int, dim: int):
        super().__init__()
        self.convolve = nn.Conv2d(before, after, 3, padding=1)
        self.modulation = Modulation(after, dim)
        self.refine = nn.Conv2d(after, after, 3, padding=1)
        self.project = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
        x = self.convolve(F.silu(pixel_norm(features)))
        x = self.refine(F.silu(self.modulation(pixel_norm(x), embedding)))
        return x + self.project(features)


def pixel_norm(features: Tensor) -> Tensor:
    """Divides the channels of each pixel by their root mean square."""
    return features * torch.rsqrt(features.square().mean(dim=1, keepdim=True) + 1e-6)


def enlarge(images: Tensor, factor: int) -> Tensor:
    """Enlarges bilinearly; borders are extended."""
    return F.interpolate(images, scale_factor=float(factor), mode="bilinear", align_corners=False)
