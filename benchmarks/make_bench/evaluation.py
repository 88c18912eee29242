"""Evaluation at a late stage of MSR-VTT, K = 20.

Encodes captions with the text tower of ViT-B/32, once for each prototype. A sample is enough,
because every (caption, prototype) costs the same.
"""

import torch

from ...backbones.backbone import load_backbone
from ...train.methods.adapted import AdapterOptions
from ...train.methods.registry import load_method
from ...train.methods.structalign.method import StructAlign
from ..parts.machine import gemm_rate
from ..parts.sentences import sentences
from ..parts.table import Row, in_turn, print_rows

CAPTIONS, PROTOTYPES = 192, (2, 20)


def operations(
    lengths: torch.Tensor, width: int, blocks: int, joint: int, options: AdapterOptions
) -> float:
    """Floating-point operations of captions of these lengths (start and end included).

    Counts the tower, attention below the diagonal, and LoRA with a mixture of ``top_k`` experts
    once per caption and slot.
    """
    n = lengths.double()
    tower = n * 24 * width**2 + 2 * n * n * width
    lora = 4 * (4 * n * width * options.rank + 2 * options.top_k * width * options.rank)
    return float((blocks * (tower + lora) + 2 * n * width * joint).sum())


def main() -> None:
    """Compare encoding with the tower's operations at the rate of a matrix product."""
    backbone = load_backbone("ViT-B-32-quickgelu", "random:0")
    config = load_method("structalign", "msrvtt", backbone.name, {"adapted_blocks": 1})
    method = StructAlign(backbone, config, seed=0).eval()
    method._resize(max(PROTOTYPES))
    ids = backbone.tokenizer()(sentences(CAPTIONS))
    width, blocks = int(backbone.model.transformer.width), len(backbone.model.transformer.resblocks)
    work = len(PROTOTYPES) * operations(
        ids.argmax(-1) + 1, width, blocks, method.towers.dim, config.options
    )
    rate = gemm_rate()
    taken = in_turn(3, {"ours": lambda: [method.encode_texts(ids, task) for task in PROTOTYPES]})[
        "ours"
    ]
    rate = max(rate, gemm_rate())
    encoded = CAPTIONS * len(PROTOTYPES) / taken
    print_rows(
        [
            Row(
                "evaluation, stage 20",
                f"{encoded:.0f} captions/s",
                f"text tower at GEMM's {rate / 1e9:.0f} GFLOP/s",
                work / rate / taken,
                0.4,
            )
        ]
    )


if __name__ == "__main__":
    main()
