"""The arithmetic of weight decay in float32."""

import numpy as np


def decay_step(learning_rate: float, weight_decay: float) -> float:
    """The share of float32 weights that one step of decoupled weight decay moves, taken as Keras takes it.

    Of weights spread evenly from 1 to 2: between any two powers of two the spacing of float32 is the same
    share.
    """
    weights = np.linspace(1, 2, 2**16, endpoint=False, dtype=np.float32)
    decayed = weights - weights * np.float32(weight_decay) * np.float32(learning_rate)
    return float(np.mean(decayed != weights))
