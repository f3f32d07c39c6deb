"""A transfer-learning report that can be run: see README.md, and experiment.py for where to begin.

These are the names that a notebook needs. Each is loaded when it is first used; none of them brings Keras.
"""

import importlib
import os
from types import ModuleType

__all__ = ["chapters", "figures", "markdown", "run", "study"]

# TensorFlow takes both from the environment alone, when it is first imported. Its oneDNN kernels double the
# speed on processors where it leaves them off by default; its start-up lines are no news.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Else Keras takes the backend of a user's keras.json, which is about other work.
os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND") or "tensorflow"


def __getattr__(name: str) -> ModuleType:
    """A public module, imported on its first use."""
    if name in __all__:
        return importlib.import_module(f"helpers.{name}")
    raise AttributeError(f"module 'helpers' has no attribute {name!r}; it has {', '.join(__all__)}")
