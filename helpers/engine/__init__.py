"""Behind the wall: everything that needs Keras."""

import logging

from helpers import progress

with progress.without_stderr():
    import keras as keras
logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of compiling for batches of other sizes
