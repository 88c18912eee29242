"""Class prototypes: what is kept of an old class, and how it is replayed."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class ClassPrototypes:
    """Mean and radius of every finished class, in both modalities: labels int64 [C], means [C, D], radii [C].

    Radius = sqrt(trace(Cov) / D), the covariance of unit pooled features.
    """

    labels: Tensor
    text_mean: Tensor
    text_radius: Tensor
    video_mean: Tensor
    video_radius: Tensor

    @classmethod
    def empty(cls, dim: int, device: torch.device) -> "ClassPrototypes":
        """No class yet."""
        none = torch.zeros(0, device=device)
        return cls(
            torch.zeros(0, dtype=torch.long, device=device), torch.zeros(0, dim, device=device), none, torch.zeros(0, dim, device=device), none
        )

    def with_classes(self, labels: Tensor, text: Tensor, video: Tensor) -> "ClassPrototypes":
        """These and the classes found in ``labels`` [M], from unit features ``text`` and ``video`` [M, D] of the same pairs."""
        classes = labels.unique()
        parts = [(*mean_radius(text[labels == label]), *mean_radius(video[labels == label])) for label in classes]
        text_mean, text_radius, video_mean, video_radius = (torch.stack(column) for column in zip(*parts, strict=True))
        return ClassPrototypes(
            torch.cat([self.labels, classes]),
            torch.cat([self.text_mean, text_mean]),
            torch.cat([self.text_radius, text_radius]),
            torch.cat([self.video_mean, video_mean]),
            torch.cat([self.video_radius, video_radius]),
        )

    def draw(self, count: int, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        """``count`` replayed pairs: (text [R, D], video [R, D], labels [R]): a random class each, mean plus radius times noise."""
        index = torch.randint(len(self.labels), (count,), generator=generator, device=generator.device).to(self.labels.device)
        shape = (2, count, self.text_mean.shape[1])
        noise = torch.randn(shape, generator=generator, device=generator.device).to(self.text_mean)
        text = self.text_mean[index] + noise[0] * self.text_radius[index, None]
        video = self.video_mean[index] + noise[1] * self.video_radius[index, None]
        return text, video, self.labels[index]


def mean_radius(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [D] and radius of features [M, D]; the radius of a single one is 0."""
    if len(features) == 1:
        return features[0], features.new_zeros(())
    return features.mean(0), features.var(0).mean().sqrt()
