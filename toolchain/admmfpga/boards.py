"""Boards: one TOML file each, in boards/ or anywhere else. boards/README.md describes every field."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

from admmfpga.blocks import Resources
from admmfpga.errors import UserError
from admmfpga.resources import resource_dir

FAMILIES = ("xc7", "xcup", "ecp5")
PROCESSORS = ("zynq7", "zynqmp", "none")


@dataclass(frozen=True)
class BoardMemory:
    """The board's DRAM as the FPGA logic may use it.

    Attributes:
        type: "DDR3", "LPDDR4", "SDR SDRAM", ...
        size_mb: MiB.
        data_bits: width of the data bus.
        data_rate_mt_s: million transfers a second on each data line.
    """

    type: str
    size_mb: int
    data_bits: int
    data_rate_mt_s: float

    @property
    def bandwidth_mb_s(self) -> float:
        """Peak, 10^6 bytes a second, before refresh, row misses and sharing with a processor."""
        return self.data_bits / 8 * self.data_rate_mt_s


@dataclass(frozen=True)
class MemoryPort:
    """The way of frames and results between DRAM and the accelerator.

    Attributes:
        bytes_per_cycle: of the port, in each direction.
        dram_bytes_per_cycle: of the memory behind it, both directions together.
    """

    bytes_per_cycle: float
    dram_bytes_per_cycle: float

    def cycles(self, bytes_in: int, bytes_out: int) -> int:
        """To move that much."""
        port = max(bytes_in, bytes_out) / self.bytes_per_cycle
        return ceil(max(port, (bytes_in + bytes_out) / self.dram_bytes_per_cycle))


@dataclass(frozen=True)
class Pins:
    """Sites of the FPGA's package.

    Attributes:
        clock: the oscillator.
        uart_rx, uart_tx: as the FPGA sees them: it receives on the first, sends on the second.
        reset: a button that is high when it is pressed, "" if there is none.
        leds: lamps, four of which are used.
    """

    clock: str
    uart_rx: str
    uart_tx: str
    reset: str
    leds: tuple[str, ...]


@dataclass(frozen=True)
class OpenFlow:
    """What place and route without a vendor's tool needs to know of a board with an ECP5 and a UART to the host.

    Attributes:
        device, package, speed: as nextpnr-ecp5 takes them: "85k", "CABGA381", 6.
        oscillator_mhz: on the clock pin.
        io_type, io_volt: of all pins.
        flash_mhz: clock with which the FPGA reads its configuration.
        baud: of the link to the host.
        pins: sites.
        source: where all of it is from.
    """

    device: str
    package: str
    speed: int
    oscillator_mhz: float
    io_type: str
    io_volt: float
    flash_mhz: float
    baud: int
    pins: Pins
    source: str


@dataclass(frozen=True)
class Board:
    """What the toolchain knows of a board.

    Attributes:
        name, aliases: what --board takes.
        title, vendor: for people.
        family: of Yosys' synth_xilinx ("xc7", "xcup"), or "ecp5".
        part: FPGA with package and speed grade, as its vendor's tool takes it.
        board_part: Vivado's board definition, "" if there is none.
        processor: hard processor system: "zynq7", "zynqmp" or "none".
        port_bits: data width of one high-performance port into the processor's memory, 0 without a processor.
        resources: of the whole FPGA.
        uram: UltraRAM blocks of 288 kbit.
        clock_mhz: of an accelerator, unless the user asks for another.
        memory: DRAM.
        sources: where each figure is from, by its path in the file ("resources", "memory", ...).
        open_flow: for a bitstream without a vendor's tool; None if there is no such way.
    """

    name: str
    aliases: tuple[str, ...]
    title: str
    vendor: str
    family: str
    part: str
    board_part: str
    processor: str
    port_bits: int
    resources: Resources
    uram: int
    clock_mhz: float
    memory: BoardMemory
    sources: Mapping[str, str]
    open_flow: OpenFlow | None = None

    def memory_port(self, clock_mhz: float) -> MemoryPort | None:
        """The way to the processor's memory for an accelerator at a clock; None without a processor."""
        if not self.port_bits:
            return None
        return MemoryPort(self.port_bits / 8, self.memory.bandwidth_mb_s / clock_mhz)


def load_board(name_or_path: str | Path) -> Board:
    """A board by name or alias, or from a TOML file by path.

    Raises:
        UserError: no such board or file, or the file's errors, all at once.
    """
    path = Path(name_or_path)
    if path.suffix == ".toml":
        return _read(path)
    boards = all_boards()
    names = {name: board for board in boards for name in (board.name, *board.aliases)}
    wanted = str(name_or_path).lower()
    if wanted in names:
        return names[wanted]
    close = difflib.get_close_matches(wanted, names, n=1)
    known = ", ".join(board.name for board in boards)
    raise UserError(
        f"unknown board {name_or_path!r}",
        (f"did you mean {close[0]}? " if close else "") + f"known boards: {known}; or give the path of a .toml file",
    )


def all_boards() -> list[Board]:
    """The boards that ship with the package, by name."""
    return [_read(path) for path in sorted(resource_dir("boards").glob("*.toml"))]


