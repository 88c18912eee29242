"""A late stage of MSR-VTT K = 20: captions through the text tower of ViT-B/32, once for each prototype.

A sample of captions and prototypes; every (caption, prototype) costs the same.
"""

from dataclasses import replace

import torch

from cache.backbone import load_backbone
from tests.benchmarks.machine import gemm_rate
from tests.benchmarks.sentences import sentences
from tests.benchmarks.table import Row, in_turn, tell
from train.model import Model
from train.settings import Settings, resolve

CAPTIONS, PROTOTYPES = 192, (2, 20)


def operations(lengths: torch.Tensor, width: int, blocks: int, joint: int, settings: Settings) -> float:
    """Floating-point operations of captions of these lengths (start and end included): towers, attention below the diagonal, LoRA with a
    mixture of ``top_k`` experts once a caption and slot."""
    n = lengths.double()
    tower = n * 24 * width**2 + 2 * n * n * width
    lora = 4 * (4 * n * width * settings.rank + 2 * settings.top_k * width * settings.rank)
    return float((blocks * (tower + lora) + 2 * n * width * joint).sum())


def main() -> None:
    """Time of encoding against the tower's operations at the rate of a matrix product."""
    backbone = load_backbone("ViT-B-32-quickgelu", "random:0")
    settings = replace(resolve("msrvtt", "structalign", {}).settings, adapted_blocks=1)
    model = Model(backbone, settings, max(PROTOTYPES), torch.Generator().manual_seed(0)).eval()
    ids = backbone.tokenizer()(sentences(CAPTIONS))
    width, blocks = int(backbone.model.transformer.width), len(backbone.model.transformer.resblocks)
    work = len(PROTOTYPES) * operations(ids.argmax(-1) + 1, width, blocks, model.dim, settings)
    rate = gemm_rate()
    taken = in_turn(3, {"ours": lambda: [model.encode_text(ids, task) for task in PROTOTYPES]})["ours"]
    rate = max(rate, gemm_rate())
    encoded = CAPTIONS * len(PROTOTYPES) / taken
    tell([Row("evaluation, stage 20", f"{encoded:.0f} captions/s", f"text tower at GEMM's {rate / 1e9:.0f} GFLOP/s", work / rate / taken, 0.4)])


if __name__ == "__main__":
    main()
