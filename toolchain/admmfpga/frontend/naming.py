"""Names of layers: readable, unique, and usable as C++ and SystemVerilog identifiers."""

from __future__ import annotations

import re

LONGEST = 32

# What the two hardware languages reserve and a layer could plausibly be called.
_KEYWORDS = """
    alias and assert assign automatic auto begin bind bit bool break buf byte case cell char class clk clock config
    const continue cover data default define delete design disable do double edge else end endmodule enum event
    export extends extern final float for force fork function generate global if image import in inout input
    inside int integer interface join large library local logic long main medium mod module namespace negedge new
    not null operator or out output package parameter posedge priority private property protected public pure rand
    real ref reg register release repeat reset return rst scalar sequence short signed sizeof small static std
    strong struct super switch table tag task template this time tri type typedef typename union unique unsigned
    use using var vector virtual void wait weak while wire with within xor
"""
RESERVED = frozenset(_KEYWORDS.split())

# Exporters' automatic names say nothing: "Conv_3", "node_conv2d_1", "Convolution28", "n7".
_AUTOMATIC = re.compile(
    r"(node_.*|n|op|layer|conv\w*|convolution|gemm|matmul|linear|times|addmm|maxpool|max_pool\w*|pooling|relu|add|plus"
    r"|quantizelinear|reshape|flatten|view)_?\d*(_quant)?"
)


def sanitized(text: str) -> str:
    """`text` as [a-z][a-z0-9_]*, at most LONGEST characters; "" if nothing is left."""
    name = re.sub(r"_+", "_", re.sub(r"[^a-z0-9]+", "_", text.lower())).strip("_")
    name = re.sub(r"^[0-9_]+", "", name)
    return name[:LONGEST].rstrip("_")


class Names:
    """Hands out unique names."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def layer(self, kind: str, onnx_name: str) -> str:
        """A name for a layer: from a path as torch writes it ("/features/conv1/Conv"), or numbered.

        Args:
            kind: stem of the fallback ("conv", "fc", "pool").
            onnx_name: of the ONNX node; may be empty.
        """
        parts = [part for part in onnx_name.split("/") if part]
        if len(parts) > 1:
            parts.pop()  # the operator
        # torch repeats the parent: "/features/features.0/Conv".
        parts = [part for part, inner in zip(parts, [*parts, ""][1:], strict=True) if not inner.startswith(part + ".")]
        name = sanitized("_".join(parts))
        readable = re.fullmatch(r"(conv|fc|pool|linear|dense)\d+", name) is not None
        if not name or name in RESERVED or (not readable and _AUTOMATIC.fullmatch(name)):
            return self._numbered(kind)
        return self.unique(name)

    def unique(self, name: str) -> str:
        """`name`, with a number appended if it is taken."""
        candidate, number = name, 1
        while candidate in self._taken:
            number += 1
            candidate = f"{name}_{number}"
        self._taken.add(candidate)
        return candidate

    def _numbered(self, kind: str) -> str:
        number = 1
        while f"{kind}{number}" in self._taken:
            number += 1
        self._taken.add(f"{kind}{number}")
        return f"{kind}{number}"
