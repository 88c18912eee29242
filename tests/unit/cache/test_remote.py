"""A cache is read straight from an S3-speaking server and from a plain HTTP server, both real and
on loopback.
"""

from collections.abc import Iterator
from pathlib import Path

import boto3
import numpy as np
import pytest
from helpers.chunks import shard_of
from helpers.cli import QUICK, Cli, without_seconds
from helpers.http_files import served
from moto.server import ThreadedMotoServer
from structalign.cache import CacheRoot, FeatureCache, StructAlignError
from structalign.cache.verify import verify

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@pytest.fixture
def cache(shared: Cli) -> FeatureCache:
    return CacheRoot(shared.home / "cache").find(None)


@pytest.fixture
def s3(cache: FeatureCache, monkeypatch: pytest.MonkeyPatch, shared: Cli) -> Iterator[str]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for key, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}.items():
        monkeypatch.setenv(key, value)
        shared.environment[key] = value
    client = boto3.client("s3")
    client.create_bucket(Bucket="lab")
    for file in cache.path.rglob("*"):
        if file.is_file():
            client.put_object(
                Bucket="lab",
                Key=f"caches/one/{file.relative_to(cache.path).as_posix()}",
                Body=file.read_bytes(),
            )
    yield "s3://lab/caches/one"
    server.stop()


@pytest.fixture
def http(cache: FeatureCache) -> Iterator[str]:
    with served(cache.path) as address:
        yield address


def check(remote: FeatureCache, local: FeatureCache) -> None:
    assert remote.fingerprint == local.fingerprint and remote.catalog.clips == local.catalog.clips
    clips = [clip.id for clip in local.catalog]
    assert np.array_equal(remote.tokens(clips), local.tokens(clips))
    assert (remote.frozen / "frozen.safetensors").read_bytes() == (
        local.path / "frozen.safetensors"
    ).read_bytes()


def test_http(cache: FeatureCache, http: str) -> None:
    check(FeatureCache.open(http), cache)
    for nothing in (f"{http}/nowhere", "http://127.0.0.1:9/nobody"):
        with pytest.raises(
            StructAlignError, match="is not a complete cache; check the address, the server"
        ):
            FeatureCache.open(nothing)


def test_s3(cache: FeatureCache, s3: str) -> None:
    check(FeatureCache.open(s3), cache)
    assert verify(s3).ok
    client = boto3.client("s3")
    clip = cache.catalog.clips[0].id
    key = f"caches/one/tokens/{shard_of(cache, clip).name}"
    body = bytearray(shard_of(cache, clip).read_bytes())
    body[100] ^= 1
    client.put_object(Bucket="lab", Key=key, Body=bytes(body))
    with pytest.raises(StructAlignError, match="is damaged"):
        FeatureCache.open(s3).tokens([clip])
    assert verify(s3).damaged == [(clip, 0)]
    other = shard_of(cache, cache.catalog.clips[16].id)  # whole, in the wrong place
    client.put_object(Bucket="lab", Key=key, Body=other.read_bytes())
    with pytest.raises(StructAlignError, match=f"clip '{clip}', view 0, are not as written"):
        FeatureCache.open(s3).tokens([clip])
    client.delete_object(Bucket="lab", Key=key)
    assert (clip, 0) in verify(s3).missing
    client.put_object(Bucket="lab", Key="caches/one/frozen.safetensors", Body=b"other weights")
    with pytest.raises(StructAlignError, match=r"frozen\.safetensors is not as it was written"):
        _ = FeatureCache.open(s3).frozen


@pytest.mark.slow
def test_training_from_s3_equals_training_from_the_folder(
    shared: Cli, s3: str, tmp_path: Path
) -> None:
    local = shared.json("train", *QUICK, "--out", tmp_path / "local")
    assert without_seconds(
        shared.json("train", *QUICK, "--cache", s3, "--out", tmp_path / "remote")
    ) == without_seconds(local)
    assert without_seconds(
        shared.json("eval", tmp_path / "remote", "--cache", s3)
    ) == without_seconds(local)
    assert shared.json("cache", "info", s3)["clips"] == 32
