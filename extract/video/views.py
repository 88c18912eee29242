"""Views: view 0 is the test view of a clip's frames, the others are seeded training crops."""

import hashlib
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ...backbones.identity import Preprocessing
from ...cache.spec import Augmentation


def make_views(
    frames: NDArray[np.uint8],
    clip_id: str,
    count: int,
    augmentation: Augmentation,
    preprocessing: Preprocessing,
    device: str | torch.device = "cpu",
) -> Tensor:
    """uint8 frames [N, H, W, 3] to normalised float32 [count, N, 3, S, S] on ``device``.

    A view has one crop and flip for all its frames.
    """
    # As planes: resizing them takes two thirds of the time.
    planes = torch.from_numpy(frames).to(device).permute(0, 3, 1, 2).contiguous()
    stack = planes.float().div_(255)
    out = stack.new_empty(count, len(stack), 3, preprocessing.size, preprocessing.size)
    out[0] = _test_view(stack, preprocessing)
    for view in range(1, count):
        out[view] = _train_view(
            stack, _generator(augmentation.seed, clip_id, view), augmentation, preprocessing
        )
    statistics = (preprocessing.mean, preprocessing.std)
    mean, std = (stack.new_tensor(values).view(3, 1, 1) for values in statistics)
    return out.sub_(mean).div_(std)


def _test_view(stack: Tensor, preprocessing: Preprocessing) -> Tensor:
    """The shorter side to ``size``, then the centre, as torchvision's Resize and CenterCrop."""
    size, (height, width) = preprocessing.size, stack.shape[-2:]
    long = int(size * max(height, width) / min(height, width))
    tall, wide = (long, size) if height >= width else (size, long)
    resized = _resize(stack, tall, wide, preprocessing.interpolation)
    top, left = round((tall - size) / 2), round((wide - size) / 2)
    return resized[..., top : top + size, left : left + size]


def _train_view(
    stack: Tensor,
    rng: np.random.Generator,
    augmentation: Augmentation,
    preprocessing: Preprocessing,
) -> Tensor:
    top, left, height, width = _crop(stack.shape[-2], stack.shape[-1], rng, augmentation.scale)
    size = preprocessing.size
    view = _resize(stack[..., top : top + height, left : left + width], size, size, "bilinear")
    return view.flip(-1) if augmentation.flip and rng.random() < 0.5 else view


def _resize(stack: Tensor, height: int, width: int, interpolation: str) -> Tensor:
    """torchvision's resize of floats; without importing it, which takes as long as torch."""
    if stack.shape[-2:] == (height, width):
        return stack
    return F.interpolate(
        stack, (height, width), mode=interpolation, align_corners=False, antialias=True
    )


def _crop(
    height: int, width: int, rng: np.random.Generator, scale: float
) -> tuple[int, int, int, int]:
    """RandomResizedCrop's draw.

    Area in [scale, 1], aspect log-uniform in [3/4, 4/3], ten tries, then the centre.
    """
    for _ in range(10):
        area = height * width * rng.uniform(scale, 1)
        aspect = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
            return int(top), int(left), h, w
    side_w, side_h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    return (height - side_h) // 2, (width - side_w) // 2, side_h, side_w


def _generator(seed: int, clip_id: str, view: int) -> np.random.Generator:
    """Keyed by (seed, clip, view): independent of order, worker and other clips."""
    digest = hashlib.sha256(f"{seed}/{clip_id}/{view}".encode()).digest()
    return np.random.default_rng(list(digest))
