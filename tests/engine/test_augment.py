"""Views: exact where they can be, the study's augmentation otherwise, and the same however they are drawn."""

import numpy as np
import pytest
from scipy import ndimage

from helpers.engine import augment

SIDE = 32
CENTRE = (SIDE - 1) / 2
N = 64
KINDS = ["none", "flip", "crop", "standard", "standard+mixup"]
ROWS = np.arange(N)
IMAGES = np.random.default_rng(0).integers(0, 256, (N, SIDE, SIDE, 3), dtype=np.uint8)
IMAGES = ndimage.gaussian_filter(IMAGES, (0, 1, 1, 0))  # noise, a little smooth, as photographs are


def matrices(view: augment.View) -> np.ndarray:
    """A view's maps, float64 (n, 3, 3), from output to input pixels (x, y, 1)."""
    n = len(view.matrices)
    return np.concatenate([view.matrices, np.ones((n, 1))], axis=1).reshape(n, 3, 3).astype(float)


def settings(view: augment.View) -> dict[str, np.ndarray]:
    """What each map is made of, read back from it: (n,) or, for x and y, (n, 2).

    A map is centre @ rotation @ shift @ zoom @ uncentre @ mirror, so its columns are the rotation's times
    the zooms, and its determinant is negative where it mirrors.
    """
    linear = matrices(view)
    mirrored = np.linalg.det(linear) < 0
    linear[mirrored] = linear[mirrored] @ [[-1, 0, SIDE - 1], [0, 1, 0], [0, 0, 1]]
    angle = np.arctan2(linear[:, 1, 0], linear[:, 0, 0])
    moved = (linear @ [CENTRE, CENTRE, 1])[:, :2] - CENTRE  # where the centre goes: rotation @ shift
    cos, sin = np.cos(angle), np.sin(angle)
    shift = np.stack([cos * moved[:, 0] + sin * moved[:, 1], cos * moved[:, 1] - sin * moved[:, 0]], axis=1)
    zoom = np.linalg.norm(linear[:, :2, :2], axis=1)
    return {"mirrored": mirrored, "degrees": np.rad2deg(angle), "shift": shift / SIDE, "zoom": zoom}


def as_keras_did(image: np.ndarray, degrees: float, shift: np.ndarray, zoom: np.ndarray) -> np.ndarray:
    """One image (side, side, 3) as the legacy ImageDataGenerator warps it, in its (row, column) order.

    Keras 2's apply_affine_transform: rotation @ shift @ zoom about the centre, through SciPy, a
    channel at a time. Its angle turns the other way, as rows run down and columns across.
    """
    angle = -np.deg2rad(degrees)
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    shifted = np.array([[1, 0, SIDE * shift[1]], [0, 1, SIDE * shift[0]], [0, 0, 1]])
    zoomed = np.diag([zoom[1], zoom[0], 1])
    centre, back = np.eye(3), np.eye(3)
    centre[:2, 2], back[:2, 2] = CENTRE, -CENTRE
    full = centre @ rotation @ shifted @ zoomed @ back
    channels = [
        ndimage.affine_transform(channel, full[:2, :2], full[:2, 2], order=1, mode="nearest")
        for channel in np.moveaxis(image.astype(float), -1, 0)
    ]
    return np.stack(channels, axis=-1)


# ---------------------------------------------------------------------------- what a view does


def test_no_augmentation_is_the_image_itself() -> None:
    seen = augment.draw("none", 3, N, side=SIDE).images(IMAGES, ROWS)
    assert seen.dtype == np.float32
    np.testing.assert_array_equal(seen, IMAGES)


def test_a_flip_is_exact() -> None:
    mirrored = IMAGES[:, :, ::-1]
    np.testing.assert_array_equal(augment.draw("flip", 1, N, SIDE).images(IMAGES, ROWS), mirrored)
    np.testing.assert_array_equal(augment.draw("flip", 0, N, side=SIDE).images(IMAGES, ROWS), IMAGES)
    np.testing.assert_array_equal(augment.draw("flip", 1, N, side=SIDE).images(IMAGES, ROWS), mirrored)


def test_a_crop_is_plain_then_mirrored_then_shifted_by_whole_pixels() -> None:
    for number in (0, 1):
        flip = augment.draw("flip", number, N, side=SIDE).images(IMAGES, ROWS)
        np.testing.assert_array_equal(augment.draw("crop", number, N, side=SIDE).images(IMAGES, ROWS), flip)
    view = augment.draw("crop", 2, N, side=SIDE)
    maps = matrices(view)
    mirrored = maps[:, 0, 0] < 0
    shift = maps[:, :2, 2] - np.outer(mirrored, [SIDE - 1, 0])
    assert 0.3 < mirrored.mean() < 0.7
    assert set(np.unique(shift)) == set(range(-4, 5))
    row, (x, y) = np.flatnonzero(~mirrored)[0], shift[np.flatnonzero(~mirrored)[0]].astype(int)
    padded = np.pad(IMAGES[row], ((4, 4), (4, 4), (0, 0)), mode="edge")
    moved = padded[4 + y : 4 + y + SIDE, 4 + x : 4 + x + SIDE]
    np.testing.assert_array_equal(view.images(IMAGES, ROWS)[row], moved)


def test_the_map_without_a_motion_is_the_image_itself_through_the_warp_too() -> None:
    """`warp` skips the identity; mixed with one other map it cannot, and has to agree."""
    still = np.array([[1, 0, 0, 0, 1, 0, 0, 0], [-1, 0, SIDE - 1, 0, 1, 0, 0, 0]], np.float32)
    seen = augment.warp(IMAGES[:2], still)
    np.testing.assert_array_equal(seen[0], IMAGES[0])
    np.testing.assert_array_equal(seen[1], IMAGES[1, :, ::-1])


