"""The machine and the versions that something is made with, as far as Keras need not be asked."""

from __future__ import annotations

import contextlib
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from helpers import paths


def machine() -> dict[str, Any]:
    """Python, the libraries' versions, the processor, the threads used, and the system."""
    versions = {}
    for name in ("keras", "tensorflow", "jax", "openvino", "numpy"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {
        "python": platform.python_version(),
        "versions": versions,
        "processor": _processor(),
        # Where a sweep's workers share the machine, each has a part of it.
        "threads": paths.threads() or _cores(),
        "platform": platform.system(),
    }


def _cores() -> int:
    """Cores that this process may use, where the system tells: a container may have a part of them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())  # 64-bit Arm names no model there
