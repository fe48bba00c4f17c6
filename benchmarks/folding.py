"""How long the search for foldings takes: chains of convolutions with random weights, up to 50 layers.

    python benchmarks/folding.py [--layers 10 50] [--board zcu104] [--points 20]
    python benchmarks/folding.py --model model.onnx [--calibration images.npz] --board pynq

For each chain: candidates, the least interval and its proof, the bound that it is held against, and the Pareto front.
Times are of this machine, one process.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from admmfpga.blocks.families import using
from admmfpga.boards import Board, load_board
from admmfpga.frontend import load
from admmfpga.mapping import Folding, axis_formats, candidates_by_layer, wrapper_resources
from admmfpga.mapping.bounds import folding_bounds, stream_bounds, vectors
from admmfpga.mapping.candidates import Refinement
from admmfpga.mapping.folding import usable
from admmfpga.mapping.front import pareto_front
from admmfpga.mapping.search import Refine, fold
from admmfpga.network import Conv, IntType, Network, Requantization, Tensor, compact, plain


def chain(layers: int, rng: np.random.Generator) -> Network:
    """3x3 convolutions on 32 x 32 images as ResNets have them, 16 to 64 channels; 4-bit weights."""
    network = Network("chain", ("input",), ())
    shape, dtype, name = (32, 32, 16), IntType(4, False), "input"
    network.tensors[name] = Tensor(name, shape, dtype)
    for index in range(layers):
        stage = 3 * index // layers
        channels, size = 16 << stage, 32 >> stage
        stride = 2 if shape[0] != size else 1
        weights = rng.integers(-7, 7, (channels, 3, 3, shape[2]), endpoint=True)
        ones = np.ones(channels, dtype=np.int64)
        rule = Requantization(0 * ones, 300 * ones, 16, 0, 0, 15, dtype)
        out = f"conv{index}_out"
        pads = (1, 1, 1, 1) if stride == 1 else (0, 0, 1, 1)
        network.nodes.append(Conv(f"conv{index}", (name,), out, weights, (stride, stride), pads, 0, rule))
        shape, name = (size, size, channels), out
        network.tensors[name] = Tensor(name, shape, dtype)
    network.outputs = (name,)
    network.verify()
    return network


def finer(path: Path, images: Path | None, board: Board) -> None:
    """Print the least frame interval over more and more kinds of foldings."""
    calibration = None if images is None else np.load(images)["images"]
    network = compact(plain(load(path, calibration=calibration).network))
    every = candidates_by_layer(network, ("dense",))
    fixed = wrapper_resources()
    least = max(bound.interval for bound in stream_bounds(network, axis_formats(network, 1), None))

    def interval(wanted: Callable[[Folding], bool], refine: Refine | None = None) -> int:
        layers = {name: [c for c in options if wanted(c.folding)] for name, options in every.items()}
        found = fold(layers, board.resources, fixed, board=board.name, least_useful=least, refine=refine)
        return max(found.interval, least)

    refinement = Refinement(network)
    rows = {
        "a product a DSP block": interval(lambda folding: folding.pack == 1),
        "several products a DSP block": interval(lambda _: True),
        "sizes that do not divide, mixtures": interval(lambda _: True, refinement),
    }
    bounds = folding_bounds(
        refinement(every, rows["sizes that do not divide, mixtures"]), usable(board.resources), fixed, vectors(network)
    )
    rows |= {f"bound: {bound.kind}": bound.interval for bound in bounds}
    print(json.dumps(rows, indent=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, nargs="+", default=[10, 50])
    parser.add_argument("--board", default="zcu104")
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--model", type=Path, help="instead: what finer foldings of dense PEs gain for this network")
    parser.add_argument("--calibration", type=Path, help="NPZ with images, for a float model")
    arguments = parser.parse_args()
    board = load_board(arguments.board)
    if arguments.model:
        with using(board.family):
            finer(arguments.model, arguments.calibration, board)
        return
    for layers in arguments.layers:
        network = chain(layers, np.random.default_rng(0))
        row: dict[str, object] = {"layers": layers, "board": board.name}
        with using(board.family):
            fixed, limit = wrapper_resources(), usable(board.resources)
            began = time.process_time()
            found = candidates_by_layer(network, ("dense",))
            row["candidates"] = sum(map(len, found.values()))
            row["candidates_s"] = _since(began)
            began = time.process_time()
            choice = fold(found, board.resources, fixed, board=board.name)
            row |= {"interval": choice.interval, "least_interval_proven": choice.least_interval}
            row |= {"price_gap": choice.price_gap, "search_s": _since(began)}
            began = time.process_time()
            bounds = folding_bounds(found, limit, fixed)
            row |= {"bounds": {b.kind: b.interval for b in bounds}, "bounds_s": _since(began)}
            began = time.process_time()
            front = pareto_front(found, board.resources, fixed, board=board.name, points=arguments.points)
            row |= {"front": len(front), "front_s": _since(began)}
        print(json.dumps(row), flush=True)


def _since(began: float) -> float:
    return round(time.process_time() - began, 2)


if __name__ == "__main__":
    main()
