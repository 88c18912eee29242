"""AdamW as the released code's library has it, leaving alone the experts that nobody chose."""

import math
from typing import cast

import torch
from torch import Tensor, nn

from train.adapters import TextExperts
from train.model import Model
from train.settings import Settings

BETAS = (0.9, 0.999)
EPS = 1e-6


class ExpertAdamW:
    """AdamW: p -= lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt v + eps), then p -= lr wd p on the result.

    A parameter without gradient is skipped. ``rowwise`` parameters are stacks over their first two dimensions (slot, expert):
    a row whose gradient is all zero was not chosen by any caption, and is skipped too: no decay, no moments, no step counted.
    """

    def __init__(self, groups: list[tuple[list[nn.Parameter], float]], weight_decay: float, rowwise: set[nn.Parameter]) -> None:
        self.groups = groups
        self.weight_decay = weight_decay
        self.rowwise = rowwise
        self.state: dict[nn.Parameter, tuple[Tensor, Tensor, Tensor]] = {}

    def parameters(self) -> list[nn.Parameter]:
        """All that is optimised."""
        return [p for group, _ in self.groups for p in group]

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """One update with every group's learning rate times ``factor``."""
        for group, lr in self.groups:
            for p in group:
                if p.grad is not None:
                    self._update(p, p.grad, lr * factor)

    def zero_grad(self) -> None:
        """Drop the gradients of what is optimised."""
        for p in self.parameters():
            p.grad = None

    def state_tensors(self) -> dict[str, Tensor]:
        """Moments and step counts by the parameter's place among ``parameters``, for a checkpoint."""
        places = {p: index for index, p in enumerate(self.parameters())}
        return {f"{places[p]}.{name}": value for p, state in self.state.items() for name, value in zip("mvt", state, strict=True)}

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take up what ``state_tensors`` gave."""
        for index, p in enumerate(self.parameters()):
            if f"{index}.m" in tensors:
                m, v, t = (tensors[f"{index}.{name}"].to(p.device) for name in "mvt")
                self.state[p] = (m, v, t)

    def _update(self, p: nn.Parameter, grad: Tensor, lr: float) -> None:
        rows = p.shape[:2] if p in self.rowwise else torch.Size(())
        if p not in self.state:
            self.state[p] = (torch.zeros_like(p), torch.zeros_like(p), torch.zeros(rows, device=p.device, dtype=torch.float64))
        m, v, t = self.state[p]
        if not rows:
            t += 1
            m.lerp_(grad, 1 - BETAS[0])
            v.mul_(BETAS[1]).addcmul_(grad, grad, value=1 - BETAS[1])
            count = float(t)
            size = lr * math.sqrt(1 - BETAS[1] ** count) / (1 - BETAS[0] ** count)
            p.addcdiv_(m, v.sqrt().add_(EPS), value=-size)
            p.mul_(1 - lr * self.weight_decay)
            return
        chosen = grad.flatten(2).ne(0).any(-1).nonzero(as_tuple=True)
        if not len(chosen[0]):
            return
        t[chosen] += 1
        g = grad[chosen]
        m[chosen] = m_rows = BETAS[0] * m[chosen] + (1 - BETAS[0]) * g
        v[chosen] = v_rows = BETAS[1] * v[chosen] + (1 - BETAS[1]) * g * g
        steps = t[chosen]
        size = (lr * torch.sqrt(1 - BETAS[1] ** steps) / (1 - BETAS[0] ** steps)).to(p.dtype).view(-1, *[1] * (p.ndim - 2))
        p[chosen] = (p[chosen] - size * m_rows / (v_rows.sqrt() + EPS)) * (1 - lr * self.weight_decay)


def parameter_groups(model: Model, settings: Settings, task: int) -> list[tuple[list[nn.Parameter], float]]:
    """(parameters, learning rate): LoRA experts, frame fusion, and the rest (gates, task prototypes, trained ETF projections)."""
    first = settings.lr_first if task == 1 else None
    fusion = list(model.video.adapters.values())
    text = list(model.text.experts.parameters())
    vision = [p for adapter in fusion for name, p in adapter.named_parameters() if name != "alpha"]
    other = [p for adapter in fusion for name, p in adapter.named_parameters() if name == "alpha"] + list(model.text.prototypes)
    if settings.etf_projections == "trained":
        other += [model.etf_text, model.etf_video]
    rates = (settings.lr_text, settings.lr_vision, settings.lr_other)
    return [(group, rate if first is None else first) for group, rate in zip((text, vision, other), rates, strict=True)]


def build_optimizer(model: Model, settings: Settings, task: int) -> ExpertAdamW:
    """A new optimizer for a task; the experts' up-projections are skipped row by row."""
    rowwise = {cast(TextExperts, experts).up for experts in model.text.experts}
    return ExpertAdamW(parameter_groups(model, settings, task), settings.weight_decay, rowwise)


def clip_gradients(parameters: list[nn.Parameter], limit: float) -> Tensor:
    """Scale gradients so that their joint norm is at most ``limit``; returns the norm before."""
    return nn.utils.clip_grad_norm_([p for p in parameters if p.grad is not None], limit)
