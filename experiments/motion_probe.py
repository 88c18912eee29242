"""A linear probe of motion direction behind the frame fusion adapters, on unlimited fresh clips.

Clips are rendered in memory; half of them move one way, half the other, and each is the other's
reversal. The adapters after a cut and a linear head on the mean frame embedding are trained with
Adam; accuracy is measured on clips never seen. Without adapters the mean over frames is the same
for a clip and its reversal, so 50% is what a tower without frame fusion reaches.

    python -m structalign.experiments.motion_probe --cut 0 --steps 2000
"""

import time
from dataclasses import replace

import click
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..backbones.backbone import load_backbone
from ..backbones.family import Stem
from ..cache.spec import Augmentation
from ..extract.datasets.demo.scene import RESIZING, SIDEWAYS, UPDOWN, draw_scene, render
from ..extract.video.views import make_views
from ..train.methods.finetune import Finetune
from ..train.methods.registry import make_config

FRAMES = 4
PAIRS = {"sideways": SIDEWAYS, "updown": UPDOWN, "size": RESIZING}


def tokens_of(
    rng: np.random.Generator, stem: Stem, pair: tuple[str, str], count: int
) -> tuple[Tensor, Tensor]:
    """``count`` twins: tokens [2 count, FRAMES, P, C] and labels [2 count]."""
    times = (np.arange(FRAMES, dtype=np.float32) + np.float32(0.5)) / np.float32(FRAMES)
    rule = Augmentation(1, 0, 1.0, False)
    pixels, labels = [], []
    for _ in range(count):
        scene = replace(draw_scene(rng), motion=pair[0])
        for label, motion in enumerate(pair):
            frames = render(replace(scene, motion=motion), times)
            pixels.append(make_views(frames, "probe", 1, rule, stem.preprocessing)[0])
            labels.append(label)
    stacked = torch.stack(pixels)
    tokens = stem(stacked.flatten(0, 1)).unflatten(0, (len(pixels), FRAMES))
    return tokens.clone(), torch.tensor(labels, dtype=torch.float32)


@click.command()
@click.option("--cut", default=0, help="Where the tower is cut; all blocks after it have adapters.")
@click.option("--pair", type=click.Choice(list(PAIRS)), default="sideways")
@click.option("--steps", default=2000)
@click.option("--batch", default=16, help="Twins a step.")
@click.option("--lr", default=1e-3)
@click.option("--gate", default=0.0, help="Where alpha starts; the method's is 0.")
@click.option("--fusion/--no-fusion", default=True)
def main(cut: int, pair: str, steps: int, batch: int, lr: float, gate: float, fusion: bool) -> None:
    """Train the probe and print accuracy on unseen clips."""
    backbone = load_backbone("demo", "demo")
    stem = backbone.stem(cut)
    config = make_config("probe", "finetune", {"frame_fusion": fusion})
    method = Finetune(replace(backbone, cut=cut), config, seed=0)
    fusion_adapters, tail = method.frame_fusion, method.frames
    for name, parameter in fusion_adapters.named_parameters():
        if name.endswith("alpha"):
            parameter.data.fill_(gate)
    head = nn.Linear(int(backbone.config["embed_dim"]), 1)
    optimizer = torch.optim.Adam([*fusion_adapters.parameters(), *head.parameters()], lr=lr)
    held_tokens, held_labels = tokens_of(np.random.default_rng(99), stem, PAIRS[pair], 200)
    rng, began = np.random.default_rng(1), time.monotonic()

    def score(tokens: Tensor) -> Tensor:
        return head(F.normalize(tail(tokens), dim=-1).mean(1) * 10).squeeze(-1)

    for step in range(steps + 1):
        if step % max(1, steps // 8) == 0:
            with torch.no_grad():
                guess = torch.cat([score(part) for part in held_tokens.split(50)])
            right = 100 * float(((guess > 0) == (held_labels > 0)).float().mean())
            adapted = fusion_adapters.named_parameters()
            gates = [round(p.item(), 2) for name, p in adapted if name.endswith("alpha")]
            preferred = 100 * float((guess[1::2] > guess[0::2]).float().mean())
            seconds = time.monotonic() - began
            figures = f"accuracy {right:.1f}%, twins told apart {preferred:.1f}%, gates {gates}"
            print(f"step {step}: {figures}, {seconds:.0f} s", flush=True)
        tokens, labels = tokens_of(rng, stem, PAIRS[pair], batch)
        loss = F.binary_cross_entropy_with_logits(score(tokens), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    main()
