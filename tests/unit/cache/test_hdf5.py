"""One file there and back to the same fingerprint.

A bundle from a stranger is checked before anything of it is used.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from helpers.cli import Cli
from helpers.resealed import (
    Change,
    escaping_name,
    other_configuration,
    other_weights,
    other_weights_and_digests,
    reseal,
    set_json,
)
from structalign.cache import CacheRoot, FeatureCache, StructAlignError
from structalign.cache.hdf5 import export_hdf5, import_hdf5
from structalign.cache.inventory import inventory
from structalign.cache.layout import TOKEN_CHECKSUMS
from structalign.cache.verify import verify
from structalign.cache.writer import CacheWriter


@pytest.fixture
def cache(shared: Cli) -> FeatureCache:
    return CacheRoot(shared.home / "cache").find(None)


@pytest.fixture
def bundle(cache: FeatureCache, tmp_path: Path) -> Path:
    export_hdf5(cache, tmp_path / "bundle.h5")
    return tmp_path / "bundle.h5"


def test_round_trip(cache: FeatureCache, bundle: Path, tmp_path: Path) -> None:
    root = CacheRoot(tmp_path / "root")
    again = import_hdf5(bundle, root, print)
    assert again.fingerprint == cache.fingerprint and verify(again.path).ok
    for clip in cache.catalog:
        for view in range(cache.views.views(clip.id)):
            assert np.array_equal(again.tokens([clip.id], view), cache.tokens([clip.id], view))
    assert again.catalog.clips == cache.catalog.clips and again.sources == cache.sources
    assert (again.path / TOKEN_CHECKSUMS).read_bytes() == (
        cache.path / TOKEN_CHECKSUMS
    ).read_bytes()
    assert (again.frozen / "frozen.safetensors").read_bytes() == (
        cache.frozen / "frozen.safetensors"
    ).read_bytes()
    assert import_hdf5(bundle, root, print).path == again.path
    assert not list((tmp_path / "root" / "staging").iterdir())
    with pytest.raises(StructAlignError, match="exists"):
        export_hdf5(cache, bundle)


def test_reads_in_parts(cache: FeatureCache, bundle: Path) -> None:
    with h5py.File(bundle) as file:
        clip = cache.catalog.clips[3].id
        assert np.array_equal(file["tokens"][cache.views.row((clip, 0))], cache.tokens([clip])[0])


def corrupted(bundle: Path, change: Callable[[h5py.File], None]) -> Path:
    target = bundle.with_name("changed.h5")
    shutil.copyfile(bundle, target)
    with h5py.File(target, "r+") as file:
        change(file)
    return target


def replace(name: str, body: bytes) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, data=np.frombuffer(body, np.uint8))

    return change


def other_spec(file: h5py.File) -> None:
    spec = json.loads(file["files/spec.json"][...].tobytes())
    replace("files/spec.json", json.dumps({**spec, "frames": 9}).encode())(file)


def external_data(file: h5py.File) -> None:
    shape = file["tokens"].shape
    del file["tokens"]
    file.create_dataset(
        "tokens", shape, "float16", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
    )


def external_link(file: h5py.File) -> None:
    del file["files/backbone.json"]
    file["files/backbone.json"] = h5py.ExternalLink("elsewhere.h5", "/x")


def soft_link(file: h5py.File) -> None:
    del file["files/spec.json"]
    file["files/spec.json"] = h5py.SoftLink("/files/catalog.json")


def fewer_rows(file: h5py.File) -> None:
    tokens = file["tokens"][:-1]
    del file["tokens"]
    file.create_dataset("tokens", data=tokens)


def other_tokens(file: h5py.File) -> None:
    file["tokens"][0] = np.nan


def not_ours(file: h5py.File) -> None:
    file.attrs["format"] = "something else"


def resealed(change: Change) -> Callable[[h5py.File], None]:
    def apply(file: h5py.File) -> None:
        files = {name: file[f"files/{name}"][...].tobytes() for name in file["files"]}
        reseal(files, change)
        for name, body in files.items():
            replace(f"files/{name}", body)(file)

    return apply


def blown_up(file: h5py.File) -> None:
    """200 MB of zeros in a few hundred bytes."""
    del file["files/bpe.txt.gz"]
    zeros = file.create_dataset("files/bpe.txt.gz", (200_000_000,), "uint8", compression="gzip")
    zeros[:10] = 1


def row_of_40_gigabytes(file: h5py.File) -> None:
    rows, frames, tokens, _ = file["tokens"].shape
    del file["tokens"]
    width = 40 * 10**9 // (2 * frames * tokens)
    file.create_dataset("tokens", (rows, frames, tokens, width), "float16")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_spec, r"spec\.json is not as it was written"),
        (
            replace("files/frozen.safetensors", b"other weights"),
            r"frozen\.safetensors is not as it was written",
        ),
        (replace("files/complete.json", b"{}"), "cannot be read"),
        (external_data, "not plain data"),
        (external_link, "points outside"),
        (soft_link, "points outside"),
        (fewer_rows, "not what its specification says"),
        (other_tokens, "did not reach the disk"),
        (not_ours, "is not a StructAlign bundle"),
        (blown_up, "claims 200.0 MB and holds"),
        (row_of_40_gigabytes, "are not what its specification says"),
        # All checksums fit from here on: it lies, or writes elsewhere.
        (resealed(set_json("spec.json", frames="4")), "frames is '4', not of type int"),
        (resealed(set_json("spec.json", views=True)), "views is 'True', not of type int"),
        (resealed(set_json("spec.json", preprocessing=[])), r"preprocessing is '\[\]', not of"),
        (resealed(set_json("spec.json", frames=10**9)), "frames is 1000000000, not 1 to 4096"),
        (resealed(set_json("spec.json", token_dtype="O")), "token_dtype is 'O', not float16"),
        (resealed(set_json("complete.json", files=[])), "does not list checksums"),
        (resealed(set_json("complete.json", quarantine={"a": 1})), "does not list checksums"),
        (
            resealed(set_json("complete.json", quarantine={"a": {"reason": "", "message": ""}})),
            "its quarantine names 'a', which is not in its catalog",
        ),
        (resealed(other_weights), "other weights than those its fingerprint"),
        (resealed(other_weights_and_digests), "other weights than those its fingerprint"),
        (resealed(other_configuration), "other weights than those its fingerprint"),
        (resealed(escaping_name), "dataset name '../../outside' is unfit for a file name"),
    ],
)
def test_a_strangers_bundle_is_refused(
    bundle: Path, tmp_path: Path, change: Callable[[h5py.File], None], message: str
) -> None:
    root = CacheRoot(tmp_path / "root")
    with pytest.raises(StructAlignError, match=message):
        import_hdf5(corrupted(bundle, change), root, print)
    assert root.published() == [] and not list((tmp_path / "root").glob("staging/*"))


def test_damage_on_the_way_is_found(bundle: Path, tmp_path: Path) -> None:
    """Every tenth of the token bytes, and the end cut off."""
    body = bundle.read_bytes()
    root = CacheRoot(tmp_path / "root")
    with h5py.File(bundle) as file:
        places = [
            file["tokens"].id.get_chunk_info(n).byte_offset + 1000
            for n in range(0, file["tokens"].shape[0], 6)
        ]
    for at in places:
        changed = bytearray(body)
        changed[at] ^= 4
        bundle.write_bytes(changed)
        with pytest.raises(StructAlignError, match="is not a whole bundle"):
            import_hdf5(bundle, root, print)
    bundle.write_bytes(body[: len(body) // 2])
    with pytest.raises(StructAlignError, match="is not a whole bundle"):
        import_hdf5(bundle, root, print)
    bundle.write_text("a letter")
    with pytest.raises(StructAlignError, match="is not a whole bundle"):
        import_hdf5(bundle, root, print)
    assert root.published() == []


DIES_IN_THE_MIDDLE = """
import itertools, os, sys
from pathlib import Path
from structalign.cache import CacheRoot, hdf5
from structalign.cache.shards import ShardWriter
clips, put = itertools.count(), ShardWriter.put
die = lambda: os.kill(os.getpid(), 9)
ShardWriter.put = lambda *given: put(*given) if next(clips) < 20 else die()
root = CacheRoot(Path(sys.argv[2]))
root.open_for_writing()
hdf5.import_hdf5(Path(sys.argv[1]), root, print)
"""


@pytest.fixture(scope="module")
def killed_once(shared: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root in which an import was killed in the second shard. Not to be changed."""
    folder = tmp_path_factory.mktemp("killed")
    export_hdf5(CacheRoot(shared.home / "cache").find(None), folder / "bundle.h5")
    done = subprocess.run(
        [sys.executable, "-c", DIES_IN_THE_MIDDLE, folder / "bundle.h5", folder / "root"],
        check=False,
        timeout=120,
    )
    assert done.returncode == -9
    return folder / "root"


