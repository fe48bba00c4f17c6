# The targets do their own set-up and can be run again at no cost.
PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
BUILD   := build
LENET5  := $(BUILD)/lenet5
FRAMES  ?= 100
BOARD   ?= pynq
# Spinning OpenMP threads cost more than they give on shared machines.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: help setup data model demo bitstream test lint format bench ppr clean distclean
help:
	@echo "make demo    compile LeNet-5 for $(BOARD) and classify $(FRAMES) MNIST images on the simulated accelerator"
	@echo "make bitstream   LeNet-5 through Yosys, nextpnr and ecppack to a .bit file for a ULX3S (minutes)"
	@echo "make test    all tests"
	@echo "make lint    ruff and mypy"
	@echo "make bench   programs in benchmarks/ that print the figures the docs quote (slow)"
	@echo "make ppr     structured or non-structured: PPR over density, bits, shapes, PEs (docs/ppr.md; up to an hour)"
	@echo "make setup   virtual environment, packages, simulator; make data: data sets; make model: train LeNet-5"
	@echo "make clean   remove build products; make distclean: the virtual environment too"

setup: $(VENV)/.setup
$(VENV)/.setup: pyproject.toml scripts/system_packages.sh
	scripts/system_packages.sh
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[compress,sim,dev]'
	@touch $@

data: $(VENV)/.setup
	@$(BIN)/python -m admmfpga.datasets

model: $(LENET5)/lenet5.onnx
$(LENET5)/lenet5.onnx: examples/lenet5/train.py $(VENV)/.setup
	@$(MAKE) --no-print-directory data
	$(BIN)/python examples/lenet5/train.py -o $(LENET5)

demo: $(LENET5)/lenet5.onnx
	$(BIN)/admmfpga compile $(LENET5)/lenet5.onnx --board $(BOARD) --calibration $(LENET5)/calibration.npz -o $(LENET5)/$(BOARD)
	@echo "--- the integer network on the whole test set"
	$(BIN)/admmfpga simulate $(LENET5)/$(BOARD) --images $(LENET5)/test.npz --implementation reference
	@echo "--- $(FRAMES) images through reference, HLS C++, RTL and HLS C++ in Verilator"
	$(BIN)/admmfpga simulate $(LENET5)/$(BOARD) --images $(LENET5)/test.npz --count $(FRAMES)

bitstream: $(LENET5)/lenet5.onnx
	$(BIN)/admmfpga build $(LENET5)/lenet5.onnx --board ulx3s-85f --calibration $(LENET5)/calibration.npz -o $(LENET5)/ulx3s-85f

test: $(LENET5)/lenet5.onnx
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(VENV)/.setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/.setup
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(LENET5)/lenet5.onnx
	$(BIN)/python benchmarks/agreement.py
	$(BIN)/python benchmarks/simulation_speed.py
	$(BIN)/python benchmarks/estimates/table.py
	$(BIN)/python benchmarks/ppr/table.py

ppr: $(VENV)/.setup
	$(BIN)/python benchmarks/ppr/run.py
	$(BIN)/python benchmarks/ppr/table.py --figures docs/figures

clean:
	rm -rf $(BUILD) .pytest_cache .mypy_cache .ruff_cache .hypothesis rtl_tests/sim_build

distclean: clean
	rm -rf $(VENV)
