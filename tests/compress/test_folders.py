from __future__ import annotations

import gzip
import pickle
from pathlib import Path

import numpy as np
import pytest

from admmfpga.compress import data, folders
from admmfpga.errors import UserError


def write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    content = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture
def idx_folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for part, count, suffix in (("train", 6, ".gz"), ("t10k", 3, "")):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte{suffix}", rng.integers(0, 255, (count, 5, 4)))
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte{suffix}", rng.integers(0, 9, count))
    return tmp_path


def test_idx_files_plain_and_compressed(idx_folder: Path) -> None:
    loaded = data.load(str(idx_folder))
    assert tuple(loaded.train_images.shape) == (6, 1, 5, 4)
    assert tuple(loaded.test_images.shape) == (3, 1, 5, 4)


def test_damaged_idx_files(idx_folder: Path) -> None:
    path = idx_folder / "t10k-images-idx3-ubyte"
    good = path.read_bytes()
    path.write_bytes(good[:-1])
    with pytest.raises(UserError, match="cut"):
        folders.read(idx_folder)
    path.write_bytes(b"nonsense")
    with pytest.raises(UserError, match="not an idx file"):
        folders.read(idx_folder)
    path.unlink()
    with pytest.raises(UserError, match="lacks t10k-images"):
        folders.read(idx_folder)
    (idx_folder / "train-images-idx3-ubyte.gz").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="cannot read"):
        folders.read(idx_folder)


def test_cifar_batches(tmp_path: Path) -> None:
    for index, name in enumerate((*folders.CIFAR_TRAIN, folders.CIFAR_TEST)):
        batch = {"data": np.full((2, 3072), index, np.uint8), "labels": [index, 9]}
        (tmp_path / name).write_bytes(pickle.dumps(batch))
    arrays = folders.read(tmp_path)
    assert arrays.train_images.shape == (10, 3, 32, 32)
    assert arrays.train_labels.tolist() == [0, 9, 1, 9, 2, 9, 3, 9, 4, 9]
    assert arrays.test_images[0, 0, 0, 0] == 5
    assert tuple(data.load(str(tmp_path)).train_images.shape) == (10, 3, 32, 32)
    (tmp_path / "data_batch_2").write_bytes(pickle.dumps({"data": Path("x")}))
    with pytest.raises(UserError):
        folders.read(tmp_path)
    (tmp_path / "data_batch_2").write_bytes(pickle.dumps({"pixels": [1]}))
    with pytest.raises(UserError, match="not a CIFAR-10 batch"):
        folders.read(tmp_path)


def test_class_folders(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for part, count in (("train", 3), ("test", 1)):
        for name, value in (("cat", 10), ("dog", 200)):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                image.fromarray(np.full((6, 5, 3), value, np.uint8)).save(folder / f"{index}.png")
    arrays = folders.read(tmp_path)
    assert arrays.train_images.shape == (6, 6, 5, 3)
    assert arrays.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert arrays.test_images[1, 0, 0, 0] == 200
    image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "test" / "dog" / "odd.png")
    with pytest.raises(UserError, match="sizes"):
        folders.read(tmp_path)


def test_a_folder_without_data(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no data set"):
        data.load(str(tmp_path))
