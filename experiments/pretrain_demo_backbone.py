"""The demo backbone's training: a tiny CLIP on stills of the demo world, in plain words alone.

Writes ``backbones/demo/``: the byte-pair merges of the world's vocabulary, open_clip's
configuration and the float16 weights. About an hour on one core:

    python -m structalign.experiments.pretrain_demo_backbone --minutes 55
"""

import gzip
import json
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import click
import numpy as np
import open_clip
import torch
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset
from torchvision.transforms.v2 import functional as V

from ..extract.datasets.demo.language import FILLERS, PLAIN, PLAIN_WORDS, caption, vocabulary
from ..extract.datasets.demo.scene import draw_scene, render
from ..train.model.similarity import word_frame_similarity

FOLDER = Path(__file__).parents[1] / "backbones" / "demo"
IMAGE = 48
NORMALISE = {"mean": [0.4, 0.4, 0.4], "std": [0.28, 0.28, 0.28]}


def learn_merges(words: list[str]) -> list[tuple[str, str]]:
    """Byte-pair merges that turn every one of ``words`` into a single token."""
    split = [[*word[:-1], word[-1] + "</w>"] for word in words]
    merges = []
    while pairs := Counter(pair for word in split for pair in pairwise(word)):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        split = [_merged(word, best) for word in split]
    return merges


def _merged(word: list[str], pair: tuple[str, str]) -> list[str]:
    out: list[str] = []
    for piece in word:
        if out and (out[-1], piece) == pair:
            out[-1] += piece
        else:
            out.append(piece)
    return out


class Stills(IterableDataset[tuple[Tensor, Tensor]]):
    """Endless (uint8 [3, 64, 64], token ids): random moments of scenes, and plain captions."""

    def __init__(self, tokenizer: SimpleTokenizer, seed: int) -> None:
        self.tokenizer, self.seed = tokenizer, seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        rng = np.random.default_rng(self.seed)
        while True:
            scene = draw_scene(rng)  # any combination: pre-training has no categories
            still = render(scene, np.asarray([rng.random()], np.float32))[0]
            text = caption(scene, {}, PLAIN, rng, name_motion=False)
            yield torch.from_numpy(still).permute(2, 0, 1), self.tokenizer([text])[0]


def pixels(stills: Tensor, rng: np.random.Generator | None) -> Tensor:
    """The backbone's preprocessing; with a generator, of a random crop, one for the batch."""
    x = stills.float() / 255
    if rng is not None and rng.random() < 0.5:
        side = int(64 * np.sqrt(rng.uniform(0.8, 1)))
        top, left = (int(v) for v in rng.integers(0, 64 - side + 1, 2))
        x = x[..., top : top + side, left : left + side]
    x = V.resize(x, [IMAGE, IMAGE], interpolation=V.InterpolationMode.BICUBIC, antialias=True)
    return V.normalize(x, **NORMALISE)


def text_states(model: open_clip.CLIP, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Projected global text [B, D], projected words [B, L, D] and their counts [B]."""
    ids = ids[:, : int(ids.argmax(-1).max()) + 1]
    length = ids.shape[1]
    x = model.token_embedding(ids) + model.positional_embedding[:length]
    x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
    x = model.ln_final(x) @ model.text_projection
    end = ids.argmax(-1)
    return x[torch.arange(len(x)), end], x[:, 1:], end - 1


def contrast(scores: Tensor) -> Tensor:
    """Contrastive loss of a square of scores, both ways."""
    target = torch.arange(len(scores))
    return (F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target)) / 2


@click.command()
@click.option("--minutes", default=60.0, help="How long to train.")
@click.option("--seed", default=0)
@click.option("--batch", default=256)
@click.option("--lr", default=1.2e-3)
def main(minutes: float, seed: int, batch: int, lr: float) -> None:
    """Train the demo backbone and write it to ``FOLDER``."""
    FOLDER.mkdir(exist_ok=True)
    words = vocabulary()
    merges = learn_merges(words)
    bpe = FOLDER / "bpe.txt.gz"
    lines = "\n".join(["#version: demo world", *(" ".join(pair) for pair in merges)])
    bpe.write_bytes(gzip.compress(lines.encode(), mtime=0))
    tokenizer = SimpleTokenizer(str(bpe), context_length=32)
    if wrong := [word for word in words if len(tokenizer.encode(word)) != 1]:
        raise click.ClickException(f"not one token each: {wrong}")
    model_cfg = {
        "embed_dim": 128,
        "vision_cfg": {
            "image_size": IMAGE, "layers": 6, "width": 128, "head_width": 32, "patch_size": 8,
        },
        "text_cfg": {
            "context_length": 32, "vocab_size": tokenizer.vocab_size, "width": 128, "heads": 4,
            "layers": 4,
        },
    }  # fmt: skip
    preprocess_cfg = {"size": IMAGE, "interpolation": "bicubic", "resize_mode": "shortest"}
    config = {"model_cfg": model_cfg, "preprocess_cfg": {**preprocess_cfg, **NORMALISE}}
    (FOLDER / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    model = open_clip.CLIP(**model_cfg)
    decay = [p for p in model.parameters() if p.ndim > 1 and p is not model.token_embedding.weight]
    rest = [p for p in model.parameters() if p.ndim <= 1 or p is model.token_embedding.weight]
    groups = [{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98))
    stills_of = Stills(tokenizer, seed)
    loader = iter(DataLoader(stills_of, batch_size=batch, num_workers=1, prefetch_factor=4))
    rng = np.random.default_rng(seed + 1)
    start, step, right = time.monotonic(), 0, 0.0
    while (done := (time.monotonic() - start) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1.0, (step + 1) / 200) * (0.5 + 0.5 * np.cos(np.pi * done))
        stills, ids = next(loader)
        image = model.encode_image(pixels(stills, rng))
        text, words_bld, lengths = text_states(model, ids)
        scale = model.logit_scale.exp().clamp(max=100)
        scores = F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).T
        word_frame = word_frame_similarity(image[:, None], words_bld, lengths)
        loss = contrast(scale * scores) + contrast(scale * word_frame)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        hits = float((scores.argmax(1) == torch.arange(len(scores))).float().mean())
        right += 0.05 * (hits - right)
        if step % 50 == 0:
            figures = f"loss {loss.item():.3f}  R@1 in batch {100 * right:.1f}"
            print(f"step {step}  {figures}  {100 * done:.0f}%", flush=True)
            if step % 500 == 0 or done > 0.98:
                save(model, tokenizer)
        step += 1
    save(model, tokenizer)


def save(model: open_clip.CLIP, tokenizer: SimpleTokenizer) -> None:
    """Write float16 weights; words never read get embeddings as long as those that were."""
    state = {name: value.detach().clone() for name, value in model.state_dict().items()}
    table = state["token_embedding.weight"]
    seen = torch.zeros(len(table), dtype=torch.bool)
    seen[[tokenizer.encode(word)[0] for word in {*PLAIN_WORDS, *FILLERS}]] = True
    seen[[tokenizer.sot_token_id, tokenizer.eot_token_id, 0]] = True
    table[~seen] *= table[seen].norm(dim=-1).mean() / table[~seen].norm(dim=-1).mean()
    half = {name: value.half().contiguous() for name, value in state.items()}
    save_file(half, FOLDER / "open_clip_model.safetensors")


if __name__ == "__main__":
    main()
