"""Which cache is asked for, found out without decoding, without a model and, where the files are known already, without reading them."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cache.errors import StructAlignError
from cache.identity import BackboneIdentity
from cache.root import CacheRoot
from cache.spec import CacheSpec, hash_sources
from cache.store import FeatureCache
from extract.datasets.source import Source

if TYPE_CHECKING:
    from cache.backbone import Backbone

Progress = Callable[[int, int, str], None]  # done, total, what else there is to say
Note = Callable[[str], None]


@dataclass(frozen=True)
class ViewRule:
    """How training views are drawn: area of the crop in [scale, 1], horizontal flip with probability one half if ``flip``."""

    count: int
    seed: int
    scale: float
    flip: bool


@dataclass(frozen=True)
class ExtractSettings:
    """What the user may choose. ``cut`` wins over ``adapted_blocks``; workers None means one a core."""

    backbone: str
    pretrained: str
    cut: int | None
    adapted_blocks: int | None
    frames: int
    views: ViewRule
    device: str
    engine: Literal["ray", "inline"]
    workers: int | None
    ray_address: str | None
    max_bad: float
    retry_bad: bool
    decode_timeout: float


@dataclass(frozen=True)
class Plan:
    """The specification of the cache that is asked for, the hash of every source file by its path, and the backbone if it had to be loaded."""

    spec: CacheSpec
    sources: dict[str, str]
    backbone: "Backbone | None"


@dataclass(frozen=True)
class ExtractReport:
    """What came of it: the published cache, whether it was there already, and how long it took."""

    cache: FeatureCache
    reused: bool
    seconds: float


def make_plan(source: Source, settings: ExtractSettings, root: CacheRoot) -> Plan:
    """Hash the files and put the specification together.

    Raises:
        StructAlignError: an unknown backbone or weights, or a cut that leaves no block to adapt.
    """
    backbone, loaded = _identity(settings, root)
    hashes = root.known_hashes(source.root).of(clip.path for clip in source.catalog)
    spec = CacheSpec(
        dataset=source.catalog.dataset,
        sources=hash_sources((clip.id, hashes[clip.path], clip.start, clip.end) for clip in source.catalog),
        catalog=source.catalog.hash(),
        backbone=backbone.name,
        weights=backbone.weights,
        cut=_cut(backbone, settings),
        frames=settings.frames,
        views=settings.views.count,
        view_seed=settings.views.seed,
        view_scale=settings.views.scale,
        view_flip=settings.views.flip,
        preprocessing=backbone.preprocessing.as_json(),
        decoder=f"decord2 {version('decord2')}",
    )
    return Plan(spec, hashes, loaded)


def what_changed(plan: Plan, root: CacheRoot) -> str | None:
    """Why a cache that was asked for before is not the one that is asked for now, if nothing but its files or captions changed."""
    wanted = asdict(plan.spec)
    for folder in root.published():
        try:
            cache = FeatureCache.open(folder)
        except StructAlignError:
            continue
        differs = {name for name, value in asdict(cache.spec).items() if wanted[name] != value}
        if not differs or differs - {"sources", "catalog"}:
            continue
        before = cache.sources
        changed = sorted(path for path in {*before, *plan.sources} if before.get(path) != plan.sources.get(path))
        parts = [f"{len(changed)} files ({', '.join(changed[:5])}{', ...' if len(changed) > 5 else ''})"] if changed else []
        parts += ["its captions, categories or sides"] if "catalog" in differs else []
        parts += ["times of clips"] if not parts else []
        return f"changed since cache {cache.fingerprint[:12]} was made: {'; '.join(parts)}. This is another cache"
    return None


def _identity(settings: ExtractSettings, root: CacheRoot) -> "tuple[BackboneIdentity, Backbone | None]":
    known = root.known_backbones()
    file = Path(settings.pretrained).expanduser()
    key = " ".join(
        (
            settings.backbone,
            str(file.resolve()) if file.is_file() else settings.pretrained,
            *(f"{p} {version(p)}" for p in ("torch", "open_clip_torch")),
        )
    )
    if found := known.find(key):
        return found, None
    from cache.backbone import load_backbone  # dear: torch, open_clip, and the weights themselves

    backbone = load_backbone(settings.backbone, settings.pretrained)
    known.remember(key, backbone.identity, backbone.file)
    return backbone.identity, backbone


def _cut(backbone: BackboneIdentity, settings: ExtractSettings) -> int:
    adapted = min(settings.adapted_blocks, backbone.blocks) if settings.adapted_blocks else max(1, round(backbone.blocks * 10 / 12))
    cut = backbone.blocks - adapted if settings.cut is None else settings.cut
    if not 0 <= cut < backbone.blocks:
        raise StructAlignError(f"cut {cut} does not lie in 0..{backbone.blocks - 1}: '{backbone.name}' has {backbone.blocks} vision blocks")
    return cut
