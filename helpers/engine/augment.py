"""Views of images: the original study's augmentation, and mixup.

A view is one version of every training image and a pure function of (kind, view number, image): its
parameters are drawn with NumPy, so that it is the same whatever the backend, the batch and the order,
and can be stored once, or be made again at any image after a crash.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from keras import ops

VIEW_SEED = 20251019
"""Views belong to the data: every experiment, whatever its seed, sees the same ones."""
ROTATION_DEGREES = 20.0
SHIFT = 0.1
ZOOM = 0.15
"""The study's ranges: degrees either way, share of the side, and scale about 1, on the stored image."""
CROP = 1 / 8
"""Share of the side that the usual random crop shifts by at most, 4 of 32 px (He et al. 2016, sec. 4.2)."""


@dataclass(frozen=True)
class View:
    """What is done to each of n images: an affine map, and (mixup) a partner and its share.

    `matrices`: float32 (n, 8), rows of a projective map from output to input pixels (x, y);
    `partners`: int64 (n,) or None; `share`: float32 (n,), the weight of the image itself, 0.5 to 1.
    """

    matrices: np.ndarray
    partners: np.ndarray | None = None
    share: np.ndarray | None = None

    def images(self, originals: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The view of some images: float32 (len(rows), side, side, 3) in [0, 255].

        `originals` are all n images, uint8 (n, side, side, 3); `rows` int (m,) picks among them.
        """
        own = warp(originals[rows], self.matrices[rows])
        if self.partners is None or self.share is None:
            return own
        partners = self.partners[rows]
        weight = self.share[rows, None, None, None]
        return weight * own + (1 - weight) * warp(originals[partners], self.matrices[partners])

    def targets(self, one_hot: np.ndarray) -> np.ndarray:
        """The labels of all n images, float32 (n, classes): mixed where the images are."""
        if self.partners is None or self.share is None:
            return one_hot
        weight = self.share[:, None]
        return weight * one_hot + (1 - weight) * one_hot[self.partners]


def draw(kind: str, number: int, n: int, side: int, mixup_alpha: float = 0.2) -> View:
    """View `number` of n images of `side` pixels.

    kind: 'none'; 'flip' (view 0 plain, view 1 mirrored); 'crop' (like it, then each image shifted by whole
    pixels, up to CROP of the side either way, and mirrored or not); 'standard'; 'standard+mixup'.
    """
    if kind == "none":
        return View(_rows(_identity(n)))
    if kind == "flip" or (kind == "crop" and number < 2):
        return View(_rows(_mirror(np.full(n, number % 2 == 1), side)))
    rng = np.random.default_rng([VIEW_SEED, number])
    if kind == "crop":
        draws, shift, most = rng.uniform(0, 1, (n, 3)), _identity(n), round(CROP * side)
        shift[:, :2, 2] = np.floor(draws[:, :2] * (2 * most + 1)) - most
        return View(_rows(shift @ _mirror(draws[:, 2] < 0.5, side)))
    matrices = _rows(_standard(rng, n, side))
    if kind == "standard":
        return View(matrices)
    partners = rng.permutation(n)
    # Zhang et al. 2018, with the study's max(lambda, 1 - lambda): an image stays nearer to itself. The study
    # drew one lambda a batch; here each image has its own, as views are shuffled into new batches.
    share = rng.beta(mixup_alpha, mixup_alpha, n)
    return View(matrices, partners, np.maximum(share, 1 - share).astype(np.float32))


def warp(images: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Resample images (m, side, side, 3) bilinearly, once, repeating the border outside: float32."""
    if np.array_equal(matrices, _rows(_identity(len(matrices)))):
        return images.astype(np.float32)
    moved = ops.image.affine_transform(
        images.astype(np.float32), matrices, interpolation="bilinear", fill_mode="nearest"
    )
    return ops.convert_to_numpy(moved)


def _standard(rng: np.random.Generator, n: int, side: int) -> np.ndarray:
    """Rotation, shift and zoom about the centre, then a mirror for every second image: (n, 3, 3).

    Composed as Keras' ImageDataGenerator composes them (rotation, shift, zoom), which resamples once;
    stacking RandomRotation, RandomTranslation and RandomZoom would blur a small image three times.
    """
    draws = rng.uniform(-1, 1, (n, 6))
    angle = np.deg2rad(ROTATION_DEGREES * draws[:, 0])
    rotation, shift, zoom = _identity(n), _identity(n), _identity(n)
    rotation[:, 0, 0] = rotation[:, 1, 1] = np.cos(angle)
    rotation[:, 0, 1], rotation[:, 1, 0] = -np.sin(angle), np.sin(angle)
    shift[:, :2, 2] = SHIFT * side * draws[:, 1:3]
    zoom[:, 0, 0], zoom[:, 1, 1] = 1 + ZOOM * draws[:, 3], 1 + ZOOM * draws[:, 4]
    to_centre, back = _identity(n), _identity(n)
    to_centre[:, :2, 2], back[:, :2, 2] = -(side - 1) / 2, (side - 1) / 2
    return back @ rotation @ shift @ zoom @ to_centre @ _mirror(draws[:, 5] < 0, side)


def _identity(n: int) -> np.ndarray:
    return np.tile(np.eye(3), (n, 1, 1))


def _mirror(which: np.ndarray, side: int) -> np.ndarray:
    """Left-right mirror for the images where `which` is true, identity elsewhere: (n, 3, 3)."""
    matrices = _identity(len(which))
    matrices[which, 0, 0], matrices[which, 0, 2] = -1, side - 1
    return matrices


def _rows(matrices: np.ndarray) -> np.ndarray:
    """(n, 3, 3) affine maps as the eight numbers a row that keras.ops.image.affine_transform takes."""
    return matrices.reshape(-1, 9)[:, :8].astype(np.float32)
