"""What `compare` concludes from figures, and its CSV, HTML and charts."""

import csv
import io
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from admmfpga.report.charts import Axis, Series, grouped_bars, linear, logarithmic, number, scatter, stacked_bars
from admmfpga.report.comparison import classify, finish, format_comparison, pairs, to_csv, verdict
from admmfpga.report.page import to_html
from admmfpga.report.storage import layer_storage, network_storage


def pruned(kind, rate, seed=0):
    """A 40 x 60 matrix of 4 bits."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(1, 8, (40, 60)) * rng.choice((-1, 1), (40, 60))
    if kind == "structured":
        weights[round(40 / rate) :] = 0
    if kind == "non-structured":
        weights.reshape(-1)[rng.permutation(2400)[round(2400 / rate) :]] = 0
    return weights


def network(name, kind, rate, interval, accuracy=None, bits="4"):
    """A row as `compare_models` makes it; interval None does not fit."""
    storage = layer_storage(pruned(kind, rate))
    layer = {
        "name": "fc", "op": "Dense", "rows": 40, "columns": 60, "vectors": 1, "macs": storage["kept"],
        "dense_macs": 2400, "storage": storage, "pruning_rate": 2400 / storage["kept"],
    }  # fmt: skip
    total = network_storage([storage]) | {"block": storage["kept_rows"] * storage["kept_columns"]}
    design = {"pe": "dense", "fits": False, "reason": "does not fit made: lut 9 of 1 usable"}
    if interval is not None:
        design = {
            "pe": "dense", "fits": True, "reason": "", "frame_interval_cycles": interval, "latency_cycles": interval,
            "cycles_source": "closed form (exact)", "throughput_fps": 1e8 / interval, "bottleneck": "fc_pe",
            "share": 0.5, "energy_nj": {"multiplications": interval / 10, "total": interval / 10},
            "resources": {n: {"used": 7, "source": "modelled"} for n in ("lut", "ff", "bram18", "dsp")},
            "layers": [{
                "name": "fc", "block": "dense_pe", "pe": 1, "simd": 2, "cycles": interval, "utilization": 1.0,
                "resources": {"lut": 1, "ff": 2, "bram18": 3, "dsp": 4}, "energy_nj": 5.0,
            }],
        }  # fmt: skip
    front = [{"frame_interval_cycles": 9, "throughput_fps": 9.0, "resources": {}, "share": 0.5}]
    return {
        "name": name, "file": f"{name}.onnx", "sha256": "0", "kind": kind, "reason": "made", "bits": bits,
        "storage": total, "macs": storage["kept"], "dense_macs": 2400, "accuracy": accuracy, "images": 100,
        "needed_ratio_relative4": 2.0, "layers": [layer], "designs": [design],
        "best_pe": None if interval is None else "dense", "pareto": front if interval else [],
    }  # fmt: skip


def compared(*rows, dense_interval=1000):
    dense = {"name": "d", "basis": "given", "positions": 2400, "macs": 2400, "frame_interval_cycles": dense_interval}
    finish(rows, dense)
    found = pairs(rows)
    return {
        "board": "made", "part": "p", "family": "xc7", "clock_mhz": 100.0, "budget": {"lut": 10, "ff": 10},
        "budget_given": {}, "dense": dense, "networks": list(rows), "pairs": found,
        "verdict": verdict(rows, found, dense),
        "energy": {"assumptions": ["made"], "costs": [
            {"operation": "add", "picojoules": 1.0, "scaling": "with the width", "source": "made"}]},
    }  # fmt: skip


@pytest.mark.parametrize(
    "reference, block, kept, kind",
    [
        (430500, 369500, 334924, "dense"),
        (430500, 8540, 8436, "structured"),
        (430500, 57000, 6039, "non-structured"),
        (1000, 500, 400, "structured"),
        (1000, 900, 300, "non-structured"),
        (1000, 0, 0, "structured"),
    ],
)
def test_kind_is_what_accounts_for_most_of_the_rate(reference, block, kept, kind):
    assert classify(reference, block, kept)[0] == kind


def test_rates_and_ppr():
    row = network("n", "non-structured", 10, 250)
    compared(row)
    assert row["pruning_rate"] == 10
    assert row["designs"][0]["speed_up"] == 4
    assert row["designs"][0]["ppr"] == 2.5
    assert row["designs"][0]["ppr_macs"] == 2.5


def test_smaller_and_faster_wins_both():
    found = compared(network("n", "non-structured", 10, 250), network("s", "structured", 8, 125))
    pair = found["pairs"][0]
    assert (pair["storage"], pair["computation"], pair["energy"]) == ("structured",) * 3
    assert found["verdict"].startswith("Structured pruning wins storage and computation.")
    assert pair["ratio"] == 1.25
    # What is needed is the ratio of bits per weight: the wins on both sides of it agree.
    assert pair["needed_ratio"] > pair["ratio"]
    assert "10.0x non-structured" in found["verdict"]
    assert "PPR 2.50 against 1.00" in found["verdict"]


def test_enough_pruning_makes_non_structured_smaller():
    found = compared(network("n", "non-structured", 40, 250), network("s", "structured", 4, 125))
    pair = found["pairs"][0]
    assert pair["ratio"] > pair["needed_ratio"]
    assert found["verdict"].startswith("Storage: non-structured wins. Computation: structured wins.")


@given(st.integers(2, 60), st.integers(2, 20), st.integers(1, 999), st.integers(1, 999))
def test_verdict_follows_from_the_numbers(rate_n, rate_s, cycles_n, cycles_s):
    found = compared(network("n", "non-structured", rate_n, cycles_n), network("s", "structured", rate_s, cycles_s))
    n, s = found["networks"]
    pair = found["pairs"][0]
    assert (pair["storage"] == "non-structured") == (n["storage"]["best_bits"] < s["storage"]["best_bits"])
    assert (pair["computation"] == "non-structured") == (cycles_n < cycles_s)
    # The paper's criterion: r_n / PPR_n > r_s / PPR_s.
    margin = n["pruning_rate"] / n["designs"][0]["ppr"] - s["pruning_rate"] / s["designs"][0]["ppr"]
    if cycles_n != cycles_s:
        assert (pair["computation"] == "non-structured") == (margin > 0)


def test_what_does_not_fit_loses():
    found = compared(network("n", "non-structured", 10, None), network("s", "structured", 8, 125))
    assert found["pairs"][0]["computation"] == "structured"
    assert "n does not fit." in found["verdict"]
    both = compared(network("n", "non-structured", 10, None), network("s", "structured", 8, None))
    assert "neither fits" in both["verdict"]


def test_no_ppr_without_a_dense_design():
    found = compared(network("n", "non-structured", 10, 5), network("s", "structured", 8, 5), dense_interval=None)
    assert found["networks"][0]["designs"][0]["ppr"] is None
    assert "PPR" not in found["verdict"]
    assert "there is no speed-up" in format_comparison(found)
    assert "PPR against density" not in to_html(found)


def test_one_kind_alone_is_not_a_comparison():
    found = compared(network("d", "dense", 1, 1000), network("s", "structured", 8, 125))
    assert found["pairs"] == []
    assert "no non-structured network" in found["verdict"].lower()
    assert "PPR 1.00" in found["verdict"]


def test_the_fairest_pair_comes_first():
    rows = (
        network("n", "non-structured", 10, 5, 0.99),
        network("other bits", "structured", 8, 5, 0.99, bits="8"),
        network("far", "structured", 8, 5, 0.95),
        network("near", "structured", 8, 5, 0.9895),
    )
    found = compared(*rows)
    assert [pair["structured"] for pair in found["pairs"]] == ["near", "far", "other bits"]
    assert "equal within 0.1 %: 99.00 % against 98.95 % of 100 images" in found["verdict"]
    assert "not equal" in found["pairs"][1]["verdict"]


def test_csv_has_a_line_a_network_and_layer():
    found = compared(network("n", "non-structured", 10, 250), network("s", "structured", 8, None))
    lines = list(csv.DictReader(io.StringIO(to_csv(found))))
    assert [(line["network"], line["layer"]) for line in lines] == [
        ("n", "all"), ("n", "fc"), ("s", "all"), ("s", "fc"),
    ]  # fmt: skip
    assert lines[0]["ppr"] == "2.5"
    assert lines[0]["cycles"] == lines[1]["cycles"] == "250"
    assert lines[2]["cycles"] == ""
    assert lines[0]["csr_bits"] == lines[1]["csr_bits"] != ""


class Page(HTMLParser):
    """Tags, and whatever would be fetched."""

    def __init__(self):
        super().__init__()
        self.tags, self.fetched, self.open = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.fetched += [v for n, v in attributes if n in ("src", "href", "data", "srcset", "action")]
        if tag not in ("meta", "link", "br", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag


def test_page_is_whole_and_needs_nothing_else():
    found = compared(
        network("d", "dense", 1, 1000), network("n<1>", "non-structured", 10, 250), network("s", "structured", 8, None)
    )
    html = to_html(found)
    page = Page()
    page.feed(html)
    assert page.open == []
    assert page.fetched == []
    assert "script" not in page.tags
    assert "@import" not in html
    assert "url(" not in html
    assert page.tags.count("svg") == 6
    assert "n&lt;1&gt;" in html
    assert "n<1>" not in html
    assert "does not fit made" in html
    for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        ElementTree.fromstring(svg)


def test_text_names_every_network():
    text = format_comparison(compared(network("n", "non-structured", 10, 250), network("s", "structured", 8, None)))
    assert "dense does not fit" in text
    assert re.search(r"^n .*10\.0x.* 4\.00x +2\.50", text, re.MULTILINE)


def test_text_tells_what_is_too_large_from_what_cannot_be_built():
    found = compared(network("n", "non-structured", 10, 250), network("s", "structured", 8, None))
    refused = next(design for row in found["networks"] for design in row["designs"] if not design["fits"])
    refused["reason"] = "fc: fc has weights other than -1, 0 and +1"
    text = format_comparison(found)
    assert "dense cannot build it" in text
    assert "dense does not fit" not in text


@given(st.floats(1e-3, 1e9), st.floats(1.01, 1e6), st.booleans())
def test_ticks_lie_inside_and_there_are_some(low, factor, log):
    axis = Axis(low if log else 0.0, low * factor, 0, 100, log)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 30
    assert all(-1e-6 <= axis(tick) <= 100 + 1e-6 for tick in ticks)


def test_axes_hold_their_values():
    assert logarithmic([3, 300], 0, 100)(3) > 0
    assert logarithmic([3, 300], 0, 100)(300) < 100
    assert linear([5], 100, 0)(0) == 100


def heights(svg):
    bars = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}rect")
    return [float(bar.get("height")) for bar in bars if len(bar)]


def test_bars_are_as_high_as_their_amounts():
    a, b, c = heights(stacked_bars("t", "KiB", {"x": {"p": 10, "q": 30}, "y": {"p": 20, "q": 0}}))
    assert b == pytest.approx(3 * a, abs=0.3)
    assert c == pytest.approx(2 * a, abs=0.3)
    a, b = heights(grouped_bars("t", "cycles", {"fc": {"n": 5, "s": 15}}))
    assert b == pytest.approx(3 * a, abs=0.3)


def test_scatter_escapes_and_places():
    svg = scatter("t", "x", "y", [Series("a&b", [(1, 1), (100, 10)], joined=True)], log_x=True, level=5.0)
    root = ElementTree.fromstring(svg)
    circles = list(root.iter("{http://www.w3.org/2000/svg}circle"))
    assert float(circles[0].get("cx")) < float(circles[1].get("cx"))
    assert float(circles[0].get("cy")) > float(circles[1].get("cy"))


@pytest.mark.parametrize(
    "value, text", [(0, "0"), (0.125, "0.125"), (950, "950"), (1234, "1,234"), (56789, "56.8k"), (2.5e6, "2.5M")]
)
def test_numbers_on_axes(value, text):
    assert number(value) == text
