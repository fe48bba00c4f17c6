// Dense PE array: PE x SIMD multipliers over the GEMM view of a layer, one step a cycle.
//
// A vector of SYNAPSE_FOLDS x SIMD activations arrives in SYNAPSE_FOLDS beats. Step (nf, sf) multiplies beat sf with the
// weights of rows nf*PE .. nf*PE+PE-1 and adds up; the last step of a row group emits PE accumulators. In row group 0 the
// beats come from the stream and are kept; the other groups read them back, so a vector is taken once and used
// NEURON_FOLDS times.
//
// Pipeline behind the issue: weight ROM and replay buffer, operand registers, product registers, adder tree (one level a
// cycle), accumulators: 4 + ceil(log2(SIMD)) cycles. It never stalls; the output FIFO's credits hold the issue back.
`default_nettype none

module dense_pe #(
    // Rows and columns that are worked on at once, and how often to cover the matrix.
    parameter int PE = 1,
    parameter int SIMD = 1,
    parameter int NEURON_FOLDS = 1,
    parameter int SYNAPSE_FOLDS = 1,
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
    // 1: memories take new contents from the load chain; 0: they are constant and the chain goes past.
    parameter int RELOADABLE = 0,
    // Output FIFO.
    parameter int OUT_DEPTH = 2,
    parameter int OUT_BLOCK_RAM = 0,
    // Weight words for $readmemh: lane pe*SIMD + simd, address nf*SYNAPSE_FOLDS + sf.
    parameter WEIGHTS = ""
) (
    input  wire                     clk,
    input  wire                     rst,
    // The chain that brings new weights, see `loader`.
    input  wire  [            10:0] load_in,
    output wire  [            10:0] load_out,
    input  wire                     in_valid,
    output wire                     in_ready,
    input  wire  [SIMD*IN_BITS-1:0] in_data,
    output wire                     out_valid,
    input  wire                     out_ready,
    output wire  [ PE*ACC_BITS-1:0] out_data
);

  if (PE < 1 || SIMD < 1 || NEURON_FOLDS < 1 || SYNAPSE_FOLDS < 1) begin : g_illegal_folding
    $fatal(1, "dense_pe: PE, SIMD and folds must be positive");
  end
  if (IN_BITS < 1 || WEIGHT_BITS < 1 || ACC_BITS < 1) begin : g_illegal_width
    $fatal(1, "dense_pe: widths must be positive");
  end

  localparam int WIDTH = SIMD * IN_BITS;
  localparam int WEIGHT_DEPTH = NEURON_FOLDS * SYNAPSE_FOLDS;
  localparam int ADDRESS_BITS = WEIGHT_DEPTH > 1 ? $clog2(WEIGHT_DEPTH) : 1;
  localparam int SYNAPSE_BITS = SYNAPSE_FOLDS > 1 ? $clog2(SYNAPSE_FOLDS) : 1;
  // The replay buffer goes to block RAM beyond what 64-deep LUT-RAM holds.
  localparam int BUFFER_BLOCK_RAM = SYNAPSE_FOLDS > 64 ? 1 : 0;
  // Cycles from issue to the adder tree's result.
  localparam int STAGES = 3 + $clog2(SIMD);

  // --- Steps.

  logic [ADDRESS_BITS-1:0] address;
  logic [SYNAPSE_BITS-1:0] synapse;
  logic pops;  // row group 0
  wire first_synapse = synapse == '0;
  wire last_synapse = synapse == SYNAPSE_BITS'(SYNAPSE_FOLDS - 1);
  wire last_step = address == ADDRESS_BITS'(WEIGHT_DEPTH - 1);

  wire room;
  assign in_ready = pops && (!last_synapse || room);
  wire issue = (!pops || in_valid) && (!last_synapse || room);

  always_ff @(posedge clk) begin
    if (issue) begin
      address <= last_step ? '0 : address + 1'b1;
      synapse <= last_synapse ? '0 : synapse + 1'b1;
      if (last_step) pops <= 1'b1;
      else if (last_synapse) pops <= 1'b0;
    end
    if (rst) begin
      address <= '0;
      synapse <= '0;
      pops <= 1'b1;
    end
  end

  logic [STAGES-1:0] valid, first;
  logic [STAGES:0] emit;

  always_ff @(posedge clk) begin
    valid <= {valid[STAGES-2:0], issue};
    first <= {first[STAGES-2:0], first_synapse};
    emit <= {emit[STAGES-1:0], issue && last_synapse};
    if (rst) begin
      valid <= '0;
      emit <= '0;
    end
  end

  // --- Operands.

  wire [PE*SIMD*WEIGHT_BITS-1:0] weights;

  weight_memory #(
      .WIDTH(PE * SIMD * WEIGHT_BITS),
      .DEPTH(WEIGHT_DEPTH),
      .BLOCK_RAM(WEIGHT_BLOCK_RAM),
      .RELOADABLE(RELOADABLE),
      .CONTENTS(WEIGHTS)
  ) weights_i (
      .clk(clk),
      .rst(rst),
      .load_in(load_in),
      .load_out(load_out),
      .read(issue),
      .address(address),
      .data(weights)
  );

  logic [WIDTH-1:0] fresh;
  wire  [WIDTH-1:0] activations;
  always_ff @(posedge clk) fresh <= in_data;

  if (NEURON_FOLDS == 1) begin : g_no_replay
    assign activations = fresh;
  end else begin : g_replay
    logic popped;
    wire [WIDTH-1:0] replayed;
    always_ff @(posedge clk) popped <= pops;
    assign activations = popped ? fresh : replayed;

    ram #(
        .WIDTH(WIDTH),
        .DEPTH(SYNAPSE_FOLDS),
        .BLOCK_RAM(BUFFER_BLOCK_RAM)
    ) ram_i (
        .clk(clk),
        .write(issue && pops),
        .write_address(synapse),
        .write_data(in_data),
        .read(issue && !pops),
        .read_address(synapse),
        .read_data(replayed)
    );
  end

  logic [WIDTH-1:0] activation_operands;
  logic [PE*SIMD*WEIGHT_BITS-1:0] weight_operands;
  always_ff @(posedge clk) begin
    activation_operands <= activations;
    weight_operands <= weights;
  end

  // --- Products, sums, accumulators.

  localparam int PRODUCT_BITS = IN_BITS + WEIGHT_BITS < ACC_BITS ? IN_BITS + WEIGHT_BITS : ACC_BITS;

  wire [PE*ACC_BITS-1:0] accumulators;

  for (genvar pe = 0; pe < PE; pe++) begin : g_pe
    wire [SIMD*PRODUCT_BITS-1:0] products;
    for (genvar lane = 0; lane < SIMD; lane++) begin : g_lane
      wire [IN_BITS-1:0] code = activation_operands[lane*IN_BITS+:IN_BITS];
      multiplier #(
          .A_BITS(IN_BITS + 1),
          .B_BITS(WEIGHT_BITS),
          .OUT_BITS(PRODUCT_BITS),
          .USE_DSP(USE_DSP)
      ) multiplier_i (
          .clk(clk),
          .a({IN_SIGNED != 0 && code[IN_BITS-1], code}),
          .b(weight_operands[(pe*SIMD+lane)*WEIGHT_BITS+:WEIGHT_BITS]),
          .product(products[lane*PRODUCT_BITS+:PRODUCT_BITS])
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

    logic signed [ACC_BITS-1:0] accumulator;
    always_ff @(posedge clk) begin
      // One adder whose second operand may be zero: a LUT a bit, and part of the DSP block where SIMD is 1.
      if (valid[STAGES-1]) accumulator <= sum + (first[STAGES-1] ? ACC_BITS'(0) : accumulator);
    end
    assign accumulators[pe*ACC_BITS+:ACC_BITS] = accumulator;
  end

  fifo #(
      .WIDTH(PE * ACC_BITS),
      .DEPTH(OUT_DEPTH),
      .BLOCK_RAM(OUT_BLOCK_RAM)
  ) fifo_i (
      .clk(clk),
      .rst(rst),
      .reserve(issue && last_synapse),
      .room(room),
      .push(emit[STAGES]),
      .in_data(accumulators),
      .out_valid(out_valid),
      .out_ready(out_ready),
      .out_data(out_data)
  );

endmodule

`default_nettype wire
