"""A clip's file is shown only from a folder known here, and only while it is the one extracted."""

import shutil
from pathlib import Path

import pytest
from structalign.cache import CacheRoot, Clip, FeatureCache
from structalign.cache.hdf5 import export_hdf5, import_hdf5
from structalign.core.errors import StructAlignError
from structalign.extract.audit import audit
from structalign.extract.video.decoder import Decoder
from structalign.extract.video.errors import ClipError
from structalign.search.clip_files import ClipFiles
from structalign.search.thumbnails import frame_picture
from structalign.search.web.registry import NotServedError, RunRegistry


@pytest.fixture
def imported(cache: FeatureCache, tmp_path: Path) -> FeatureCache:
    """The cache as it comes from somebody else, as a bundle; it still names the videos' folder."""
    export_hdf5(cache, tmp_path / "bundle.h5")
    return import_hdf5(tmp_path / "bundle.h5", CacheRoot(tmp_path / "cache"), print)


def picture(cache: FeatureCache, clip: Clip, files: ClipFiles) -> bytes | None:
    """The clip's middle frame."""
    with Decoder() as decoder:
        return frame_picture(decoder, files, cache, clip)


def registry_of(cache: FeatureCache, root: Path | None) -> RunRegistry:
    """A registry that serves one cache."""
    registry = RunRegistry([], root=root)
    registry.caches[cache.fingerprint] = cache
    return registry


def test_the_folder_that_a_bundle_names_is_never_read(imported: FeatureCache, videos: Path) -> None:
    clip = next(iter(imported.catalog))
    assert imported.provenance["root"] == str(videos) and (videos / clip.path).is_file()
    with pytest.raises(ClipError, match="made elsewhere; give the folder"):
        ClipFiles().path(imported, clip)
    with pytest.raises(NotServedError, match="made elsewhere; give the folder"):
        registry_of(imported, None).video(clip.id, None)
    assert picture(imported, clip, ClipFiles()) is None
    with pytest.raises(StructAlignError, match="made elsewhere; give the folder"):
        audit(imported.path, None)


def test_whoever_serves_names_the_folder(imported: FeatureCache, videos: Path) -> None:
    clip = next(iter(imported.catalog))
    assert registry_of(imported, videos).video(clip.id, None)[0] == videos / clip.path
    assert picture(imported, clip, ClipFiles(videos)) is not None


def test_a_file_that_was_not_extracted_is_not_shown(
    cache: FeatureCache, videos: Path, tmp_path: Path
) -> None:
    first, second = list(cache.catalog)[:2]
    shutil.copy(videos / second.path, tmp_path / first.path)
    files = ClipFiles(tmp_path)
    with pytest.raises(ClipError, match="is another file than the one that was extracted"):
        files.path(cache, first)
    assert picture(cache, first, files) is None
    with pytest.raises(NotServedError, match="another file"):
        registry_of(cache, tmp_path).video(first.id, None)
    shutil.copy(videos / first.path, tmp_path / first.path)
    assert files.path(cache, first) == tmp_path / first.path
    (tmp_path / first.path).write_bytes(b"something else")
    with pytest.raises(ClipError, match="another file"):
        files.path(cache, first)


def test_pictures_come_from_the_given_root_alone(cache: FeatureCache, tmp_path: Path) -> None:
    """The videos are still where they were, and are not looked for there."""
    clip = next(iter(cache.catalog))
    assert picture(cache, clip, ClipFiles()) is not None
    assert picture(cache, clip, ClipFiles(tmp_path)) is None
