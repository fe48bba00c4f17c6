// Requantize: accumulators to codes, one beat a cycle.
//
//     out = clip(round_half_even((in + bias) * multiplier / 2**SHIFT) + ZERO_POINT, LOW, HIGH)
//
// Bias and multiplier per channel come from a ROM, one word a channel group. Five registers: parameters and input, sum,
// product, rounded quotient, code.
`default_nettype none

module requantize #(
    // Channels of a beat, beats of a position.
    parameter int LANES = 1,
    parameter int GROUPS = 1,
    // Input.
    parameter int IN_BITS = 24,
    parameter int IN_SIGNED = 1,
    // Signed bias; signed sum of input and bias, exact modulo 2**SUM_BITS.
    parameter int BIAS_BITS = 16,
    parameter int SUM_BITS = 25,
    // Unsigned multiplier, 1 to 24 bits.
    parameter int MULTIPLIER_BITS = 17,
    // 0 to 61.
    parameter int SHIFT = 16,
    parameter int ZERO_POINT = 0,
    parameter int LOW = 0,
    parameter int HIGH = 255,
    // Codes, at most 32 bits.
    parameter int OUT_BITS = 8,
    // Parameters in block RAM or in LUTs.
    parameter int PARAMETER_BLOCK_RAM = 0,
    // 1: the memory takes new contents from the load chain; 0: it is constant and the chain goes past.
    parameter int RELOADABLE = 0,
    // Output FIFO.
    parameter int OUT_DEPTH = 2,
    parameter int OUT_BLOCK_RAM = 0,
    // Parameter words for $readmemh, a lane being {bias, multiplier}.
    parameter PARAMETERS = ""
) (
    input  wire                       clk,
    input  wire                       rst,
    // The chain that brings new weights, see `loader`.
    input  wire  [              10:0] load_in,
    output wire  [              10:0] load_out,
    input  wire                       in_valid,
    output wire                       in_ready,
    input  wire  [ LANES*IN_BITS-1:0] in_data,
    output wire                       out_valid,
    input  wire                       out_ready,
    output wire  [LANES*OUT_BITS-1:0] out_data
);

  if (LANES < 1 || GROUPS < 1 || IN_BITS < 1 || BIAS_BITS < 1 || SUM_BITS < 1) begin : g_illegal_size
    $fatal(1, "requantize: lanes, groups and widths must be positive");
  end
  if (MULTIPLIER_BITS < 1 || MULTIPLIER_BITS > 24 || SHIFT < 0 || SHIFT > 61) begin : g_illegal_scale
    $fatal(1, "requantize: MULTIPLIER_BITS must be 1 to 24, SHIFT 0 to 61");
  end
  if (OUT_BITS < 1 || OUT_BITS > 32 || LOW > HIGH) begin : g_illegal_output
    $fatal(1, "requantize: OUT_BITS must be 1 to 32, LOW at most HIGH");
  end

  localparam int LANE_BITS = BIAS_BITS + MULTIPLIER_BITS;
  localparam int GROUP_BITS = GROUPS > 1 ? $clog2(GROUPS) : 1;
  localparam int PRODUCT_BITS = SUM_BITS + MULTIPLIER_BITS;
  localparam int OPERAND_BITS = IN_BITS >= BIAS_BITS ? IN_BITS + 1 : BIAS_BITS;
  localparam int ADDER_BITS = OPERAND_BITS > SUM_BITS ? OPERAND_BITS : SUM_BITS;
  // At least one bit is left of the shift, and one more holds what rounding up carries.
  localparam int WIDE_BITS = PRODUCT_BITS > SHIFT ? PRODUCT_BITS + 1 : SHIFT + 2;
  localparam int QUOTIENT_BITS = WIDE_BITS - SHIFT;
  // Quotient + zero point, compared with 32-bit bounds.
  localparam int CODE_BITS = (QUOTIENT_BITS > 32 ? QUOTIENT_BITS : 32) + 1;

  wire room;
  assign in_ready = room;
  wire issue = in_valid && room;

  logic [4:0] valid;
  always_ff @(posedge clk) begin
    valid <= {valid[3:0], issue};
    if (rst) valid <= '0;
  end

  logic [GROUP_BITS-1:0] group;
  always_ff @(posedge clk) begin
    if (issue) group <= group == GROUP_BITS'(GROUPS - 1) ? '0 : group + 1'b1;
    if (rst) group <= '0;
  end

  wire [LANES*LANE_BITS-1:0] parameters;
  weight_memory #(
      .WIDTH(LANES * LANE_BITS),
      .DEPTH(GROUPS),
      .BLOCK_RAM(PARAMETER_BLOCK_RAM),
      .RELOADABLE(RELOADABLE),
      .CONTENTS(PARAMETERS)
  ) parameters_i (
      .clk(clk),
      .rst(rst),
      .load_in(load_in),
      .load_out(load_out),
      .read(issue),
      .address(group),
      .data(parameters)
  );

  logic [LANES*IN_BITS-1:0] accumulators;
  always_ff @(posedge clk) accumulators <= in_data;

  wire [LANES*OUT_BITS-1:0] codes;

  for (genvar lane = 0; lane < LANES; lane++) begin : g_lane
    wire [IN_BITS-1:0] raw = accumulators[lane*IN_BITS+:IN_BITS];
    wire signed [IN_BITS:0] accumulator = {IN_SIGNED != 0 && raw[IN_BITS-1], raw};
    wire signed [BIAS_BITS-1:0] bias = parameters[lane*LANE_BITS+MULTIPLIER_BITS+:BIAS_BITS];

    logic signed [SUM_BITS-1:0] sum;
    logic [MULTIPLIER_BITS-1:0] factor;
    always_ff @(posedge clk) begin
      sum <= SUM_BITS'(ADDER_BITS'(accumulator) + ADDER_BITS'(bias));
      factor <= parameters[lane*LANE_BITS+:MULTIPLIER_BITS];
    end

    wire signed [PRODUCT_BITS-1:0] product;
    if (MULTIPLIER_BITS == 1) begin : g_gate
      logic signed [SUM_BITS-1:0] gated;
      always_ff @(posedge clk) gated <= factor[0] ? sum : '0;
      assign product = PRODUCT_BITS'(gated);
    end else begin : g_multiplier
      multiplier #(
          .A_BITS(SUM_BITS),
          .B_BITS(MULTIPLIER_BITS + 1),
          .OUT_BITS(PRODUCT_BITS),
          .USE_DSP(1)
      ) multiplier_i (
          .clk(clk),
          .a(sum),
          .b({1'b0, factor}),
          .product(product)
      );
    end

    // Half to even: up when more than half is cut off, or just half and the quotient is odd.
    logic signed [QUOTIENT_BITS-1:0] rounded;
    if (SHIFT == 0) begin : g_exact
      always_ff @(posedge clk) rounded <= WIDE_BITS'(product);
    end else begin : g_round
      wire signed [WIDE_BITS-1:0] wide = WIDE_BITS'(product);
      wire signed [QUOTIENT_BITS-1:0] quotient = wide[WIDE_BITS-1:SHIFT];
      wire [SHIFT:0] tail = {wide[SHIFT-1:0], 1'b0};
      wire up = tail[SHIFT] && (quotient[0] || tail[SHIFT-1:0] != '0);
      always_ff @(posedge clk) rounded <= quotient + QUOTIENT_BITS'({1'b0, up});
    end

    wire signed [CODE_BITS-1:0] shifted = CODE_BITS'(rounded) + CODE_BITS'(ZERO_POINT);
    logic [OUT_BITS-1:0] code;
    always_ff @(posedge clk) begin
      if (shifted < CODE_BITS'(LOW)) code <= OUT_BITS'(LOW);
      else if (shifted > CODE_BITS'(HIGH)) code <= OUT_BITS'(HIGH);
      else code <= OUT_BITS'(shifted);
    end
    assign codes[lane*OUT_BITS+:OUT_BITS] = code;
  end

  fifo #(
      .WIDTH(LANES * OUT_BITS),
      .DEPTH(OUT_DEPTH),
      .BLOCK_RAM(OUT_BLOCK_RAM)
  ) fifo_i (
      .clk(clk),
      .rst(rst),
      .reserve(issue),
      .room(room),
      .push(valid[4]),
      .in_data(codes),
      .out_valid(out_valid),
      .out_ready(out_ready),
      .out_data(out_data)
  );

endmodule

`default_nettype wire
