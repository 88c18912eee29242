"""Nothing is finalized that does not read back; what was lost is redone, and nothing else."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.chunks import drop, flip
from helpers.cli import Cli
from structalign.cache import CacheRoot, FeatureCache, StructAlignError
from structalign.cache.store import Local
from structalign.cache.tokens import SHARD_CLIPS
from structalign.cache.writer import CacheWriter, ClipOutcome
from structalign.core.permissions import make_writable


@pytest.fixture
def writer(shared: Cli, tmp_path: Path) -> tuple[CacheWriter, FeatureCache]:
    """A cache before it is finalized, with two batch records."""
    source = CacheRoot(shared.home / "cache").find(None)
    folder = Path(shutil.copytree(source.path, tmp_path / "writer"))
    make_writable(folder)
    (folder / "complete.json").unlink()
    (folder / "receipts").mkdir()
    writer, clips = CacheWriter(folder), list(source.catalog)
    for unit, part in enumerate((clips[:16], clips[16:])):
        writer.write_batch_record(unit, [ClipOutcome(clip.id) for clip in part])
    return writer, source


def outcomes(cache: FeatureCache) -> list[ClipOutcome]:
    return [ClipOutcome(clip.id) for clip in cache.catalog]


@pytest.mark.parametrize("how", ["gone", "flipped"])
def test_a_chunk_that_did_not_reach_the_disk(
    writer: tuple[CacheWriter, FeatureCache], how: str
) -> None:
    unfinished, cache = writer
    clip = cache.catalog.clips[20].id
    here = FeatureCache(Local(unfinished.path), cache.spec, cache.catalog, cache.complete)
    (drop if how == "gone" else flip)(here, clip, 0)
    with pytest.raises(
        StructAlignError,
        match="tokens of 1 clips did not reach the disk; run extract again, only they are redone",
    ):
        unfinished.finalize(cache.spec, outcomes(cache), {})
    assert not unfinished.is_finalized
    left = [outcome.clip for batch in (0, 1) for outcome in unfinished.batch_record(batch) or []]
    assert sorted(left) == sorted(other.id for other in cache.catalog if other.id != clip)


def test_what_is_left_of_the_making_is_not_published(
    writer: tuple[CacheWriter, FeatureCache], tmp_path: Path
) -> None:
    unfinished, cache = writer
    (unfinished.path / "tokens" / ".c.0.0.0.0.0.abc.tmp").write_bytes(b"half")
    (unfinished.path / ".spec.json.12.tmp").write_text("half")
    unfinished.finalize(cache.spec, outcomes(cache), {})
    published = CacheRoot(tmp_path / "root").publish(unfinished, cache.fingerprint)
    again = FeatureCache.open(published)
    assert {path.name for path in published.iterdir()} == {
        path.name for path in cache.path.iterdir()
    }
    assert len(list((published / "tokens").iterdir())) == -(-len(again.catalog) // SHARD_CLIPS) + 1


READ_ONLY = """
import os, tempfile
from pathlib import Path
from structalign.core.permissions import make_read_only
from structalign.cache.tokens import SHARD_CLIPS
from structalign.cache.writer import CacheWriter
if os.geteuid() == 0:
    os.setuid(65534)  # modes bind everybody but root
with tempfile.TemporaryDirectory() as folder:
    writer = CacheWriter(Path(folder) / "writer")
    writer.make_empty()
    (writer.path / "tokens").mkdir()
    (writer.path / "tokens" / "c.0.0.0.0").write_bytes(b"x")
    make_read_only(writer.path)
    writer.make_empty()
    print(list(writer.path.iterdir()))
"""


def test_what_publishing_had_made_read_only_is_emptied_too() -> None:
    done = subprocess.run(
        [sys.executable, "-c", READ_ONLY], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout == "[]\n", done.stderr


def test_discarding_leaves_a_published_cache_read_only(
    writer: tuple[CacheWriter, FeatureCache], tmp_path: Path
) -> None:
    """Its token files are linked where quarantined clips are tried again."""
    unfinished, cache = writer
    unfinished.finalize(cache.spec, outcomes(cache), {})
    published = CacheRoot(tmp_path / "root").publish(unfinished, cache.fingerprint)
    again = CacheWriter(tmp_path / "again")
    (again.path / "tokens").mkdir(parents=True)
    again.take_tokens(FeatureCache.open(published))
    again.discard()
    assert not any(file.stat().st_mode & 0o222 for file in published.rglob("*"))
