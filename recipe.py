"""This report's recipe in plain Keras: MobileNetV2 learns the classes of your images.

(images, labels), (others, truth) = keras.datasets.cifar10.load_data()
network = recipe(images, labels, classes=10)
print((network.predict(others).argmax(1) == truth[:, 0]).mean())
"""

import keras
from keras import layers


def recipe(images, labels, classes, epochs=5, rate=3e-4, below="block_5_add", backbone=None):
    """Images (n, side, side, 3) in 0 to 255 to a network from such to probabilities."""
    imagenet = {"include_top": False, "weights": "imagenet", "input_shape": (160, 160, 3)}
    backbone = backbone or keras.applications.MobileNetV2(**imagenet)
    above = False
    for layer in backbone.layers:  # what lies above `below` trains, but for batch norm
        layer.trainable = above and not isinstance(layer, layers.BatchNormalization)
        above = above or layer.name == below
    side, shift = backbone.input_shape[1], 4 / images.shape[1]
    inputs = keras.Input(images.shape[1:])
    x = layers.RandomFlip("horizontal")(inputs)
    x = layers.RandomTranslation(shift, shift, "nearest", "nearest")(x)  # by whole pixels
    x = layers.Rescaling(1 / 127.5, offset=-1)(layers.Resizing(side, side)(x))
    x = backbone(x, training=False)  # its batch norm keeps what it knows of ImageNet
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    # The head has no batch norm: there are no statistics in it that could lag behind.
    x = layers.Dense(classes, activation="softmax", kernel_initializer="zeros")(x)
    network = keras.Model(inputs, x)
    steps = epochs * -(-len(images) // 64)
    rise = min(200, steps // 5)
    cosine = keras.optimizers.schedules.CosineDecay
    rate = cosine(0.0, steps - rise, warmup_target=rate, warmup_steps=rise)
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.05)
    adamw = keras.optimizers.AdamW(rate, weight_decay=1e-4)
    network.compile(adamw, loss, metrics=["accuracy"])
    targets = keras.utils.to_categorical(labels, classes)
    network.fit(images, targets, batch_size=64, epochs=epochs, verbose=2)
    return network
