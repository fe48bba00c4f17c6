"""g++, with ccache in front where there is one."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from admmfpga.errors import UserError
from admmfpga.tools.runner import Runner


def ap_types_include() -> Path:
    """The folder with the open ap_int.h (Xilinx's, Apache-2.0), which the hls4ml wheel carries.

    Raises:
        UserError: hls4ml is not installed.
    """
    # Found without importing: hls4ml's import takes seconds and pulls in its own converters.
    spec = importlib.util.find_spec("hls4ml")
    for location in (spec.submodule_search_locations or []) if spec is not None else []:
        folder = Path(location) / "templates" / "vivado" / "ap_types"
        if (folder / "ap_int.h").is_file():
            return folder
    raise UserError("the open ap_int headers are not installed", 'pip install "admmfpga[sim]"')


class Gpp(Runner):
    """Compiles C++ programs file by file, so that ccache can reuse each object."""

    program: ClassVar[str] = "g++"
    install: ClassVar[str] = "apt install g++"
    minimum: ClassVar[tuple[int, ...]] = (9, 0)

    def __init__(self, *, timeout: float = 600.0, env: Mapping[str, str] | None = None) -> None:
        # The same sources in another folder are the same to ccache: it sees paths relative to the working folder.
        super().__init__(timeout=timeout, env={"CCACHE_BASEDIR": "/", "CCACHE_NOHASHDIR": "1", **(env or {})})

    def _build_command(
        self,
        source: Path,
        object_file: Path,
        *,
        include: Sequence[Path] = (),
        system_include: Sequence[Path] = (),
        define: Sequence[str] = (),
        flags: Sequence[str] = (),
    ) -> list[str]:
        return [
            *(["ccache"] if shutil.which("ccache") else []),
            self.program,
            "-O2",
            "-std=c++14",
            "-Wall",
            "-Wno-unknown-pragmas",
            *flags,
            *(f"-I{folder}" for folder in include),
            *(part for folder in system_include for part in ("-isystem", str(folder))),
            *(f"-D{name}" for name in define),
            "-c",
            str(source),
            "-o",
            str(object_file),
        ]

    def _link_command(self, objects: Sequence[Path], binary: Path) -> list[str]:
        return [self.program, *map(str, objects), "-o", str(binary.resolve())]

    def compile(
        self,
        step: str,
        sources: Sequence[Path],
        binary: Path,
        *,
        include: Sequence[Path] = (),
        system_include: Sequence[Path] = (),
        define: Sequence[str] = (),
        flags: Sequence[str] = (),
    ) -> Path:
        """Compile and link.

        Args:
            step: what we are doing, for errors.
            sources: with different stems.
            binary: product; objects and logs are put beside it.
            include, system_include: folders; no warnings from headers in the latter.
            define: macros.
            flags: further compiler flags.

        Returns:
            binary.

        Raises:
            ToolError: the compiler is missing or has found an error.
        """
        folder = binary.parent.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        self.check_version()
        objects = []
        for source in sources:
            object_file = folder / f"{binary.name}.{source.stem}.o"
            command = self._build_command(
                source.resolve(),
                object_file,
                include=[path.resolve() for path in include],
                system_include=[path.resolve() for path in system_include],
                define=define,
                flags=flags,
            )
            self.run(step, command, log=object_file.with_suffix(".log"), cwd=folder)
            objects.append(object_file)
        self.run(step, self._link_command(objects, binary), log=folder / f"{binary.name}.link.log", cwd=folder)
        return binary
