"""Every method runs on towers unlike CLIP's, from videos to search, or says why it cannot."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.every_verb import collection, quiet, verbs
from helpers.methods import WITH_CODE_OF_THEIR_OWN
from helpers.towers import made_small
from structalign.cache import FeatureCache, StructAlignError
from structalign.extract import extract

TOWERS = {
    "ViT-B-16-SigLIP": "attention pooling, no class token; captions read at their last position",
    "PE-Core-B-16": "rotary positions, attention pooling",
    "PE-Core-T-16-384 whole": "embeddings of frames and of their quarters",
    "ViT-L-14-CLIPA": "mean of patches; captions read at their last position",
}
REFUSED = {
    "clip_vip": "beside the class token that a plain ViT pools, and 'ViT-B-16-SigLIP' is another",
    "structalign-released": "words=released pads captions as CLIP's tokenizer ends them, and",
}


@pytest.fixture(scope="module")
def caches(
    tmp_path_factory: pytest.TempPathFactory, videos: Path
) -> Iterator[dict[str, list[FeatureCache]]]:
    """Two caches of each tower."""
    folder = tmp_path_factory.mktemp("towers")
    roots = [collection(videos, folder / f"videos{n}", n * " again") for n in range(2)]
    with made_small():
        yield {
            name: [
                extract(
                    "manifest", root=root, name=f"part{n}", backbone=name.split()[0],
                    pretrained="random:0", frames=2, views=2,
                    cut="all" if "whole" in name else 0, engine="inline", device="cpu",
                    cache_root=folder / "cache", progress=quiet, note=quiet,
                )
                for n, root in enumerate(roots)
            ]
            for name in TOWERS
        }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("method", sorted({*WITH_CODE_OF_THEIR_OWN} - {*REFUSED}))
def test_every_method_runs(
    method: str, caches: dict[str, list[FeatureCache]], videos: Path, tmp_path: Path
) -> None:
    """Train, resume, append, evaluate, search by words and by a video."""
    two = ["ViT-B-16-SigLIP", "PE-Core-T-16-384 whole"]
    towers = TOWERS if method == "structalign" else two
    for name in towers:
        found = verbs(method, caches[name], tmp_path / name, "cpu", videos)
        assert len(found["found"]) == len(found["alike"]) == 5
        assert found["t2v"]["R@10"] > 0


@pytest.mark.parametrize("method", REFUSED)
def test_what_cannot_run_says_why(
    method: str, caches: dict[str, list[FeatureCache]], videos: Path, tmp_path: Path
) -> None:
    with pytest.raises(StructAlignError, match=REFUSED[method]):
        verbs(method, caches["ViT-B-16-SigLIP"], tmp_path / method, "cpu", videos)
