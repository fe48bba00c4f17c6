"""Running a build: in simulation, against the reference."""

from admmfpga.runtime.build import Build, open_build

__all__ = ["Build", "open_build"]
