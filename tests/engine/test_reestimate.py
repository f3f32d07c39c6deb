"""Re-estimated statistics: equal to NumPy's, for models of every make, and nothing else is changed."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers

from helpers.engine import reestimate
from helpers.engine.reestimate import Reestimation

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(3, 2, (150, 6, 6, 3)).astype(np.float32)
"""Two full batches and a smaller one."""


def mean_and_variance(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Exact, over all but the last axis, in double precision."""
    flat = values.reshape(-1, values.shape[-1]).astype(np.float64)
    return flat.mean(axis=0), flat.var(axis=0)


def assert_holds(norm: layers.BatchNormalization, values: np.ndarray) -> None:
    for found, exact in zip(reestimate.moving(norm), mean_and_variance(values), strict=True):
        np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-5)


def stacked() -> keras.Model:
    """Two norms, of which the upper one sees what the lower one makes; dropout would disturb it."""
    norm = layers.BatchNormalization
    mix = layers.Conv2D(4, 1, kernel_initializer=keras.initializers.GlorotUniform(0), name="mix")
    parts = [norm(name="low"), layers.Dropout(0.5), mix, norm(name="high")]
    return keras.Sequential([keras.Input((6, 6, 3)), *parts, layers.GlobalAveragePooling2D()])


class InInference(layers.Layer):
    """A part that is called in inference mode, whatever the model is called in."""

    def __init__(self, part: keras.Model) -> None:
        super().__init__()
        self.part = part

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        return self.part(inputs, training=False)


def with_a_frozen_part(how: str) -> keras.Model:
    """A nested model that training leaves alone, below a norm that it does not."""
    below = keras.Sequential([keras.Input((6, 6, 3)), layers.BatchNormalization(name="below")])
    below.trainable = how != "not trainable"
    inputs = keras.Input((6, 6, 3))
    x = below(inputs) if how == "not trainable" else InInference(below)(inputs)
    return keras.Model(inputs, layers.BatchNormalization(name="above")(x))


def shared() -> keras.Model:
    """One norm that is met twice."""
    norm, inputs = layers.BatchNormalization(name="twice"), keras.Input((6, 6, 3))
    return keras.Model(inputs, [norm(inputs), norm(2 * inputs)])


