"""What a family of backbones provides, and how the family of a configuration is found.

A family is a file in ``families/`` that sets ``FAMILY``. It must not import open_clip at its top:
a worker needs only the stem, and open_clip takes as long to import as torch.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ..core.errors import StructAlignError
from .identity import Preprocessing

if TYPE_CHECKING:
    import open_clip

Config = Mapping[str, Any]  # open_clip's configuration of a whole model


class Stem(nn.Module):
    """A vision tower before the cut, frozen: frames [B, 3, S, S] to tokens [B, P, C].

    ``preprocessing`` says what the frames have been through, ``cut`` how many blocks there are.
    """

    def __init__(self, preprocessing: Preprocessing, cut: int) -> None:
        super().__init__()
        self.preprocessing, self.cut = preprocessing, cut


class Tail(nn.Module):
    """A vision tower after the cut: tokens [B, P, C] to features [B, D], not normalised.

    ``blocks`` come first, then ``norm`` of the pooled token, then the product with ``projection``.
    """

    def __init__(self, blocks: nn.ModuleList, norm: nn.Module, projection: nn.Parameter) -> None:
        super().__init__()
        self.blocks, self.norm, self.projection = blocks, norm, projection


class Family(ABC):
    """One kind of backbone."""

    @abstractmethod
    def refusal(self, config: Config) -> str:
        """Why this family cannot cut a model of this configuration; empty if it can."""

    @abstractmethod
    def build(self, config: Config) -> "open_clip.CLIP":
        """open_clip's model, with weights as torch's global generator and device give them."""

    @abstractmethod
    def blocks(self, config: Config) -> int:
        """The number of vision blocks; a cut lies before it."""

    @abstractmethod
    def token_shape(self, config: Config) -> tuple[int, int]:
        """(tokens of a frame, width), the same at every cut."""

    @abstractmethod
    def stem(
        self, config: Config, preprocessing: Preprocessing, cut: int, weights: Mapping[str, Tensor]
    ) -> Stem:
        """The part before the cut. Raises StructAlignError if a weight is missing.

        ``weights`` have open_clip's names below ``visual.``; those after the cut are not used.
        """

    @abstractmethod
    def tail(self, model: "open_clip.CLIP", cut: int) -> Tail:
        """The part after the cut; shares its modules with ``model``."""

    @abstractmethod
    def is_in_stem(self, weight: str, cut: int) -> bool:
        """Whether a weight, by open_clip's name, belongs to the stem."""


@cache
def families() -> dict[str, Family]:
    """Every family by the name of its file."""
    files = sorted((Path(__file__).parent / "families").glob("[!_]*.py"))
    package = __package__
    return {f.stem: import_module(f".families.{f.stem}", package).FAMILY for f in files}


def family_of(name: str, config: Config) -> Family:
    """The family of a backbone. Raises StructAlignError with every family's reason if none fits."""
    reasons = {key: family.refusal(config) for key, family in families().items()}
    for key, reason in reasons.items():
        if not reason:
            return families()[key]
    raise StructAlignError(
        f"backbone '{name}' cannot be cut ({'; '.join(reasons.values())}); use a plain ViT CLIP "
        "such as ViT-B-32-quickgelu"
    )