def test_the_standard_views_are_the_seeds() -> None:
    view = augment.draw("standard", 0, N, side=SIDE)
    found = settings(view)
    seen = view.images(IMAGES, ROWS)
    for i in range(N):
        expected = as_keras_did(IMAGES[i], found["degrees"][i], found["shift"][i], found["zoom"][i])
        expected = expected[:, ::-1] if found["mirrored"][i] else expected  # Keras mirrors last
        np.testing.assert_allclose(seen[i], expected, atol=0.05)


def test_the_standard_views_keep_to_the_seeds_ranges_and_fill_them() -> None:
    found = settings(augment.draw("standard", 1, 4000, side=SIDE))
    for name, low, high in [("degrees", -20, 20), ("shift", -0.1, 0.1), ("zoom", 0.85, 1.15)]:
        width, values = high - low, found[name].reshape(4000, -1)
        assert (values > low - 1e-4 * width).all() and (values < high + 1e-4 * width).all(), name
        for column in values.T:
            deciles = np.histogram(column, bins=10, range=(low - 1e-4 * width, high + 1e-4 * width))[0]
            assert (np.abs(deciles - 400) < 100).all(), f"{name} is uniform"
    assert abs(found["mirrored"].mean() - 0.5) < 0.04
    across = np.corrcoef([found["degrees"], *found["shift"].T, *found["zoom"].T, found["mirrored"]])
    assert np.abs(across - np.eye(6)).max() < 0.08, "each is drawn for itself"


def test_a_view_stays_within_the_range_of_pixels() -> None:
    seen = augment.draw("standard+mixup", 0, N, side=SIDE).images(IMAGES, ROWS)
    assert seen.shape == IMAGES.shape and seen.dtype == np.float32
    assert IMAGES.min() - 1e-3 <= seen.min() and seen.max() <= IMAGES.max() + 1e-3


# ---------------------------------------------------------------------------- a pure function


@pytest.mark.parametrize("kind", KINDS)
def test_a_view_is_the_same_whenever_it_is_drawn(kind: str) -> None:
    np.random.seed(1)  # noqa: NPY002 (the global state must not matter)
    first = augment.draw(kind, 2, N, side=SIDE)
    np.random.seed(2)  # noqa: NPY002
    again = augment.draw(kind, 2, N, side=SIDE)
    np.testing.assert_array_equal(first.images(IMAGES, ROWS), again.images(IMAGES, ROWS))


@pytest.mark.parametrize("kind", KINDS)
def test_an_images_map_does_not_depend_on_how_many_are_drawn(kind: str) -> None:
    few, many = augment.draw(kind, 1, 10, side=SIDE), augment.draw(kind, 1, 20, side=SIDE)
    np.testing.assert_array_equal(few.matrices, many.matrices[:10])
    if "mixup" not in kind:  # whose partners are drawn from all
        np.testing.assert_array_equal(
            few.images(IMAGES[:10], np.arange(10)), many.images(IMAGES[:20], np.arange(10))
        )


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_does_not_depend_on_the_batch_it_is_in(kind: str) -> None:
    view = augment.draw(kind, 1, N, side=SIDE)
    picked = np.array([40, 3, 3, 17])
    np.testing.assert_allclose(
        view.images(IMAGES, picked), view.images(IMAGES, ROWS)[picked], rtol=0, atol=1e-4
    )


def test_views_differ_by_number() -> None:
    views = [augment.draw("standard", number, N, side=SIDE).matrices for number in range(4)]
    assert all((views[a] != views[b]).any(axis=1).all() for a in range(4) for b in range(a))


# ---------------------------------------------------------------------------- mixup


def test_mixup_mixes_images_and_targets_alike() -> None:
    view, plain = augment.draw("standard+mixup", 0, N, side=SIDE), augment.draw("standard", 0, N, side=SIDE)
    assert view.partners is not None and view.share is not None
    np.testing.assert_array_equal(view.matrices, plain.matrices)
    moved, labels = plain.images(IMAGES, ROWS), np.eye(10, dtype=np.float32)[ROWS % 10]
    targets, seen = view.targets(labels), view.images(IMAGES, ROWS)
    for i, (partner, share) in enumerate(zip(view.partners, view.share, strict=True)):
        expected = share * moved[i] + (1 - share) * moved[partner]
        np.testing.assert_allclose(seen[i], expected, atol=1e-3)
        np.testing.assert_allclose(targets[i], share * labels[i] + (1 - share) * labels[partner], atol=1e-6)
    assert targets.dtype == np.float32
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    assert len(np.unique(view.partners)) == N


def test_only_mixup_mixes_targets() -> None:
    labels = np.eye(10, dtype=np.float32)[ROWS % 10]
    for kind in ("none", "flip", "standard"):
        np.testing.assert_array_equal(augment.draw(kind, 0, N, side=SIDE).targets(labels), labels)


@pytest.mark.parametrize("alpha", [1e-3, 0.2, 1.0, 10.0])
def test_an_image_has_the_larger_share_of_its_mixture(alpha: float) -> None:
    share = augment.draw("standard+mixup", 0, 5000, mixup_alpha=alpha, side=SIDE).share
    assert share is not None and share.dtype == np.float32
    assert (share >= 0.5).all() and (share <= 1).all()
    # max(b, 1 - b) of b from Beta(alpha, alpha) has the mean 1/2 + E|b - 1/2|, by simulation elsewhere.
    drawn = np.random.default_rng(5).beta(alpha, alpha, 200_000)
    assert share.mean() == pytest.approx(0.5 + np.abs(drawn - 0.5).mean(), abs=0.01)
