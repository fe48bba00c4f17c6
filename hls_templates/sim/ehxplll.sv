// Stand-in for the ECP5's PLL in simulation: the clock as it comes, locked after a few of its edges. A bench drives the
// oscillator's pin with the clock that the PLL would make.
`default_nettype none

// The primitive's own parameters and capitals.
// verilator lint_off UNUSEDPARAM
// verilator lint_off DECLFILENAME
module EHXPLLL #(
    parameter PLLRST_ENA = "DISABLED",
    parameter INTFB_WAKE = "DISABLED",
    parameter STDBY_ENABLE = "DISABLED",
    parameter DPHASE_SOURCE = "DISABLED",
    parameter OUTDIVIDER_MUXA = "DIVA",
    parameter int CLKI_DIV = 1,
    parameter int CLKFB_DIV = 1,
    parameter CLKOP_ENABLE = "ENABLED",
    parameter int CLKOP_DIV = 1,
    parameter int CLKOP_CPHASE = 0,
    parameter int CLKOP_FPHASE = 0,
    parameter FEEDBK_PATH = "CLKOP"
) (
    input  wire CLKI,
    input  wire CLKFB,
    output wire CLKOP,
    output wire LOCK,
    input  wire RST,
    input  wire STDBY,
    input  wire PHASESEL0,
    input  wire PHASESEL1,
    input  wire PHASEDIR,
    input  wire PHASESTEP,
    input  wire PHASELOADREG,
    input  wire PLLWAKESYNC,
    input  wire ENCLKOP
);

  wire unused = &{CLKFB, RST, STDBY, PHASESEL0, PHASESEL1, PHASEDIR, PHASESTEP, PHASELOADREG, PLLWAKESYNC, ENCLKOP};

  logic [3:0] edges;
  initial edges = '0;
  always_ff @(posedge CLKI) if (!edges[3]) edges <= edges + 1'b1;

  assign CLKOP = CLKI;
  assign LOCK  = edges[3];

endmodule

`default_nettype wire
