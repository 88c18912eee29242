"""AdamW as in the official code's library, and learning-rate factors over a task's steps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

import torch
from torch import Tensor, nn

from .method_config import TrainSettings

BETAS = (0.9, 0.999)
EPS = 1e-6


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a learning rate: lr_text, lr_vision or lr_other.

    ``rowwise`` ones are stacks over two dimensions (slot, expert), of which a caption chooses some.
    """

    rate: Literal["text", "vision", "other"]
    parameters: list[nn.Parameter]
    rowwise: bool = False


@dataclass(eq=False)
class ExpertAdamW:
    """AdamW: p -= lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt v + eps), then p -= lr wd p.

    A parameter without gradient is skipped, and so is a row of a rowwise one whose gradient is all
    zero: no decay, no moments, no step counted.
    """

    groups: list[tuple[list[nn.Parameter], float]]
    weight_decay: float
    rowwise: set[nn.Parameter]
    state: dict[Tensor, tuple[Tensor, Tensor, Tensor]] = field(default_factory=dict)

    def parameters(self) -> list[nn.Parameter]:
        """All optimised parameters."""
        return [p for group, _ in self.groups for p in group]

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """One update with every learning rate times ``factor``, without waiting for the device."""
        for group, lr in self.groups:
            trained: list[Tensor] = [p for p in group if p.grad is not None]
            self._update_whole([p for p in trained if p not in self.rowwise], lr * factor)
            self._update_chosen([p for p in trained if p in self.rowwise], lr * factor)

    def zero_grad(self) -> None:
        """Clear the gradients of all optimised parameters."""
        for p in self.parameters():
            p.grad = None

    def state_tensors(self) -> dict[str, Tensor]:
        """Moments and step counts by the parameter's index in ``parameters``."""
        indices: dict[Tensor, int] = {p: index for index, p in enumerate(self.parameters())}
        return {
            f"{indices[p]}.{name}": value
            for p, state in self.state.items()
            for name, value in zip("mvt", state, strict=True)
        }

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Load the result of ``state_tensors``."""
        for index, p in enumerate(self.parameters()):
            if f"{index}.m" in tensors:
                m, v = (tensors[f"{index}.{name}"].to(p.device) for name in "mv")
                self.state[p] = (m, v, tensors[f"{index}.t"].to(self._counted_on(p)))

    def _update_whole(self, parameters: list[Tensor], lr: float) -> None:
        if not parameters:
            return
        gradients, means, squares, counts = self._states(parameters)
        torch._foreach_add_(counts, 1)
        sizes = [
            -lr * math.sqrt(1 - BETAS[1] ** count) / (1 - BETAS[0] ** count)
            for count in map(float, counts)
        ]
        torch._foreach_lerp_(means, gradients, 1 - BETAS[0])
        torch._foreach_mul_(squares, BETAS[1])
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - BETAS[1])
        roots = torch._foreach_sqrt(squares)
        torch._foreach_add_(roots, EPS)
        torch._foreach_addcdiv_(parameters, means, roots, sizes)
        torch._foreach_mul_(parameters, 1 - lr * self.weight_decay)

    def _update_chosen(self, parameters: list[Tensor], lr: float) -> None:
        """Update stacks of one shape; rows not chosen are multiplied by 1 and moved by 0."""
        if not parameters:
            return
        gradients, means, squares, counts = self._states(parameters)
        chosen = torch.stack([g.flatten(2).ne(0).any(-1) for g in gradients])
        torch._foreach_add_(counts, chosen.unbind())
        steps = torch.stack(counts)

        def rows(if_chosen: Tensor | float, otherwise: float) -> tuple[Tensor, ...]:
            values = torch.where(chosen, if_chosen, otherwise).to(parameters[0].dtype)
            return values.view(*values.shape, *[1] * (parameters[0].ndim - 2)).unbind()

        torch._foreach_mul_(means, rows(BETAS[0], 1))
        torch._foreach_add_(means, torch._foreach_mul(gradients, 1 - BETAS[0]))
        torch._foreach_mul_(squares, rows(BETAS[1], 1))
        scaled = torch._foreach_mul(gradients, 1 - BETAS[1])
        torch._foreach_mul_(scaled, gradients)
        torch._foreach_add_(squares, scaled)
        roots = torch._foreach_sqrt(squares)
        torch._foreach_add_(roots, EPS)
        size = lr * torch.sqrt(1 - BETAS[1] ** steps) / (1 - BETAS[0] ** steps)
        moves = torch._foreach_mul(means, rows(size, 0))
        torch._foreach_div_(moves, roots)
        torch._foreach_sub_(parameters, moves)
        torch._foreach_mul_(parameters, rows(1 - lr * self.weight_decay, 1))

    def _states(
        self, parameters: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]:
        """Gradients, both moments and step counts, created where they are missing."""
        for p in parameters:
            if p not in self.state:
                rows = p.shape[:2] if p in self.rowwise else torch.Size(())
                counts = torch.zeros(rows, device=self._counted_on(p), dtype=torch.float64)
                self.state[p] = (torch.zeros_like(p), torch.zeros_like(p), counts)
        columns = zip(*(self.state[p] for p in parameters), strict=True)
        means, squares, counted = (list(column) for column in columns)
        return [cast(Tensor, p.grad) for p in parameters], means, squares, counted

    def _counted_on(self, p: Tensor) -> torch.device:
        """The device of a step count: the CPU, where reading is free; rowwise, the parameter's."""
        return p.device if p in self.rowwise else torch.device("cpu")


def build_optimizer(
    groups: Sequence[ParameterGroup], settings: TrainSettings, first_task: bool
) -> ExpertAdamW:
    """A new optimizer for a task; ``lr_first``, where set, is every rate of the first task."""
    rates = {"text": settings.lr_text, "vision": settings.lr_vision, "other": settings.lr_other}
    if first_task and settings.lr_first is not None:
        rates = dict.fromkeys(rates, settings.lr_first)
    rowwise = {p for group in groups if group.rowwise for p in group.parameters}
    rated = [(group.parameters, rates[group.rate]) for group in groups]
    return ExpertAdamW(rated, settings.weight_decay, rowwise)


def clip_gradients(parameters: Sequence[nn.Parameter], limit: float) -> Tensor:
    """Scale gradients so that their joint norm is at most ``limit``; returns the norm before."""
    return nn.utils.clip_grad_norm_([p for p in parameters if p.grad is not None], limit)


def learning_rate_factor(
    step: int, total: int, warmup: int, shape: Literal["half_cosine", "full_cosine"]
) -> float:
    """Factor for optimizer step ``step`` (0-based) of ``total``.

    ``half_cosine``: linear warm-up that starts above 0, then half a cosine to 0. ``full_cosine``,
    the official code's: the first step has factor 0, and the cosine makes a full turn, back to 1.
    """
    if shape == "full_cosine":
        if step < warmup:
            return step / max(1, warmup)
        progress = (step - warmup) / max(1, total - warmup)
        return max(0.0, 0.5 * (1 + math.cos(2 * math.pi * progress)))
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
