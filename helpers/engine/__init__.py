"""Behind the wall: everything that needs Keras, with the settings that every result is made with.

They are set here because a user's keras.json may hold others. Raises UserError for an unknown backend.
"""

import importlib.util
import logging

from helpers import paths, progress
from helpers.errors import UserError

_backend = paths.keras_backend()
if _backend not in ("tensorflow", "jax") or importlib.util.find_spec(_backend) is None:
    raise UserError(
        f"KERAS_BACKEND={_backend!r}: training runs on 'tensorflow', or on 'jax' where it is installed; "
        "unset KERAS_BACKEND for TensorFlow"
    )

with progress.without_stderr():
    import keras as keras  # apps take it from here, so that it is never imported before these settings
logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of compiling for batches of other sizes

if keras.config.backend() != _backend:
    raise UserError(
        f"Keras was imported before helpers and runs on {keras.config.backend()!r}, not on {_backend!r}; "
        f"set KERAS_BACKEND={_backend} before Python starts, or import helpers first"
    )
keras.config.set_floatx("float32")
keras.config.set_dtype_policy("float32")
keras.config.set_epsilon(1e-7)
keras.config.set_image_data_format("channels_last")
