"""The host's side of an accelerator, whatever it runs on: what simulated devices and the PYNQ driver share.

numpy and the standard library only: a build's driver has a copy of this text, behind that of packing/layout.py.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from admmfpga.packing.layout import ContainerError, parse

VECTORS_SECTION = "vectors.output"


class AcceleratorError(RuntimeError):
    """The accelerator is not what is expected, does not answer, or does not take what it is given."""


@dataclass(frozen=True)
class Port:
    """Input or output: codes on a stream, real = scale * (code - zero point).

    Attributes:
        shape: of a frame's codes, channels innermost.
        container: numpy's word for the integer that a code travels in.
        packed_bits: of a byte that a code takes; 8: whole bytes.
        bipolar: codes 0 and 1 mean -scale and +scale.
        low, high: codes.
        scale: one, or one a channel.
        zero_point: a code.
    """

    shape: tuple[int, ...]
    container: str
    low: int
    high: int
    scale: Any
    zero_point: int
    packed_bits: int = 8
    bipolar: bool = False

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.container)

    @property
    def frame_bytes(self) -> int:
        return int(np.prod(self.shape)) * self.dtype.itemsize * self.packed_bits // 8

    def to_bytes(self, codes: Any) -> Any:
        """(N, *shape) codes to (N, frame_bytes) bytes as they travel."""
        count = len(codes)
        if self.packed_bits == 8:
            return np.ascontiguousarray(codes, self.dtype).view(np.uint8).reshape(count, self.frame_bytes)
        flat = np.asarray(codes).astype(np.uint8).reshape(count, -1, 1)
        bits = ((flat >> np.arange(self.packed_bits)) & 1).astype(np.uint8).reshape(count, -1)
        return np.packbits(bits, axis=1, bitorder="little") if bits.size else np.zeros((0, self.frame_bytes), np.uint8)

    def from_bytes(self, data: Any) -> Any:
        """The inverse of `to_bytes`: (N, *shape) codes."""
        count = len(data)
        if self.packed_bits == 8:
            return np.ascontiguousarray(data).view(self.dtype).reshape(count, *self.shape)
        bits = np.unpackbits(data, axis=1, bitorder="little").reshape(count, -1, self.packed_bits)
        codes = (bits.astype(np.int64) << np.arange(self.packed_bits)).sum(axis=2)
        if self.low < 0:
            codes = np.where(codes > self.high, codes - (1 << self.packed_bits), codes)
        return codes.reshape(count, *self.shape)

    @property
    def model_shape(self) -> tuple[int, ...]:
        """The model's order: channels first."""
        return (self.shape[-1], *self.shape[:-1])


@dataclass(frozen=True)
class HostStep:
    """An operator that the host computes; the fields are those of `network.HostOp`."""

    op: str
    axis: int = -1
    shape: tuple[int, ...] = ()
    keep: bool = False
    last: bool = False


@dataclass(frozen=True)
class Description:
    """What the host has to know of a build.

    Attributes:
        model_sha256, structure_sha256: 64 hexadecimal digits.
        reloadable: weights can be loaded.
        source, result: input and output.
        host_ops: what the model does behind the accelerator.
        registers: byte offsets by name.
        masks: bits by "register.field".
        identity: what the ID register reads.
        vectors: folder with the test vectors.
    """

    model_sha256: str
    structure_sha256: str
    reloadable: bool
    source: Port
    result: Port
    host_ops: tuple[HostStep, ...]
    registers: dict[str, int]
    masks: dict[str, int]
    identity: int
    vectors: Path
    counters: tuple[str, ...] = field(default=())


