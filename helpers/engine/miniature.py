"""The miniature's pre-trained backbone.

python -m helpers.engine.miniature        draws the source set, pre-trains the backbone, stores it
"""

from __future__ import annotations

import hashlib

import keras
import numpy as np

from helpers.data.miniature import IMAGE_SIZE, SOURCE, WEIGHTS, WEIGHTS_SHA256, Array, source_images
from helpers.data.weights import WeightsError

ALPHA = 0.35
"""Width multiplier of the backbone (Sandler et al. 2018, section 6.1)."""


def backbone() -> keras.Model:
    """The miniature's MobileNetV2 without its top, pre-trained on the source set.

    It takes float32 (batch, 48, 48, 3) pixels scaled to -1..1 and gives (batch, 2, 2, 1280).
    Raises WeightsError where the weights' file is not the one that WEIGHTS_SHA256 names.
    """
    found = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() if WEIGHTS.exists() else "no file"
    if found != WEIGHTS_SHA256:
        raise WeightsError(
            f"{WEIGHTS}: SHA-256 is {found}, not {WEIGHTS_SHA256}; restore the file, or rebuild it "
            "with `python -m helpers.engine.miniature` and put the hash it prints into WEIGHTS_SHA256"
        )
    model = _untrained()
    with np.load(WEIGHTS, allow_pickle=False) as stored:
        model.set_weights([stored[f"{index:03d}"].astype("float32") for index in range(len(stored))])
    return model


def pretrain(images_per_epoch: int = 4000, epochs: int = 24) -> float:
    """Train the backbone on the source set, write it to WEIGHTS and return its accuracy on new images.

    Adam with a cosine schedule; every epoch draws new images. About 8 minutes on two cores. Weights
    trained elsewhere agree with the shipped ones in kind, not in bits.
    """
    keras.utils.set_random_seed(0)
    model = _untrained()
    pooled = keras.layers.GlobalAveragePooling2D()(model.output)
    classifier = keras.Model(model.input, keras.layers.Dense(len(SOURCE), activation="softmax")(pooled))
    batch = 32
    steps = epochs * (images_per_epoch // batch)
    schedule = keras.optimizers.schedules.CosineDecay(
        1e-3, steps, warmup_target=4e-3, warmup_steps=steps // 10
    )
    classifier.compile(
        keras.optimizers.Adam(schedule),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
    for epoch in range(epochs):
        pixels, labels = source_images(images_per_epoch, epoch)
        classifier.fit(_resized(pixels), labels, batch_size=batch, verbose=2)
    pixels, labels = source_images(2000, epochs)
    accuracy = classifier.evaluate(_resized(pixels), labels, verbose=0, return_dict=True)["accuracy"]
    arrays = {f"{index:03d}": value.astype("float16") for index, value in enumerate(model.get_weights())}
    np.savez_compressed(WEIGHTS, **arrays)
    return float(accuracy)


def _untrained() -> keras.Model:
    """The architecture, freshly initialised.

    Keras' batch norms remember 0.999 of their statistics, too much for a few thousand steps: 0.95.
    """
    model = keras.applications.MobileNetV2(
        input_shape=(IMAGE_SIZE, IMAGE_SIZE, 3), alpha=ALPHA, include_top=False, weights=None
    )
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.95
    return model


def _resized(pixels: Array) -> Array:
    """uint8 (n, 32, 32, 3) as the backbone takes it: bilinear to IMAGE_SIZE, scaled to -1..1."""
    resize = keras.layers.Resizing(IMAGE_SIZE, IMAGE_SIZE, interpolation="bilinear")
    return np.asarray(resize(pixels.astype("float32"))) / 127.5 - 1.0


if __name__ == "__main__":
    print(f"accuracy on new source images: {pretrain():.3f}")
    print(f'WEIGHTS_SHA256 = "{hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()}"')
