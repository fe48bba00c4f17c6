"""The register map: the one table from which RTL, HLS, driver and docs are rendered.

Control, interrupt enable and status registers stand where Vitis HLS puts them for ap_ctrl_hs, so that a driver written
for either works with the other.
"""

from __future__ import annotations

from dataclasses import dataclass

PACKAGE = "admmfpga_registers"
"""Of the SystemVerilog that is rendered from the table."""

ADDRESS_BITS = 8
MAGIC = 0x41444D4D
"""ASCII "ADMM"."""


@dataclass(frozen=True)
class Field:
    """One bit of a register. access: ro, rw, cor (clear on read), w1c (write one to clear), tow (toggle on write)."""

    name: str
    bit: int
    access: str
    text: str


@dataclass(frozen=True)
class Register:
    """One 32-bit register.

    Attributes:
        fields: its bits; () for a register that is one number.
        access: of a register without fields: ro, rw, or wo (reads zero).
        reloadable: it exists only where weights can be loaded.
    """

    name: str
    offset: int
    text: str
    fields: tuple[Field, ...] = ()
    access: str = "ro"
    reloadable: bool = False


REGISTERS = (
    Register(
        "CONTROL",
        0x00,
        "ap_ctrl_hs control",
        (
            Field("AP_START", 0, "rw", "admit one frame; clears itself when the frame's last input beat is taken"),
            Field("AP_DONE", 1, "cor", "a frame's last output beat has left"),
            Field("AP_IDLE", 2, "ro", "no frame is inside or admitted"),
            Field("AP_READY", 3, "cor", "a frame's last input beat was taken"),
            Field("AUTO_RESTART", 7, "rw", "admit frames back to back"),
        ),
    ),
    Register("GIER", 0x04, "global interrupt enable", (Field("ENABLE", 0, "rw", "gate of the interrupt output"),)),
    Register(
        "IER",
        0x08,
        "interrupt enable",
        (Field("DONE", 0, "rw", "interrupt on AP_DONE"), Field("READY", 1, "rw", "interrupt on AP_READY")),
    ),
    Register(
        "ISR",
        0x0C,
        "interrupt status",
        (Field("DONE", 0, "tow", "AP_DONE happened"), Field("READY", 1, "tow", "AP_READY happened")),
    ),
    Register("ID", 0x10, "constant 0x41444d4d: this is an admmfpga accelerator"),
    Register("MODEL", 0x14, "first 32 bits of the model's SHA-256"),
    Register(
        "ERROR",
        0x18,
        "sticky errors",
        (
            Field("TLAST", 0, "w1c", "TLAST came early or did not come with a frame's last input beat"),
            Field("LOAD", 1, "w1c", "LOAD_DATA was written while LOAD.READY was 0; it was not taken"),
        ),
    ),
    Register("FRAMES_IN", 0x1C, "frames taken since reset"),
    Register("FRAMES_OUT", 0x20, "frames given since reset"),
    Register("LATENCY", 0x24, "cycles from first input beat to first output beat, latest frame that began alone"),
    Register("INTERVAL", 0x28, "cycles between the last output beats of the latest two frames"),
    Register("INPUT_STALLS", 0x2C, "cycles with room for input and none there, frames started"),
    Register("OUTPUT_STALLS", 0x30, "cycles with output waiting for TREADY"),
    Register("CYCLES", 0x34, "free-running cycle counter"),
    Register(
        "LOAD",
        0x38,
        "loading of weights",
        (
            Field("HOLD", 0, "rw", "admit no further frame; writing 1 makes the next LOAD_DATA the first"),
            Field("READY", 1, "ro", "HOLD is set and no frame is inside: LOAD_DATA is taken"),
        ),
        reloadable=True,
    ),
    Register(
        "LOAD_DATA", 0x3C, "next four bytes of the memories' contents, lowest first", access="wo", reloadable=True
    ),
    Register("LOAD_WORDS", 0x40, "memory words written since LOAD.HOLD was set", reloadable=True),
    Register(
        "WEIGHTS",
        0x44,
        "first 32 bits of the SHA-256 of the model whose weights are loaded; 0 from the first LOAD_DATA on",
        access="rw",
        reloadable=True,
    ),
)
