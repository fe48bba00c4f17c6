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
    // Rows that share a DSP block, a divisor of those that are in DSP blocks, and how far apart their weights are in its factor.
    parameter int PACK = 1,
    parameter int SPACING = 0,
    // The last rows of PE that multiply in LUTs all the same.
    parameter int LUT_ROWS = 0,
    // Weights in block RAM or in LUTs.
    parameter int WEIGHT_BLOCK_RAM = 0,
    // The last rows of PE whose weights are in LUTs all the same.
    parameter int LUT_WEIGHT_ROWS = 0,
    // 1: memories take new contents from the load chain; 0: they are constant and the chain goes past.
    parameter int RELOADABLE = 0,
    // Output FIFO.
    parameter int OUT_DEPTH = 2,
    parameter int OUT_BLOCK_RAM = 0,
    // Weight words for $readmemh: lane pe*SIMD + simd, address nf*SYNAPSE_FOLDS + sf. PACK rows in borrow form, see
    // `packed_multiplier`. The last LUT_WEIGHT_ROWS have a file of their own.
    parameter WEIGHTS = "",
    parameter LUT_WEIGHTS = ""
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

  if (PACK < 1 || (PE - LUT_ROWS) % PACK != 0 || (PACK > 1 && USE_DSP == 0)) begin : g_illegal_packing
    $fatal(1, "dense_pe: PACK must divide the rows in DSP blocks, and needs those");
  end
  if (LUT_ROWS < 0 || LUT_ROWS >= PE || (LUT_ROWS > 0 && USE_DSP == 0)) begin : g_illegal_rows
    $fatal(1, "dense_pe: not all rows can be LUT_ROWS, and the others are in DSP blocks");
  end
  if (LUT_WEIGHT_ROWS < 0 || LUT_WEIGHT_ROWS >= PE) begin : g_illegal_weight_rows
    $fatal(1, "dense_pe: not all rows can be LUT_WEIGHT_ROWS");
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

  localparam int FIRST_WIDTH = (PE - LUT_WEIGHT_ROWS) * SIMD * WEIGHT_BITS;
  wire [PE*SIMD*WEIGHT_BITS-1:0] weights;
  wire [10:0] load_between;

  weight_memory #(
      .WIDTH(FIRST_WIDTH),
      .DEPTH(WEIGHT_DEPTH),
      .BLOCK_RAM(WEIGHT_BLOCK_RAM),
      .RELOADABLE(RELOADABLE),
      .CONTENTS(WEIGHTS)
  ) weights_i (
      .clk(clk),
      .rst(rst),
      .load_in(load_in),
      .load_out(load_between),
      .read(issue),
      .address(address),
      .data(weights[FIRST_WIDTH-1:0])
  );

  if (LUT_WEIGHT_ROWS == 0) begin : g_no_lut_weights
    assign load_out = load_between;
  end else begin : g_lut_weights
    weight_memory #(
        .WIDTH(LUT_WEIGHT_ROWS * SIMD * WEIGHT_BITS),
        .DEPTH(WEIGHT_DEPTH),
        .BLOCK_RAM(0),
        .RELOADABLE(RELOADABLE),
        .CONTENTS(LUT_WEIGHTS)
    ) weights_i (
        .clk(clk),
        .rst(rst),
        .load_in(load_between),
        .load_out(load_out),
        .read(issue),
        .address(address),
        .data(weights[PE*SIMD*WEIGHT_BITS-1:FIRST_WIDTH])
    );
  end

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

  localparam int EXACT_BITS = IN_BITS + WEIGHT_BITS - (PACK > 1 && IN_SIGNED != 0 ? 1 : 0);
  localparam int PRODUCT_BITS = EXACT_BITS < ACC_BITS ? EXACT_BITS : ACC_BITS;
  // Packed lanes that overlap leave a carry to be added.
  localparam int CARRIES = PACK > 1 && SPACING < EXACT_BITS ? 1 : 0;

  localparam int FIRST_ROWS = PE - LUT_ROWS;
  // By row.
  wire [SIMD*PRODUCT_BITS-1:0] products[PE];
  wire [SIMD-1:0] carries[PE];

  for (genvar group = 0; group < FIRST_ROWS / PACK; group++) begin : g_group
    for (genvar lane = 0; lane < SIMD; lane++) begin : g_lane
      wire [IN_BITS-1:0] code = activation_operands[lane*IN_BITS+:IN_BITS];
      wire [PACK*WEIGHT_BITS-1:0] shared_weights;
      wire [PACK*PRODUCT_BITS-1:0] shared_products;
      wire [PACK-1:0] shared_carries;
      for (genvar i = 0; i < PACK; i++) begin : g_row
        localparam int ROW = group * PACK + i;
        localparam int AT = ROW * SIMD + lane;
        assign shared_weights[i*WEIGHT_BITS+:WEIGHT_BITS] = weight_operands[AT*WEIGHT_BITS+:WEIGHT_BITS];
        assign products[ROW][lane*PRODUCT_BITS+:PRODUCT_BITS] = shared_products[i*PRODUCT_BITS+:PRODUCT_BITS];
        assign carries[ROW][lane] = shared_carries[i];
      end
      shared_multiplier #(
          .LANES(PACK),
          .SPACING(SPACING),
          .IN_BITS(IN_BITS),
          .IN_SIGNED(IN_SIGNED),
          .WEIGHT_BITS(WEIGHT_BITS),
          .OUT_BITS(PRODUCT_BITS),
          .USE_DSP(USE_DSP)
      ) multiplier_i (
          .clk(clk),
          .code(code),
          .weights(shared_weights),
          .products(shared_products),
          .carries(shared_carries)
      );
    end
  end

  for (genvar row = FIRST_ROWS; row < PE; row++) begin : g_lut_row
    for (genvar lane = 0; lane < SIMD; lane++) begin : g_lane
      shared_multiplier #(
          .IN_BITS(IN_BITS),
          .IN_SIGNED(IN_SIGNED),
          .WEIGHT_BITS(WEIGHT_BITS),
          .OUT_BITS(PRODUCT_BITS),
          .USE_DSP(0)
      ) multiplier_i (
          .clk(clk),
          .code(activation_operands[lane*IN_BITS+:IN_BITS]),
          .weights(weight_operands[(row*SIMD+lane)*WEIGHT_BITS+:WEIGHT_BITS]),
          .products(products[row][lane*PRODUCT_BITS+:PRODUCT_BITS]),
          .carries(carries[row][lane])
      );
    end
  end

  wire [PE*ACC_BITS-1:0] accumulators;

  for (genvar row = 0; row < PE; row++) begin : g_row
    // The lowest of packed rows has lost nothing.
    localparam int CARRY = CARRIES != 0 && row < FIRST_ROWS && row % PACK > 0 ? 1 : 0;
    wire signed [ACC_BITS-1:0] sum;
    wire carry;
    carry_adder_tree #(
        .INPUTS(SIMD),
        .IN_BITS(PRODUCT_BITS),
        .OUT_BITS(ACC_BITS),
        .CARRIES(CARRY)
    ) tree_i (
        .clk(clk),
        .in_data(products[row]),
        .in_carries(carries[row]),
        .sum(sum),
        .carry(carry)
    );

    accumulator #(
        .BITS(ACC_BITS),
        .CARRY(CARRY)
    ) accumulator_i (
        .clk(clk),
        .valid(valid[STAGES-1]),
        .first(first[STAGES-1]),
        .value(sum),
        .carry(carry),
        .sum(accumulators[row*ACC_BITS+:ACC_BITS])
    );
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
