"""Class prototypes: mean and radius of every finished class, and their replay."""

import torch
from torch import Generator, Tensor, nn


class ClassPrototypes(nn.Module):
    """Mean and radius of every finished class, in both modalities, as buffers that grow.

    labels int64 [C], means [C, D], radii [C]; a class that recurs has one of each task. Radius =
    sqrt(trace(Cov) / D), the covariance of unit pooled features.
    """

    labels: Tensor
    text_mean: Tensor
    text_radius: Tensor
    video_mean: Tensor
    video_radius: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("labels", torch.zeros(0, dtype=torch.long))
        for side in ("text", "video"):
            self.register_buffer(f"{side}_mean", torch.zeros(0, dim))
            self.register_buffer(f"{side}_radius", torch.zeros(0))

    def __len__(self) -> int:
        return len(self.labels)

    def add(self, labels: Tensor, text: Tensor, video: Tensor) -> None:
        """Add the classes in ``labels`` [M], from unit features [M, D] of the same pairs."""
        classes = labels.unique()
        self.labels = torch.cat([self.labels, classes])
        for side, features in (("text", text), ("video", video)):
            statistics = [mean_radius(features[labels == label]) for label in classes]
            means, radii = (torch.stack(column) for column in zip(*statistics, strict=True))
            setattr(self, f"{side}_mean", torch.cat([getattr(self, f"{side}_mean"), means]))
            setattr(self, f"{side}_radius", torch.cat([getattr(self, f"{side}_radius"), radii]))

    def draw(self, count: int, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        """``count`` pairs, mean plus radius times noise: text [R, D], video [R, D], labels [R]."""
        device = generator.device
        index = torch.randint(len(self.labels), (count,), generator=generator, device=device)
        index = index.to(self.labels.device)
        shape = (2, count, self.text_mean.shape[1])
        noise = torch.randn(shape, generator=generator, device=device).to(self.text_mean)
        text = self.text_mean[index] + noise[0] * self.text_radius[index, None]
        video = self.video_mean[index] + noise[1] * self.video_radius[index, None]
        return text, video, self.labels[index]


def mean_radius(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [D] and radius of features [M, D]; the radius of a single one is 0."""
    if len(features) == 1:
        return features[0], features.new_zeros(())
    return features.mean(0), features.var(0).mean().sqrt()
