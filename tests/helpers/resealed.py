"""What a stranger can do to a cache: change its files, then make every checksum fit again."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import safetensors.torch
from structalign.cache.checksums import manifest_text

Files = dict[str, bytes]
Change = Callable[[Files], None]


def reseal(files: Files, change: Change) -> None:
    """Change files of a cache, by name; fingerprint and checksums follow."""
    change(files)
    spec, manifest = json.loads(files["spec.json"]), json.loads(files["complete.json"])
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    manifest["fingerprint"] = hashlib.sha256(text.encode()).hexdigest()
    if isinstance(manifest["files"], dict):
        known = manifest["files"].keys() & files.keys()
        manifest["files"] |= {name: hashlib.sha256(files[name]).hexdigest() for name in known}
    manifest.pop("sha256")
    files["complete.json"] = manifest_text(manifest).encode()


def reseal_folder(folder: Path, change: Change) -> None:
    """The same with the files of a cache's folder; one that is taken out is removed."""
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    files = dict(before)
    reseal(files, change)
    for name in before.keys() - files.keys():
        (folder / name).unlink()
    for name, body in files.items():
        (folder / name).write_bytes(body)


def set_json(file: str, **fields: object) -> Change:
    """Other values of some fields of a JSON file."""

    def change(files: Files) -> None:
        files[file] = json.dumps({**json.loads(files[file]), **fields}).encode()

    return change


def other_weights(files: Files) -> None:
    """The same shapes, other values: zero-shot retrieval falls, and nothing else tells."""
    tensors = safetensors.torch.load(files["frozen.safetensors"])
    tensors["text_projection"] = -tensors["text_projection"]
    files["frozen.safetensors"] = safetensors.torch.save(tensors)


def other_weights_and_digests(files: Files) -> None:
    """Other weights, and their digests' file changed with them."""
    other_weights(files)
    set_json("weights.json", text_projection="0" * 64)(files)


def other_configuration(files: Files) -> None:
    """The same weights in another architecture."""
    config = json.loads(files["backbone.json"])["config"]
    other = {**config, "quick_gelu": not config.get("quick_gelu", False)}
    set_json("backbone.json", config=other)(files)


def escaping_name(files: Files) -> None:
    """A dataset name that leaves its folder, in catalog and specification."""
    set_json("catalog.json", dataset="../../outside")(files)
    set_json("spec.json", dataset="../../outside")(files)


def schema_2(files: Files) -> None:
    """A cache as version 0.1 wrote it: no digests of the weights, another decoder rule."""
    del files["weights.json"]
    manifest = json.loads(files["complete.json"])
    del manifest["files"]["weights.json"]
    files["complete.json"] = json.dumps(manifest).encode()
    set_json("spec.json", schema=2, weights="0" * 64, decoder="decord2 3.4.0")(files)
