from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from admmfpga.compress import data
from admmfpga.errors import UserError


def arrays(shape: tuple[int, ...], dtype: type = np.uint8) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "train_images": rng.integers(0, 255, (10, *shape)).astype(dtype),
        "train_labels": rng.integers(0, 3, 10),
        "test_images": rng.integers(0, 255, (4, *shape)).astype(dtype),
        "test_labels": rng.integers(0, 3, 4),
    }


@pytest.mark.parametrize("shape, expected", [((8, 6), (1, 8, 6)), ((8, 6, 3), (3, 8, 6)), ((3, 8, 6), (3, 8, 6))])
def test_images_become_channels_first_in_0_to_1(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    loaded = data.from_dataset(SimpleNamespace(**arrays(shape)))
    assert tuple(loaded.train_images.shape) == (10, *expected)
    assert loaded.train_images.max() <= 1
    assert loaded.input_scale == pytest.approx(1 / 255)
    assert loaded.train_labels.dtype == torch.int64


def test_floats_stay_as_they_are() -> None:
    loaded = data.from_dataset(SimpleNamespace(**arrays((8, 8), np.float32)))
    assert loaded.train_images.max() > 1
    assert loaded.input_scale == 0


def test_npz_under_either_naming(tmp_path: Path) -> None:
    source = arrays((8, 8))
    np.savez(tmp_path / "a.npz", **source)
    np.savez(
        tmp_path / "b.npz",
        x_train=source["train_images"],
        y_train=source["train_labels"],
        x_test=source["test_images"],
        y_test=source["test_labels"],
    )
    one, other = data.load(str(tmp_path / "a.npz")), data.load(str(tmp_path / "b.npz"))
    assert torch.equal(one.train_images, other.train_images)


def test_mistakes_are_explained(tmp_path: Path) -> None:
    source = arrays((8, 8))
    np.savez(tmp_path / "a.npz", train_images=source["train_images"])
    with pytest.raises(UserError, match="train_labels"):
        data.load(str(tmp_path / "a.npz"))
    with pytest.raises(UserError, match="cannot read"):
        data.load(str(tmp_path / "none.npz"))
    (tmp_path / "bad.npz").write_bytes(b"PK not really")
    with pytest.raises(UserError, match="cannot read"):
        data.load(str(tmp_path / "bad.npz"))
    with pytest.raises(UserError, match="cannot import"):
        data.load("no_such_module_here:data")
    with pytest.raises(UserError, match="has no"):
        data.load("json:no_such_thing")
    with pytest.raises(UserError, match="10 train images with 9 labels"):
        data.from_dataset(SimpleNamespace(**{**source, "train_labels": source["train_labels"][:9]}))
    with pytest.raises(UserError, match="one whole number"):
        data.from_dataset(SimpleNamespace(**{**source, "train_labels": source["train_labels"].astype(float)}))


def test_batches_cover_an_epoch_and_processes_share_each_batch() -> None:
    images = torch.arange(20.0).reshape(20, 1, 1, 1).expand(20, 1, 4, 4).contiguous()
    labels = torch.arange(20)

    def epoch(rank: int, world: int) -> list[list[int]]:
        generator = torch.Generator().manual_seed(3)
        stream = data.batches(images, labels, 4, generator, shift=1, flip=True, rank=rank, world=world)
        return [chosen.tolist() for _, _, chosen in stream]

    alone = epoch(0, 1)
    assert sorted(index for batch in alone for index in batch) == list(range(20))
    halves = [first + second for first, second in zip(epoch(0, 2), epoch(1, 2), strict=True)]
    assert halves == alone


def test_a_shifted_image_is_its_neighbourhood() -> None:
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    moved = data._shifted(image, torch.tensor([[1], [-1]]), 1)
    assert torch.equal(moved[0, 0, :3, 1:], image[0, 0, 1:, :3])
    assert torch.equal(moved[0, 0, 3], torch.zeros(4))
    assert torch.equal(moved[0, 0, :, 0], torch.zeros(4))