@pytest.fixture
def killed(killed_once: Path, tmp_path: Path) -> CacheRoot:
    """A copy of it."""
    return CacheRoot(shutil.copytree(killed_once, tmp_path / "root", symlinks=True))


def test_a_killed_import_is_begun_anew(
    killed: CacheRoot, bundle: Path, cache: FeatureCache
) -> None:
    assert [entry["complete"] for entry in inventory(killed)] == [False] and len(
        list(killed.path.glob("staging/*/tokens/c.*"))
    ) == 1
    said: list[str] = []
    assert verify(import_hdf5(bundle, killed, said.append).path).ok and said == []
    assert [entry["fingerprint"] for entry in inventory(killed)] == [cache.fingerprint]
    assert not list(killed.path.glob("staging/*")) and not list(killed.path.glob("claims/*"))


def test_what_a_killed_import_left_can_be_removed(killed: CacheRoot) -> None:
    (entry,) = inventory(killed)
    left = killed.locate_unfinished(entry["fingerprint"])
    assert (
        left is not None
        and killed.locate_unfinished("import") == left
        and killed.locate_unfinished("imp") is None
    )
    with pytest.raises(StructAlignError, match="no cache"):
        killed.locate("import")
    killed.abandon(left)
    assert inventory(killed) == [] and not list(killed.path.glob("claims/*"))


