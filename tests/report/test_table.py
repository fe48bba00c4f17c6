"""Text forms of the report."""

from admmfpga.report.table import format_report, format_table, format_verification


def test_names_left_numbers_right():
    assert format_table(("name", "n"), [("a", "1"), ("bcd", "1,000")]) == ["name      n", "a         1", "bcd   1,000"]


def test_verification_without_clock_or_labels_leaves_cells_empty():
    text = format_verification(
        {"hls": {"frames": 3, "mismatches": 0, "accuracy": None, "latency_cycles": None, "frame_interval_cycles": None}}
    )
    assert text.splitlines()[1].split() == ["hls", "3", "0"]


def test_report_shows_bottleneck_and_source():
    report = {
        "model": {"name": "net", "sha256": "0"},
        "board": "b",
        "part": "p",
        "clock_mhz": 100.0,
        "architecture": "dataflow",
        "latency_cycles": 1234,
        "frame_interval_cycles": 1000,
        "throughput_fps": 100000.0,
        "bottleneck": "fc_pe",
        "bound": {"kind": "lut", "layer": None, "interval_of_bound": 800, "reached": 1000, "ratio": 1.25,
                  "target_interval": None},
        "traffic": {"dram_bytes_in": 90, "dram_bytes_out": 10, "dram_mb_s": 10.0, "dram_mb_s_available": 2100.0,
                    "on_chip": {"weight_bits": 8192, "activation_bits": 0, "stream_bits": 8192}, "on_chip_mb_s": 204.8},
        "energy": {"multiplications": 1.0, "additions": 2.0, "weights": 3.0, "activations": 4.0, "total": 10.0},
        "resources": {n: {"used": 1, "available": 4, "source": "modelled"} for n in ("lut", "ff", "bram18", "dsp")},
        "storage": {"weight_bits": 8192, "index_bits": 0, "dense_fp32_bits": 32768, "best_bits": 4096},
        "layers": [
            {
                "name": "fc", "op": "Dense", "block": "dense_pe", "macs": 1000, "pe": 1, "simd": 2, "rows": 10,
                "columns": 100, "kept_weights": 990, "weight_bits": 8, "cycles": 500, "utilization": 0.5,
                "resources": {"lut": 1, "ff": 2, "bram18": 3, "dsp": 4},
                "storage": {"best": "bitmap", "formats": {"bitmap": {"total": 4096}}},
                "choice": {"kind": "dense", "reason": "csr would cost twice as much",
                           "alternatives": {"dense": {}, "csr": {}}},
                "energy_nj": 9.0,
                "roofline": {"operations_per_byte": 2.0, "peak_gops": 0.4, "attainable_gops": 0.3, "reached_gops": 0.2},
            }
        ],
        "host": [{"op": "Softmax", "axis": -1}],
    }  # fmt: skip
    text = format_report(report)
    assert "1,000 cycles = 100,000 frames/s, set by fc_pe" in text
    assert "50.0 %" in text
    assert "LUT 1/4 (25 %)" in text
    assert "modelled" in text
    assert "Softmax" in text
    assert "fc  dense: csr would cost twice as much" in text
    assert "800 cycles by LUTs; reached 1,000, 25.0 % above" in text
    assert "100 bytes a frame = 10.0 of 2,100 MB/s; on chip 2.00 KiB" in text
    assert "10 nJ a frame" in text
    assert text.splitlines()[-1].split() == ["fc", "2.0", "0.4", "0.3", "0.2", "9"]
    report["layers"][0]["choice"]["alternatives"].pop("csr")
    assert "csr would" not in format_report(report), "nothing was weighed"
