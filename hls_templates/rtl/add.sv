// Add: the weighted sum of two streams, exact, one beat of both a cycle.
//
//     out = in0 * FACTOR0 * 2**SHIFT0 + in1 * FACTOR1 * 2**SHIFT1
//
// Three registers: codes, products, sum.
`default_nettype none

module add #(
    // Codes of a beat.
    parameter int LANES = 1,
    // First input, and its odd factor with the twos that were in it.
    parameter int BITS0 = 8,
    parameter int SIGNED0 = 0,
    parameter int FACTOR0 = 3,
    parameter int SHIFT0 = 0,
    // Second input.
    parameter int BITS1 = 8,
    parameter int SIGNED1 = 0,
    parameter int FACTOR1 = 5,
    parameter int SHIFT1 = 0,
    // Signed sums; exact modulo 2**SUM_BITS.
    parameter int SUM_BITS = 16,
    // Multipliers in DSP blocks or in LUTs.
    parameter int USE_DSP = 1,
    // Output FIFO.
    parameter int OUT_DEPTH = 2,
    parameter int OUT_BLOCK_RAM = 0
) (
    input  wire                      clk,
    input  wire                      rst,
    input  wire                      in0_valid,
    output wire                      in0_ready,
    input  wire [   LANES*BITS0-1:0] in0_data,
    input  wire                      in1_valid,
    output wire                      in1_ready,
    input  wire [   LANES*BITS1-1:0] in1_data,
    output wire                      out_valid,
    input  wire                      out_ready,
    output wire [LANES*SUM_BITS-1:0] out_data
);

  if (LANES < 1 || BITS0 < 1 || BITS1 < 1 || SUM_BITS < 1) begin : g_illegal
    $fatal(1, "add: LANES and widths must be positive");
  end

  wire room;
  assign in0_ready = in1_valid && room;
  assign in1_ready = in0_valid && room;
  wire issue = in0_valid && in1_valid && room;

  logic [2:0] valid;
  always_ff @(posedge clk) valid <= rst ? '0 : {valid[1:0], issue};

  wire [LANES*SUM_BITS-1:0] sums;

  for (genvar lane = 0; lane < LANES; lane++) begin : g_lane
    wire signed [SUM_BITS-1:0] product0, product1;

    constant_multiplier #(
        .BITS(BITS0),
        .SIGNED(SIGNED0),
        .FACTOR(FACTOR0),
        .SHIFT(SHIFT0),
        .OUT_BITS(SUM_BITS),
        .USE_DSP(USE_DSP)
    ) first_i (
        .clk(clk),
        .code(in0_data[lane*BITS0+:BITS0]),
        .product(product0)
    );

    constant_multiplier #(
        .BITS(BITS1),
        .SIGNED(SIGNED1),
        .FACTOR(FACTOR1),
        .SHIFT(SHIFT1),
        .OUT_BITS(SUM_BITS),
        .USE_DSP(USE_DSP)
    ) second_i (
        .clk(clk),
        .code(in1_data[lane*BITS1+:BITS1]),
        .product(product1)
    );

    logic signed [SUM_BITS-1:0] sum;
    always_ff @(posedge clk) sum <= product0 + product1;
    assign sums[lane*SUM_BITS+:SUM_BITS] = sum;
  end

  fifo #(
      .WIDTH(LANES * SUM_BITS),
      .DEPTH(OUT_DEPTH),
      .BLOCK_RAM(OUT_BLOCK_RAM)
  ) fifo_i (
      .clk(clk),
      .rst(rst),
      .reserve(issue),
      .room(room),
      .push(valid[2]),
      .in_data(sums),
      .out_valid(out_valid),
      .out_ready(out_ready),
      .out_data(out_data)
  );

endmodule

`default_nettype wire
