"""The network: what is unfrozen, where it is cut, and that the parts are the whole."""

import os
import random
from collections.abc import Callable, Iterator
from typing import Any, Literal

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from helpers.engine import backbones, fused_conv, model
from helpers.experiment import Experiment

SIZE = 160
FEATURES = 1280
RNG = np.random.default_rng(1)
IMAGES = RNG.integers(0, 256, (4, 32, 32, 3)).astype(np.float32)
REAL = os.environ.get("MOBILENETV2_WEIGHTS")
Bn = Literal["frozen", "train"]


def randomize(network: keras.Model) -> keras.Model:
    """Statistics, scales and shifts of a trained kind, so that no batch norm is the identity.

    Kernels have He's variance: signals neither fade nor swell on their way up.
    """
    rng = np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            n = layer.gamma.shape[0]
            scale, variance = rng.uniform(0.7, 1.3, n), rng.uniform(0.5, 1.5, n)
            layer.set_weights([scale, rng.normal(0, 0.3, n), rng.normal(0, 0.3, n), variance])
        elif layer.weights:
            shape = layer.weights[0].shape
            seen = np.prod(shape[:2] if isinstance(layer, layers.DepthwiseConv2D) else shape[:3])
            layer.set_weights([rng.normal(0, np.sqrt(2 / seen), shape)])
    return network


def backbone(size: int) -> keras.Model:
    """MobileNetV2, untrained and offline."""
    shape = (size, size, 3)
    return randomize(keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=shape))


@pytest.fixture(scope="module")
def built() -> keras.Model:
    return backbone(SIZE)


@pytest.fixture
def network(built: keras.Model) -> Iterator[keras.Model]:
    """MobileNetV2 at its real size; whatever a test does to its weights is undone."""
    values = built.get_weights()
    built.trainable = True
    yield built
    built.set_weights(values)


def head() -> keras.Model:
    """The study's head, with statistics of its own."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(2)
    network = model.head(Experiment(), FEATURES)
    norm = network.get_layer("head_norm")
    norm.set_weights([values + rng.uniform(0, 0.5, values.shape) for values in norm.get_weights()])
    return network


@pytest.fixture(scope="module")
def top() -> keras.Model:
    return head()


@pytest.mark.parametrize(
    "changes", [{}, {"dropout": 0.0}, {"head_units": 0}, {"seed": 7, "head_norm": "layer"}]
)
def test_a_head_starts_as_its_seed_says_whatever_else_draws(changes: dict[str, Any]) -> None:
    """With the values that Keras itself draws in a process that was seeded and built the backbone first.

    The first records were made so. Meanwhile another thread, such as Dask's, may draw from the process.
    """
    asked = Experiment(**changes)
    keras.utils.set_random_seed(asked.seed)
    keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(32, 32, 3), alpha=0.35)
    x = inputs = keras.Input((FEATURES,))
    if asked.head_units:
        x = layers.Dense(asked.head_units, activation="relu")(x)
    x = layers.Dropout(asked.dropout)(x)
    x = layers.Dense(10, kernel_initializer="glorot_uniform" if asked.head_units else "zeros")(x)
    expected = keras.Model(inputs, x)
    random.seed("another thread")
    for found in (model.head(asked, FEATURES), model.head(asked, FEATURES)):
        norm = {id(v) for v in found.get_layer("head_norm").variables}
        values = [v for v in found.variables if id(v) not in norm]
        for one, other in zip(values, expected.variables, strict=True):
            np.testing.assert_array_equal(one, other)


def experiment(n_unfreeze: int, backbone_bn: Bn = "frozen") -> Experiment:
    return Experiment(n_unfreeze=n_unfreeze, backbone_bn=backbone_bn)


def uncut(network: keras.Model, top: keras.Model, images: Any) -> Any:
    """The whole network in the study's words: resize, rescale to [-1, 1], backbone, pooling, head."""
    resized = ops.image.resize(images, network.input_shape[1:3], interpolation="bilinear")
    resized = ops.cast(
        resized, keras.config.dtype_policy().compute_dtype
    )  # else rescaled in single precision
    features = network(resized / 127.5 - 1.0, training=False)
    return top(ops.mean(features, axis=(1, 2)), training=False)


def array(tensor: Any) -> np.ndarray:
    return ops.convert_to_numpy(tensor)


def parameters(variables: list[Any]) -> int:
    return sum(int(np.prod(variable.shape)) for variable in variables)


def place(network: keras.Model, name: str) -> int:
    return [layer.name for layer in network.layers].index(name)


# ---------------------------------------------------------------------------- what is unfrozen


