"""Views of a clip's frames: view 0 is the test view, all others are seeded training crops."""

import hashlib
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ...backbones.identity import Preprocessing
from ...cache.spec import Augmentation

# Sides of a picture, long to short, beyond which only its middle is resized: 16 times the view's
# memory at most, where a picture 1 pixel wide and 100,000 high would take 100,000 times as much.
LONGEST = 16


def make_views(
    frames: NDArray[np.uint8],
    clip_id: str,
    count: int,
    augmentation: Augmentation,
    preprocessing: Preprocessing,
    device: str | torch.device = "cpu",
) -> Tensor:
    """Make the first ``count`` views of a clip, each with one crop and flip for all frames.

    Args:
        frames: uint8 [frames, height, width, 3], RGB.
        clip_id: with the augmentation's seed, it determines the training crops.
        count: the number of views.
        augmentation: how training views are drawn.
        preprocessing: the backbone's size, resize mode, interpolation, mean and deviation.
        device: where to compute.

    Returns:
        Normalised float32 [count, frames, 3, size, size] on ``device``.
    """
    # Channels first: resizing takes two thirds of the time.
    channels_first = torch.from_numpy(frames).to(device).permute(0, 3, 1, 2).contiguous()
    stack = channels_first.float().div_(255)
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
    """Resize the shorter side and crop the centre, as torchvision's Resize and CenterCrop do.

    A picture that is more than LONGEST times as long as it is narrow is cropped to that first, so
    that memory is bounded; its centre stays where it is. ``squash`` resizes both sides and crops
    nothing.
    """
    size, (height, width) = preprocessing.size, stack.shape[-2:]
    if preprocessing.resize_mode == "squash":
        return _resize(stack, size, size, preprocessing.interpolation)
    stack = _middle(stack, LONGEST * min(height, width))
    height, width = stack.shape[-2:]
    long = int(size * max(height, width) / min(height, width))
    tall, wide = (long, size) if height >= width else (size, long)
    resized = _resize(stack, tall, wide, preprocessing.interpolation)
    top, left = round((tall - size) / 2), round((wide - size) / 2)
    return resized[..., top : top + size, left : left + size]


def _middle(stack: Tensor, most: int) -> Tensor:
    """The middle of pictures with sides of at most ``most`` or one pixel more.

    As much is cut off on both sides.
    """
    top, left = (max(0, (side - most) // 2) for side in stack.shape[-2:])
    return stack[..., top : stack.shape[-2] - top, left : stack.shape[-1] - left]


def _train_view(
    stack: Tensor,
    rng: np.random.Generator,
    augmentation: Augmentation,
    preprocessing: Preprocessing,
) -> Tensor:
    crop = _crop_of_squashed if preprocessing.resize_mode == "squash" else _crop
    top, left, height, width = crop(stack.shape[-2], stack.shape[-1], rng, augmentation.scale)
    size = preprocessing.size
    view = _resize(stack[..., top : top + height, left : left + width], size, size, "bilinear")
    return view.flip(-1) if augmentation.flip and rng.random() < 0.5 else view


def _resize(stack: Tensor, height: int, width: int, interpolation: str) -> Tensor:
    """Resize floats as torchvision does, whose import would take as long as torch's."""
    if stack.shape[-2:] == (height, width):
        return stack
    return F.interpolate(
        stack, (height, width), mode=interpolation, align_corners=False, antialias=True
    )


def _crop(
    height: int, width: int, rng: np.random.Generator, scale: float
) -> tuple[int, int, int, int]:
    """Draw (top, left, height, width) as torchvision's RandomResizedCrop does.

    The area is uniform in [scale, 1], the aspect ratio log-uniform in [3/4, 4/3]; after ten draws
    that do not fit, the crop is the centre.
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


def _crop_of_squashed(
    height: int, width: int, rng: np.random.Generator, scale: float
) -> tuple[int, int, int, int]:
    """Draw a crop of the picture squashed to a square, in pixels of the picture itself.

    So things are squashed in training views as they are in the test view.
    """
    side = max(height, width)
    top, left, crop_height, crop_width = _crop(side, side, rng, scale)
    y, x = top * height // side, left * width // side
    return y, x, max(1, crop_height * height // side), max(1, crop_width * width // side)


def _generator(seed: int, clip_id: str, view: int) -> np.random.Generator:
    """A generator for one view, independent of the order of clips and of workers."""
    digest = hashlib.sha256(f"{seed}/{clip_id}/{view}".encode()).digest()
    return np.random.default_rng(list(digest))
