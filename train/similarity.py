import torch
from torch import Tensor


def word_frame_similarity(frames: Tensor, words: Tensor, lengths: Tensor) -> Tensor:
    f = torch.nn.functional.normalize(frames, dim=-1, eps=1e-8)
    w = torch.nn.functional.normalize(words, dim=-1, eps=1e-8)
    s = torch.einsum("vnd,tld->vtnl", f, w)
    mask = torch.arange(words.shape[1], device=words.device) < lengths[:, None]
    count = lengths.clamp(min=1)
    best_frame = (s.amax(2) * mask).sum(-1) / count
    best_word = s.masked_fill(~mask[None, :, None], -torch.inf).amax(-1)
    best_word = torch.where(lengths[None, :, None] > 0, best_word, 0.0).mean(-1)
    return 0.5 * (best_frame + best_word)
