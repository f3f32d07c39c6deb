"""The machine and the versions that a run was made with."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import keras

from helpers import paths


def environment() -> dict[str, Any]:
    """What the run ran on: versions, processor, threads used, accelerators (empty where there is none)."""
    packages = ("keras", "tensorflow", "jax", "openvino", "numpy")
    versions = {}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "backend": keras.backend.backend(),
        "versions": versions,
        "processor": _processor(),
        # Where a sweep's workers share the machine, each has a part of it.
        "threads": paths.threads() or os.cpu_count(),
        "accelerator": ", ".join(d for d in keras.distribution.list_devices() if not d.startswith("cpu")),
        "platform": platform.system(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
