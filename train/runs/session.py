"""The date, machine and package versions of each training session, in ``sessions.jsonl``."""

import json
import platform
import time
from importlib.metadata import version
from pathlib import Path

import torch

from ... import __version__


def log_session(run: Path, device: torch.device) -> None:
    """Append the date, this machine and the packages' versions to a run's ``sessions.jsonl``."""
    entry = {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "host": platform.node(),
        "machine": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "versions": {"structalign": __version__, "python": platform.python_version()}
        | {name: version(name) for name in ("torch", "open_clip_torch", "numpy")},
    }
    with (run / "sessions.jsonl").open("a") as file:
        file.write(json.dumps(entry) + "\n")
