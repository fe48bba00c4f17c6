"""Renders the RTL of a design: the top level and the data path; the block modules are copied as they are."""

from __future__ import annotations

from jinja2 import Environment

from admmfpga.blocks.registers import ADDRESS_BITS, REGISTERS
from admmfpga.mapping import Design, Stage
from admmfpga.resources import resource_dir

TOP = "accelerator"


def rtl_parameters(stage: Stage) -> dict[str, str]:
    """Parameters of a stage's module as SystemVerilog literals; memories by the name of their .mem file."""
    values = {name: str(value) for name, value in stage.block.rtl_parameters().items()}
    files = {name: f'"{memory.name}.mem"' for name, memory in stage.memories.items()}
    return values | files


def render_rtl(design: Design, environment: Environment, *, model_sha256: str) -> dict[str, str]:
    """Files of the build's rtl/ folder by name.

    Args:
        design: what to render.
        environment: the Jinja environment over hls_templates/.
        model_sha256: hex digest that the MODEL register shows the start of.
    """
    axis_in, axis_out = design.formats
    chain = [stage.name for stage in design.stages if stage.block.loads]
    context = {
        "design": design,
        "axis_in": axis_in,
        "axis_out": axis_out,
        "in_beats": design.in_beats,
        "out_beats": design.out_beats,
        "inner": [stream for name, stream in design.streams.items() if name not in ("s_axis", "m_axis")],
        "parameters": rtl_parameters,
        "chain": chain,
        "load_from": dict(zip(chain, ["load", *(f"{name}_load" for name in chain)], strict=False)),
        "model_sha256": model_sha256,
        "address_bits": ADDRESS_BITS,
        "registers": REGISTERS,
    }
    files = block_sources()
    for name in ("accelerator.sv", "dataflow.sv"):
        files[name] = environment.get_template(f"rtl/{name}.j2").render(context)
    files |= render_registers(environment)
    return files


def block_sources() -> dict[str, str]:
    """The modules of all blocks by file name, not those of the shared engine."""
    paths = sorted((resource_dir("hls_templates") / "rtl").glob("*.sv"))
    return {path.name: path.read_text() for path in paths if not path.name.startswith("engine")}


def render_registers(environment: Environment) -> dict[str, str]:
    """The register package, the same for every design."""
    from admmfpga.blocks import registers

    name = "admmfpga_registers.sv"
    return {name: environment.get_template(f"rtl/{name}.j2").render(registers=registers)}


def compile_order(names: list[str]) -> list[str]:
    """File names with packages first, as compilers want them."""
    return sorted(names, key=lambda name: (name != "admmfpga_registers.sv", name))
