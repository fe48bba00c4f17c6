"""What weights that can be exchanged cost: memories with a load port, their loaders and the control registers, by Yosys
beside the model.

python benchmarks/loading.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from admmfpga.blocks import Resources, axi_lite_control
from admmfpga.blocks.base import loader_resources, weight_memory_resources
from admmfpga.codegen.environment import make_environment
from admmfpga.codegen.rtl import compile_order, render_registers
from admmfpga.resources import resource_dir
from admmfpga.tools.yosys import Job, Yosys

FAMILY = "xc7"
MEMORIES = [
    # words, bits, in block RAM
    *((depth, width, False) for depth, width in ((1, 24), (2, 24), (7, 24), (20, 24), (32, 48), (50, 24), (64, 48))),
    *((depth, width, False) for depth, width in ((100, 24), (128, 24), (200, 24), (256, 48), (300, 24))),
    *((depth, width, True) for depth, width in ((100, 48), (600, 40), (1500, 24))),
]
LOADERS = [(16, 24), (100, 30), (1000, 9)]


def main() -> None:
    rows: dict[str, tuple[str, Resources]] = {}
    jobs: dict[str, Job] = {}
    rtl, rng = resource_dir("hls_templates") / "rtl", np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder, images = Path(name), []
        for depth, width, block_ram in MEMORIES:
            for again in (0, 1):
                key = f"m{depth}_{width}_{int(block_ram)}_{again}"
                image = folder / f"{key}.mem"
                words = (int.from_bytes(rng.bytes(-(-width // 8)), "big") >> -width % 8 for _ in range(depth))
                image.write_text("".join(f"{word:0{-(-width // 4)}x}\n" for word in words))
                images.append(image)
                jobs[key] = Job(
                    "weight_memory",
                    {
                        "WIDTH": str(width),
                        "DEPTH": str(depth),
                        "BLOCK_RAM": str(int(block_ram)),
                        "RELOADABLE": str(again),
                        "CONTENTS": f'"{image.name}"',
                    },
                )
                what = (
                    f"{depth} x {width} bits in {'block RAM' if block_ram else 'LUTs'}{', load port' if again else ''}"
                )
                rows[key] = what, weight_memory_resources(depth, width, block_ram=block_ram, reloadable=bool(again))
        for depth, width in LOADERS:
            key = f"l{depth}_{width}"
            jobs[key] = Job("loader", {"WIDTH": str(width), "DEPTH": str(depth)})
            rows[key] = f"loader, {depth} x {width} bits", loader_resources(depth, width)
        for again in (0, 1):
            jobs[f"c{again}"] = Job(axi_lite_control.STEM, {"RELOADABLE": str(again)})
            what = f"control{', with loading' if again else ''}"
            rows[f"c{again}"] = what, axi_lite_control.resources(reloadable=bool(again))
        packages = render_registers(make_environment())
        for file, text in packages.items():
            (folder / file).write_text(text)
        names = ("axi_lite_control.sv", "loader.sv", "ram.sv", "rom.sv", "weight_memory.sv")
        sources = [*(folder / file for file in compile_order(list(packages))), *(rtl / file for file in names)]
        found = Yosys().synthesize(jobs, sources, family=FAMILY, folder=folder, memories=images)
    print(f"Yosys synth_xilinx -family {FAMILY}, then the model")
    print(f"{'':44}{'LUT':>12}{'FF':>12}{'RAMB18':>10}")
    for key, (what, model) in rows.items():
        real = found[key].resources
        pairs = ((real.lut, model.lut, 12), (real.ff, model.ff, 12), (real.bram18, model.bram18, 10))
        print(f"{what:44}" + "".join(f"{f'{a} {b}':>{size}}" for a, b, size in pairs))


if __name__ == "__main__":
    main()
