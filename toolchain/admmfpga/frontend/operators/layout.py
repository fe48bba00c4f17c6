"""Operators that only move numbers. Most are numpy's operation of the same name on `positions` and cost nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import floor, prod

import numpy as np
import numpy.typing as npt

from admmfpga.frontend.context import NodeView, is_plain
from admmfpga.frontend.problems import Unsupported
from admmfpga.frontend.values import (
    Affine,
    Codes,
    Const,
    GraphInput,
    HostOutput,
    Joined,
    Mapped,
    QuantConst,
    Value,
)
from admmfpga.network import IntArray

Move = Callable[[IntArray], IntArray]

LARGEST_RESULT = 1 << 26
"""Elements that a movement may produce."""


def moved(node: NodeView, move: Move) -> Value:
    """A value after a movement."""
    x = node.value(0)
    try:
        if isinstance(x, GraphInput | Codes | Affine | Mapped | Joined | HostOutput):
            positions = move(x.positions)
            if positions.size == 0:
                raise Unsupported("its result is empty", "remove it")
            return replace(x, positions=np.asarray(positions))
        if isinstance(x, QuantConst):
            return _moved_constant(x, move)
    except (ValueError, IndexError, TypeError, MemoryError) as error:
        raise Unsupported(
            f"this shape does not fit: {error}", "is the batch size fixed? export with batch size 1 or a dynamic one"
        ) from None
    raise Unsupported("moves a constant that cannot be computed", "fold it before export")


def _moved_constant(x: QuantConst, move: Move) -> QuantConst:
    codes = move(x.codes)
    if x.scale.ndim == 0:
        return replace(x, codes=codes)
    along = [1] * x.codes.ndim
    along[x.axis] = -1
    index = move(np.broadcast_to(np.arange(len(x.scale)).reshape(along), x.codes.shape))
    for axis, count in enumerate(codes.shape):
        shape = [1] * codes.ndim
        shape[axis] = -1
        if count == len(x.scale) and np.array_equal(
            index, np.broadcast_to(np.arange(count).reshape(shape), codes.shape)
        ):
            return QuantConst(codes, x.scale, axis)
    raise Unsupported("reshapes weights so that their scales no longer belong to one axis", "reshape before quantizing")


def reshape(node: NodeView) -> Value:
    target = node.integers(1, "shape")
    keep_zero = bool(int(node.attribute("allowzero", 0)))

    def shape(old: tuple[int, ...]) -> list[int]:
        return [old[i] if d == 0 and not keep_zero and i < len(old) else d for i, d in enumerate(target)]

    return moved(node, lambda array: array.reshape(shape(array.shape)))


def flatten(node: NodeView) -> Value:
    axis = int(node.attribute("axis", 1))

    def move(array: IntArray) -> IntArray:
        cut = axis + array.ndim if axis < 0 else axis
        return array.reshape(prod(array.shape[:cut]), -1)

    return moved(node, move)


def transpose(node: NodeView) -> Value:
    permutation = node.attribute("perm", None)
    return moved(node, lambda array: array.transpose(permutation))


def squeeze(node: NodeView) -> Value:
    axes = tuple(node.integers(1, "axes")) if node.has(1) else None
    return moved(node, lambda array: array.squeeze(axes))


def unsqueeze(node: NodeView) -> Value:
    axes = tuple(node.integers(1, "axes"))
    return moved(node, lambda array: np.expand_dims(array, axes))


def expand(node: NodeView) -> Value:
    target = node.integers(1, "shape")
    if prod(max(n, 1) for n in target) > LARGEST_RESULT:
        raise Unsupported(f"expands to {target}", "the file is damaged")
    return moved(node, lambda array: np.broadcast_to(array, np.broadcast_shapes(array.shape, tuple(target))))


def slice_(node: NodeView) -> Value:
    starts, ends = node.integers(1, "starts"), node.integers(2, "ends")
    axes = node.integers(3, "axes") if node.has(3) else list(range(len(starts)))
    steps = node.integers(4, "steps") if node.has(4) else [1] * len(starts)

    def move(array: IntArray) -> IntArray:
        cut = [slice(None)] * array.ndim
        for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
            # An end before the first element, with a negative step, is written as a very negative number.
            stop = None if step < 0 and end < -array.shape[axis] else end
            cut[axis] = slice(start, stop, step)
        return array[tuple(cut)]

    return moved(node, move)


def split(node: NodeView) -> list[Value]:
    x = node.value(0)
    if not isinstance(x, GraphInput | Codes | Affine | Mapped | Joined):
        raise Unsupported("splits a constant", "fold it before export")
    axis = int(node.attribute("axis", 0))
    if not -x.positions.ndim <= axis < x.positions.ndim:
        raise Unsupported(f"axis {axis} of a tensor of shape {x.positions.shape}")
    length, count = x.positions.shape[axis], len(node.proto.output)
    given = node.attribute("split", None)
    sizes = [int(n) for n in given] if given is not None else node.integers(1, "split") if node.has(1) else None
    if sizes is None:
        each = -(-length // count)
        sizes = [min(each, max(length - i * each, 0)) for i in range(count)]
    if sum(sizes) != length or min(sizes) < 1:
        raise Unsupported(f"pieces of {sizes} of {length}", "every piece needs an element")
    parts = np.split(x.positions, np.cumsum(sizes)[:-1], axis)
    return [replace(x, positions=part) for part in parts]


def depth_to_space(node: NodeView) -> Value:
    block, mode = int(node.attribute("blocksize", 1)), node.attribute("mode", "DCR")

    def move(array: IntArray) -> IntArray:
        n, channels, height, width = array.shape
        if mode == "DCR":
            parts = array.reshape(n, block, block, channels // block**2, height, width).transpose(0, 3, 4, 1, 5, 2)
        else:
            parts = array.reshape(n, channels // block**2, block, block, height, width).transpose(0, 1, 4, 2, 5, 3)
        return parts.reshape(n, channels // block**2, height * block, width * block)

    if block < 1:
        raise Unsupported(f"blocksize {block}")
    return moved(node, move)


def space_to_depth(node: NodeView) -> Value:
    block = int(node.attribute("blocksize", 1))
    mode = node.attribute("mode", "DCR")
    if mode not in ("DCR", "CRD"):
        raise Unsupported(f"mode={mode}", "DCR and CRD are possible")

    def move(array: IntArray) -> IntArray:
        n, channels, height, width = array.shape
        parts = array.reshape(n, channels, height // block, block, width // block, block)
        order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
        return parts.transpose(order).reshape(n, channels * block**2, height // block, width // block)

    if block < 1:
        raise Unsupported(f"blocksize {block}")
    return moved(node, move)


# Nearest-neighbour resizing


def upsample(node: NodeView) -> Value:
    if node.attribute("mode", "nearest") != "nearest":
        raise Unsupported(f"mode={node.attribute('mode', '')}", "only nearest-neighbour resizing is possible")
    scales = node.attribute("scales", None)
    factors = [float(s) for s in (node.constant(1, "scales").ravel() if scales is None else scales)]
    return _resized(node, factors, None, "asymmetric", "floor", None)


def resize_10(node: NodeView) -> Value:
    if node.attribute("mode", "nearest") != "nearest":
        raise Unsupported(f"mode={node.attribute('mode', '')}", "only nearest-neighbour resizing is possible")
    return _resized(node, node.constant(1, "scales").ravel().tolist(), None, "asymmetric", "floor", None)


def resize(node: NodeView) -> Value:
    mode = node.attribute("mode", "nearest")
    if mode != "nearest":
        raise Unsupported(f"mode={mode}", "only nearest-neighbour resizing is possible")
    sizes = node.integers(3, "sizes") if node.has(3) else None
    scales = node.constant(2, "scales").ravel().tolist() if node.has(2) else None
    if sizes is not None and not sizes:
        sizes = None
    if (sizes is None) == (not scales):
        raise Unsupported("it has no scales and no sizes", "export the model again")
    return _resized(
        node,
        None if sizes is not None else scales,
        sizes,
        node.attribute("coordinate_transformation_mode", "half_pixel"),
        node.attribute("nearest_mode", "round_prefer_floor"),
        None if (axes := node.attribute("axes", None)) is None else [int(a) for a in axes],
        node.attribute("keep_aspect_ratio_policy", "stretch"),
    )


def _resized(
    node: NodeView,
    scales: list[float] | None,
    sizes: list[int] | None,
    coordinates: str,
    rounding: str,
    axes: list[int] | None,
    policy: str = "stretch",
) -> Value:
    if policy not in ("stretch", "not_larger", "not_smaller"):
        raise Unsupported(f"keep_aspect_ratio_policy={policy}", "use stretch, not_larger or not_smaller")
    if coordinates not in ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"):
        raise Unsupported(f"coordinate_transformation_mode={coordinates}", "use half_pixel or asymmetric")

    def move(array: IntArray) -> IntArray:
        chosen = list(range(array.ndim)) if axes is None else [a % array.ndim for a in axes]
        given = scales if scales is not None else sizes
        assert given is not None
        if len(given) != len(chosen):
            raise ValueError(f"{len(given)} factors for {len(chosen)} axes")
        common = None
        if sizes is not None and policy != "stretch":
            # One factor for all axes: the sizes are bounds.
            factors = [size / array.shape[axis] for size, axis in zip(sizes, chosen, strict=True)]
            common = min(factors) if policy == "not_larger" else max(factors)
        for position, axis in enumerate(chosen):
            old = array.shape[axis]
            if scales is not None:
                scale = float(scales[position])
                if not 0 < scale < 2**16:
                    raise ValueError(f"a factor of {scale:g}")
                new = floor(old * scale)
            else:
                assert sizes is not None
                new = sizes[position] if common is None else floor(old * common + 0.5)
                scale = new / old if common is None else common
            if new < 1 or new * (array.size // old) > LARGEST_RESULT:
                raise ValueError(f"{new} of {old}")
            if new != old or scale != 1.0:
                array = array.take(_nearest(old, new, scale, coordinates, rounding), axis=axis)
        return array

    return moved(node, move)


def _nearest(old: int, new: int, scale: float, coordinates: str, rounding: str) -> IntArray:
    """Which of `old` elements each of `new` ones is."""
    at: npt.NDArray[np.float64] = np.arange(new, dtype=np.float64)
    if coordinates == "half_pixel":
        at = (at + 0.5) / scale - 0.5
    elif coordinates == "half_pixel_symmetric":
        adjustment = new / (scale * old)
        at = old / 2 * (1 - adjustment) + (at + 0.5) / scale - 0.5
    elif coordinates == "pytorch_half_pixel":
        at = (at + 0.5) / scale - 0.5 if new > 1 else np.zeros(1)
    elif coordinates == "align_corners":
        at = at * (old - 1) / (new - 1) if new > 1 else np.zeros(1)
    else:
        at = at / scale
    match rounding:
        case "round_prefer_floor":
            nearest = np.ceil(at - 0.5)
        case "round_prefer_ceil":
            nearest = np.floor(at + 0.5)
        case "floor":
            nearest = np.floor(at)
        case "ceil":
            nearest = np.ceil(at)
        case _:
            raise ValueError(f"nearest_mode={rounding}")
    return np.clip(nearest, 0, old - 1).astype(np.int64)


# Joining and borders


def concat(node: NodeView) -> Value:
    values: list[Codes | Affine | Mapped | Const] = []
    codes_only = all(isinstance(v, Codes) for v in node.inputs)
    for index in range(len(node.inputs)):
        x = node.value(index)
        if isinstance(x, GraphInput | Joined):
            x = node.activation(index)
        if isinstance(x, Const | QuantConst):
            x = Const(node.constant(index, "constant operand").astype(np.float32))
        if not isinstance(x, Codes | Affine | Mapped | Const):
            raise Unsupported("joins what the host computes", "cut the model before that operator")
        if isinstance(x, Codes) and not codes_only:
            raise Unsupported("joins codes and real numbers", "put DequantizeLinear in front of it")
        values.append(x)
    if len(values) == 1 and not isinstance(values[0], Const):
        return values[0]
    shapes = [v.array.shape if isinstance(v, Const) else v.positions.shape for v in values]
    rank = len(shapes[0])
    axis = int(node.attribute("axis", 0))
    if not -rank <= axis < rank or any(len(shape) != rank for shape in shapes):
        raise Unsupported(f"axis {axis} of tensors of {rank} dimensions")
    axis %= rank
    if len({(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}) > 1:
        raise Unsupported("joins tensors whose other axes differ", "the file is damaged")
    builder = node.builder
    if codes_only:
        parts = [v for v in values if isinstance(v, Codes)]
        if len({builder.tensor(v.tensor).dtype for v in parts}) > 1:
            raise Unsupported("joins codes of different types", "quantize all to one type")
        return builder.joined(parts, axis)
    reals = tuple(v for v in values if not isinstance(v, Codes))
    first = reals[0]
    if isinstance(first, Affine) and all(not isinstance(v, Const) and _alike(node, first, v) for v in reals):
        joined = builder.joined([Codes(v.tensor, v.positions) for v in reals if not isinstance(v, Const)], axis)
        shape = builder.tensor(joined.tensor).shape
        return replace(first, tensor=joined.tensor, shape=shape, positions=joined.positions, source="").spread(
            shape[-1]
        )
    if all(isinstance(v, Const) or v.positions.size == 0 for v in reals):
        raise Unsupported("joins constants only", "fold it before export")
    reals = tuple(v for v, shape in zip(reals, shapes, strict=True) if shape[axis])
    total = list(shapes[0])
    total[axis] = sum(shape[axis] for shape in shapes)
    positions = np.arange(prod(total), dtype=np.int64).reshape(total)
    return Joined(reals, axis, positions, node.output)


def _alike(node: NodeView, first: Affine, other: Affine | Mapped) -> bool:
    """Whether two values are dequantized codes of one scale, zero point and type."""
    known = node.context.rehearsal is None or other.tensor == first.tensor  # a rehearsal knows no scales
    return (
        known
        and isinstance(other, Affine)
        and is_plain(first)
        and is_plain(other)
        and (first.scale[0], first.correction[0]) == (other.scale[0], other.correction[0])
        and node.builder.tensor(first.tensor).dtype == node.builder.tensor(other.tensor).dtype
    )


def pad_attributes(node: NodeView) -> Value:
    return _padded(node, [int(p) for p in node.attribute("pads", [])], float(node.attribute("value", 0.0)), None)


def pad(node: NodeView) -> Value:
    value = 0.0
    if node.has(2):
        constant = node.constant(2, "value", finite=False)
        value = float(constant.ravel()[0]) if constant.size else 0.0
    axes = node.integers(3, "axes") if node.has(3) else None
    return _padded(node, node.integers(1, "pads"), value, axes)


def _padded(node: NodeView, pads: list[int], value: float, axes: list[int] | None) -> Value:
    mode = node.attribute("mode", "constant")
    x = node.value(0)
    if not isinstance(x, GraphInput | Codes | Affine | Mapped | Joined):
        raise Unsupported("pads a constant", "fold it before export")
    rank = x.positions.ndim
    chosen = list(range(rank)) if axes is None else [a % rank for a in axes]
    if len(pads) != 2 * len(chosen) or any(a >= rank for a in chosen):
        raise Unsupported(f"pads {pads} for a tensor of {rank} dimensions")
    before, after = [0] * rank, [0] * rank
    for position, axis in enumerate(chosen):
        before[axis], after[axis] = pads[position], pads[position + len(chosen)]
    if (
        prod(n + max(b, 0) + max(a, 0) for n, b, a in zip(x.positions.shape, before, after, strict=True))
        > LARGEST_RESULT
    ):
        raise Unsupported(f"pads {pads} are too large", "the file is damaged")
    crop = tuple(slice(max(-b, 0), n - max(-a, 0)) for n, b, a in zip(x.positions.shape, before, after, strict=True))
    border = [(max(b, 0), max(a, 0)) for b, a in zip(before, after, strict=True)]
    if mode in ("reflect", "edge", "wrap") or not any(map(any, border)):

        def move(array: IntArray) -> IntArray:
            cropped = array[crop]
            if not any(map(any, border)):
                return cropped
            kind = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}[mode]
            return np.pad(cropped, border, mode=kind)  # type: ignore[call-overload,no-any-return]

        return moved(node, move)
    if mode != "constant":
        raise Unsupported(f"mode={mode}", "use constant, reflect, edge or wrap")
    return _bordered(node, x, crop, border, value)


def _bordered(
    node: NodeView,
    x: GraphInput | Codes | Affine | Mapped | Joined,
    crop: tuple[slice, ...],
    border: list[tuple[int, int]],
    value: float,
) -> Value:
    """A border of one number around the last two axes."""
    if any(map(any, border[:-2])) or len(border) not in (3, 4):
        raise Unsupported(f"padding {border} of other axes than height and width", "leave it to the host")
    builder = node.builder
    if isinstance(x, Codes):
        tensor = builder.tensor(x.tensor)
        if not value.is_integer() or not tensor.dtype.min <= value <= tensor.dtype.max:
            raise Unsupported(f"{value:g} is not a code of {tensor.dtype}", "pad with a code")
        code, plain = int(value), None
    else:
        plain = node.activation(0)
        dtype = builder.tensor(plain.tensor).dtype
        exact = value / float(plain.scale[0]) - float(plain.correction[0])
        code = round(exact) if abs(exact) < 2**40 else 2**40
        rehearsal = node.context.rehearsal
        if rehearsal is not None and value != 0.0:
            rehearsal.tensors[node.proto.input[0]] = (min(value, 0.0), max(value, 0.0))
            code = min(max(code, dtype.min), dtype.max)
        found = dtype.code(code)
        if found is None:
            raise Unsupported(
                f"pads with {value:g}, which is outside the range of the input",
                "quantize the input with a range that holds it",
            )
        code = found
    if plain is None:
        assert isinstance(x, Codes)
        tensor = builder.tensor(x.tensor)
        channels = tensor.shape[-1]
        plain = Affine(
            x.tensor,
            None,
            tensor.shape,
            x.positions,
            np.ones(channels),
            np.zeros(channels),
            np.zeros(channels, dtype=np.int64),
        )
    image = node.image(replace(plain, positions=plain.positions[crop]), any_order=True)
    rows = border[-2] if image.rank == 4 else (0, 0)
    if image.rank == 3 and any(border[1]):
        raise Unsupported(f"padding {border} of other axes than the last", "leave it to the host")
    pads = (rows[0], border[-1][0], rows[1], border[-1][1])
    name = builder.padded(image.value.tensor, pads, code)
    shape = builder.tensor(name).shape
    positions = image.positions(shape, image.order)
    if isinstance(x, Codes):
        return Codes(name, positions)
    return replace(image.value, tensor=name, shape=shape, positions=positions)


def shape_of(node: NodeView) -> Value:
    x = node.value(0)
    if isinstance(x, QuantConst):
        shape: tuple[int, ...] = x.codes.shape
    elif isinstance(x, GraphInput | Codes | Affine | Mapped | Joined):
        shape = x.positions.shape
    else:
        raise Unsupported("asks for the shape of what the host computes", "cut the model before that operator")
    end = node.attribute("end", None)
    return Const(np.array(shape[int(node.attribute("start", 0)) : None if end is None else int(end)], dtype=np.int64))
