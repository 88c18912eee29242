"""CLIP-ViP against CTVR's tower: every block's tokens, loss, gradients."""

from typing import cast

import pytest
import torch
from helpers.baselines import arrays, backbone, needs_reference, reference_gradients
from helpers.golden import close, close_gradient
from helpers.methods import make_method
from open_clip.transformer import ResidualAttentionBlock
from structalign.backbones.attention import attend
from structalign.cache import StructAlignError
from structalign.train.contrastive import contrastive
from structalign.train.methods import clip_vip
from structalign.train.methods.clip_vip import CLIPViP
from torch import Tensor
from torch.nn import functional as F

pytestmark = needs_reference
OWN = ("added_cls", "temporal_embedding")


@pytest.fixture(scope="module")
def file() -> dict[str, Tensor]:
    return arrays("clip_vip")


def made(file: dict[str, Tensor], cut: int = 0) -> CLIPViP:
    clip = {k: v for k, v in file.items() if k.startswith("w.") and not any(o in k for o in OWN)}
    method = make_method("clip_vip", backbone(clip, "w.", cut), proxies=int(file["proxies"]))
    assert isinstance(method, CLIPViP)
    return method.double().train()


def test_every_block_the_loss_and_every_gradient(file: dict[str, Tensor]) -> None:
    method = made(file)
    tokens, many = file["tokens.0"], 1 + int(file["proxies"])
    frames = file["pixels"].shape[1]
    seen: list[Tensor] = []
    hooks = [
        cast(ResidualAttentionBlock, block).ln_1.register_forward_pre_hook(
            lambda _, given: seen.append(given[0].detach())
        )
        for block in method.student.video.blocks
    ]
    video = method.encode_sequence(
        tokens[:, :many].clone(), tokens[:, many:].unflatten(1, (frames, -1)).clone()
    )
    for hook in hooks:
        hook.remove()
    for number, x in enumerate(seen):
        close(x, file[f"tokens.{number}"])
    video = method.gallery_embeddings(video[:, None]).squeeze(1)
    text = F.normalize(method.text_features(file["ids"], 1).text, dim=-1)
    close(video, file["video"])
    close(text, file["text"])
    loss = contrastive(method.towers.scale * video @ text.T)
    close(loss, file["loss"])
    loss.backward()
    text_side = {k: v for k, v in file.items() if k.startswith("w.text_model")}
    gradients = {f"g.{k.removeprefix('w.')}": torch.zeros_like(v) for k, v in text_side.items()}
    own = [k for k in file if k.startswith("g.") and not any(o in k for o in OWN)]
    gradients |= {k: file[k] for k in own}
    checked = [pair for pair in reference_gradients(method, gradients) if "video." in pair[0]]
    assert len(checked) > 15
    for name, ours, theirs in checked:
        close_gradient(ours, theirs) if "in_proj_bias" not in name else close(ours, theirs)


def test_it_starts_blind_to_the_order_of_frames_and_learns_it(file: dict[str, Tensor]) -> None:
    method = made(file).eval()
    tokens, many = file["tokens.0"], 1 + int(file["proxies"])
    frames = file["pixels"].shape[1]
    patches = tokens[:, many:].unflatten(1, (frames, -1))
    clips = torch.cat([tokens[:, None, :1].expand(-1, frames, -1, -1), patches], 2)
    turned = clips.flip(1)
    assert torch.allclose(method.encode_videos(clips), method.encode_videos(turned), atol=1e-9)
    method._grow(frames)
    with torch.no_grad():
        method.temporal.normal_(generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(method.encode_videos(clips), method.encode_videos(turned), atol=1e-4)
    more = torch.cat([clips, clips], 1)
    assert method._temporal_of(more.shape[1]).shape[0] == more.shape[1]
    assert method.encode_videos(more).shape == method.encode_videos(clips).shape


def test_a_cut_above_0_is_refused(file: dict[str, Tensor]) -> None:
    with pytest.raises(StructAlignError, match="extract with --cut 0"):
        made(file, cut=1)


def test_a_mistake_in_the_formula_is_noticed(
    file: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Patches that do not see the global tokens."""

    def blind(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
        many = k.shape[1] - q.shape[1]
        is_patches = 0 < many < q.shape[1]
        return attend(q, k[:, many:], v[:, many:], heads) if is_patches else attend(q, k, v, heads)

    monkeypatch.setattr(clip_vip, "attend", blind)
    with pytest.raises(AssertionError):
        test_every_block_the_loss_and_every_gradient(file)
