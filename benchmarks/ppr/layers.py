"""Layers that PPR is measured on: shapes, masks, one-layer networks."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from admmfpga.blocks import Resources
from admmfpga.boards import load_board
from admmfpga.mapping.folding import usable
from admmfpga.network import IntArray, IntType, Network
from made import NetworkMaker

BOARD = "pynq"
BITS = (1, 2, 4, 8)
DENSITIES = (0.01, 0.03, 0.1, 0.25, 0.5)
PATTERNS = ("random", "blocked2", "blocked4", "structured")
"""Masks: any weight, blocks of 2 or 4 adjacent rows, whole rows and columns."""
NONE = "none"
"""The pattern of a layer that is not pruned."""
FORMATS = ("csr", "relative", "bitmap")
"""Index formats of a row; blocks of rows have absolute indices, as row_blocked2 and row_blocked4."""
ACTIVATIONS = IntType(8, False)


@dataclass(frozen=True)
class Shape:
    """A layer.

    Attributes:
        rows, columns: of the GEMM matrix.
        image: height and width of a convolution's input; None for a dense layer.
        kernel: of a convolution, square.
        share: of the board that the layer may take.
        free_block_ram: block RAM does not limit it, as if weights came from elsewhere.
    """

    rows: int
    columns: int
    share: float
    image: int | None = None
    kernel: int = 1
    free_block_ram: bool = False

    @property
    def name(self) -> str:
        kind = "fc" if self.image is None else f"conv{self.kernel}x{self.kernel}"
        return f"{kind} {self.rows}x{self.columns}"

    @property
    def budget(self) -> str:
        """Short, for tables."""
        part = f"1/{round(1 / self.share)}" if self.share < 1 else "all"
        return part + (", any BRAM" if self.free_block_ram else "")

    @property
    def limit(self) -> Resources:
        """Resources that the layer may take."""
        found = {name: int(self.share * n) for name, n in usable(load_board(BOARD).resources).as_dict().items()}
        if self.free_block_ram:
            found["bram18"] = 1 << 30
        return Resources(**found)


FC = Shape(256, 1024, 1 / 2)
CONV = Shape(50, 500, 1 / 4, image=12, kernel=5)
LARGE = Shape(1024, 4096, 1)
SHAPES = (
    FC,
    CONV,
    Shape(64, 576, 1 / 4, image=16, kernel=3),
    Shape(16, 72, 1 / 8, image=16, kernel=3),
    Shape(10, 84, 1 / 16),
    LARGE,
    replace(LARGE, free_block_ram=True),
)
SHARES = tuple(
    replace(shape, share=share, free_block_ram=True)
    for shape in (FC, CONV)
    for share in (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
)
"""Two shapes under budgets of many sizes, weights of `SHARE_BITS` and density `SHARE_DENSITY`."""
SHARE_BITS, SHARE_DENSITY = 4, 0.1


def kept_block(shape: Shape, density: float) -> tuple[int, int]:
    """Rows and columns of a structured mask: of both about the same share, rows a multiple of four where there are
    enough (recipes choose such counts: odd ones fold badly)."""
    wanted = density * shape.rows * shape.columns
    step = 4 if shape.rows * np.sqrt(density) >= 8 else 1
    rows = int(max(step, min(shape.rows, step * round(shape.rows * np.sqrt(density) / step))))
    columns = wanted / rows
    step = 4 if columns >= 16 else 1
    return rows, int(max(1, min(shape.columns, step * round(columns / step))))


def mask_of(shape: Shape, pattern: str, density: float) -> IntArray:
    """A mask of 0 and 1 (rows, columns); rows that a structured one leaves out are not there any more."""
    seed = zlib.crc32(f"{shape.rows} {shape.columns} {pattern} {density}".encode())
    rng = np.random.default_rng(seed)
    if pattern == "structured":
        rows, columns = kept_block(shape, density)
        mask = np.zeros((rows, shape.columns), dtype=np.int64)
        mask[:, rng.choice(shape.columns, columns, replace=False)] = 1
        return mask
    height = int(pattern.removeprefix("blocked")) if pattern != "random" else 1
    blocks = -(-shape.rows // height)
    kept = np.zeros(blocks * shape.columns, dtype=np.int64)
    kept[rng.choice(kept.size, max(1, round(density * kept.size)), replace=False)] = 1
    # A row block that is filled up has rows beyond the matrix.
    return np.repeat(kept.reshape(blocks, shape.columns), height, axis=0)[: shape.rows]


def weights_of(mask: IntArray, bits: int) -> IntArray:
    """Random weights of `bits` bits, none of them zero where the mask is not: -1 and +1 for one bit."""
    top = max(1, (1 << (bits - 1)) - 1)
    rng = np.random.default_rng(bits)
    return rng.integers(1, top, mask.shape, endpoint=True) * rng.choice(np.array([-1, 1]), mask.shape) * mask


def network_of(shape: Shape, mask: IntArray, bits: int) -> Network:
    """A network of one layer with these weights."""
    rng, matrix = np.random.default_rng(0), weights_of(mask, bits)
    rows, columns = matrix.shape
    if shape.image is None:
        network = NetworkMaker((columns,), ACTIVATIONS, rng, shape.name).dense(rows, bits=max(2, bits)).done()
    else:
        channels = columns // shape.kernel**2
        maker = NetworkMaker((shape.image, shape.image, channels), ACTIVATIONS, rng, shape.name)
        network = maker.conv(rows, (shape.kernel, shape.kernel), bits=max(2, bits)).done()
    node = network.nodes[0]
    node.weights[:] = matrix.reshape(node.weights.shape)
    return network


@dataclass(frozen=True)
class Case:
    """A mask on a layer, for some numbers of bits.

    Attributes:
        pattern: "none" where nothing is pruned, else one of `PATTERNS`.
        formats: index formats of csr_pe that are tried.
    """

    shape: Shape
    pattern: str
    density: float
    bits: tuple[int, ...] = BITS
    formats: tuple[str, ...] = FORMATS

    @property
    def mask(self) -> IntArray:
        if self.pattern == NONE:
            return np.ones((self.shape.rows, self.shape.columns), dtype=np.int64)
        return mask_of(self.shape, self.pattern, self.density)


def cases() -> Iterator[Case]:
    """The whole grid."""
    for shape in SHAPES:
        yield Case(shape, NONE, 1.0)
        for density in DENSITIES:
            for pattern in PATTERNS:
                height = int(pattern.removeprefix("blocked")) if pattern.startswith("blocked") else 1
                # Blocks of rows have to come out even, or nothing is saved at the edge.
                if shape.rows % height == 0 and (height == 1 or 0.01 < density < 0.5):
                    yield Case(shape, pattern, density)
    for shape in SHARES:
        for pattern in (NONE, "random", "structured"):
            density = 1.0 if pattern == NONE else SHARE_DENSITY
            yield Case(shape, pattern, density, (SHARE_BITS,), FORMATS[:1])
