// Signed multiplier with a product register. Registers in front of it and the product register fit into a DSP block.
`default_nettype none

module multiplier #(
    parameter int A_BITS = 9,
    parameter int B_BITS = 8,
    // Low bits of the product that are kept, at most all of them.
    parameter int OUT_BITS = A_BITS + B_BITS,
    // 1: DSP block, 0: LUTs.
    parameter int USE_DSP = 1
) (
    input  wire                        clk,
    input  wire  signed [  A_BITS-1:0] a,
    input  wire  signed [  B_BITS-1:0] b,
    output logic signed [OUT_BITS-1:0] product
);

  localparam int FULL_BITS = A_BITS + B_BITS;

  if (A_BITS < 1 || B_BITS < 1 || OUT_BITS < 1 || OUT_BITS > FULL_BITS) begin : g_illegal
    $fatal(1, "multiplier: widths must be positive, OUT_BITS at most A_BITS + B_BITS");
  end

  wire signed [FULL_BITS-1:0] full = FULL_BITS'(a) * FULL_BITS'(b);
  wire unused_top = ^full;

  if (USE_DSP != 0) begin : g_dsp
    (* use_dsp = "yes" *) logic signed [OUT_BITS-1:0] result;
    always_ff @(posedge clk) result <= full[OUT_BITS-1:0];
    assign product = result;
  end else begin : g_lut
    (* use_dsp = "no" *) logic signed [OUT_BITS-1:0] result;
    always_ff @(posedge clk) result <= full[OUT_BITS-1:0];
    assign product = result;
  end

endmodule

`default_nettype wire