class Host:
    """Images in, results out; weights, counters, self-test. Subclasses move the bytes.

    Attributes:
        description: of the build.
        source, result: what codes mean; new weights bring their own.
        weights: SHA-256 of the model whose weights are loaded, its first digits if that is all that is known; "" if
            they are incomplete.
        timeout_s: longest time without progress.
    """

    def __init__(self, description: Description, *, timeout_s: float) -> None:
        self.description = description
        self.timeout_s = timeout_s
        self.source, self.result = description.source, description.result
        self.weights = description.model_sha256
        self.closed = ""  # why
        self._expected: Any = None  # results of the test vectors, where other weights are loaded

    # --- what a device does ------------------------------------------------------------------------------------------

    def _read(self, register: str) -> int:
        """A register."""
        raise NotImplementedError

    def _write(self, register: str, value: int) -> None:
        """Write a register."""
        raise NotImplementedError

    def _write_words(self, register: str, words: Any) -> None:
        """Write many words to one register, in order."""
        for word in words.tolist():
            self._write(register, word)

    def _stream(self, frames: Any, results: Any) -> None:
        """Send (N, bytes) frames and fill (N, bytes) results."""
        raise NotImplementedError

    def _close(self) -> None:
        """Give back what the device holds."""
        raise NotImplementedError

    # --- running -----------------------------------------------------------------------------------------------------

    def run(self, images: Any) -> Any:
        """The model's results for a batch of images.

        Args:
            images: (N, ...) real numbers, as the model takes them.

        Returns:
            what the model gives, operators that are left to the host (Softmax, ArgMax ...) included.
        """
        real = self.dequantize(self.run_codes(self.quantize(images)))
        return host_results(real, self.description.host_ops)

    def classify(self, images: Any) -> Any:
        """(N,) index of each image's greatest result."""
        real = self.dequantize(self.run_codes(self.quantize(images)))
        return real.reshape(len(real), -1).argmax(axis=1)

    def quantize(self, images: Any) -> Any:
        """(N, ...) real numbers as the model takes them to (N, *input shape) codes, channels innermost."""
        images = np.asarray(images)
        port = self.source
        if images.shape[1:] != port.model_shape:
            expected = ", ".join(map(str, port.model_shape))
            raise ValueError(f"images have shape {images.shape}, expected (N, {expected})")
        if port.bipolar:
            codes = (images >= 0).astype(port.dtype)
        else:
            scale = np.asarray(port.scale, np.float32)
            scaled = np.rint(images.astype(np.float32) / scale).astype(np.float64)
            codes = np.clip(scaled + port.zero_point, port.low, port.high).astype(port.dtype)
        return np.ascontiguousarray(codes.transpose(0, 2, 3, 1) if len(port.shape) == 3 else codes)

    def dequantize(self, codes: Any) -> Any:
        """(N, *output shape) codes to as many real numbers, channels innermost."""
        if self.result.bipolar:
            return np.asarray(self.result.scale) * (2.0 * codes - 1.0)
        return np.asarray(self.result.scale) * (codes.astype(np.float64) - self.result.zero_point)

    def run_codes(self, codes: Any) -> Any:
        """(N, *input shape) input codes to (N, *output shape) output codes.

        Raises:
            AcceleratorError: no progress within `timeout_s`, a failed transfer, a frame of the wrong length, weights
                that are not known, or a device that is closed.
        """
        self._check_usable()
        codes = np.asarray(codes)
        source, result = self.source, self.result
        if codes.shape[1:] != source.shape:
            expected = ", ".join(map(str, source.shape))
            raise ValueError(f"codes have shape {codes.shape}, expected (N, {expected})")
        if len(self.weights) < 64:
            known = f"those of model {self.weights}..." if self.weights else "incomplete"
            raise AcceleratorError(f"the weights in the accelerator are {known}: load weights first")
        frames = source.to_bytes(codes)
        results = np.empty((len(codes), result.frame_bytes), dtype=np.uint8)
        self._stream(frames, results)
        self._check_frames()
        return result.from_bytes(results)

    def _check_frames(self) -> None:
        """Whether the accelerator has seen something wrong with the frames."""
        if self._read("ERROR"):
            state = self.describe()
            self._write("ERROR", self._mask("ERROR"))
            raise AcceleratorError(f"the accelerator saw a frame of the wrong length ({state})")

    def counters(self) -> dict[str, int]:
        """The accelerator's counters by register."""
        return {name: self._read(name) for name in self.description.counters}

    def describe(self) -> str:
        """The counters in one line, for messages."""
        return ", ".join(f"{name} {value}" for name, value in self.counters().items())

    def self_test(self, folder: Any = None) -> int:
        """Run the build's test vectors; where other weights are loaded, against the results that came with them.

        Args:
            folder: with input.hex and output.hex; None: the build's.

        Returns:
            Number of frames.

        Raises:
            AcceleratorError: names the first output that differs, or what is wrong with the hardware.
        """
        vectors = Path(folder or self.description.vectors)
        source, result = self.source, self.result
        frames = read_vectors(vectors / "input.hex", source.frame_bytes)
        expected = self._expected
        if expected is None or folder is not None:
            expected = read_vectors(vectors / "output.hex", result.frame_bytes)
        expected = result.from_bytes(expected).reshape(len(frames), -1)
        results = self.run_codes(source.from_bytes(frames)).reshape(expected.shape)
        different = np.argwhere(results != expected)
        if len(different):
            frame, index = different[0]
            raise AcceleratorError(
                f"self-test failed: frame {frame}, output {index}: {results[frame, index]}, "
                f"expected {expected[frame, index]}"
            )
        return len(frames)

    # --- weights -----------------------------------------------------------------------------------------------------

    def load_weights(self, path: Any) -> str:
        """Load weights that `admmfpga weights` has packed for this build; the next frames use them.

        Everything is checked before the first byte is written: what is refused changes nothing.

        Args:
            path: of the file, or its bytes.

        Returns:
            SHA-256 of the model whose weights they are.

        Raises:
            AcceleratorError: a damaged file, the image of another design, or weights that are constants; then the old
                weights stay. Or the load did not come through; then no frame runs until another one does.
        """
        self._check_usable()
        if not self.description.reloadable:
            raise AcceleratorError("the weights of this build are constants: compile it with --reloadable")
        try:
            container = parse(path if isinstance(path, bytes) else Path(path).read_bytes())
        except ContainerError as error:
            raise AcceleratorError(f"{error}; {error.hint}") from None
        except OSError as error:
            raise AcceleratorError(f"cannot read {path}: {error.strerror}") from None
        if container.structure_sha256 != self.description.structure_sha256:
            raise AcceleratorError(
                f"these weights are for another design (structure {container.structure_sha256[:8]}, this one is "
                f"{self.description.structure_sha256[:8]}): pack them with `admmfpga weights MODEL --for BUILD`"
            )
        ports = [_with_scale(self.source, container.interface, "input")]
        ports.append(_with_scale(self.result, container.interface, "output"))
        vectors = [section for section in container.sections if section.name == VECTORS_SECTION]
        before, self.weights = self.weights, ""
        try:
            self._load(container.load_image(), container.load_words(), int(container.model_sha256[:8], 16))
        except _NotBegunError as error:
            self.weights = before
            raise AcceleratorError(str(error)) from None
        self.source, self.result = ports
        self.weights = container.model_sha256
        if vectors:
            raw = np.frombuffer(vectors[0].data, dtype=np.uint8)
            self._expected = raw.reshape(-1, self.result.frame_bytes)
        return container.model_sha256

    def _load(self, image: bytes, words: int, model: int) -> None:
        """Hold frames back, wait until none is inside, write everything, count it, let frames in again."""
        hold, ready = self.description.masks["LOAD.HOLD"], self.description.masks["LOAD.READY"]
        self._write("LOAD", hold)
        if not self._wait(lambda: bool(self._read("LOAD") & ready)):
            state = self.describe()
            self._write("LOAD", 0)
            raise _NotBegunError(f"a frame is still inside after {self.timeout_s:g} s, nothing was loaded ({state})")
        padded = image + bytes(-len(image) % 4)
        self._write_words("LOAD_DATA", np.frombuffer(padded, dtype="<u4"))
        if not self._wait(lambda: self._read("LOAD_WORDS") == words) or self._read("ERROR"):
            found, errors = self._read("LOAD_WORDS"), self._read("ERROR")
            self._write("ERROR", self._mask("ERROR"))
            raise AcceleratorError(
                f"the weights did not come through ({found} of {words} words, ERROR {errors}): load them again"
            )
        self._write("WEIGHTS", model)
        self._write("LOAD", 0)

    # --- opening and closing -----------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Check that it is the right accelerator, clear old errors, admit frames.

        Raises:
            AcceleratorError: another design, or another model's.
        """
        found, expected = self._read("ID"), self.description.identity
        if found != expected:
            raise AcceleratorError(
                f"the ID register reads {found:#010x}, expected {expected:#010x}: "
                "another design is loaded, or its clock stands still"
            )
        model, digits = self._read("MODEL"), self.description.model_sha256[:8]
        if model != int(digits, 16):
            raise AcceleratorError(
                f"the bitstream is of another model: MODEL reads {model:08x}, this driver is for {digits}"
            )
        if self.description.reloadable:
            loaded = self._read("WEIGHTS")
            if loaded != model:
                # Somebody has loaded others before us.
                self.weights = f"{loaded:08x}" if loaded else ""
            self._write("LOAD", 0)
        self._write("ERROR", self._mask("ERROR"))
        self._write(
            "CONTROL", self.description.masks["CONTROL.AP_START"] | self.description.masks["CONTROL.AUTO_RESTART"]
        )

    def close(self) -> None:
        """Give back what the device holds; a second time does nothing."""
        if not self.closed:
            self._fail("it was closed")

    def _fail(self, reason: str) -> None:
        """Close for a reason."""
        self.closed = reason
        self._close()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_usable(self) -> None:
        if self.closed:
            raise AcceleratorError(f"the accelerator is closed ({self.closed}): open it again")

    def _mask(self, register: str) -> int:
        """All bits of a register."""
        bits = [mask for name, mask in self.description.masks.items() if name.startswith(f"{register}.")]
        return sum(bits)

    def _wait(self, done: Any) -> bool:
        """Whether something comes true within the time-out."""
        end = time.monotonic() + self.timeout_s
        while not done():
            if time.monotonic() > end:
                return False
        return True


class _NotBegunError(RuntimeError):
    """Nothing has been written."""


def _with_scale(port: Port, interface: dict[str, Any], name: str) -> Port:
    """A port with the meaning of codes that came with weights."""
    found = interface.get(name, {})
    scale, zero_point = found.get("scale", port.scale), found.get("zero_point", port.zero_point)
    return replace(port, scale=scale, zero_point=zero_point)


def _softmax(real: Any, axis: int) -> Any:
    exponential = np.exp(real - real.max(axis=axis, keepdims=True))
    return exponential / exponential.sum(axis=axis, keepdims=True)


def _arg_max(real: Any, step: HostStep) -> Any:
    if not step.last:
        return real.argmax(axis=step.axis, keepdims=True)
    return real.shape[step.axis] - 1 - np.flip(real, step.axis).argmax(axis=step.axis, keepdims=True)


HOST_OPS: dict[str, Any] = {
    "ArgMax": _arg_max,
    "LogSoftmax": lambda real, step: np.log(_softmax(real, step.axis)),
    "Sigmoid": lambda real, step: 1 / (1 + np.exp(-real)),
    "Softmax": lambda real, step: _softmax(real, step.axis),
}
"""What the host computes behind the accelerator."""


def host_results(real: Any, steps: Any) -> Any:
    """The model's results.

    Args:
        real: (N, *output shape) the accelerator's, channels innermost.
        steps: `HostStep`s, or what has their fields.

    Returns:
        (N, ...) in the model's order: channels in front of rows and columns.
    """
    image = real.ndim == 4 and not any(step.shape for step in steps)
    gone = []
    for step in steps:
        if step.shape:
            real = real.reshape(len(real), *step.shape)
        real = HOST_OPS[step.op](real, step)
        if step.op == "ArgMax" and not step.keep:
            # Gone in the end only, so that axes stay where they are.
            gone.append(step.axis % real.ndim)
    if image:
        real, gone = real.transpose(0, 3, 1, 2), [(0, 2, 3, 1)[axis] for axis in gone]
    return real.squeeze(tuple(gone))


def read_vectors(path: Path, frame_bytes: int) -> Any:
    """(frames, frame_bytes) bytes of a file of hexadecimal stream beats, one a line, least significant byte first."""
    beats = [bytes.fromhex(line)[::-1] for line in path.read_text().split()]
    return np.frombuffer(b"".join(beats), dtype=np.uint8).reshape(-1, frame_bytes)