def test_a_complete_cache_is_meant_before_an_unfinished_one(
    killed: CacheRoot, cache: FeatureCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else ``cache rm`` would remove another than the one that was named."""
    shutil.copytree(cache.path, tmp_path / "import")
    monkeypatch.chdir(tmp_path)
    assert killed.locate("import") == Path("import") and killed.locate_unfinished("import") is None


def test_an_import_waits_for_another_of_the_same_bundle(killed: CacheRoot, bundle: Path) -> None:
    (left,) = killed.unfinished()
    lease, waiting = killed.lease(left.name), threading.Event()
    assert lease.try_acquire()
    with pytest.raises(StructAlignError, match=f"process {os.getpid()} on .* is making .*import"):
        killed.abandon(left)
    with ThreadPoolExecutor(1) as other:
        imported = other.submit(import_hdf5, bundle, killed, lambda holder: waiting.set())
        with lease:
            assert waiting.wait(60) and not killed.published()
        assert verify(imported.result(60).path).ok


def test_an_import_that_stood_still_and_lost_its_lease_publishes_nothing(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = CacheRoot(tmp_path / "root")
    finalize = CacheWriter.finalize

    def overtaken(writer: CacheWriter, *arguments: Any) -> None:
        finalize(writer, *arguments)
        (root.path / "claims" / f"{writer.path.name}.0002").write_text("{}")

    monkeypatch.setattr(CacheWriter, "finalize", overtaken)
    with pytest.raises(StructAlignError, match="another process took over"):
        import_hdf5(bundle, root, print)
    assert (
        root.published() == [] and len(list(root.path.glob("staging/import.*/tokens/c.*"))) == 2
    ), "what is there is the other's now"


def test_an_interruption_in_a_callback_ends_an_export(
    cache: FeatureCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """h5py is in callbacks of weak references all the time; what is raised there is lost."""
    read = FeatureCache.read

    def interrupted(self: FeatureCache, wanted: Any) -> Any:
        class Thing: ...

        thing = Thing()
        kept = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGINT))
        del thing
        assert kept() is None
        return read(self, wanted)

    monkeypatch.setattr(FeatureCache, "read", interrupted)
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            export_hdf5(cache, tmp_path / "x.h5")
    finally:
        signal.signal(signal.SIGINT, usual)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_bundle_that_is_no_file(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "x.h5")
    with pytest.raises(StructAlignError, match=r"is not a file; name the bundle's file"):
        import_hdf5(tmp_path / "x.h5", CacheRoot(tmp_path / "root"), print)
