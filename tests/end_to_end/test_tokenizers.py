"""A tower with a tokenizer of its own, from videos to search: the hub is never asked."""

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import open_clip
import pytest
from helpers import towers
from helpers.every_verb import collection, quiet, verbs
from helpers.tokenizers_of_words import size_of, train_tokenizer
from structalign import open_run
from structalign.cache import FeatureCache, StructAlignError
from structalign.cache.hdf5 import export_hdf5, import_hdf5
from structalign.cache.root import CacheRoot
from structalign.evaluate import search
from structalign.extract import extract
from structalign.train import append, train

NAME = "ViT-B-16-SigLIP"


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory, videos: Path) -> list[Path]:
    """Two tokenizers of the demo's captions, which differ."""
    with (videos / "manifest.csv").open() as file:
        captions = [row["caption"] for row in csv.DictReader(file)]
    folder = tmp_path_factory.mktemp("tokenizers")
    return [
        train_tokenizer("unigram", captions, folder / "a"),
        train_tokenizer("unigram", captions[: len(captions) // 2], folder / "b"),
    ]


@pytest.fixture(scope="module")
def tower(tokenizers: list[Path]) -> Iterator[None]:
    """A small SigLIP that names its tokenizer, and a hub that cannot be reached."""

    def config(name: str) -> Any:
        small, real = towers.small_config(name), towers.REAL_CONFIG(name)
        kept = {"hf_tokenizer_name": real["text_cfg"]["hf_tokenizer_name"]}
        kept |= {"vocab_size": size_of(tokenizers[0])}
        return {**small, "text_cfg": {**small["text_cfg"], **kept}}

    def no_hub(*_: object, **__: object) -> str:
        raise ConnectionError("no network")

    with towers.made_small(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(open_clip, "get_model_config", config)
        patch.setattr(huggingface_hub, "hf_hub_download", no_hub)
        yield


def first_second(root: Path) -> None:
    """Change a manifest to the first second of each clip."""
    with (root / "manifest.csv").open() as file:
        rows = [{**row, "start": "0", "end": "1"} for row in csv.DictReader(file)]
    with (root / "manifest.csv").open("w") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def make(root: Path, folder: Path, **given: Any) -> FeatureCache:
    return extract(
        "manifest", root=root, backbone=NAME, pretrained="random:0", frames=2, views=2, cut=0,
        engine="inline", device="cpu", cache_root=folder / "cache", progress=quiet, note=quiet,
        **given,
    )  # fmt: skip


@pytest.fixture(scope="module")
def caches(
    tower: None, tokenizers: list[Path], videos: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[FeatureCache]:
    """Two caches made with one tokenizer's file, which is gone by now."""
    folder = tmp_path_factory.mktemp("caches")
    given = Path(shutil.copyfile(tokenizers[0], folder / "mine.json"))
    roots = [collection(videos, folder / f"videos{n}", n * " again") for n in range(2)]
    first_second(roots[1])  # other clips
    made = [make(root, folder, name=f"part{n}", tokenizer=given) for n, root in enumerate(roots)]
    given.unlink()
    return made


def test_every_verb_needs_no_hub(caches: list[FeatureCache], videos: Path, tmp_path: Path) -> None:
    found = verbs("structalign", caches, tmp_path / "run", "cpu", videos)
    assert len(found["found"]) == len(found["alike"]) == 5
    run: Any = open_run(tmp_path / "run", cache=caches[0], device="cpu")
    best = search(run, "a red ball", 1).results[0]
    assert [match.word for match in best.matches] == ["a", "red", "ball"]


def test_it_is_a_checked_file_of_the_cache_and_its_bundle(
    caches: list[FeatureCache], tokenizers: list[Path], tmp_path: Path
) -> None:
    cache = caches[0]
    assert (cache.frozen / "tokenizer.json").read_bytes() == tokenizers[0].read_bytes()
    assert "tokenizer.json" in cache.checksums
    export_hdf5(cache, tmp_path / "bundle.h5")
    again = import_hdf5(tmp_path / "bundle.h5", CacheRoot(tmp_path / "other"), quiet)
    assert again.fingerprint == cache.fingerprint
    run = train(again, "zeroshot", tasks=1, out=tmp_path / "run", device="cpu", progress=quiet)
    assert search(run, "a red ball", 1).results


def test_another_tokenizer_is_another_cache_and_does_not_mix(
    caches: list[FeatureCache], tokenizers: list[Path], videos: Path, tmp_path: Path
) -> None:
    root = collection(videos, tmp_path / "videos", " other")
    other = make(root, tmp_path, name="other", tokenizer=tokenizers[1])
    assert other.spec.weights != caches[0].spec.weights
    run = train(caches[0], "zeroshot", tasks=1, out=tmp_path / "run", device="cpu", progress=quiet)
    with pytest.raises(StructAlignError, match="weights"):
        append(run, other, progress=quiet, note=quiet)


def test_without_a_file_the_hub_is_asked_and_named(
    tower: None, videos: Path, tmp_path: Path
) -> None:
    wanted = (
        "cannot be downloaded .ConnectionError.; fetch https://huggingface.co/timm/ViT-B-16-SigLIP/"
        "resolve/main/tokenizer.json elsewhere and pass it with --tokenizer FILE"
    )
    with pytest.raises(StructAlignError, match=wanted):
        make(videos, tmp_path)
