"""Executables that play vendor tools, and reports in the formats that these write.

The excerpts follow the documented formats, with figures of published reports: Vivado UG906 (Report Utilization), Vitis
HLS UG1399 (output of C synthesis).
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

SEVEN_SERIES = """\
Copyright 1986-2021 Xilinx, Inc. All Rights Reserved.
---------------------------------------------------------------------------------------------------
| Tool Version : Vivado v.2021.2 (lin64) Build 3367213 Tue Oct 19 02:47:39 MDT 2021
| Command      : report_utilization -file utilization.rpt
| Design       : accelerator
| Device       : xc7z020clg400-1
| Design State : Synthesized
---------------------------------------------------------------------------------------------------

1. Slice Logic
--------------

+----------------------------+-------+-------+------------+-----------+-------+
|          Site Type         |  Used | Fixed | Prohibited | Available | Util% |
+----------------------------+-------+-------+------------+-----------+-------+
| Slice LUTs*                | 15852 |     0 |          0 |     53200 | 29.80 |
|   LUT as Logic             | 13970 |     0 |          0 |     53200 | 26.26 |
|   LUT as Memory            |  1882 |     0 |          0 |     17400 | 10.82 |
|     LUT as Distributed RAM |  1882 |     0 |            |           |       |
|     LUT as Shift Register  |     0 |     0 |            |           |       |
| Slice Registers            |  9249 |     0 |          0 |    106400 |  8.69 |
|   Register as Flip Flop    |  9249 |     0 |          0 |    106400 |  8.69 |
|   Register as Latch        |     0 |     0 |          0 |    106400 |  0.00 |
| F7 Muxes                   |   904 |     0 |          0 |     26600 |  3.40 |
+----------------------------+-------+-------+------------+-----------+-------+
* Warning! The Final LUT count, after physical optimizations and full implementation, is typically lower.

2. Memory
---------

+-------------------+------+-------+------------+-----------+-------+
|     Site Type     | Used | Fixed | Prohibited | Available | Util% |
+-------------------+------+-------+------------+-----------+-------+
| Block RAM Tile    | 14.5 |     0 |          0 |       140 | 10.36 |
|   RAMB36/FIFO*    |   14 |     0 |          0 |       140 | 10.00 |
|   RAMB18          |    1 |     0 |          0 |       280 |  0.36 |
+-------------------+------+-------+------------+-----------+-------+

3. DSP
------

+----------------+------+-------+------------+-----------+-------+
|    Site Type   | Used | Fixed | Prohibited | Available | Util% |
+----------------+------+-------+------------+-----------+-------+
| DSPs           |   37 |     0 |          0 |       220 | 16.82 |
|   DSP48E1 only |   37 |       |            |           |       |
+----------------+------+-------+------------+-----------+-------+

7. Primitives
-------------

+----------+------+---------------------+
| Ref Name | Used | Functional Category |
+----------+------+---------------------+
| FDRE     | 9249 |        Flop & Latch |
+----------+------+---------------------+
"""

ULTRASCALE = """\
| Tool Version : Vivado v.2022.1 (lin64) Build 3526262 Mon Apr 18 15:47:01 MDT 2022
+----------------------------+------+-------+-----------+-------+
|          Site Type         | Used | Fixed | Available | Util% |
+----------------------------+------+-------+-----------+-------+
| CLB LUTs*                  | 5365 |     0 |    117120 |  4.58 |
|   LUT as Logic             | 4591 |     0 |    117120 |  3.92 |
| CLB Registers              | 6171 |     0 |    234240 |  2.63 |
|   Register as Flip Flop    | 6171 |     0 |    234240 |  2.63 |
| F9 Muxes                   |    0 |     0 |     29280 |  0.00 |
+----------------------------+------+-------+-----------+-------+
| Block RAM Tile    |    4 |     0 |       144 |  2.78 |
|   RAMB36/FIFO*    |    4 |     0 |       144 |  2.78 |
| DSPs      |    0 |     0 |      1248 |  0.00 |
"""

CSYNTH = """\
<profile>
<ReportVersion>
<Version>2022.2</Version>
</ReportVersion>
<UserAssignments>
<unit>ns</unit>
<Part>xc7z020-clg400-1</Part>
<TopModelName>accelerator</TopModelName>
<TargetClockPeriod>10.00</TargetClockPeriod>
</UserAssignments>
<PerformanceEstimates>
<SummaryOfOverallLatency>
<Worst-caseLatency>undef</Worst-caseLatency>
<Interval-max>undef</Interval-max>
</SummaryOfOverallLatency>
</PerformanceEstimates>
<AreaEstimates>
<Resources>
<BRAM_18K>4</BRAM_18K>
<DSP>171</DSP>
<FF>9744</FF>
<LUT>19834</LUT>
<URAM>0</URAM>
</Resources>
<AvailableResources>
<BRAM_18K>280</BRAM_18K>
<DSP>220</DSP>
<FF>106400</FF>
<LUT>53200</LUT>
<URAM>0</URAM>
</AvailableResources>
</AreaEstimates>
</profile>
"""

VERILOG = """\
module dataflow(input clock, input [7:0] a, output reg [7:0] y);
  reg [7:0] table_ [0:15];
  initial $readmemb("array_ref_1.mem", table_);
  always @(posedge clock) y <= a + table_[a[3:0]];
