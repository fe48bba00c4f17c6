"""Register map of the shared engine: the one table from which its RTL package and its documentation are rendered."""

from __future__ import annotations

from admmfpga.blocks.registers import MAGIC, Field, Register

__all__ = ["ADDRESS_BITS", "MAGIC", "PACKAGE", "REGISTERS"]

PACKAGE = "engine_registers"
ADDRESS_BITS = 8

REGISTERS = (
    Register(
        "CONTROL",
        0x00,
        "ap_ctrl_hs control",
        (
            Field("AP_START", 0, "rw", "runs one frame; clears itself when the frame is complete"),
            Field("AP_DONE", 1, "cor", "a frame is complete"),
            Field("AP_IDLE", 2, "ro", "no frame runs"),
        ),
    ),
    Register("ID", 0x10, "constant 0x41444d4d: this is an admmfpga accelerator"),
    Register("SHAPE", 0x14, "pe in bits 31:16, simd in bits 15:0"),
    Register("STREAM_LOW", 0x18, "address of the weight stream, a multiple of 4096, low half"),
    Register("STREAM_HIGH", 0x1C, "high half"),
    Register("STREAM_BEATS", 0x20, "beats of the weight stream, each as wide as the port"),
    Register("LIST_LOW", 0x24, "address of the transfer list, a multiple of 4096, low half"),
    Register("LIST_HIGH", 0x28, "high half"),
    Register("TRANSFERS", 0x2C, "transfers in the list"),
    Register("DATA_LOW", 0x30, "address of the activations, a multiple of 4096, low half"),
    Register("DATA_HIGH", 0x34, "high half"),
    Register("COMMANDS", 0x38, "compute commands in the weight stream"),
    Register("CYCLES", 0x3C, "cycles of the latest frame"),
    Register("BUSY", 0x40, "of these, cycles in which the array took a position"),
)
