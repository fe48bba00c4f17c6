"""Renders the HLS C++ of a design: parameters, data path, weights and the Tcl of the HLS project.

The block headers, the top function and the test bench do not depend on the design and are copied as they are.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jinja2 import Environment

from admmfpga.blocks.base import Table
from admmfpga.mapping import Design, Stage
from admmfpga.packing import Memory
from admmfpga.packing.memory import pack_bytes
from admmfpga.resources import resource_dir

MAX_RESHAPE_BITS = 4096
"""Widest memory word that is one array element after ARRAY_RESHAPE; wider ones are partitioned."""

_LINE = 112
"""Characters of a line of numbers."""


@dataclass(frozen=True)
class Rom:
    """A memory as C++: a table of unsigned chunks, each with as many whole lanes as 64 bits hold.

    Attributes:
        function: the member function that reads it, the RTL parameter's name in lower case.
        memory: its contents.
        block_ram: in block RAM, else in LUTs.
        reloadable: simulations can give it new contents.
    """

    function: str
    memory: Memory
    block_ram: bool
    reloadable: bool = False

    @property
    def depth(self) -> int:
        return self.memory.depth

    @property
    def lanes(self) -> int:
        return int(self.memory.lanes.shape[1])

    @property
    def lane_bits(self) -> int:
        return self.memory.lane_bits

    @property
    def per_chunk(self) -> int:
        return 64 // self.lane_bits

    @property
    def chunks(self) -> int:
        """Chunks of a word."""
        return -(-self.lanes // self.per_chunk)

    @property
    def chunk_bits(self) -> int:
        return min(self.per_chunk, self.lanes) * self.lane_bits

    @property
    def type(self) -> str:
        """The narrowest C type that holds a chunk."""
        return c_type(self.chunk_bits)

    @property
    def reshape(self) -> bool:
        return self.chunks * self.chunk_bits <= MAX_RESHAPE_BITS

    @property
    def file(self) -> str:
        return f"weights/{self.memory.name}.inc"

    def table(self) -> npt.NDArray[np.uint64]:
        """(depth, chunks); the lanes of a chunk that is not full are zero."""
        padded = np.zeros((self.depth, self.chunks * self.per_chunk), dtype=np.int64)
        padded[:, : self.lanes] = self.memory.lanes
        packed = pack_bytes(padded.reshape(-1, self.per_chunk), self.lane_bits)
        words = np.zeros((len(packed), 8), dtype=np.uint8)
        words[:, : packed.shape[1]] = packed
        return words.view("<u8").reshape(self.depth, self.chunks)

    def text(self) -> str:
        """The table as C++ initializers, each word in braces."""
        digits = -(-self.chunk_bits // 4)
        literals = [[f"0x{value:0{digits}x}" for value in row] for row in self.table().tolist()]
        for row in literals:
            row[0] = "{" + row[0]
            row[-1] += "}"
        flat = [literal for row in literals for literal in row]
        per_line = max(1, _LINE // (digits + 6))
        lines = [", ".join(flat[i : i + per_line]) for i in range(0, len(flat), per_line)]
        return ",\n".join(lines) + "\n"


@dataclass(frozen=True)
class ConstantTable:
    """A block's table as C++.

    Attributes:
        function: the member function that reads it, the RTL parameter's name in lower case.
        stage: whose it is.
        table: its contents.
    """

    function: str
    stage: str
    table: Table

    @property
    def shape(self) -> tuple[int, ...]:
        return self.table.values.shape

    @property
    def type(self) -> str:
        """The narrowest C type that holds an entry."""
        return c_type(self.table.bits)

    @property
    def file(self) -> str:
        return f"tables/{self.stage}.{self.function}.inc"

    def text(self) -> str:
        """C++ initializers, each row in braces."""
        rows = ["{" + ", ".join(map(str, row)) + "}" for row in self.table.values.tolist()]
        return "\n".join(textwrap.wrap(", ".join(rows), _LINE)) + "\n"


@dataclass(frozen=True)
class StageContext:
    """What the templates see of a stage.

    Attributes:
        name, stem, layer: of the stage.
        constants: (name, C type, value) of its parameters.
        memories: its ROMs.
        tables: its constant tables.
        streams: the arguments of its call, inputs first.
    """

    name: str
    stem: str
    layer: str
    constants: list[tuple[str, str, str]]
    memories: list[Rom]
    tables: list[ConstantTable]
    streams: list[str]


def c_type(bits: int) -> str:
    """The narrowest unsigned C type of at least so many bits."""
    for size, name in ((8, "unsigned char"), (16, "unsigned short"), (32, "unsigned int")):
        if bits <= size:
            return name
    return "unsigned long long"


def stage_context(stage: Stage) -> StageContext:
    """A stage as C++ sees it."""
    block = stage.block
    parameters = block.rtl_parameters() | block.frame_parameters()
    # Output FIFOs are streams here, and there is no load chain.
    tables = block.tables()
    for name in (*block.output_parameters(), *tables, "RELOADABLE"):
        parameters.pop(name, None)
    constants = []
    for name, value in parameters.items():
        assert isinstance(value, int), (stage.name, name, value)
        constants.append((name, *_literal(value)))
    roms = [
        Rom(
            name.lower(),
            memory,
            bool(parameters.get(block.block_ram_parameter(name), 0)),
            block.reloadable and not memory.constant,
        )
        for name, memory in stage.memories.items()
    ]
    return StageContext(
        name=stage.name,
        stem=block.stem,
        layer=stage.layer,
        constants=constants,
        memories=roms,
        tables=[ConstantTable(name.lower(), stage.name, table) for name, table in tables.items()],
        streams=[stream_argument(name) for name in (*stage.inputs, *stage.outputs)],
    )


def stream_argument(name: str) -> str:
    """The C++ variable of a stream; the outside's streams are the function's own arguments."""
    return name if name in ("s_axis", "m_axis") else f"{name}_stream"


def _literal(value: int) -> tuple[str, str]:
    """(C type, literal) of an integer."""
    if -(1 << 31) < value < 1 << 31:
        return "int", str(value)
    return "long long", f"{value}LL"


def render_hls(design: Design, environment: Environment, *, part: str, clock_mhz: float) -> dict[str, str | bytes]:
    """Files of the build's hls/ folder by path.

    Args:
        design: what to render.
        environment: the Jinja environment over hls_templates/.
        part: FPGA part for the HLS project.
        clock_mhz: target clock.
    """
    stages = [stage_context(stage) for stage in design.stages]
    widest = max(port.width for stage in design.stages for port in (*stage.block.sources, *stage.block.sinks))
    context = {
        "design": design,
        "stages": stages,
        "stems": sorted({stage.stem for stage in stages}),
        "inner": [stream for name, stream in design.streams.items() if name not in ("s_axis", "m_axis")],
        "depths": design.depths,
        "max_width": -(-widest // 1024) * 1024,
        "part": part,
        "period": f"{1000.0 / clock_mhz:.3f}",
    }
    folder = resource_dir("hls_templates") / "hls"
    sources = [path for path in sorted(folder.iterdir()) if path.suffix in (".hpp", ".cpp")]
    # The shared engine is another architecture, with files of its own.
    files: dict[str, str | bytes] = {
        path.name: path.read_text() for path in sources if not path.name.startswith("engine")
    }
    for name in ("dataflow.hpp", "dataflow.cpp", "run_hls.tcl"):
        files[name] = environment.get_template(f"hls/{name}.j2").render(context)
    for stage in stages:
        files |= {rom.file: rom.text() for rom in stage.memories}
        files |= {table.file: table.text() for table in stage.tables}
    return files
