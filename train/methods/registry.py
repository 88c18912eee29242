"""Find methods: a name's YAML and file, or a file of your own."""

from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ...core.configs import CONFIGS, as_mapping, parse_yaml, plain_name, read_config, read_yaml
from ...core.errors import StructAlignError, unknown
from ...core.python_files import load_python_file, only_subclass, python_file_hash
from ..method_config import MethodConfig, TrainSettings, check_values, setting_names

if TYPE_CHECKING:
    from ...backbones.backbone import Backbone
    from .base import Method

LAYERS = ("datasets", "backbones")  # of a method's YAML: values for each of some, by name


def method_names() -> list[str]:
    """The names that ``--method`` takes."""
    return sorted(file.stem for file in (CONFIGS / "methods").glob("*.yaml"))


def absolute_method(name: str) -> str:
    """A method as ``load_method`` takes it, whatever the working folder."""
    method, *changes = name.split(":")
    if method.endswith(".py"):
        method = str(Path(method).expanduser().resolve())
    return ":".join([method, *changes])


def load_method(
    name: str, dataset: str, backbone: str, overrides: Mapping[str, Any] | None = None
) -> MethodConfig:
    """The settings of a method on a dataset and a backbone, ``overrides`` on top.

    Layers: defaults < dataset < backbone < method (its bases first), and in each method its values
    for the dataset and for the backbone. ``name`` is a method's, or the path of a .py file; it
    may carry changes, ``structalign:teacher=pretrained``, and keeps them in results. Raises
    StructAlignError for an unknown method or setting (giving the nearest), or as those below do.
    """
    method, *changes = absolute_method(name).split(":")
    if wrong := [change for change in changes if "=" not in change]:
        raise StructAlignError(f"method '{name}': '{wrong[0]}' is not KEY=VALUE")
    if method.endswith(".py"):
        path = Path(method)
        source, file_hash = method, python_file_hash(path, "method")
        chain = _with_bases(path.stem, _own_yaml(path.with_suffix(".yaml")))
        name = ":".join([path.stem, *changes])
    else:
        if method not in method_names():
            raise unknown("method", method, method_names())
        chain = _with_bases(method, read_config("methods", method))
        source, file_hash = chain[0][0], None
    options = method_class(source).Options
    values: dict[str, Any] = {}
    accepted = setting_names(TrainSettings, options)
    for kind, key in (("datasets", dataset), ("backbones", backbone)):
        shared = read_config(kind, key).get("train") or {}  # of all methods
        values |= {name: value for name, value in shared.items() if name in accepted}
    for _, body in chain:
        by_dataset, by_backbone = body.get("datasets") or {}, body.get("backbones") or {}
        layers = body.get("train"), by_dataset.get(plain_name(dataset)), by_backbone.get(backbone)
        for layer in layers:
            values |= check_values(layer or {}, TrainSettings, options)
    on_top = {
        key: parse_yaml(text, f"method '{name}': '{text}'")
        for key, _, text in (change.partition("=") for change in changes)
    }
    given = dict(overrides or {})
    ignored = [key for key in given if key not in accepted]
    elsewhere = _settings_elsewhere() if ignored else set()
    for key in ignored:
        if key not in elsewhere:
            raise unknown("setting", key, {*accepted, *elsewhere})
    values |= {**on_top, **{key: value for key, value in given.items() if key not in ignored}}
    return replace(make_config(name, source, values, file_hash), ignored=tuple(ignored))


def make_config(
    name: str, source: str, values: Mapping[str, Any], file_hash: str | None = None
) -> MethodConfig:
    """A configuration from values by setting name; missing ones take their defaults."""
    options = method_class(source).Options
    checked = check_values(values, TrainSettings, options)
    common = {key: value for key, value in checked.items() if key in setting_names(TrainSettings)}
    chosen = {key: value for key, value in checked.items() if key not in common}
    return MethodConfig(name, source, TrainSettings(**common), options(**chosen), file_hash)


def build_method(config: MethodConfig, backbone: "Backbone", seed: int) -> "Method":
    """A method before its first task, on the CPU."""
    module = _method_module(config.source)
    choose = getattr(module, "class_for", lambda _: method_class(config.source))
    method: Method = choose(config.options)(backbone, config, seed)
    return method


def method_class(source: str) -> "type[Method]":
    """The one method of a module or file. Raises StructAlignError for none or several."""
    from .base import Method

    return only_subclass(_method_module(source), Method)


def _method_module(source: str) -> ModuleType:
    if source.endswith(".py"):
        return load_python_file(Path(source), "method")
    return import_module(f".{source}", __package__)


def _settings_elsewhere() -> set[str]:
    """The options of all methods of the package."""
    sources = {_with_bases(n, read_config("methods", n))[0][0] for n in method_names()}
    return {key for source in sources for key in setting_names(method_class(source).Options)}


def _own_yaml(path: Path) -> dict[str, Any]:
    """The YAML of a user's own method. Raises StructAlignError unless its parts are as ours."""
    body = read_yaml(path)
    if other := sorted(body.keys() - {"base", "train", *LAYERS}):
        raise unknown(f"part of {path}", other[0], ("base", "train", *LAYERS))
    parts = {part: as_mapping(body.get(part), f"{path}: {part}") for part in ("train", *LAYERS)}
    for part in LAYERS:
        for name, values in parts[part].items():
            parts[part][name] = as_mapping(values, f"{path}: {part}: {name}")
    if (base := body.get("base")) is not None and str(base) not in method_names():
        raise unknown(f"base in {path}", str(base), method_names())
    return {**body, **parts}


def _with_bases(name: str, body: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """A method's name and YAML, preceded by those of its bases."""
    chain = [(name, body)]
    while (base := chain[0][1].get("base")) is not None:
        chain.insert(0, (str(base), read_config("methods", str(base))))
    return chain
