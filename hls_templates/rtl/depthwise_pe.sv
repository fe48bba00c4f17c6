// Depthwise PE array: PE channels side by side, each with FILTERS filters of its own, SIMD taps a step.
//
// A window of a channel group comes in FOLDS beats, lane tap*PE + channel; the last of them emits. Weights are one word
// a step, lane (channel*FILTERS + filter)*SIMD + tap, address group*FOLDS + fold.
//
// Pipeline behind the issue, as in dense_pe: weight ROM, operand registers, product registers, adder tree (one level a
// cycle), accumulators.
`default_nettype none

module depthwise_pe #(
    // Channels and taps at a time, filters of a channel.
    parameter int PE = 1,
    parameter int SIMD = 1,
    parameter int FILTERS = 1,
    // Channel groups of a position, steps of a window.
    parameter int GROUPS = 1,
    parameter int FOLDS = 9,
    // Activations.
    parameter int IN_BITS = 8,
    parameter int IN_SIGNED = 0,
    // Weights, signed.
    parameter int WEIGHT_BITS = 8,
    // Accumulators, signed; sums are exact modulo 2**ACC_BITS.
    parameter int ACC_BITS = 24,
    // Multipliers in DSP blocks or in LUTs.
    parameter int USE_DSP = 1,
    // Weights in block RAM or in LUTs.
    parameter int WEIGHT_BLOCK_RAM = 0,
    // Output FIFO.
    parameter int OUT_DEPTH = 2,
    parameter int OUT_BLOCK_RAM = 0,
    // Weight words for $readmemh.
    parameter WEIGHTS = ""
) (
    input  wire                           clk,
    input  wire                           rst,
    input  wire                           in_valid,
    output wire                           in_ready,
    input  wire  [   SIMD*PE*IN_BITS-1:0] in_data,
    output wire                           out_valid,
    input  wire                           out_ready,
    output wire  [PE*FILTERS*ACC_BITS-1:0] out_data
);

  if (PE < 1 || SIMD < 1 || FILTERS < 1 || GROUPS < 1 || FOLDS < 1) begin : g_illegal_folding
    $fatal(1, "depthwise_pe: PE, SIMD, FILTERS, GROUPS and FOLDS must be positive");
  end
  if (IN_BITS < 1 || WEIGHT_BITS < 1 || ACC_BITS < 1) begin : g_illegal_width
    $fatal(1, "depthwise_pe: widths must be positive");
  end

  localparam int ROWS = PE * FILTERS;
  localparam int WIDTH = SIMD * PE * IN_BITS;
  localparam int WEIGHT_DEPTH = GROUPS * FOLDS;
  localparam int ADDRESS_BITS = WEIGHT_DEPTH > 1 ? $clog2(WEIGHT_DEPTH) : 1;
  localparam int FOLD_BITS = FOLDS > 1 ? $clog2(FOLDS) : 1;
  // Cycles from issue to the adder tree's result.
  localparam int STAGES = 3 + $clog2(SIMD);

  // --- Steps.

  logic [ADDRESS_BITS-1:0] address;
  logic [FOLD_BITS-1:0] fold;
  wire first_fold = fold == '0;
  wire last_fold = fold == FOLD_BITS'(FOLDS - 1);

  wire room;
  assign in_ready = !last_fold || room;
  wire issue = in_valid && in_ready;

  always_ff @(posedge clk) begin
    if (issue) begin
      address <= address == ADDRESS_BITS'(WEIGHT_DEPTH - 1) ? '0 : address + 1'b1;
      fold <= last_fold ? '0 : fold + 1'b1;
    end
    if (rst) begin
      address <= '0;
      fold <= '0;
    end
  end

  logic [STAGES-1:0] valid, first;
  logic [STAGES:0] emit;

  always_ff @(posedge clk) begin
    valid <= {valid[STAGES-2:0], issue};
    first <= {first[STAGES-2:0], first_fold};
    emit <= {emit[STAGES-1:0], issue && last_fold};
    if (rst) begin
      valid <= '0;
      emit <= '0;
    end
  end

  // --- Operands.

  wire [ROWS*SIMD*WEIGHT_BITS-1:0] weights;

  rom #(
      .WIDTH(ROWS * SIMD * WEIGHT_BITS),
      .DEPTH(WEIGHT_DEPTH),
      .BLOCK_RAM(WEIGHT_BLOCK_RAM),
      .CONTENTS(WEIGHTS)
  ) rom_i (
      .clk(clk),
      .read(issue),
      .address(address),
      .data(weights)
  );

  logic [WIDTH-1:0] activations, activation_operands;
  logic [ROWS*SIMD*WEIGHT_BITS-1:0] weight_operands;
  always_ff @(posedge clk) begin
    activations <= in_data;
    activation_operands <= activations;
    weight_operands <= weights;
  end

  // --- Products, sums, accumulators.

  localparam int PRODUCT_BITS = IN_BITS + WEIGHT_BITS < ACC_BITS ? IN_BITS + WEIGHT_BITS : ACC_BITS;

  wire [ROWS*ACC_BITS-1:0] accumulators;

  for (genvar row = 0; row < ROWS; row++) begin : g_row
    wire [SIMD*PRODUCT_BITS-1:0] products;
    for (genvar tap = 0; tap < SIMD; tap++) begin : g_tap
      wire unused_carry;
      shared_multiplier #(
          .IN_BITS(IN_BITS),
          .IN_SIGNED(IN_SIGNED),
          .WEIGHT_BITS(WEIGHT_BITS),
          .OUT_BITS(PRODUCT_BITS),
          .USE_DSP(USE_DSP)
      ) multiplier_i (
          .clk(clk),
          .code(activation_operands[(tap*PE+row/FILTERS)*IN_BITS+:IN_BITS]),
          .weights(weight_operands[(row*SIMD+tap)*WEIGHT_BITS+:WEIGHT_BITS]),
          .products(products[tap*PRODUCT_BITS+:PRODUCT_BITS]),
          .carries(unused_carry)
      );
    end

    wire signed [ACC_BITS-1:0] sum;
    adder_tree #(
        .INPUTS(SIMD),
        .IN_BITS(PRODUCT_BITS),
        .OUT_BITS(ACC_BITS)
    ) adder_tree_i (
        .clk(clk),
        .in_data(products),
        .sum(sum)
    );

    accumulator #(
        .BITS(ACC_BITS)
    ) accumulator_i (
        .clk(clk),
        .valid(valid[STAGES-1]),
        .first(first[STAGES-1]),
        .value(sum),
        .carry(1'b0),
        .sum(accumulators[row*ACC_BITS+:ACC_BITS])
    );
  end

  fifo #(
      .WIDTH(ROWS * ACC_BITS),
      .DEPTH(OUT_DEPTH),
      .BLOCK_RAM(OUT_BLOCK_RAM)
  ) fifo_i (
      .clk(clk),
      .rst(rst),
      .reserve(issue && last_fold),
      .room(room),
      .push(emit[STAGES]),
      .in_data(accumulators),
      .out_valid(out_valid),
      .out_ready(out_ready),
      .out_data(out_data)
  );

endmodule

`default_nettype wire
