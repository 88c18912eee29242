"""Views: what of a clip's frames the tower sees. View 0 is the test view; the others are seeded crops for training."""

import hashlib
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as V

from cache.identity import Preprocessing
from extract.plan import ViewRule


def make_views(frames: NDArray[np.uint8], clip_id: str, count: int, rule: ViewRule, preprocessing: Preprocessing, device: str = "cpu") -> Tensor:
    """uint8 frames [N, H, W, 3] to float32 [count, N, 3, S, S] on ``device``, normalised; one crop and flip for all frames of a view."""
    stack = (
        torch.from_numpy(frames).to(device).permute(0, 3, 1, 2).contiguous().float().div_(255)
    )  # planes: resizing them takes two thirds of the time
    out = stack.new_empty(count, len(stack), 3, preprocessing.size, preprocessing.size)
    out[0] = _test_view(stack, preprocessing)
    for view in range(1, count):
        out[view] = _train_view(stack, _generator(rule.seed, clip_id, view), rule, preprocessing)
    mean, std = (stack.new_tensor(values).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    return out.sub_(mean).div_(std)


def _test_view(stack: Tensor, preprocessing: Preprocessing) -> Tensor:
    resized = V.resize(stack, [preprocessing.size], interpolation=_mode(preprocessing), antialias=True)
    return V.center_crop(resized, [preprocessing.size])


def _train_view(stack: Tensor, rng: np.random.Generator, rule: ViewRule, preprocessing: Preprocessing) -> Tensor:
    top, left, height, width = _crop(stack.shape[-2], stack.shape[-1], rng, rule.scale)
    size = [preprocessing.size, preprocessing.size]
    view = V.resized_crop(stack, top, left, height, width, size, interpolation=InterpolationMode.BILINEAR, antialias=True)
    return V.horizontal_flip(view) if rule.flip and rng.random() < 0.5 else view


def _crop(height: int, width: int, rng: np.random.Generator, scale: float) -> tuple[int, int, int, int]:
    """RandomResizedCrop's draw: area in [scale, 1], aspect log-uniform in [3/4, 4/3], ten tries, then the centre."""
    for _ in range(10):
        area = height * width * rng.uniform(scale, 1)
        aspect = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1)), h, w
    side_w, side_h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    return (height - side_h) // 2, (width - side_w) // 2, side_h, side_w


def _generator(seed: int, clip_id: str, view: int) -> np.random.Generator:
    """The same draw for a clip and view whatever the order, the worker or the other clips."""
    digest = hashlib.sha256(f"{seed}/{clip_id}/{view}".encode()).digest()
    return np.random.default_rng(list(digest))


def _mode(preprocessing: Preprocessing) -> InterpolationMode:
    return InterpolationMode(preprocessing.interpolation)