def _read(path: Path) -> Board:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"board file {path} cannot be read: {error.strerror}", "check the path given to --board"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"board file {path} is not TOML: {error}", "boards/README.md describes the format") from None
    reader = _Reader(content)
    board = _board(reader)
    if reader.problems:
        raise UserError(
            f"board file {path}: " + "; ".join(reader.problems), "boards/README.md describes the fields and units"
        )
    return board


def _board(top: _Reader) -> Board:
    resources, memory, clock = top.table("resources"), top.table("memory"), top.table("clock")
    processor = top.text("processor", choices=PROCESSORS)
    board = Board(
        name=top.text("name"),
        aliases=top.texts("aliases"),
        title=top.text("title"),
        vendor=top.text("vendor"),
        family=top.text("family", choices=FAMILIES),
        part=top.text("part"),
        board_part=top.text("board_part", empty=True),
        processor=processor,
        port_bits=top.integer("port_bits", least=0 if processor == "none" else 32),
        resources=Resources(
            lut=resources.integer("lut", least=1),
            ff=resources.integer("ff", least=1),
            bram18=resources.integer("bram18"),
            dsp=resources.integer("dsp"),
        ),
        uram=resources.integer("uram"),
        clock_mhz=clock.number("default_mhz"),
        memory=BoardMemory(
            type=memory.text("type"),
            size_mb=memory.integer("size_mb", least=1),
            data_bits=memory.integer("data_bits", least=1),
            data_rate_mt_s=memory.number("data_rate_mt_s"),
        ),
        sources={
            "part": top.text("source"),
            "resources": resources.text("source"),
            "clock": clock.text("source"),
            "memory": memory.text("source"),
        },
    )
    if top.has("open_flow"):
        board = replace(board, open_flow=_open_flow(top.table("open_flow"), board.family))
    for reader in (top, resources, memory, clock):
        reader.refuse_rest()
    return board


def _open_flow(reader: _Reader, family: str) -> OpenFlow:
    pins = reader.table("pins")
    flow = OpenFlow(
        device=reader.text("device", choices=("12k", "25k", "45k", "85k")),
        package=reader.text("package"),
        speed=reader.integer("speed", least=6),
        oscillator_mhz=reader.number("oscillator_mhz"),
        io_type=reader.text("io_type"),
        io_volt=reader.number("io_volt"),
        flash_mhz=reader.number("flash_mhz"),
        baud=reader.integer("baud", least=300),
        pins=Pins(
            clock=pins.text("clock"),
            uart_rx=pins.text("uart_rx"),
            uart_tx=pins.text("uart_tx"),
            reset=pins.text("reset", empty=True),
            leds=pins.texts("leds"),
        ),
        source=reader.text("source"),
    )
    if family != "ecp5":
        reader.problems.append(f"open_flow is for family ecp5, not {family}")
    if len(flow.pins.leds) < 4:
        reader.problems.append("open_flow.pins.leds needs at least four sites")
    for table in (reader, pins):
        table.refuse_rest()
    return flow


class _Reader:
    """Takes typed values out of a TOML table and collects what is wrong with it."""

    def __init__(self, table: Mapping[str, Any], prefix: str = "", problems: list[str] | None = None) -> None:
        self._rest = dict(table)
        self._prefix = prefix
        self.problems: list[str] = [] if problems is None else problems

    def has(self, key: str) -> bool:
        return key in self._rest

    def table(self, key: str) -> _Reader:
        before = len(self.problems)
        value = self._take(key, lambda v: isinstance(v, dict), "a table", {})
        # A table that is not there is one problem, not one a field.
        return _Reader(value, f"{self._prefix}{key}.", self.problems if len(self.problems) == before else [])

    def text(self, key: str, *, choices: tuple[str, ...] = (), empty: bool = False) -> str:
        def good(value: object) -> bool:
            return isinstance(value, str) and (empty or value != "") and (not choices or value in choices)

        wanted = f"one of {', '.join(choices)}" if choices else "a text"
        return str(self._take(key, good, wanted, ""))

    def texts(self, key: str) -> tuple[str, ...]:
        def good(value: object) -> bool:
            return isinstance(value, list) and all(isinstance(text, str) for text in value)

        return tuple(self._take(key, good, "a list of texts", []))

    def integer(self, key: str, *, least: int = 0) -> int:
        def good(value: object) -> bool:
            return isinstance(value, int) and not isinstance(value, bool) and value >= least

        return int(self._take(key, good, f"an integer of at least {least}", least))

    def number(self, key: str) -> float:
        def good(value: object) -> bool:
            return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")

        return float(self._take(key, good, "a positive number", 1))

    def refuse_rest(self) -> None:
        """What was not taken is not known."""
        self.problems.extend(f"unknown {self._prefix}{key}" for key in self._rest)

    def _take(self, key: str, good: Callable[[object], bool], wanted: str, default: Any) -> Any:
        if key not in self._rest:
            self.problems.append(f"missing {self._prefix}{key}")
            return default
        value = self._rest.pop(key)
        if good(value):
            return value
        self.problems.append(f"{self._prefix}{key} is {value!r}, expected {wanted}")
        return default
