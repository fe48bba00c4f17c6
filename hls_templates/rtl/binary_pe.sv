// PE array for weights -1 and +1 (one bit: 1 means +1), or -1, 0 and +1 (two bits, two's complement): no multipliers.
//
// Steps and foldings are dense_pe's. Activations of several bits are added or subtracted. Bipolar activations (1 means +1)
// are compared with the weights: with n lanes of which p agree the sum is 2p - n. Each lane counts as its product plus one
// -- 0, 1 or 2 -- so that zero weights need no count of their own, and the accumulator starts at minus the columns.
//
// Pipeline behind the issue: weight ROM and replay buffer, operand registers, leaf registers, adder tree (one level a
// cycle), accumulators: 4 + ceil(log2(leaves)) cycles.
`default_nettype none

module binary_pe #(
    // Rows and columns that are worked on at once, and how often to cover the matrix.
    parameter int PE = 1,
    parameter int SIMD = 1,
    parameter int NEURON_FOLDS = 1,
    parameter int SYNAPSE_FOLDS = 1,
    // Activations.
    parameter int IN_BITS = 8,
    parameter int IN_SIGNED = 0,
    parameter int IN_BIPOLAR = 0,
    // 1: -1 and +1; 2: zeros too.
    parameter int WEIGHT_BITS = 1,
    // Accumulators, signed; sums are exact modulo 2**ACC_BITS.
    parameter int ACC_BITS = 10,
    // Weights in block RAM or in LUTs.
    parameter int WEIGHT_BLOCK_RAM = 0,
    // 1: the memory takes new contents from the load chain; 0: it is constant and the chain goes past.
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
    $fatal(1, "binary_pe: PE, SIMD and folds must be positive");
  end
  if (IN_BITS < 1 || WEIGHT_BITS < 1 || WEIGHT_BITS > 2 || ACC_BITS < 1) begin : g_illegal_width
    $fatal(1, "binary_pe: widths must be positive, WEIGHT_BITS 1 or 2");
  end
  if (IN_BIPOLAR != 0 && (IN_BITS != 1 || IN_SIGNED != 0 || (WEIGHT_BITS == 1 && ACC_BITS < 2))) begin : g_illegal_bipolar
    $fatal(1, "binary_pe: bipolar activations have one unsigned bit, their sums at least two");
  end

  localparam int COLUMNS = SIMD * SYNAPSE_FOLDS;
  // Counts of a leaf are functions of six bits.
  localparam int GROUP = IN_BIPOLAR == 0 ? 1 : WEIGHT_BITS == 1 ? 3 : 2;
  localparam int LEAVES = (SIMD + GROUP - 1) / GROUP;
  localparam int PRODUCT_BITS = IN_BITS + 1 < ACC_BITS ? IN_BITS + 1 : ACC_BITS;
  localparam int LEAF_BITS = IN_BIPOLAR == 0 ? PRODUCT_BITS : WEIGHT_BITS == 1 ? 2 : 3;
  // Of one-bit weights the lowest bit of 2p - n is known.
  localparam int HALVED = IN_BIPOLAR != 0 && WEIGHT_BITS == 1 ? 1 : 0;
  localparam int SUM_BITS = ACC_BITS - HALVED;
  localparam int TREE_BITS = SUM_BITS > LEAF_BITS ? SUM_BITS : LEAF_BITS;
  localparam int START = IN_BIPOLAR == 0 ? 0 : WEIGHT_BITS == 1 ? -((COLUMNS + 1) / 2) : -COLUMNS;
  // Cycles from issue to the adder tree's result.
  localparam int STAGES = 3 + $clog2(LEAVES);

  wire room, issue, first_synapse, last_synapse;
  wire [SIMD*IN_BITS-1:0] activations;
  wire [PE*SIMD*WEIGHT_BITS-1:0] weights;

  array_feed #(
      .WIDTH(SIMD * IN_BITS),
      .WEIGHT_WIDTH(PE * SIMD * WEIGHT_BITS),
      .NEURON_FOLDS(NEURON_FOLDS),
      .SYNAPSE_FOLDS(SYNAPSE_FOLDS),
      .WEIGHT_BLOCK_RAM(WEIGHT_BLOCK_RAM),
      .RELOADABLE(RELOADABLE),
      .WEIGHTS(WEIGHTS)
  ) feed_i (
      .clk(clk),
      .rst(rst),
      .load_in(load_in),
      .load_out(load_out),
      .in_valid(in_valid),
      .in_ready(in_ready),
      .in_data(in_data),
      .room(room),
      .issue(issue),
      .first(first_synapse),
      .last(last_synapse),
      .activations(activations),
      .weights(weights)
  );

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

  wire [PE*ACC_BITS-1:0] accumulators;

  for (genvar pe = 0; pe < PE; pe++) begin : g_pe
    logic [LEAVES*LEAF_BITS-1:0] leaves;

    for (genvar leaf = 0; leaf < LEAVES; leaf++) begin : g_leaf
      localparam int LANE = leaf * GROUP;
      localparam int WEIGHT = (pe * SIMD + LANE) * WEIGHT_BITS;
      // The last leaf may have fewer lanes; a lane that is not there counts nothing.
      localparam int LANES = SIMD - LANE < GROUP ? SIMD - LANE : GROUP;
      wire [LEAF_BITS-1:0] count;

      if (IN_BIPOLAR == 0) begin : g_add
        // x, -x as ~x + 1, or 0.
        wire [IN_BITS-1:0] code = activations[LANE*IN_BITS+:IN_BITS];
        wire negative, used;
        if (WEIGHT_BITS == 1) begin : g_binary
          assign negative = !weights[WEIGHT];
          assign used = 1'b1;
        end else begin : g_ternary
          assign negative = weights[WEIGHT+1];
          assign used = weights[WEIGHT];
        end
        wire [IN_BITS:0] operand = used ? {IN_SIGNED != 0 && code[IN_BITS-1], code} : '0;
        wire [IN_BITS:0] product = (operand ^ {(IN_BITS + 1) {negative}}) + (IN_BITS + 1)'(negative);
        wire unused_top = ^product;
        assign count = product[PRODUCT_BITS-1:0];
      end else if (WEIGHT_BITS == 1) begin : g_agree
        wire [2:0] agree;
        assign agree[LANES-1:0] = ~(activations[LANE+:LANES] ^ weights[WEIGHT+:LANES]);
        if (LANES < 3) begin : g_missing
          assign agree[2:LANES] = '0;
        end
        // Full adder.
        assign count = {
          (agree[0] & agree[1]) | (agree[0] & agree[2]) | (agree[1] & agree[2]), agree[0] ^ agree[1] ^ agree[2]
        };
      end else begin : g_compare
        // A lane is 2 where activation and weight agree, 1 where the weight is zero.
        wire [1:0] agree, zero;
        for (genvar lane = 0; lane < 2; lane++) begin : g_lane
          if (lane < LANES) begin : g_there
            wire [1:0] weight = weights[WEIGHT+2*lane+:2];
            assign agree[lane] = weight[0] && activations[LANE+lane] == !weight[1];
            assign zero[lane] = !weight[0];
          end else begin : g_missing
            assign agree[lane] = 1'b0;
            assign zero[lane] = 1'b0;
          end
        end
        assign count = {agree[0] & agree[1], agree[0] ^ agree[1] ^ (zero[0] & zero[1]), zero[0] ^ zero[1]};
      end

      always_ff @(posedge clk) leaves[leaf*LEAF_BITS+:LEAF_BITS] <= count;
    end

    wire signed [TREE_BITS-1:0] total;
    adder_tree #(
        .INPUTS(LEAVES),
        .IN_BITS(LEAF_BITS),
        .OUT_BITS(TREE_BITS),
        .IN_SIGNED(IN_BIPOLAR == 0 ? 1 : 0)
    ) adder_tree_i (
        .clk(clk),
        .in_data(leaves),
        .sum(total)
    );

    logic [SUM_BITS-1:0] accumulator;
    always_ff @(posedge clk) begin
      if (valid[STAGES-1]) begin
        accumulator <= total[SUM_BITS-1:0] + (first[STAGES-1] ? SUM_BITS'(START) : accumulator);
      end
    end
    if (HALVED != 0) begin : g_halved
      assign accumulators[pe*ACC_BITS+:ACC_BITS] = {accumulator, COLUMNS % 2 != 0};
    end else begin : g_whole
      assign accumulators[pe*ACC_BITS+:ACC_BITS] = accumulator;
    end
    if (TREE_BITS > SUM_BITS) begin : g_modulo
      wire unused_total = ^total[TREE_BITS-1:SUM_BITS];
    end
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