endmodule
"""

_BANNERS = {
    "vivado": "Vivado v{version} (64-bit)\nSW Build 3367213 on Tue Oct 19 02:47:39 MDT 2021",
    "vitis-run": "****** vitis-run v{version} (64-bit)",
    "vitis_hls": "****** Vitis HLS - High-Level Synthesis from C, C++ and OpenCL v{version} (64-bit)",
    "vivado_hls": "****** Vivado(TM) HLS - High-Level Synthesis from C, C++ and SystemC v{version} (64-bit)",
    "bambu": "  Copyright (C) 2004-2024 Politecnico di Milano\n  Version: PandA {version} - Revision abcdef",
}

_PROGRAM = """\
#!{python}
import os, pathlib, sys, time
name, mode, banner = {name!r}, {mode!r}, {banner!r}
if sys.argv[1:] and sys.argv[1].lstrip("-") == "version":
    print(banner)
    sys.exit(0)
if mode == "hang":
    time.sleep(600)
if mode == "licence":
    print("ERROR: [Common 17-345] A valid license was not found for feature 'Synthesis' and/or device 'xc7z020'.")
    sys.exit(1)
if mode == "error":
    print("ERROR: [Synth 8-439] module 'nothing' not found")
    sys.exit(1)
if mode == "silent":
    sys.exit(0)
if name == "bambu":
    assert "--top-fname=dataflow" in sys.argv, sys.argv
    source = pathlib.Path(sys.argv[1]).read_text()
    assert "mode = axis" in source and "PIPELINE" not in source
    pathlib.Path("array_ref_1.mem").write_text("00000001\\n" * 16)
    pathlib.Path("dataflow.v").write_text({verilog!r})
elif name == "vivado":
    script = pathlib.Path(sys.argv[-1]).read_text()
    print(script)
    for line in script.splitlines():
        if line.startswith("read_"):
            assert pathlib.Path(line[line.index("{{") + 1 : -1]).is_file(), line
    pathlib.Path("utilization.rpt").write_text({utilization!r})
else:
    assert pathlib.Path(sys.argv[-1]).name == "run_hls.tcl"
    print("steps:", os.environ["HLS_STEPS"])
    report = pathlib.Path("build_hls/solution/syn/report/accelerator_csynth.xml")
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text({csynth!r})
"""


def install(
    monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, *, mode: str = "good", version: str = "2023.2"
) -> None:
    """Put an executable that plays a tool in front of PATH.

    Args:
        mode: good, licence (there is none), error, hang, silent (ends well and writes nothing).
    """
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        _PROGRAM.format(
            python=sys.executable,
            name=name,
            mode=mode,
            banner=_BANNERS[name].format(version=version),
            verilog=VERILOG,
            utilization=SEVEN_SERIES,
            csynth=CSYNTH,
        )
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    if str(path.parent) not in os.environ["PATH"]:
        monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")
