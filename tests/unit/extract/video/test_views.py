"""Views: the test view is fixed, training views are seeded by clip and view alone."""

import resource
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from structalign.backbones.identity import Preprocessing
from structalign.cache.spec import Augmentation
from structalign.extract.video.views import make_views
from torchvision.transforms import v2

PREPROCESSING = Preprocessing(32, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))
FRAMES = np.random.default_rng(0).integers(0, 256, (3, 40, 60, 3), dtype=np.uint8)


def rule(count: int = 3, seed: int = 0, flip: bool = True) -> Augmentation:
    return Augmentation(count, seed, 0.5, flip)


def test_shapes_and_what_decides() -> None:
    views = make_views(FRAMES, "a", 3, rule(), PREPROCESSING)
    assert views.shape == (3, 3, 3, 32, 32) and views.dtype == torch.float32
    assert torch.equal(views, make_views(FRAMES, "a", 3, rule(), PREPROCESSING))
    assert torch.equal(views[:2], make_views(FRAMES, "a", 2, rule(), PREPROCESSING))
    other = make_views(FRAMES, "b", 3, rule(), PREPROCESSING)
    assert torch.equal(views[0], other[0]) and not torch.equal(views[1], other[1])
    assert not torch.equal(views[1], make_views(FRAMES, "a", 3, rule(seed=1), PREPROCESSING)[1])


def test_normalised() -> None:
    grey = np.full((1, 32, 32, 3), 128, np.uint8)
    view = make_views(grey, "a", 1, rule(1), PREPROCESSING)[0, 0]
    wanted = (128 / 255 - torch.tensor([0.5, 0.4, 0.3])) / 0.2
    assert torch.allclose(view, wanted[:, None, None].expand(3, 32, 32), atol=1e-5)


def test_flips_can_be_turned_off() -> None:
    """Left half dark, right half bright.

    Without flips the right side stays the brighter one in every view.
    """
    frames = np.zeros((1, 64, 64, 3), np.uint8)
    frames[:, :, 32:] = 255
    count = 40

    def brighter_right(flip: bool) -> list[bool]:
        views = make_views(frames, "a", count, rule(count, flip=flip), PREPROCESSING)
        return [bool(view[..., 16:].mean() > view[..., :16].mean()) for view in views]

    assert all(brighter_right(flip=False))
    assert 5 < sum(brighter_right(flip=True)[1:]) < 35


def test_one_crop_for_all_frames_of_a_clip() -> None:
    same = np.repeat(FRAMES[:1], 3, axis=0)
    views = make_views(same, "a", 3, rule(), PREPROCESSING)
    assert torch.equal(views[:, 0], views[:, 1]) and torch.equal(views[:, 0], views[:, 2])


@pytest.mark.parametrize(
    "size", [(40, 60), (60, 40), (33, 47), (32, 32), (32, 55), (20, 31), (10, 160)]
)
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_the_test_view_is_torchvisions(size: tuple[int, int], interpolation: str) -> None:
    """Its functions are not called since importing them takes as long as importing torch."""
    frames = np.random.default_rng(1).integers(0, 256, (3, *size, 3), dtype=np.uint8)
    preprocessing = Preprocessing(32, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), interpolation)
    mode = v2.InterpolationMode(interpolation)
    theirs = v2.Compose([v2.Resize(32, mode, antialias=True), v2.CenterCrop(32)])
    planes = torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous().float().div_(255)
    assert torch.equal(make_views(frames, "a", 1, rule(1), preprocessing)[0], theirs(planes))


@pytest.mark.parametrize("size", [(1, 1000), (1000, 1), (2, 301), (301, 3), (3, 160)])
def test_the_test_view_of_a_very_long_picture_is_its_centre(size: tuple[int, int]) -> None:
    """Only the middle is resized, with the scale that torchvision has."""
    frames = np.random.default_rng(1).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    preprocessing = Preprocessing(32, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    theirs = v2.Compose([v2.Resize(32, v2.InterpolationMode.BICUBIC), v2.CenterCrop(32)])
    planes = torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous().float().div_(255)
    difference = make_views(frames, "a", 1, rule(1), preprocessing)[0] - theirs(planes)
    assert difference.abs().max() < 0.03


def test_a_picture_one_pixel_wide_takes_no_memory() -> None:
    """Its 100,000 pixels were resized to 3,200,000 lines before they were cropped."""
    frames = np.full((1, 100_000, 1, 3), 128, np.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    view = make_views(frames, "a", 2, rule(2), PREPROCESSING)
    assert view.shape == (2, 1, 3, 32, 32)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


@pytest.mark.parametrize("size", [(40, 60), (60, 40), (20, 200), (33, 33)])
def test_squash_resizes_both_sides_as_open_clip_does(size: tuple[int, int]) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    preprocessing = replace(PREPROCESSING, interpolation="bilinear", resize_mode="squash")
    cfg = {**asdict(preprocessing), "mode": "RGB", "fill_color": 0}
    theirs = image_transform_v2(PreprocessCfg(**cfg), is_train=False)
    view = make_views(frames, "a", 1, rule(1), preprocessing)[0]
    for ours, frame in zip(view, frames, strict=True):
        # PIL resizes integers, we resize floats.
        assert (ours - theirs(Image.fromarray(frame))).abs().max() < 0.03


def test_training_views_of_a_squashed_picture_are_squashed_too() -> None:
    """A disc in a wide picture becomes as narrow in every training view as in the test view."""
    y, x = np.mgrid[:60, :240]
    disc = ((y - 30) ** 2 + (x - 120) ** 2 < 20**2)[..., None] * np.full(3, 255, np.uint8)
    preprocessing = replace(PREPROCESSING, size=96, resize_mode="squash")
    augmentation = Augmentation(20, 0, 0.9, False)
    views = make_views(disc[None], "a", 20, augmentation, preprocessing)[:, 0, 0]
    is_disc = views > views.mean((1, 2), keepdim=True) + 1
    ratios = is_disc.any(1).sum(1) / is_disc.any(2).sum(1)  # width / height
    assert 0.2 < float(ratios[0]) < 0.3
    assert all(3 / 16 * 0.8 < ratio < 1 / 3 * 1.2 for ratio in ratios.tolist())


@pytest.mark.parametrize("size", [(1, 50), (50, 1), (2, 3)])
def test_squashed_views_of_narrow_pictures(size: tuple[int, int]) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (1, *size, 3), dtype=np.uint8)
    preprocessing = replace(PREPROCESSING, resize_mode="squash")
    assert make_views(frames, "a", 20, rule(20), preprocessing).isfinite().all()
