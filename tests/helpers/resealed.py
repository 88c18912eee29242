"""What a stranger can do to a cache: change its files, then make every checksum fit again."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import safetensors.torch
from structalign.cache.checksums import checksums_text

Files = dict[str, bytes]
Change = Callable[[Files], None]


def reseal(files: Files, change: Change) -> None:
    """Change files of a cache, by name; fingerprint and checksums follow."""
    change(files)
    spec, complete = json.loads(files["spec.json"]), json.loads(files["complete.json"])
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    complete["fingerprint"] = hashlib.sha256(text.encode()).hexdigest()
    if isinstance(complete["files"], dict):
        known = complete["files"].keys() & files.keys()
        complete["files"] |= {name: hashlib.sha256(files[name]).hexdigest() for name in known}
    complete.pop("sha256")
    files["complete.json"] = checksums_text(complete).encode()


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


def of_version_0_2(files: Files) -> None:
    """A cache as version 0.2 wrote it, with its catalog in JSON. Only the names matter here."""
    files["catalog.json"] = files.pop("catalog.arrow")
    complete = json.loads(files["complete.json"])
    complete["files"]["catalog.json"] = complete["files"].pop("catalog.arrow")
    del complete["files"]["checksums.npy"]
    files["complete.json"] = json.dumps(complete).encode()
