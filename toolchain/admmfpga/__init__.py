"""admmfpga: from a neural network to a pruned, quantized and verified FPGA accelerator."""

__version__ = "0.1.0"
