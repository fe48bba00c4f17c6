"""What a build says of itself: JSON for machines, tables for people."""

from admmfpga.report.report import make_report, with_bitstream, with_synthesis, with_verification
from admmfpga.report.table import (
    format_agreement,
    format_bitstream,
    format_report,
    format_synthesis,
    format_verification,
)

__all__ = [
    "format_agreement",
    "format_bitstream",
    "format_report",
    "format_synthesis",
    "format_verification",
    "make_report",
    "with_bitstream",
    "with_synthesis",
    "with_verification",
]
