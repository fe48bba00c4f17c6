"""Where two implementations part: the first stream, beat and lane at which a trace differs from the Python model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from admmfpga.codegen.frames import to_beats
from admmfpga.mapping import Design, Stage, stream_beats
from admmfpga.network import IntArray
from admmfpga.packing import unpack_words
from admmfpga.tools.csim import CSimulation
from admmfpga.tools.verilated import Verilated

if TYPE_CHECKING:
    from admmfpga.runtime.simulate import Simulation


@dataclass(frozen=True)
class Difference:
    """One element that differs.

    Attributes:
        frame: index of the frame.
        layer: the network's node; "output" if no inner stream could be blamed.
        stage: the block instance whose output differs first.
        index: position in the layer's tensor, or (beat, lane) inside a layer.
        expected, got: values; got is None where the stream ended early.
    """

    frame: int
    layer: str
    stage: str
    index: tuple[int, ...]
    expected: int
    got: int | None

    def __str__(self) -> str:
        got = "nothing" if self.got is None else self.got
        return (
            f"first in frame {self.frame}, layer {self.layer} (block {self.stage}), "
            f"index {self.index}: expected {self.expected}, got {got}"
        )

    @staticmethod
    def of_output(simulation: Simulation, frame: int, results: IntArray) -> Difference:
        """The first differing element of the final output."""
        index = tuple(int(i) for i in np.argwhere(results[frame] != simulation.expected[frame])[0])
        expected, got = int(simulation.expected[frame][index]), int(results[frame][index])
        return Difference(frame, "output", "axis_output", index, expected, got)


def locate(simulation: Simulation, name: str) -> Difference:
    """Run the first differing frame again with a trace of every stream and find where it parts from the model.

    The HLS C++ behind DPI is the same C++ as in C simulation, which is traced in its place.
    """
    outcome = simulation.outcomes[name]
    assert outcome.difference is not None
    build, design = simulation.build, simulation.build.design
    frame = outcome.difference.frame
    simulation.progress(f"looking for the first difference ({name})")
    codes = simulation.codes[frame : frame + 1]
    beats = to_beats(codes, design.formats[0])
    if name == "rtl":
        model = Verilated(build.folder, build.work, name, trace=True)
        model.compile()
        model.run(beats, out_beats=design.out_beats, settle=design.settle_cycles)
        folder = model.trace_folder
    else:
        csim = CSimulation(build.folder, build.work / "csim")
        csim.compile(trace=True)
        csim.run(beats, 1, trace=True)
        folder = csim.work / "trace"
    found = first_difference(design, codes[0], folder)
    if found is None:
        # Only the sequence of frames shows it; what is known is the output.
        return outcome.difference
    stage, index, expected, got = found
    return Difference(frame, stage.layer if stage.layer else "output", stage.name, index, expected, got)


def first_difference(
    design: Design, codes: IntArray, folder: Path
) -> tuple[Stage, tuple[int, ...], int, int | None] | None:
    """(stage, index, expected, got) of the first stream in pipeline order whose trace differs; None if none does."""
    streams = stream_beats(design, codes)
    for stage, name in ((one, output) for one in design.stages for output in one.outputs):
        path = folder / f"{name}.hex"
        if not path.is_file():
            continue
        port = design.streams[name].port
        words = [int(line, 16) for line in path.read_text().split()]
        expected = streams[name]
        got = unpack_words(words[: len(expected)], port.lanes, port.bits, signed=port.signed)
        wrong = np.argwhere(got != expected[: len(got)])
        if len(wrong):
            beat, lane = (int(i) for i in wrong[0])
            return stage, _index(design, name, beat, lane), int(expected[beat, lane]), int(got[beat, lane])
        if len(got) < len(expected):
            beat = len(got)
            return stage, _index(design, name, beat, 0), int(expected[beat, 0]), None
    return None


def _index(design: Design, stream: str, beat: int, lane: int) -> tuple[int, ...]:
    """Tensor index where the stream carries a whole tensor, else (beat, lane)."""
    tensor = design.streams[stream].tensor
    if not tensor:
        return beat, lane
    position = beat * design.streams[stream].port.lanes + lane
    return tuple(int(i) for i in np.unravel_index(position, design.network.tensors[tensor].shape))
