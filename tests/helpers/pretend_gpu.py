"""A pretend accelerator: torch's PrivateUse1 backend in Python, the device type ``gpu``.

Every operation runs on the CPU. Mixing devices or generators raises, as on a GPU. What would wait
for a GPU is counted in WAITS with the line that asked. Import it once, in a process of its own.
"""

import collections
import traceback
from pathlib import Path
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils import backend_registration

ROOMS = ("cache", "extract", "train", "evaluate")
WAITS: collections.Counter[tuple[str, str]] = collections.Counter()

READS = {  # values or sizes that the program needs before it can go on
    "_local_scalar_dense", "nonzero", "_unique2", "unique_consecutive", "unique_dim",
    "masked_select", "equal", "is_nonzero", "bincount", "repeat_interleave.Tensor",
}  # fmt: skip
COPIES = {"_to_copy", "copy_", "_copy_from", "_copy_from_and_resize"}
# Asked first: torch's own isinstance is slow, and these are most of the arguments.
PLAIN = {int, float, bool, str, type(None), torch.dtype, torch.device, torch.layout}
INDEXED = {"index", "_index_put_impl_", "index_put", "index_put_", "_unsafe_index"}
# Composite on a CPU, or made without the fallback: sent there by name.
DIRECT = (
    "transpose.int", "select.int", "slice.Tensor", "unsqueeze", "permute", "expand", "squeeze",
    "squeeze.dim", "squeeze.dims", "unfold", "diagonal", "alias", "split.Tensor",
    "split_with_sizes", "unbind.int", "t", "index.Tensor", "index_put_", "_index_put_impl_", "abs",
    "isfinite", "isnan", "isinf", "angle", "real", "std", "std.correction", "var.correction",
    "std_mean.correction", "var_mean.correction", "median", "quantile", "nansum", "logsumexp",
    "sort.stable", "sort", "argsort.stable",
)  # fmt: skip


class Module:
    """What torch asks of a device's module."""

    is_available = staticmethod(lambda: True)
    is_initialized = staticmethod(lambda: True)
    device_count = staticmethod(lambda: 1)
    current_device = staticmethod(lambda: 0)
    _lazy_init = staticmethod(lambda: None)
    _is_in_bad_fork = staticmethod(lambda: False)
    manual_seed_all = staticmethod(lambda seed: None)
    get_amp_supported_dtype = staticmethod(lambda: [torch.bfloat16, torch.float16])


backend_registration._setup_privateuseone_for_python_backend("gpu", backend_module=Module())

_real: dict[int, tuple[StorageWeakRef, torch.Tensor]] = {}
_sweep_at = [5000]


def on_gpu(tensor: torch.Tensor) -> bool:
    """Whether a tensor is on the pretend device."""
    return not tensor.is_cpu


def wrap(real: torch.Tensor) -> torch.Tensor:
    """A tensor of the pretend device that stands for one on the CPU."""
    made = torch._C._acc.create_empty_tensor(real.shape, real.dtype)
    storage = made.untyped_storage()
    _real[storage._cdata] = (StorageWeakRef(storage), real)
    if len(_real) > _sweep_at[0]:
        for key in [key for key, (alive, _) in _real.items() if alive.expired()]:
            del _real[key]
        _sweep_at[0] = 2 * len(_real) + 5000
    return made


def unwrap(tensor: torch.Tensor) -> torch.Tensor:
    """The CPU's tensor that one of the pretend device stands for."""
    real = _real[tensor.untyped_storage()._cdata][1]
    return real if real.shape == tensor.shape else real.reshape(tensor.shape)


def mapped(change: Any, value: Any) -> Any:
    """A value of an operation's arguments with its tensors changed."""
    if type(value) in PLAIN:
        return value
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, list | tuple):
        return type(value)(mapped(change, one) for one in value)
    return value


def tensors_of(values: Any) -> list[torch.Tensor]:
    """The tensors among an operation's arguments."""
    found: list[torch.Tensor] = []
    for value in values:
        if type(value) in PLAIN:
            continue
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += tensors_of(value)
    return found


def asked_from() -> str:
    """The project's line that is being run."""
    for frame in reversed(traceback.extract_stack()):
        parts = Path(frame.filename).parts
        if "site-packages" not in parts and set(parts[-4:-1]) & set(ROOMS):
            return f"{'/'.join(parts[-2:])}:{frame.lineno} {frame.line}"
    return "elsewhere"


