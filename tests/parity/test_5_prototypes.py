"""Topic 5: class prototypes, how they are drawn, and the replay loss."""

import numpy as np
import torch
from helpers.golden import Golden, close
from structalign.train.contrastive import pooled_unit
from structalign.train.methods.structalign.losses import prototype_replay
from structalign.train.methods.structalign.prototypes import ClassPrototypes
from torch import Tensor

FILE = "5_prototypes"


def test_means_and_radii(golden: Golden) -> None:
    text, video, labels = (
        golden.get(FILE, f"cmp.{name}") for name in ("text_features", "video_features", "labels")
    )
    prototypes = ClassPrototypes(text.shape[1]).double()
    prototypes.add(labels, text, video)
    assert torch.equal(prototypes.labels, golden.get(FILE, "cmp.class_label"))
    close(prototypes.text_mean, golden.get(FILE, "cmp.text_prototype"))
    close(prototypes.video_mean, golden.get(FILE, "cmp.video_prototype"))
    close(prototypes.text_radius, golden.get(FILE, "cmp.text_radius"))
    close(prototypes.video_radius, golden.get(FILE, "cmp.video_radius"))
    covariance = torch.stack([text[labels == label].T.cov() for label in prototypes.labels])
    close(covariance, golden.get(FILE, "cmp.text_cov"))
    close(covariance.diagonal(dim1=1, dim2=2).mean(1).sqrt(), prototypes.text_radius)


def test_a_draw_is_mean_plus_radius_times_noise(golden: Golden) -> None:
    """With the official generator's noise the official draws come out.

    Ours draws the same way from a generator of its own.
    """
    names = ("text_prototype", "text_radius", "video_prototype", "video_radius")
    mean_t, radius_t, mean_v, radius_v = (golden.get(FILE, f"old.{name}") for name in names)
    labels = golden.get(FILE, "old.class_label")
    for which in ("apa", "apa2"):
        rng = np.random.RandomState(int(golden.get(FILE, f"{which}.seed")))
        index = list(range(len(labels)))
        for row in range(len(golden.get(FILE, f"{which}.label"))):
            rng.shuffle(index)
            k = index[0]
            video = mean_v[k] + torch.from_numpy(rng.normal(0, 1, mean_v.shape[1])) * radius_v[k]
            text = mean_t[k] + torch.from_numpy(rng.normal(0, 1, mean_t.shape[1])) * radius_t[k]
            assert labels[k] == golden.get(FILE, f"{which}.label")[row]
            close(video, golden.get(FILE, f"{which}.video")[row])
            close(text, golden.get(FILE, f"{which}.text")[row])


def test_our_draws_have_the_prototypes_moments(golden: Golden) -> None:
    names = ("class_label", "text_prototype", "text_radius", "video_prototype", "video_radius")
    prototypes = ClassPrototypes(0)
    ours = ("labels", "text_mean", "text_radius", "video_mean", "video_radius")
    for name, theirs in zip(ours, names, strict=True):
        setattr(prototypes, name, golden.get(FILE, f"old.{theirs}"))
    count = 20000
    text, video, labels = prototypes.draw(count, torch.Generator().manual_seed(0))
    sides: list[tuple[Tensor, Tensor, Tensor]] = [
        (text, prototypes.text_mean, prototypes.text_radius),
        (video, prototypes.video_mean, prototypes.video_radius),
    ]
    for drawn, mean, radius in sides:
        for index, label in enumerate(prototypes.labels):
            mine = drawn[labels == label]
            assert abs(len(mine) / count - 1 / len(prototypes.labels)) < 0.02
            assert (mine.mean(0) - mean[index]).abs().max() < 6 * float(radius[index]) / len(
                mine
            ) ** 0.5
            assert abs(float(mine.std(0).mean() / radius[index]) - 1) < 0.02


def test_replay_loss(golden: Golden) -> None:
    video = pooled_unit(golden.get(FILE, "pal.frames"))
    text = pooled_unit(golden.get(FILE, "pal.words"), golden.get(FILE, "pal.words.len"))
    scale = golden.get(FILE, "pal.logit_scale").exp()
    close(
        prototype_replay(
            video, text, golden.get(FILE, "apa.video"), golden.get(FILE, "apa.text"), scale
        ),
        golden.get(FILE, "pal.loss"),
    )
