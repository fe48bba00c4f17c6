// Products of one activation with the weights of LANES rows: in one DSP block (`packed_multiplier`), or of one row in a
// DSP block or in LUTs (`multiplier`). One register. product + carry of a lane is its weight times the activation; a
// single lane's carry is zero.
`default_nettype none

module shared_multiplier #(
    parameter int LANES = 1,
    // See `packed_multiplier`; of no meaning for one lane.
    parameter int SPACING = 16,
    parameter int IN_BITS = 8,
    parameter int IN_SIGNED = 0,
    parameter int WEIGHT_BITS = 8,
    // Low bits of the products that are kept.
    parameter int OUT_BITS = 16,
    // For one lane: 1 a DSP block, 0 LUTs.
    parameter int USE_DSP = 1
) (
    input  wire                          clk,
    input  wire  [          IN_BITS-1:0] code,
    input  wire  [LANES*WEIGHT_BITS-1:0] weights,
    output wire  [   LANES*OUT_BITS-1:0] products,
    output wire  [            LANES-1:0] carries
);

  if (LANES == 1) begin : g_single
    multiplier #(
        .A_BITS(IN_BITS + 1),
        .B_BITS(WEIGHT_BITS),
        .OUT_BITS(OUT_BITS),
        .USE_DSP(USE_DSP)
    ) multiplier_i (
        .clk(clk),
        .a({IN_SIGNED != 0 && code[IN_BITS-1], code}),
        .b(weights),
        .product(products)
    );
    assign carries = 1'b0;
  end else begin : g_packed
    packed_multiplier #(
        .LANES(LANES),
        .SPACING(SPACING),
        .IN_BITS(IN_BITS),
        .IN_SIGNED(IN_SIGNED),
        .WEIGHT_BITS(WEIGHT_BITS),
        .OUT_BITS(OUT_BITS)
    ) multiplier_i (
        .clk(clk),
        .code(code),
        .weights(weights),
        .products(products),
        .carries(carries)
    );
  end

endmodule

`default_nettype wire
