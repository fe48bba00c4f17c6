"""A stand-in for CIFAR-10: 32 x 32 x 3 images of ten classes, made from packages that can be installed.

The recipe of MNIST-M (Ganin et al., "Unsupervised Domain Adaptation by Backpropagation", 2015): the absolute
difference of a random 32 x 32 patch of a colour photo and a padded image, here of Fashion-MNIST. Photos are those that
scikit-image and scikit-learn ship; patches of training images come from the left 70 % of each photo, those of test
images from the right 30 %. It is not CIFAR-10, and figures on it are not figures on CIFAR-10.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from admmfpga.compress import folders
from admmfpga.errors import UserError

PHOTOS = {
    "skimage": (
        "data/astronaut.png",
        "data/chelsea.png",
        "data/coffee.png",
        "data/hubble_deep_field.jpg",
        "data/ihc.png",
        "data/motorcycle_left.png",
        "data/retina.jpg",
        "data/rocket.jpg",
    ),
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
}
SIZE = 32
TRAIN_SHARE = 0.7


def dataset(train: int, test: int, seed: int = 0) -> folders.Arrays:
    """The first `train` and `test` images of Fashion-MNIST on photos; the same for the same arguments.

    Raises:
        UserError: Fashion-MNIST, scikit-image or scikit-learn is not installed.
    """
    fashion = folders.fashion_mnist()
    train, test = min(train, len(fashion.train_images)), min(test, len(fashion.test_images))
    photos = _photos()
    cuts = [round(photo.shape[1] * TRAIN_SHARE) for photo in photos]
    generator = np.random.default_rng(seed)
    left = [photo[:, :cut] for photo, cut in zip(photos, cuts, strict=True)]
    right = [photo[:, cut:] for photo, cut in zip(photos, cuts, strict=True)]
    return folders.Arrays(
        blended(fashion.train_images[:train], left, generator),
        fashion.train_labels[:train].astype(np.int64),
        blended(fashion.test_images[:test], right, generator),
        fashion.test_labels[:test].astype(np.int64),
    )


def blended(images: np.ndarray, photos: list[np.ndarray], generator: np.random.Generator) -> np.ndarray:
    """|patch - padded image| for (N, h, w) images of up to 32 x 32 and (H, W, 3) photos: (N, 32, 32, 3) uint8."""
    rows, columns = SIZE - images.shape[1], SIZE - images.shape[2]
    padding = ((0, 0), (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2))
    padded = np.pad(images, padding).astype(np.int16)
    made = np.empty((len(images), SIZE, SIZE, 3), np.uint8)
    for index, image in enumerate(padded):
        photo = photos[int(generator.integers(len(photos)))]
        top = int(generator.integers(photo.shape[0] - SIZE + 1))
        side = int(generator.integers(photo.shape[1] - SIZE + 1))
        patch = photo[top : top + SIZE, side : side + SIZE].astype(np.int16)
        made[index] = np.abs(patch - image[:, :, None])
    return made


def _photos() -> list[np.ndarray]:
    from PIL import Image

    found = []
    for package, names in PHOTOS.items():
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise UserError(f"{package} is not installed", hint="pip install 'admmfpga[bench]'")
        for name in names:
            with Image.open(Path(spec.origin).parent / name) as image:
                found.append(np.asarray(image.convert("RGB")))
    return found
