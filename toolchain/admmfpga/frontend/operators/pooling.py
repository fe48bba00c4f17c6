"""Pools, reductions over pixels, and normalization over neighbouring channels."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from admmfpga.frontend.context import NodeView, dequantized, is_plain
from admmfpga.frontend.layers import AverageLayer, ResponseLayer
from admmfpga.frontend.operators.layers import WindowShape, bordered, convolution_3d, window
from admmfpga.frontend.problems import Unsupported
from admmfpga.frontend.values import Affine, Codes, GraphInput, Joined, Mapped, Pool, QuantConst, Value
from admmfpga.network import IntArray
from admmfpga.network.graph import taps_inside

NOTHING = (0, 0, 0, 0)


def max_pool(node: NodeView) -> Value:
    if len(node.proto.output) > 1 and node.proto.output[1]:
        raise Unsupported("indices of the maxima are used", "remove the second output")
    return _pooled(node, tuple(int(k) for k in node.attribute("kernel_shape", [])))


def global_max_pool(node: NodeView) -> Value:
    return _pooled(node, None)


def _pooled(node: NodeView, kernel: tuple[int, ...] | None) -> Value:
    x = node.value(0)
    if isinstance(x, Codes):
        tensor = node.builder.tensor(x.tensor)
        pooled = _pooled_value(node, dequantized(tensor, x.positions), kernel)
        return Codes(pooled.tensor, pooled.positions)
    if isinstance(x, GraphInput | Mapped | Joined):
        x = node.activation(0)
    if not isinstance(x, Affine):
        raise Unsupported("its input is a constant", "fold it before export")
    return _pooled_value(node, x, kernel)


def _kernel(node: NodeView, kernel: tuple[int, ...], rank: int) -> tuple[int, int]:
    if len(kernel) != rank - 2 or rank not in (3, 4):
        raise Unsupported(f"pooling over {len(kernel)} dimensions", "only 1-D and 2-D pooling is possible")
    return (kernel[0], kernel[1]) if rank == 4 else (1, kernel[0])


def _pooled_value(node: NodeView, x: Affine, kernel: tuple[int, ...] | None) -> Affine:
    if x.positions.ndim == 5 and kernel is not None and len(kernel) == 3:
        return _pooled_volume(node, x, kernel)
    if x.positions.ndim not in (3, 4):
        dimensions = x.positions.ndim - 2
        raise Unsupported(f"pooling over {dimensions} dimensions", "only 1-D and 2-D pooling is possible")
    if np.any(x.scale <= 0) and x.layer is None:
        x = node.activation(0)
    image = node.image(x, any_order=True)
    if kernel is None:
        shape = WindowShape(image.size, (1, 1), (1, 1), NOTHING, NOTHING)
    else:
        shape = window(node, image.size, _kernel(node, kernel, image.rank), image.rank)
    if any(max(shape.pads[i], shape.pads[i + 2]) >= shape.extent[i] for i in (0, 1)):
        pads = list(shape.pads)
        raise Unsupported(f"padding {pads} as large as the kernel {list(shape.extent)}", "pad less")
    value = image.value
    size = (*shape.positions(image.size), image.channels)
    source = node.output if is_plain(x) or x.layer is not None else ""
    pool = Pool(node.proto.name, shape.kernel, shape.strides, shape.pads, source, shape.dilations)
    pooled = replace(value, shape=size, positions=image.positions(size, image.order))
    if x.layer is not None:
        return replace(pooled, pools=(*x.pools, pool))
    return replace(pooled, tensor=node.builder.pool(value.tensor, pool))


def _pooled_volume(node: NodeView, x: Affine, kernel: tuple[int, ...]) -> Affine:
    """The greatest over a volume: over rows and columns of every depth, then over depths."""
    if x.layer is not None or np.any(x.scale <= 0):
        x = node.activation(0)
    if node.attribute("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise Unsupported("auto_pad over 3 dimensions", "use explicit pads")
    if int(node.attribute("ceil_mode", 0)):
        raise Unsupported("ceil_mode over 3 dimensions", "pad instead")
    strides, dilations = (tuple(node.attribute(name, [1, 1, 1])) for name in ("strides", "dilations"))
    pads = tuple(node.attribute("pads", [0] * 6))
    if [len(a) for a in (strides, dilations, pads)] != [3, 3, 6] or min(*strides, *dilations, *kernel) < 1:
        raise Unsupported(f"strides {strides}, dilations {dilations}, pads {pads}")
    _, channels, depth, height, width = x.positions.shape

    def pooled(x: Affine, which: tuple[int, int], rows: tuple[int, int, int], name: str) -> Affine:
        """Over two axes of the kernel, of which the first may be a dummy (-1)."""

        def pick(values: tuple[int, ...], dummy: int) -> tuple[int, int]:
            first, second = (dummy if i < 0 else int(values[i]) for i in which)
            return first, second

        sides = (*pick(pads[:3], 0), *pick(pads[3:], 0))
        shape = WindowShape(pick(kernel, 1), pick(strides, 1), pick(dilations, 1), sides, sides)
        if min(sides) < 0 or any(max(sides[i], sides[i + 2]) >= shape.extent[i] for i in (0, 1)):
            raise Unsupported(f"padding {list(pads)} as large as the kernel, or negative", "pad less")
        image = node.image(replace(x, positions=x.positions.reshape(1, *rows)), any_order=True)
        size = (*shape.positions(image.size), image.channels)
        if min(size) < 1:
            raise Unsupported(f"kernel {list(kernel)} is larger than the padded volume")
        pool = Pool(name, shape.kernel, shape.strides, shape.pads, "", shape.dilations)
        tensor = node.builder.pool(image.value.tensor, pool)
        return replace(image.value, tensor=tensor, shape=size, positions=image.positions(size, image.order))

    name = node.proto.name or node.output
    flat = pooled(x, (1, 2), (channels * depth, height, width), f"{name}_rows")
    rows, columns = flat.positions.shape[2:]
    deep = pooled(flat, (0, -1), (channels, depth, rows * columns), name)
    return replace(deep, positions=deep.positions.reshape(1, channels, -1, rows, columns))


def _average_volume(node: NodeView, x: Affine, kernel: tuple[int, ...], counts: bool) -> Affine:
    """The mean over a volume: a depthwise convolution whose weights are all one."""
    if any(node.attribute("pads", [0] * 6)) and not counts:
        raise Unsupported("padding over 3 dimensions that is not counted", "use count_include_pad=1")
    if int(node.attribute("ceil_mode", 0)):
        raise Unsupported("ceil_mode over 3 dimensions", "pad instead")
    channels = x.positions.shape[1]
    ones = QuantConst(np.ones((channels, 1, *kernel), dtype=np.int64), np.array(1.0 / prod(kernel)), 0)
    return convolution_3d(node, x, ones, None, channels)


def average_pool(node: NodeView) -> Value:
    kernel = tuple(int(k) for k in node.attribute("kernel_shape", []))
    x = node.activation(0)
    counts = bool(int(node.attribute("count_include_pad", 0)))
    rank = x.positions.ndim
    if rank == 5 and len(kernel) == 3:
        return _average_volume(node, x, kernel, counts)
    if rank not in (3, 4):
        raise Unsupported(f"pooling over {rank - 2} dimensions", "only 1-D and 2-D pooling is possible")
    image = node.image(x, any_order=True)
    shape = window(node, image.size, _kernel(node, kernel, rank), rank)
    counted = shape.counted if counts else NOTHING
    taps = prod(shape.kernel)
    value, pads, pad_value = image.value, shape.pads, 0
    if any(pads):
        value, pads, pad_value = bordered(node, value, shape, "an average")
        if not any(pads):  # a Pad of its own: the window no longer sees where the image ends
            if counted != shape.pads:
                raise Unsupported("padding as large as the kernel that is not counted", "pad less")
            counted = NOTHING
    layer = AverageLayer(
        node.proto.name,
        (value.tensor,),
        node.output,
        shape.kernel,
        shape.strides,
        pads,
        pad_value,
        shape.dilations,
        counted,
        (value.shape[0], value.shape[1]),
    )
    if layer.ragged and int(taps_inside(layer.size, layer).min()) == 0:
        raise Unsupported("a window that lies in the padding altogether", "pad less")
    size = (*shape.positions(image.size), image.channels)
    return _average(value, layer, size, image.positions(size, image.order), taps)


def _average(x: Affine, layer: AverageLayer, shape: tuple[int, ...], positions: IntArray, divisor: float) -> Affine:
    channels = shape[2]
    return Affine(
        tensor=x.tensor,
        layer=layer,
        shape=shape,
        positions=positions,
        scale=np.full(channels, float(x.scale[0]) / divisor),
        offset=np.zeros(channels),
        correction=np.full(channels, int(x.correction[0]) * prod(layer.kernel), dtype=np.int64),
    )


def global_average_pool(node: NodeView) -> Value:
    x = node.activation(0)
    return _reduced(node, x, tuple(range(2, x.positions.ndim)), True, mean=True)


def reduce_mean(node: NodeView) -> Value:
    return _reduction(node, mean=True)


def reduce_sum(node: NodeView) -> Value:
    return _reduction(node, mean=False)


def _reduction(node: NodeView, *, mean: bool) -> Value:
    x = node.activation(0)
    rank = x.positions.ndim
    given = node.attribute("axes", None)
    axes = [int(a) for a in given] if given is not None else node.integers(1, "axes") if node.has(1) else []
    if not axes:
        if int(node.attribute("noop_with_empty_axes", 0)):
            return x
        axes = list(range(rank))
    if any(not -rank <= a < rank for a in axes):
        raise Unsupported(f"axes {axes} of a tensor of {rank} dimensions")
    if 0 in (a % rank for a in axes):
        raise Unsupported("it reduces the batch axis too", "name the axes of one frame, 1 and above")
    keep = bool(int(node.attribute("keepdims", 1)))
    return _reduced(node, x, tuple(sorted({a % rank for a in axes})), keep, mean=mean)


def _reduced(node: NodeView, x: Affine, axes: tuple[int, ...], keep: bool, *, mean: bool) -> Affine:
    """Sum or mean over some axes: an average pool over an image whose pixels are what is summed."""
    shape = x.positions.shape
    kept = tuple(i for i in range(len(shape)) if i not in axes)
    count, channels = prod(shape[i] for i in axes), prod(shape[i] for i in kept)
    first = shape[axes[0]] if axes else 1
    pixels = x.positions.transpose(*kept, *axes).reshape(1, channels, first, count // first)
    image = node.image(replace(x, positions=pixels), any_order=True)
    value = image.value
    layer = AverageLayer(node.proto.name, (value.tensor,), node.output, image.size, size=image.size)
    size = (1, 1, channels)
    positions = image.positions(size, image.order).ravel()
    result = [1 if i in axes else n for i, n in enumerate(shape) if keep or i not in axes]
    return _average(value, layer, size, positions.reshape(result), count if mean else 1)


def local_response_norm(node: NodeView) -> Value:
    size = int(node.attribute("size", 1))
    bias, beta = float(node.attribute("bias", 1.0)), float(node.attribute("beta", 0.75))
    if size < 1 or bias <= 0:
        raise Unsupported(f"size={size}, bias={bias:g}", "both must be positive")
    image = node.image(node.activation(0))
    x = image.value
    zero_point = -int(x.correction[0])
    layer = ResponseLayer(
        node.proto.name,
        (x.tensor,),
        node.output,
        before=(size - 1) // 2,
        after=size - 1 - (size - 1) // 2,
        zero_point=zero_point,
        step=float(x.scale[0]),
        alpha=float(node.attribute("alpha", 1e-4)) / size,
        beta=beta,
        bias=bias,
    )
    return replace(x, layer=layer, positions=image.positions(x.shape))
