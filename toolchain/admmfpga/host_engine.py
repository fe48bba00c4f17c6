"""The host's side of the shared engine, whatever it runs on: what simulated devices and the PYNQ driver share.

numpy and the standard library only: a build's driver has a copy of this text, behind that of host.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from admmfpga.host import AcceleratorError, Description, Host


@dataclass(frozen=True)
class EngineProgram:
    """What the engine runs, and where a frame lies in its DRAM.

    Attributes:
        folder: with stream.bin, transfers.bin, input.bin and output.bin.
        shape: what the SHAPE register reads.
        beat_bytes: of the ports into DRAM.
        stream_beats: of the weight stream.
        commands, transfers: how many there are.
        data_bytes: of the activations.
        input_address, output_address: of frame and result, from the activations' base.
        output_bytes: of the result's planes.
    """

    folder: Path
    shape: int
    beat_bytes: int
    stream_beats: int
    commands: int
    transfers: int
    data_bytes: int
    input_address: int
    output_address: int
    output_bytes: int


class EngineHost(Host):
    """Frame by frame: arranged for the engine, run, picked out of its DRAM. Subclasses run a frame."""

    def __init__(self, description: Description, program: EngineProgram, *, timeout_s: float) -> None:
        super().__init__(description, timeout_s=timeout_s)
        self.program = program
        # Of each byte of the frame in DRAM: which code it is, or -1 - its constant value; of each code of the result:
        # its byte from the output's address.
        self._place = self._file("input.bin", "<i4")
        self._taken = self._file("output.bin", "<i4")

    def _file(self, name: str, dtype: str) -> Any:
        path = self.program.folder / name
        try:
            return np.frombuffer(path.read_bytes(), dtype=dtype)
        except OSError as error:
            raise AcceleratorError(f"cannot read {path}: {error.strerror}; compile again") from None

    def _frame(self, data: Any) -> Any:
        """Run a frame.

        Args:
            data: bytes of the frame, for the input's address.

        Returns:
            (output_bytes,) bytes from the output's address on.
        """
        raise NotImplementedError

    def _stream(self, frames: Any, results: Any) -> None:
        constants = (-1 - np.minimum(self._place, -1)).astype(np.uint8)
        for index, frame in enumerate(frames):
            data = np.where(self._place >= 0, frame[np.maximum(self._place, 0)], constants)
            results[index] = self._frame(data)[self._taken]

    def _check_frames(self) -> None:
        """Frames are where they belong, or were not run."""

    def _open(self) -> None:
        """Check that it is an engine of this shape.

        Raises:
            AcceleratorError: another design, or an engine of another shape.
        """
        found, expected = self._read("ID"), self.description.identity
        if found != expected:
            raise AcceleratorError(
                f"the ID register reads {found:#010x}, expected {expected:#010x}: "
                "another design is loaded, or its clock stands still"
            )
        found = self._read("SHAPE")
        if found != self.program.shape:
            raise AcceleratorError(
                f"the bitstream is an engine of {found >> 16} x {found & 0xFFFF} multipliers, this build is for "
                f"{self.program.shape >> 16} x {self.program.shape & 0xFFFF}"
            )

    def load_weights(self, path: Any) -> str:
        """The engine's weights are its program: another build of the same shape brings its own.

        Raises:
            AcceleratorError: always.
        """
        self._check_usable()
        raise AcceleratorError("the engine's weights are its program: compile the other model and open that build")
