"""Behind the wall: everything that needs Keras."""

import logging

from helpers import progress

logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of compiling for batches of other sizes
with progress.without_stderr():
    import keras as keras