TOP_10 = """block_15_depthwise_relu block_15_project block_15_add block_16_expand block_16_expand_relu
    block_16_depthwise block_16_depthwise_relu block_16_project Conv_1 out_relu""".split()


def test_the_top_ten_layers_are_those_that_the_seed_unfroze(network: keras.Model) -> None:
    assert [layer.name for layer in backbones.unfrozen(network, 10)] == TOP_10
    assert backbones.unfrozen(network, 0) == []


@pytest.mark.parametrize(
    ("n", "lowest", "lowest_with_weights"),
    [
        (10, "block_15_depthwise_relu", "block_15_project"),
        (20, "block_13_project", "block_13_project"),
        (30, "block_12_expand_relu", "block_12_depthwise"),
    ],
)
def test_how_deep_unfreezing_reaches(
    network: keras.Model, n: int, lowest: str, lowest_with_weights: str
) -> None:
    free = backbones.unfrozen(network, n)
    assert len(free) == n
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in free)
    assert free[0].name == lowest
    assert next(layer.name for layer in free if layer.weights) == lowest_with_weights


def test_there_is_no_more_to_unfreeze_than_all(network: keras.Model) -> None:
    norms = sum(isinstance(layer, layers.BatchNormalization) for layer in network.layers)
    assert len(backbones.unfrozen(network, 200)) == len(network.layers) - norms == 102


HEAD = 2 * FEATURES + (FEATURES * 128 + 128) + (128 * 10 + 10)
"""Parameters that train in the head: batch norm's scale and shift, the dense layer, the softmax."""
TRAINED = [
    (10, "frozen", 1_032_640),
    (20, "frozen", 1_602_880),
    (30, "frozen", 1_723_840),
    (200, "frozen", 2_189_760),
    (10, "train", 1_040_000),
    (20, "train", 1_618_560),
    (30, "train", 1_743_168),
    (200, "train", 2_223_872),
]


@pytest.mark.parametrize(("n", "backbone_bn", "expected"), TRAINED)
def test_how_many_parameters_train(
    network: keras.Model, top: keras.Model, n: int, backbone_bn: Bn, expected: int
) -> None:
    above = model.above_cut(network, top, experiment(n, backbone_bn))
    assert parameters(above.get_layer("suffix").trainable_variables) == expected
    assert parameters(above.trainable_variables) == expected + HEAD
    free = {layer.name for layer in backbones.unfrozen(network, n)}
    own = [v for layer in network.layers if layer.name in free for v in layer.weights]
    trained = {id(v) for v in above.trainable_variables}
    assert {id(v) for v in own} <= trained, "the network's own kernels train, not copies"


def test_with_nothing_unfrozen_the_head_trains_alone(network: keras.Model, top: keras.Model) -> None:
    assert parameters(top.trainable_variables) == HEAD == 167_818
    assert backbones.cut(network, 0) == backbones.POOLED


# ---------------------------------------------------------------------------- where it is cut


BLOCK_ENDS = """expanded_conv_project_BN block_1_project_BN block_2_add block_3_project_BN block_4_add
    block_5_add block_6_project_BN block_7_add block_8_add block_9_add block_10_project_BN block_11_add
    block_12_add block_13_project_BN block_14_add block_15_add block_16_project_BN""".split()


@pytest.mark.parametrize(
    ("n", "name", "shape"),
    [
        (10, "block_14_add", (5, 5, 160)),
        (20, "block_12_add", (10, 10, 96)),
        (30, "block_11_add", (10, 10, 96)),
        (102, None, (SIZE, SIZE, 3)),
    ],
)
def test_where_the_network_is_cut(
    network: keras.Model, n: int, name: str | None, shape: tuple[int, ...]
) -> None:
    assert backbones.cut(network, n) == name
    assert model.pixels_to(network, name).output_shape == (None, *shape)
    assert model.suffix(network, experiment(n)).input_shape == (None, *shape)


@pytest.mark.parametrize("n", range(1, 103))
def test_every_cut_is_the_last_end_of_a_block_below_what_is_unfrozen(network: keras.Model, n: int) -> None:
    weighted = [place(network, layer.name) for layer in backbones.unfrozen(network, n) if layer.weights]
    lowest = min(weighted, default=len(network.layers) - 1)
    below = [name for name in BLOCK_ENDS if place(network, name) < lowest]
    assert backbones.cut(network, n) == (below[-1] if below else None)


# ---------------------------------------------------------------------------- the parts are the whole


