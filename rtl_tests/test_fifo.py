"""fifo: as a plain valid/ready FIFO, and behind a pipeline that fills reserved slots some cycles later."""

from dataclasses import dataclass

import cocotb

import bench
from admmfpga.blocks import Fifo


@dataclass(frozen=True, kw_only=True)
class PipelinedFifo(Fifo):
    """A FIFO whose pushes come `delay` cycles after their reservations, and whose memory's kind is free to choose."""

    delay: int = 0
    block_ram: bool = False

    @property
    def core_latency(self):
        return self.delay

    @property
    def latency(self):
        return self.delay + (2 if self.block_ram else 1)

    def rtl_parameters(self):
        return super().rtl_parameters() | {"BLOCK_RAM": int(self.block_ram)}


def _cases():
    depths = (1, 2, 3, 4, 5, 7, 16, 33, 65)
    cases = {}
    for index, (depth, block_ram) in enumerate((depth, ram) for depth in depths for ram in (False, True)):
        delay = (0, 0, 1, 4, 0, 9)[index % 6]
        block = PipelinedFifo(
            lanes=1, bits=(1, 8, 40)[index % 3], beats=97, out_depth=depth, delay=delay, block_ram=block_ram
        )
        cases[f"c{index}"] = bench.Case(block, frames=2)
    return cases


CASES = _cases()


def _instance(name, case, ports, memories):
    """The FIFO behind a delay line that stands for a pipeline without stalls."""
    block = case.block
    parameters = ", ".join(f".{key}({value})" for key, value in block.rtl_parameters().items())
    width, delay = block.source.width, block.delay
    lines = [
        f"  wire {name}_fire = {name}_in_valid && {name}_in_ready;",
        f"  wire {name}_push;",
        f"  wire [{width - 1}:0] {name}_late;",
    ]
    if delay == 0:
        lines.append(f"  assign {{{name}_push, {name}_late}} = {{{name}_fire, {name}_in_data}};")
    else:
        lines += [
            f"  logic [{delay - 1}:0] {name}_moving;",
            f"  always_ff @(posedge clk) {name}_moving <= rst ? '0 : {delay}'({{{name}_moving, {name}_fire}});",
            f"  assign {name}_push = {name}_moving[{delay - 1}];",
            f"  delay #(.WIDTH({width}), .DEPTH({delay})) {name}_delay_i",
            f"      (.clk(clk), .enable(1'b1), .in_data({name}_in_data), .out_data({name}_late));",
        ]
    lines += [
        f"  fifo #({parameters}) {name}_i (.clk(clk), .rst(rst), .reserve({name}_fire), .room({name}_in_ready),",
        f"      .push({name}_push), .in_data({name}_late),",
        f"      .out_valid({name}_out_valid), .out_ready({name}_out_ready), .out_data({name}_out_data));",
    ]
    return "\n".join(lines) + "\n"


@cocotb.test()
@cocotb.parametrize(scenario=list(bench.SCENARIOS))
async def streams(dut, scenario):
    """Values and cycles."""
    await bench.TB(dut, CASES).check(2, *bench.SCENARIOS[scenario])


def test_fifo():
    bench.simulate("test_fifo", CASES, render=_instance)