class Subclassed(keras.Model):
    """A model whose layers are in no graph."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = layers.BatchNormalization()

    def call(self, inputs: keras.KerasTensor, training: bool | None = None) -> keras.KerasTensor:
        return self.norm(inputs, training=training)


def find(model: keras.Model, name: str) -> layers.BatchNormalization:
    return next(layer for layer in model._flatten_layers() if layer.name == name)


def test_a_norm_gets_the_exact_statistics_of_what_it_sees() -> None:
    model = stacked()
    kernel, bias = find(model, "mix").get_weights()
    met = reestimate.reestimate(model, IMAGES)
    assert [norm.name for norm in met] == ["low", "high"]
    assert_holds(find(model, "low"), IMAGES)
    batches = [IMAGES[low : low + reestimate.BATCH] for low in range(0, len(IMAGES), reestimate.BATCH)]
    normed = []
    for mean, variance, batch in ((*mean_and_variance(each), each) for each in batches):
        normed.append((batch - mean) / np.sqrt(variance + 1e-3))
    assert_holds(find(model, "high"), np.concatenate(normed) @ kernel[0, 0] + bias)


def test_the_model_then_answers_as_if_each_norm_saw_all_images_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reestimate, "BATCH", len(IMAGES))
    model = stacked()
    reestimate.reestimate(model, IMAGES)
    upper = keras.Model(model.inputs[0], find(model, "high").output)
    mean, variance = mean_and_variance(np.array(upper(IMAGES)))
    np.testing.assert_allclose(mean, 0, atol=1e-4)
    np.testing.assert_allclose(variance, 1, atol=0.1)  # each norm adds its epsilon


@pytest.mark.parametrize("how", ["not trainable", "in inference mode"])
def test_what_training_leaves_alone_is_left_alone_unless_asked(how: str) -> None:
    model = with_a_frozen_part(how)
    trainable = [layer.trainable for layer in model._flatten_layers()]
    before = reestimate.moving(find(model, "below"))
    assert [norm.name for norm in reestimate.reestimate(model, IMAGES)] == ["above"]
    for now, then in zip(reestimate.moving(find(model, "below")), before, strict=True):
        np.testing.assert_array_equal(now, then)
    assert_holds(find(model, "above"), IMAGES / np.sqrt(1.001))
    assert [norm.name for norm in reestimate.reestimate(model, IMAGES, frozen=True)] == ["below", "above"]
    assert_holds(find(model, "below"), IMAGES)
    assert [layer.trainable for layer in model._flatten_layers()] == trainable


def test_statistics_that_are_no_numbers_are_renewed() -> None:
    """As a step leaves them that a loss scale skipped: the weights are sound."""
    model = with_a_frozen_part("not trainable")
    norm = find(model, "above")
    norm.moving_mean.assign(np.full(norm.moving_mean.shape, np.nan))
    norm.moving_variance.assign(np.full(norm.moving_variance.shape, np.inf))
    reestimate.reestimate(model, IMAGES)
    assert_holds(norm, IMAGES / np.sqrt(1.001))


def test_a_scale_that_is_frozen_by_itself_stays_frozen() -> None:
    model = with_a_frozen_part("not trainable")
    above, below = find(model, "above"), find(model, "below")
    above.gamma.trainable = False
    reestimate.reestimate(model, IMAGES, frozen=True)
    assert (above.gamma.trainable, above.beta.trainable, above.trainable) == (False, True, True)
    assert (below.gamma.trainable, below.trainable) == (False, False)


def test_a_norm_that_is_met_twice_gets_the_statistics_of_both() -> None:
    model = shared()
    reestimate.reestimate(model, IMAGES)
    assert_holds(find(model, "twice"), np.concatenate([IMAGES, 2 * IMAGES]))


def test_a_model_without_a_graph() -> None:
    model = Subclassed()
    model(IMAGES)
    reestimate.reestimate(model, IMAGES)
    assert_holds(model.norm, IMAGES)


@pytest.mark.parametrize("build", [stacked, shared])
def test_estimating_alone_changes_nothing(build: Callable[[], keras.Model]) -> None:
    model = build()
    before = [np.array(value) for value in model.variables]
    reestimate.estimated(model, IMAGES)
    for one, other in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    assert {norm.momentum for norm in reestimate.norms(model, IMAGES)} == {0.99}


# ---------------------------------------------------------------------------- the callback


class Noted(keras.callbacks.Callback):
    """Notes the moving mean of the lower norm whenever an epoch ends, as a checkpoint would."""

    def __init__(self) -> None:
        super().__init__()
        self.means: list[np.ndarray] = []

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        self.means.append(reestimate.moving(find(self.model, "low"))[0])


@pytest.mark.parametrize("validated", [True, False])
def test_the_callback_renews_before_validation_and_before_a_checkpoint(validated: bool) -> None:
    model, noted = stacked(), Noted()
    model.compile("sgd", "mse")
    targets = np.zeros((len(IMAGES), 4), np.float32)
    extra = {"validation_data": (IMAGES, targets)} if validated else {}
    callbacks = [Reestimation(IMAGES), noted]
    history = model.fit(IMAGES, targets, epochs=2, callbacks=callbacks, verbose=0, **extra)
    for mean in noted.means:
        np.testing.assert_allclose(mean, mean_and_variance(IMAGES)[0], rtol=1e-4)
    if validated:
        now = model.evaluate(IMAGES, targets, verbose=0)
        assert history.history["val_loss"][-1] == pytest.approx(now, rel=1e-5)


def test_training_is_the_same_with_and_without_the_callback() -> None:
    targets = np.zeros((len(IMAGES), 4), np.float32)
    found = []
    for callbacks in ([], [Reestimation(IMAGES)]):
        keras.utils.set_random_seed(0)
        model = stacked()
        model.compile("sgd", "mse")
        model.fit(IMAGES, targets, epochs=2, callbacks=callbacks, verbose=0)
        found.append([np.array(value) for value in model.trainable_variables])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