@pytest.fixture
def in_float64() -> Iterator[None]:
    """Double precision: in single, rounding puts a few activations on the other side of ReLU6's kinks."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(policy)


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize(
    ("n", "backbone_bn"), [(10, "frozen"), (30, "frozen"), (200, "frozen"), (30, "train")]
)
def test_prefix_suffix_and_head_are_the_whole_network(n: int, backbone_bn: Bn) -> None:
    network, top = backbone(64), head()
    expected = array(uncut(network, top, IMAGES))
    assert np.ptp(expected, axis=0).max() > 0.05, (
        "the images are told apart, so that agreement says something"
    )
    settings = experiment(n, backbone_bn)
    stored = model.pixels_to(network, backbones.cut(network, n))(IMAGES, training=False)
    above = model.above_cut(network, top, settings)
    np.testing.assert_allclose(array(above(stored, training=False)), expected, rtol=0, atol=1e-6)
    one_network = model.whole(network, top, settings)
    np.testing.assert_allclose(array(one_network(IMAGES, training=False)), expected, rtol=0, atol=1e-6)
    assert {id(v) for v in one_network.trainable_variables} == {id(v) for v in above.trainable_variables}


def test_pooled_features_are_the_whole_backbones(network: keras.Model, top: keras.Model) -> None:
    pooled = model.pixels_to(network, backbones.POOLED)(IMAGES, training=False)
    assert pooled.shape == (len(IMAGES), FEATURES)
    together = array(top(pooled, training=False))
    np.testing.assert_allclose(together, array(uncut(network, top, IMAGES)), rtol=0, atol=1e-5)


@pytest.mark.skipif(not REAL, reason="needs the ImageNet weights in MOBILENETV2_WEIGHTS")
def test_the_parts_are_the_whole_with_imagenets_weights(top: keras.Model) -> None:
    network, settings = backbones.backbone(Experiment()), experiment(30)
    expected = array(uncut(network, top, IMAGES))
    stored = model.pixels_to(network, backbones.cut(network, 30))(IMAGES, training=False)
    above = model.above_cut(network, top, settings)
    np.testing.assert_allclose(array(above(stored, training=False)), expected, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("in_float64")
def test_gradients_are_the_whole_networks() -> None:
    network, top = backbone(64), model.head(Experiment(), FEATURES)
    targets = np.eye(10)[: len(IMAGES)]
    above = model.above_cut(network, top, experiment(30))
    kernels = above.get_layer("suffix").trainable_variables
    stored = model.pixels_to(network, backbones.cut(network, 30))(IMAGES, training=False)

    def gradients(predict: Callable[[], Any]) -> list[np.ndarray]:
        with tf.GradientTape() as tape:
            loss = ops.mean(keras.losses.categorical_crossentropy(targets, predict()))
        return [array(each) for each in tape.gradient(loss, [kernel.value for kernel in kernels])]

    found = gradients(lambda: above(stored, training=False))
    expected = gradients(lambda: uncut(network, top, IMAGES))
    for kernel, ours, theirs in zip(kernels, found, expected, strict=True):
        scale = np.abs(theirs).max()
        assert scale > 1e-3, kernel.path
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * scale, err_msg=kernel.path)


# ---------------------------------------------------------------------------- batch norm


def statistics(network: keras.Model) -> dict[str, np.ndarray]:
    norms = [layer for layer in network.layers if isinstance(layer, layers.BatchNormalization)]
    return {norm.name: array(norm.moving_mean).copy() for norm in norms}


@pytest.mark.parametrize(
    ("backbone_bn", "expected"),
    [
        ("frozen", set()),
        ("train", {f"block_{name}_BN" for name in ("15_project", "16_expand", "16_depthwise", "16_project")}),
    ],
)
def test_training_moves_the_statistics_of_the_unfrozen_part_at_most(
    network: keras.Model, top: keras.Model, backbone_bn: Bn, expected: set[str]
) -> None:
    before = statistics(network)
    model.whole(network, top, experiment(10, backbone_bn))(IMAGES, training=True)
    after = statistics(network)
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert moved == (expected | {"Conv_1_bn"} if expected else set())


@pytest.mark.parametrize("backbone_bn", ["frozen", "train"])
def test_a_prediction_does_not_depend_on_the_batch_it_is_in(
    network: keras.Model, top: keras.Model, backbone_bn: Bn
) -> None:
    above = model.above_cut(network, top, experiment(10, backbone_bn))
    stored = array(model.pixels_to(network, backbones.cut(network, 10))(IMAGES, training=False))
    together, alone = above.predict(stored, verbose=0), above.predict(stored[:1], verbose=0)
    np.testing.assert_allclose(together[:1], alone, rtol=0, atol=1e-5)


def convolution(name: str) -> tuple[keras.layers.Layer, tuple[int, ...]]:
    """One of the four kinds in the backbone, and the shape of an input for it."""
    kinds = {
        "pointwise": (layers.Conv2D(6, 1, use_bias=False), (2, 5, 5, 4)),
        "first": (layers.Conv2D(6, 3, 2, padding="same", use_bias=False), (2, 8, 8, 3)),
        "depthwise": (layers.DepthwiseConv2D(3, padding="same", use_bias=False), (2, 5, 5, 6)),
        "depthwise, stride 2": (layers.DepthwiseConv2D(3, 2, use_bias=False), (2, 9, 9, 6)),
    }
    return kinds[name]


@pytest.mark.parametrize("kind", ["pointwise", "first", "depthwise", "depthwise, stride 2"])
def test_a_convolution_joined_with_its_norm_is_the_two_in_turn(kind: str) -> None:
    conv, shape = convolution(kind)
    norm = layers.BatchNormalization(trainable=False)
    inputs = tf.constant(RNG.normal(size=shape).astype(np.float32))
    norm(conv(inputs))
    gamma, beta, mean = RNG.normal(1, 0.5, (3, 6))
    norm.set_weights([gamma, beta, mean, RNG.uniform(0.2, 3, 6)])
    joined = fused_conv.ConvolutionWithFrozenNorm(conv, norm, "float32", name="joined")
    weight = RNG.normal(size=norm(conv(inputs)).shape).astype(np.float32)
    results = []
    for function in (lambda x: norm(conv(x), training=True), lambda x: joined(x, training=True)):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = function(inputs)
            loss = ops.sum(weight * outputs**2)
        results.append([outputs, *tape.gradient(loss, [conv.kernel.value, inputs])])
    for name, ours, theirs in zip(("outputs", "kernel", "inputs"), results[1], results[0], strict=True):
        np.testing.assert_allclose(array(ours), array(theirs), rtol=1e-4, atol=1e-3, err_msg=name)
    assert [id(v) for v in joined.trainable_variables] == [id(conv.kernel)]


def test_bfloat16_rounds_the_products_of_training_and_of_nothing_else(network: keras.Model) -> None:
    top = model.head(Experiment(head_norm="none", dropout=0.0), FEATURES)
    stored = model.pixels_to(network, backbones.cut(network, 30))(IMAGES, training=False)
    exact, rounded = (
        model.above_cut(network, top, experiment(30).replace(precision=precision))
        for precision in ("float32", "bfloat16")
    )
    assert np.array_equal(array(rounded(stored, training=False)), array(exact(stored, training=False)))
    expected, trained = (array(each(stored, training=True)) for each in (exact, rounded))
    assert trained.dtype == np.float32
    assert not np.array_equal(trained, expected)
    np.testing.assert_allclose(trained, expected, rtol=0, atol=0.02)


# ---------------------------------------------------------------------------- the head


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["head_norm", "head_dense", "head_dropout", "head_softmax"]),
        ({"head_norm": "layer"}, ["head_norm", "head_dense", "head_dropout", "head_softmax"]),
        ({"head_norm": "none"}, ["head_dense", "head_dropout", "head_softmax"]),
        ({"head_norm": "none", "head_units": 0}, ["head_dropout", "head_softmax"]),
    ],
)
def test_the_head_is_as_the_experiment_says(changes: dict[str, Any], expected: list[str]) -> None:
    settings = Experiment(**changes)
    head = model.head(settings, features=16)
    assert [layer.name for layer in head.layers[1:]] == expected
    norm = {"batch": layers.BatchNormalization, "layer": layers.LayerNormalization, "none": layers.Layer}
    assert isinstance(head.layers[1], norm[settings.head_norm])
    outputs = array(head(RNG.normal(size=(5, 16)), training=False))
    np.testing.assert_allclose(outputs.sum(axis=1), np.ones(5), atol=1e-5)
    assert outputs.shape == (5, 10) and (outputs > 0).all()


def test_a_softmax_alone_starts_at_zero_and_a_deeper_head_at_random() -> None:
    alone, deep = (model.head(Experiment(head_units=units), 16) for units in (0, 8))
    assert not array(alone.get_layer("head_softmax").kernel).any()
    assert array(deep.get_layer("head_softmax").kernel).all()


def test_dropout_drops_in_training_only() -> None:
    head = model.head(Experiment(dropout=0.5, head_norm="none"), features=16)
    features = np.ones((1, 16), np.float32)
    calm, again = (array(head(features, training=False)) for _ in range(2))
    assert np.array_equal(calm, again)
    assert not np.array_equal(array(head(features, training=True)), calm)
