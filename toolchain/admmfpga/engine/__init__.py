"""The shared engine: one PE array that runs a network layer after layer from descriptors, its data in DRAM."""
