"""The arithmetic of weight decay in float32."""

import numpy as np


def decay_step(learning_rate: float, weight_decay: float) -> tuple[float, float]:
    """What float32 leaves of one step of decoupled weight decay, taken by itself as Keras takes it.

    Returns the share of weights that change, and the share of the decay that arrives, on average, both over
    weights spread evenly from 1 to 2: between any two powers of two the spacing of float32 is the same share.
    Both are 0 where no decay is asked for.
    """
    weights = np.linspace(1, 2, 2**16, endpoint=False, dtype=np.float32)
    taken = weights - (weights - weights * np.float32(weight_decay) * np.float32(learning_rate))
    asked = weights.astype(float) * learning_rate * weight_decay
    return float(np.mean(taken != 0)), float(np.mean(taken / asked)) if asked.any() else 0.0
