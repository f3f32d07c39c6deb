"""What a run was made with: the machine, the versions, and what Keras runs on."""

from __future__ import annotations

import time
from typing import Any

import keras

from helpers.machine import machine


def environment() -> dict[str, Any]:
    """What `machine` says, Keras' backend, the accelerators (empty where there is none), and the date."""
    return machine() | {
        "backend": keras.backend.backend(),
        "accelerator": ", ".join(d for d in keras.distribution.list_devices() if not d.startswith("cpu")),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }
