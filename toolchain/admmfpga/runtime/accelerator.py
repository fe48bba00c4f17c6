"""One class for an accelerator that runs in simulation or on a board.

    from admmfpga import Accelerator

    with Accelerator("build/lenet5", device="sim") as accelerator:
        accelerator.self_test()
        scores = accelerator.run(images)
        accelerator.load_weights("retrained.admm")
        print(accelerator.counters())

What a host does is in `admmfpga.host`; here are the devices that run on this machine. On a board the build's own driver
has the same class.
"""

from __future__ import annotations

import importlib.util
import os
import select
import struct
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from admmfpga.blocks import registers
from admmfpga.codegen.driver import BITSTREAM, COUNTERS, port_of
from admmfpga.engine.check import is_engine_build, open_engine_build
from admmfpga.errors import UserError
from admmfpga.host import AcceleratorError, Description, Host, HostStep
from admmfpga.mapping import AxisFormat
from admmfpga.mapping.structure import structure_sha256
from admmfpga.runtime.build import Build, open_build
from admmfpga.runtime.engine_accelerator import EngineCsimDevice, EngineRtlDevice
from admmfpga.tools.csim import CSimulation
from admmfpga.tools.verilated import Verilated, link_memories

__all__ = ["Accelerator", "AcceleratorError"]

CHUNK_FRAMES = 256
"""Frames that a simulation is given at a time."""


def describe(build: Build) -> Description:
    """What the host has to know of a build."""
    design = build.design
    axis_in, axis_out = design.formats
    return Description(
        model_sha256=build.model_sha256,
        structure_sha256=structure_sha256(design),
        reloadable=design.reloadable,
        source=port_of(design.input, (axis_in.lanes, axis_in.container_bits)),
        result=port_of(design.output, (axis_out.lanes, axis_out.container_bits)),
        host_ops=tuple(HostStep(**asdict(op)) for op in design.network.host_ops),
        registers={register.name: register.offset for register in registers.REGISTERS},
        masks={f"{r.name}.{field.name}": 1 << field.bit for r in registers.REGISTERS for field in r.fields},
        identity=registers.MAGIC,
        vectors=build.folder / "vectors",
        counters=COUNTERS,
    )


class Accelerator:
    """`Accelerator(build, device=...)`: an open device; see `admmfpga.host.Host` for what it does.

    Args:
        build: build folder.
        device: "sim", the RTL in Verilator; "hls_sim", the HLS C++ in Verilator behind the same ports; "csim", the HLS
            C++ compiled with g++; "pynq", the board, through the build's own driver.
        timeout_s: longest time without progress; seconds of this machine for simulations.
        **options: of the device: `stall_percent` and `seed` for "sim" and "hls_sim" (chance of idle input and held
            output), `bitstream` for "pynq".

    Raises:
        UserError: not a build folder, an unknown device, tools that are missing.
        AcceleratorError: the device is not this build's.
    """

    def __new__(cls, build: str | Path, device: str = "sim", *, timeout_s: float | None = None, **options: Any) -> Any:
        if device not in DEVICES:
            raise UserError(f"there is no device {device!r}", f"devices are {', '.join(DEVICES)}")
        make = DEVICES[device]
        if is_engine_build(Path(build)):
            if device not in ENGINE_DEVICES:
                raise UserError(
                    f"a build of the shared engine has no device {device!r}", f"devices are {', '.join(ENGINE_DEVICES)}"
                )
            make = ENGINE_DEVICES[device]
        return make(Path(build), device, **({} if timeout_s is None else {"timeout_s": timeout_s}), **options)


class _Process(Host):
    """A simulation that stays alive in a process of its own; requests as in hls_templates/sim/serve.hpp."""

    def __init__(self, build: Build, command: list[str], folder: Path, *, timeout_s: float) -> None:
        super().__init__(describe(build), timeout_s=timeout_s)
        self._formats = build.design.formats
        self._log = folder / "device.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, bufsize=0
            )

    def _request(self, kind: str, argument: int, count: int, payload: bytes = b"", size: int = 4) -> tuple[int, bytes]:
        """Send a request; returns status and payload of the answer, whose elements have `size` bytes.

        Raises:
            AcceleratorError: no answer within the time-out, or the process has ended; the device is closed then.
        """
        self._check_usable()
        assert self._process.stdin is not None
        try:
            self._send(kind.encode() + struct.pack("<II", argument, count) + payload)
            status, found = struct.unpack("<II", self._receive(8))
            return status, self._receive(size * found)
        except (OSError, TimeoutError, EOFError) as error:
            told = self._log.read_text(errors="replace").strip().splitlines()
            reason = f"the simulation {error or 'has ended'}" + (f": {told[-1]}" if told else "")
            self._fail(reason)
            raise AcceleratorError(f"{reason} (log: {self._log})") from None

    def _send(self, data: bytes) -> None:
        stream = self._process.stdin
        assert stream is not None
        view, end = memoryview(data), time.monotonic() + self.timeout_s
        while view:
            if not select.select([], [stream], [], max(0.0, end - time.monotonic()))[1]:
                raise TimeoutError(f"takes nothing for {self.timeout_s:g} s")
            view = view[os.write(stream.fileno(), view[:65536]) :]

    def _receive(self, size: int) -> bytes:
        stream = self._process.stdout
        assert stream is not None
        data, end = bytearray(), time.monotonic() + self.timeout_s
        while len(data) < size:
            if not select.select([stream], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError(f"does not answer for {self.timeout_s:g} s")
            part = os.read(stream.fileno(), min(1 << 20, size - len(data)))
            if not part:
                raise EOFError("has ended")
            data += part
        return bytes(data)

    def _stream(self, frames: Any, results: Any) -> None:
        axis_in, axis_out = self._formats
        for at in range(0, len(frames), CHUNK_FRAMES):
            part = frames[at : at + CHUNK_FRAMES]
            status, data = self._request("f", 0, len(part), _to_words(part, axis_in).tobytes(), 8)
            if status != 0:
                reason = {3: "no progress: the accelerator takes or gives nothing", 4: "TLAST or a beat is wrong"}
                text = reason.get(status, f"status {status}")
                self._fail(text)
                raise AcceleratorError(f"{text} (log: {self._log})")
            results[at : at + len(part)] = _from_words(np.frombuffer(data, "<u8"), len(part), axis_out)

    def _close(self) -> None:
        process = self._process
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()
        # The end of its input ends it, unless it hangs.
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _to_words(frames: npt.NDArray[np.uint8], form: AxisFormat) -> npt.NDArray[np.uint64]:
    """(N, bytes) frames to (N, beats) words of TDATA."""
    size = form.width // 8
    beats = frames.reshape(len(frames), -1, size)
    words = np.zeros((*beats.shape[:2], 8), dtype=np.uint8)
    words[:, :, :size] = beats
    found: npt.NDArray[np.uint64] = words.view("<u8")[:, :, 0]
    return found


def _from_words(words: npt.NDArray[np.uint64], frames: int, form: AxisFormat) -> npt.NDArray[np.uint8]:
    """Words of TDATA to (N, bytes) results."""
    size = form.width // 8
    return words.astype("<u8").view(np.uint8).reshape(frames, -1, 8)[:, :, :size].reshape(frames, -1)


class _Verilated(_Process):
    """The accelerator's AXI ports in Verilator."""

    names: ClassVar[dict[str, str]] = {"sim": "rtl", "hls_sim": "hls_dpi"}

    def __init__(
        self, folder: Path, device: str, *, timeout_s: float = 60.0, stall_percent: int = 0, seed: int = 1
    ) -> None:
        build = open_build(folder)
        model = Verilated(folder, build.work, self.names[device])
        model.compile()
        link_memories(folder, model.run_folder)
        design = build.design
        numbers = (design.in_beats, design.out_beats, design.settle_cycles, stall_percent, seed)
        command = [str((model.model / "harness").resolve()), "--serve", *map(str, numbers)]
        super().__init__(build, command, model.run_folder, timeout_s=timeout_s)
        try:
            self._open()
        except AcceleratorError as error:
            if not self.closed:
                self._fail(str(error))
            raise

    def _read(self, register: str) -> int:
        status, data = self._request("r", self.description.registers[register], 0)
        if status != 0:
            raise AcceleratorError(f"reading {register} is answered with {status}")
        return int(struct.unpack("<I", data)[0])

    def _write(self, register: str, value: int) -> None:
        self._write_words(register, np.array([value]))

    def _write_words(self, register: str, words: Any) -> None:
        offset, data = self.description.registers[register], np.asarray(words).astype("<u4")
        for at in range(0, len(data), 1 << 16):
            part = data[at : at + (1 << 16)]
            status, _ = self._request("w", offset, len(part), part.tobytes())
            if status != 0:
                raise AcceleratorError(f"writing {register} is answered with {status}")


class _CSimulated(_Process):
    """The HLS C++ as a program: no ports, no registers, no time."""

    def __init__(self, folder: Path, device: str, *, timeout_s: float = 60.0) -> None:
        build = open_build(folder)
        simulation = CSimulation(folder, build.work / device)
        binary = simulation.compile()
        super().__init__(build, [str(binary.resolve()), "--serve"], simulation.work, timeout_s=timeout_s)
        self._frames = 0

    def _stream(self, frames: Any, results: Any) -> None:
        super()._stream(frames, results)
        self._frames += len(frames)

    def _check_frames(self) -> None:
        """Frames cannot have a wrong length here."""

    def counters(self) -> dict[str, int]:
        return {"FRAMES_IN": self._frames, "FRAMES_OUT": self._frames}

    def _load(self, image: bytes, words: int, model: int) -> None:
        _, data = self._request("l", 0, len(image), image)
        found = int(struct.unpack("<I", data)[0])
        if found != words:
            raise AcceleratorError(f"the weights did not come through ({found} of {words} words): load them again")


def _pynq(folder: Path, device: str, *, timeout_s: float = 2.0, bitstream: Any = None) -> Any:
    """The board, through the driver that was generated with the build."""
    open_build(folder)
    file = folder / "vivado" / "products" / f"{BITSTREAM}.bit" if bitstream is None else bitstream
    return _driver(folder).Accelerator(file, timeout_s=timeout_s)


def _engine_pynq(folder: Path, device: str, *, bitstream: Any, timeout_s: float | None = None) -> Any:
    """The same for the shared engine, whose bitstream is not of one build."""
    open_engine_build(folder)
    options = {} if timeout_s is None else {"timeout_s": timeout_s}
    return _driver(folder).Accelerator(bitstream, **options)


def _driver(folder: Path) -> Any:
    """The build's own driver, as a module."""
    path = folder / "driver" / "accelerator_pynq.py"
    spec = importlib.util.spec_from_file_location("accelerator_pynq", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up by name.
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        raise UserError(
            f"the PYNQ driver cannot be loaded: {error}", f"run this on the board, or copy {folder} there"
        ) from None
    return module


DEVICES: dict[str, Any] = {"sim": _Verilated, "hls_sim": _Verilated, "csim": _CSimulated, "pynq": _pynq}
"""What runs an accelerator, by name."""

ENGINE_DEVICES: dict[str, Any] = {"sim": EngineRtlDevice, "csim": EngineCsimDevice, "pynq": _engine_pynq}
"""What runs a build of the shared engine."""
