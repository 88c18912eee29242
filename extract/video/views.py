"""Views: view 0 is the test view of a clip's frames, the others are seeded training crops."""

import hashlib
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as V

from ...cache.clip.identity import Preprocessing
from ..settings import Augmentation


def make_views(
    frames: NDArray[np.uint8],
    clip_id: str,
    count: int,
    rule: Augmentation,
    preprocessing: Preprocessing,
    device: str = "cpu",
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
        out[view] = _train_view(stack, _generator(rule.seed, clip_id, view), rule, preprocessing)
    statistics = (preprocessing.mean, preprocessing.std)
    mean, std = (stack.new_tensor(values).view(3, 1, 1) for values in statistics)
    return out.sub_(mean).div_(std)


def _test_view(stack: Tensor, preprocessing: Preprocessing) -> Tensor:
    resized = V.resize(
        stack, [preprocessing.size], interpolation=_mode(preprocessing), antialias=True
    )
    return V.center_crop(resized, [preprocessing.size])


def _train_view(
    stack: Tensor, rng: np.random.Generator, rule: Augmentation, preprocessing: Preprocessing
) -> Tensor:
    top, left, height, width = _crop(stack.shape[-2], stack.shape[-1], rng, rule.scale)
    size = [preprocessing.size, preprocessing.size]
    bilinear = InterpolationMode.BILINEAR
    view = V.resized_crop(stack, top, left, height, width, size, bilinear, antialias=True)
    return V.horizontal_flip(view) if rule.flip and rng.random() < 0.5 else view


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


def _mode(preprocessing: Preprocessing) -> InterpolationMode:
    return InterpolationMode(preprocessing.interpolation)