def fallback(op: Any, *args: Any, **kwargs: Any) -> Any:
    """Run one operation on the CPU, as strict about devices as a GPU."""
    name = op._schema.name.removeprefix("aten::")
    full = f"{name}.{op._overloadname}"
    tensors = tensors_of((*args, *kwargs.values()))
    gpu = [t for t in tensors if on_gpu(t)]
    wanted = kwargs.get("device")
    if gpu and name not in COPIES:
        foreign = [t for t in tensors if not on_gpu(t) and t.dim()]
        if foreign and name in INDEXED and on_gpu(args[0]):
            WAITS[f"{name} by an index on the CPU", asked_from()] += 1
            foreign = [t for t in foreign if t is args[0] or (len(args) > 2 and t is args[2])]
        if foreign:
            told = [(tuple(t.shape), t.device.type) for t in tensors]
            raise RuntimeError(f"{full} mixes devices: {told}, at {asked_from()}")
    if name in READS or full in READS:
        WAITS[name, asked_from()] += 1
    generator = kwargs.get("generator") or next(
        (a for a in args if isinstance(a, torch.Generator)), None
    )
    to_gpu = wanted is not None and torch.device(wanted).type == "gpu"
    if generator is not None and (gpu or to_gpu):
        raise RuntimeError(f"{full} draws on the device by the CPU's generator, {asked_from()}")
    if name == "_copy_from":
        source, target = args[0], args[1]
        if on_gpu(source) and not on_gpu(target):
            WAITS["copy to the CPU", asked_from()] += 1
        real = unwrap(source) if on_gpu(source) else source
        (unwrap(target) if on_gpu(target) else target).copy_(real)
        return target
    if wanted is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    if kwargs.get("pin_memory"):
        kwargs["pin_memory"] = False
    if name == "as_strided" and gpu:
        real = unwrap(args[0]).contiguous()
        offset = args[3] if len(args) > 3 and args[3] is not None else 0
        return wrap(torch.as_strided(real, args[1], args[2], offset + real.storage_offset()))
    if name in ("view", "_reshape_alias") and gpu:
        return wrap(unwrap(args[0]).reshape(args[1]))
    return _run(op, full, args, kwargs, gpu, to_gpu if wanted is not None else bool(gpu))


def _run(op: Any, full: str, args: Any, kwargs: Any, gpu: list[torch.Tensor], to_gpu: bool) -> Any:
    def real(tensor: torch.Tensor) -> torch.Tensor:
        return unwrap(tensor) if on_gpu(tensor) else tensor

    out = op(*mapped(real, args), **{name: mapped(real, value) for name, value in kwargs.items()})
    given = {id(unwrap(t)): t for t in gpu}  # operations in place give back what they were given

    def back(tensor: torch.Tensor) -> torch.Tensor:
        return given[id(tensor)] if id(tensor) in given else wrap(tensor) if to_gpu else tensor

    result = mapped(back, out)
    for tensor in gpu:
        if tensor.shape != unwrap(tensor).shape:
            raise RuntimeError(f"{full} resized a tensor, at {asked_from()}")
    return result


def _arange(op: Any) -> Any:
    return lambda *args, dtype=None, **_: wrap(op(*args, dtype=dtype, device="cpu"))


_fallbacks = torch.library.Library("_", "IMPL")
_fallbacks.fallback(fallback, "PrivateUse1")
_aten = torch.library.Library("aten", "IMPL")
for _over in ("default", "start", "start_step"):
    _name = "arange" if _over == "default" else f"arange.{_over}"
    _aten.impl(_name, _arange(getattr(torch.ops.aten.arange, _over)), "PrivateUse1")
for _name in DIRECT:
    _base, _, _over = _name.partition(".")
    _op = getattr(getattr(torch.ops.aten, _base), _over or "default")
    _aten.impl(_name, lambda *a, _op=_op, **k: fallback(_op, *a, **k), "PrivateUse1")
_aten.impl(
    "convolution_overrideable",
    lambda *a: fallback(torch.ops.aten.convolution.default, *a),
    "PrivateUse1",
)
