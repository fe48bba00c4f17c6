// Index-decoding PE: multipliers that only ever meet non-zero weights.
//
// Columns are dealt out to LANES lanes, each of which keeps its own activations in a memory with two banks: a vector
// arrives (LOAD_BEATS beats) while the one before is worked on (STEPS steps). In every step each lane takes an entry of
// its program, decodes the index to one of its activations, and accumulates HEIGHT rows; what it has at the end of a row
// block waits in a small memory for the other lanes, and is added up in the step that the compiler chose. With SKIPS a
// lane leaves out row blocks in which it has nothing, and its sums are taken for those only that TAKES names.
// GROUPS such groups work on GROUPS row blocks at a time.
//
// Pipeline behind the issue: program, address, activation, product, accumulator; then, unless PARTIAL_DEPTH is 0, write
// and read of the waiting sums, and the adder tree. It never stalls; the output FIFO's credits hold the issue back.
`default_nettype none

module csr_pe #(
    parameter int GROUPS = 1,
    parameter int LANES = 1,
    // Activations of a beat, a divisor of LANES; lane i of a beat goes to one of LANES/IN_LANES lanes.
    parameter int IN_LANES = 1,
    // Rows that share an index.
    parameter int HEIGHT = 1,
    // Beats and steps of a vector, row blocks of a group.
    parameter int LOAD_BEATS = 1,
    parameter int STEPS = 1,
    parameter int ROW_BLOCKS = 1,
    // Activations that a lane keeps of a vector, sums that wait.
    parameter int SLOTS = 1,
    parameter int PARTIAL_DEPTH = 0,
    // 1: lanes leave out row blocks; not with INDEX_FORMAT 2.
    parameter int SKIPS = 0,
    // 0: an entry's slot, 1: slots left out since the entry before, 2: a bit for every slot.
    parameter int INDEX_FORMAT = 0,
    parameter int INDEX_BITS = 1,
    // Activations.
    parameter int IN_BITS = 8,
    parameter int IN_SIGNED = 0,
    // Weights, signed.
    parameter int WEIGHT_BITS = 8,
    // Accumulators, signed; sums are exact modulo 2**ACC_BITS.
    parameter int ACC_BITS = 24,
    // Multipliers in DSP blocks or in LUTs.
    parameter int USE_DSP = 1,
    // Rows of an index that share a DSP block, a divisor of HEIGHT, and how far apart their weights are in its factor.
    parameter int PACK = 1,
    parameter int SPACING = 0,
    // Program, and destinations of arriving activations, in block RAM or in LUTs.
    parameter int WEIGHT_BLOCK_RAM = 0,
    parameter int WRITE_BLOCK_RAM = 0,
    // 1: memories (but EMITS) take new contents from the load chain; 0: they are constant and the chain goes past.
    parameter int RELOADABLE = 0,
    // Output FIFO.
    parameter int OUT_DEPTH = 2,
    parameter int OUT_BLOCK_RAM = 0,
    // Words for $readmemh. Of a step: weights (lane (group*LANES + lane)*HEIGHT + row, PACK rows in borrow form, see
    // `packed_multiplier`); entries {index, ends a row block} (lane group*LANES + lane); whether it emits. Of a row
    // block: bits (lane (group*LANES + lane)*SLOTS + slot), and with SKIPS which lanes take part. Of a beat:
    // destinations {slot, lane, is kept} (lane group*IN_LANES + position).
    parameter WEIGHTS = "",
    parameter INDICES = "",
    parameter BITMAPS = "",
    parameter EMITS = "",
    parameter WRITES = "",
    parameter TAKES = ""
) (
    input  wire                              clk,
    input  wire                              rst,
    // The chain that brings new weights, see `loader`: weights, destinations, then indices or bitmaps.
    input  wire  [                     10:0] load_in,
    output wire  [                     10:0] load_out,
    input  wire                              in_valid,
    output wire                              in_ready,
    input  wire  [     IN_LANES*IN_BITS-1:0] in_data,
    output wire                              out_valid,
    input  wire                              out_ready,
    output wire  [GROUPS*HEIGHT*ACC_BITS-1:0] out_data
);

  if (GROUPS < 1 || IN_LANES < 1 || LANES % IN_LANES != 0 || HEIGHT < 1) begin : g_illegal_layout
    $fatal(1, "csr_pe: GROUPS, LANES and HEIGHT must be positive, and IN_LANES must divide LANES");
  end
  if (LOAD_BEATS < 1 || STEPS < 1 || ROW_BLOCKS < 1 || SLOTS < 1) begin : g_illegal_counts
    $fatal(1, "csr_pe: beats, steps, row blocks and slots must be positive");
  end
  if (PARTIAL_DEPTH != 0 && (PARTIAL_DEPTH & (PARTIAL_DEPTH - 1)) != 0) begin : g_illegal_depth
    $fatal(1, "csr_pe: PARTIAL_DEPTH must be 0 or a power of two");
  end
  if (PARTIAL_DEPTH == 0 && (GROUPS * LANES != 1 || SKIPS != 0)) begin : g_illegal_skew
    $fatal(1, "csr_pe: several lanes, or one that leaves row blocks out, need somewhere for sums to wait");
  end
  if (SKIPS != 0 && INDEX_FORMAT == 2) begin : g_illegal_skips
    $fatal(1, "csr_pe: bitmaps have a word for every row block");
  end

  if (PACK < 1 || HEIGHT % PACK != 0 || (PACK > 1 && USE_DSP == 0)) begin : g_illegal_packing
    $fatal(1, "csr_pe: PACK must divide HEIGHT, and needs DSP blocks");
  end

  localparam int ALL_LANES = GROUPS * LANES;
  localparam int SHARE = LANES / IN_LANES;
  localparam int BEAT_BITS = LOAD_BEATS > 1 ? $clog2(LOAD_BEATS) : 1;
  localparam int STEP_BITS = STEPS > 1 ? $clog2(STEPS) : 1;
  localparam int SLOT_BITS = SLOTS > 1 ? $clog2(SLOTS) : 1;
  localparam int SELECT_BITS = $clog2(SHARE);
  localparam int WRITE_BITS = 1 + SELECT_BITS + SLOT_BITS;
  localparam int BANK_DEPTH = 2 << SLOT_BITS;
  localparam int BANK_BLOCK_RAM = BANK_DEPTH > 64 ? 1 : 0;
  localparam int PARTIAL_BLOCK_RAM = PARTIAL_DEPTH > 64 ? 1 : 0;
  // Cycles from issue to the accumulator, and to the sum of all lanes.
  localparam int SUMMED = 5;
  localparam int STAGES = SUMMED + (PARTIAL_DEPTH != 0 ? 2 : 0) + $clog2(LANES);

  // --- Steps of loading and of computing.

  logic [BEAT_BITS-1:0] beat;
  logic [STEP_BITS-1:0] step;
  logic load_bank, compute_bank;
  logic [1:0] used;  // banks that hold a vector or part of one
  logic [1:0] full;  // banks that wait to be worked on
  wire first_beat = beat == '0;
  wire last_beat = beat == BEAT_BITS'(LOAD_BEATS - 1);
  wire first_step = step == '0;
  wire last_step = step == STEP_BITS'(STEPS - 1);

  wire room;
  wire emits;
  assign in_ready = !first_beat || used != 2'd2;
  wire load = in_valid && in_ready;
  wire issue = (!first_step || full != 2'd0) && (!emits || room);
  wire take = issue && first_step;
  wire give = issue && last_step;

  always_ff @(posedge clk) begin
    if (load) begin
      beat <= last_beat ? '0 : beat + 1'b1;
      if (last_beat) load_bank <= !load_bank;
    end
    if (issue) begin
      step <= last_step ? '0 : step + 1'b1;
      if (last_step) compute_bank <= !compute_bank;
    end
    used <= used + 2'(load && first_beat) - 2'(give);
    full <= full + 2'(load && last_beat) - 2'(take);
    if (rst) begin
      beat <= '0;
      step <= '0;
      load_bank <= 1'b0;
      compute_bank <= 1'b0;
      used <= 2'd0;
      full <= 2'd0;
    end
  end

  // Whether a step emits has to be known when it is issued: read one step ahead.
  wire [STEP_BITS-1:0] next_step = rst || last_step && issue ? '0 : step + STEP_BITS'(issue);
  rom #(
      .WIDTH(1),
      .DEPTH(STEPS),
      .BLOCK_RAM(0),
      .CONTENTS(EMITS)
  ) emits_i (
      .clk(clk),
      .read(1'b1),
      .address(next_step),
      .data(emits)
  );

  logic [3:0] valid;  // of the step in each stage up to the product
  logic [1:0] bank;
  logic [STEP_BITS-1:0] steps[2];
  logic [STAGES:1] emit;

  always_ff @(posedge clk) begin
    valid <= {valid[2:0], issue};
    bank <= {bank[0], compute_bank};
    steps[0] <= step;
    steps[1] <= steps[0];
    emit <= {emit[STAGES-1:1], issue && emits};
    if (rst) begin
      valid <= '0;
      emit <= '0;
    end
  end

  // --- Arriving activations, one cycle later.

  logic write, write_bank;
  logic [IN_LANES*IN_BITS-1:0] write_data;
  wire [GROUPS*IN_LANES*WRITE_BITS-1:0] destinations;

  always_ff @(posedge clk) begin
    write <= load && !rst;
    write_bank <= load_bank;
    write_data <= in_data;
  end

  wire [10:0] load_writes, load_indices;

  weight_memory #(
      .WIDTH(GROUPS * IN_LANES * WRITE_BITS),
      .DEPTH(LOAD_BEATS),
      .BLOCK_RAM(WRITE_BLOCK_RAM),
      .RELOADABLE(RELOADABLE),
      .CONTENTS(WRITES)
  ) writes_i (
      .clk(clk),
      .rst(rst),
      .load_in(load_writes),
      .load_out(load_indices),
      .read(load),
      .address(beat),
      .data(destinations)
  );

  // --- The program: entries in the cycle behind the issue, weights when the activations are there.

  wire [ALL_LANES-1:0] ends;  // entry ends a row block, in the stage of the addresses
  wire [ALL_LANES*SLOT_BITS-1:0] slots;

  index_decoder #(
      .LANES(ALL_LANES),
      .STEPS(STEPS),
      .ROW_BLOCKS(ROW_BLOCKS),
      .SLOTS(SLOTS),
      .INDEX_FORMAT(INDEX_FORMAT),
      .INDEX_BITS(INDEX_BITS),
      .BLOCK_RAM(WEIGHT_BLOCK_RAM),
      .RELOADABLE(RELOADABLE),
      .INDICES(INDICES),
      .BITMAPS(BITMAPS)
  ) index_decoder_i (
      .clk(clk),
      .rst(rst),
      .load_in(load_indices),
      .load_out(load_out),
      .issue(issue),
      .step(step),
      .slots(slots),
      .ends(ends)
  );

  wire [ALL_LANES*HEIGHT*WEIGHT_BITS-1:0] weights;
  weight_memory #(
      .WIDTH(ALL_LANES * HEIGHT * WEIGHT_BITS),
      .DEPTH(STEPS),
      .BLOCK_RAM(WEIGHT_BLOCK_RAM),
      .RELOADABLE(RELOADABLE),
      .CONTENTS(WEIGHTS)
  ) weights_i (
      .clk(clk),
      .rst(rst),
      .load_in(load_in),
      .load_out(load_writes),
      .read(valid[1]),
      .address(steps[1]),
      .data(weights)
  );

`ifdef ADMMFPGA_SLOTS
  // For simulation: steps, and multiplier slots in them that carry a weight that is not zero.
  longint unsigned seen_steps, seen_weights;
  longint unsigned now_weights;
  always_comb begin
    now_weights = '0;
    for (int i = 0; i < ALL_LANES * HEIGHT; i++) begin
      if (weights[i*WEIGHT_BITS+:WEIGHT_BITS] != '0) now_weights++;
    end
  end
  always_ff @(posedge clk) begin
    if (valid[2]) begin
      seen_steps <= seen_steps + 1;
      seen_weights <= seen_weights + now_weights;
    end
    if (rst) begin
      seen_steps <= '0;
      seen_weights <= '0;
    end
  end
  integer slots_file;
  final begin
    slots_file = $fopen("slots.txt", "a");
    $fdisplay(slots_file, "%m %0d %0d", seen_steps, seen_weights);
    $fclose(slots_file);
  end
`endif

  // --- Lanes.

  localparam int EXACT_BITS = IN_BITS + WEIGHT_BITS - (PACK > 1 && IN_SIGNED != 0 ? 1 : 0);
  localparam int PRODUCT_BITS = EXACT_BITS < ACC_BITS ? EXACT_BITS : ACC_BITS;
  // Packed lanes that overlap leave a carry to be added.
  localparam int CARRIES = PACK > 1 && SPACING < EXACT_BITS ? 1 : 0;
  localparam int SUM_WIDTH = HEIGHT * ACC_BITS;

  localparam int POINTER_BITS = PARTIAL_DEPTH > 1 ? $clog2(PARTIAL_DEPTH) : 1;

  wire [ALL_LANES*SUM_WIDTH-1:0] partials;
  wire [GROUPS*SUM_WIDTH-1:0] sums;

  // Which lanes take part in the row block that is added up next: read one row block ahead.
  wire [ALL_LANES-1:0] takes;
  if (SKIPS != 0) begin : g_takes
    localparam int BLOCK_BITS = ROW_BLOCKS > 1 ? $clog2(ROW_BLOCKS) : 1;
    logic [BLOCK_BITS-1:0] row_block;
    wire last_block = row_block == BLOCK_BITS'(ROW_BLOCKS - 1);
    wire [BLOCK_BITS-1:0] next_block =
        rst || emit[SUMMED+1] && last_block ? '0 : row_block + BLOCK_BITS'(emit[SUMMED+1]);
    always_ff @(posedge clk) row_block <= next_block;
    rom #(
        .WIDTH(ALL_LANES),
        .DEPTH(ROW_BLOCKS),
        .BLOCK_RAM(0),
        .CONTENTS(TAKES)
    ) takes_i (
        .clk(clk),
        .read(1'b1),
        .address(next_block),
        .data(takes)
    );
  end else begin : g_all
    assign takes = '1;
    wire unused_takes = ^takes;
  end

  // Where each lane's next sum waits: lanes that all take part have it in the same place.
  localparam int POINTERS = SKIPS != 0 ? ALL_LANES : 1;
  logic [POINTERS*POINTER_BITS-1:0] emitted;
  if (PARTIAL_DEPTH > 1) begin : g_emitted
    for (genvar i = 0; i < POINTERS; i++) begin : g_pointer
      always_ff @(posedge clk) begin
        if (emit[SUMMED+1] && takes[i]) emitted[i*POINTER_BITS+:POINTER_BITS] <= emitted[i*POINTER_BITS+:POINTER_BITS] + 1'b1;
        if (rst) emitted[i*POINTER_BITS+:POINTER_BITS] <= '0;
      end
    end
  end else begin : g_one
    assign emitted = '0;
    wire unused_emitted = ^emitted;
  end

  for (genvar lane = 0; lane < ALL_LANES; lane++) begin : g_lane
    localparam int GROUP = lane / LANES;
    localparam int POSITION = lane % LANES / SHARE;
    localparam int MEMBER = lane % SHARE;

    wire [WRITE_BITS-1:0] destination = destinations[(GROUP*IN_LANES+POSITION)*WRITE_BITS+:WRITE_BITS];
    wire mine;
    if (SHARE == 1) begin : g_only
      assign mine = destination[0];
    end else begin : g_selected
      assign mine = destination[0] && destination[SELECT_BITS:1] == SELECT_BITS'(MEMBER);
    end

    wire [IN_BITS-1:0] code;
    ram #(
        .WIDTH(IN_BITS),
        .DEPTH(BANK_DEPTH),
        .BLOCK_RAM(BANK_BLOCK_RAM),
        .CLEARED(1)
    ) bank_i (
        .clk(clk),
        .write(write && mine),
        .write_address({write_bank, destination[WRITE_BITS-1-:SLOT_BITS]}),
        .write_data(write_data[POSITION*IN_BITS+:IN_BITS]),
        .read(valid[1]),
        .read_address({bank[1], slots[lane*SLOT_BITS+:SLOT_BITS]}),
        .read_data(code)
    );

    // Whether the step in the stage of the activation, of the product, ends a row block; whether the next one begins one.
    logic [1:0] last;
    logic begins;
    always_ff @(posedge clk) begin
      last <= {last[0], ends[lane]};
      if (valid[3]) begins <= last[1];
      if (rst) begins <= 1'b1;
    end

    wire [HEIGHT*PRODUCT_BITS-1:0] products;
    wire [HEIGHT-1:0] carries;
    for (genvar row = 0; row < HEIGHT; row += PACK) begin : g_product
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
          .weights(weights[(lane*HEIGHT+row)*WEIGHT_BITS+:PACK*WEIGHT_BITS]),
          .products(products[row*PRODUCT_BITS+:PACK*PRODUCT_BITS]),
          .carries(carries[row+:PACK])
      );
    end

    wire [SUM_WIDTH-1:0] accumulators;
    for (genvar row = 0; row < HEIGHT; row++) begin : g_row
      wire signed [PRODUCT_BITS-1:0] product = products[row*PRODUCT_BITS+:PRODUCT_BITS];
      accumulator #(
          .BITS(ACC_BITS),
          // The lowest of packed rows has lost nothing.
          .CARRY(CARRIES != 0 && row % PACK != 0 ? 1 : 0)
      ) accumulator_i (
          .clk(clk),
          .valid(valid[3]),
          .first(begins),
          .value(ACC_BITS'(product)),
          .carry(carries[row]),
          .sum(accumulators[row*ACC_BITS+:ACC_BITS])
      );
    end

    if (PARTIAL_DEPTH == 0) begin : g_at_once
      assign partials[lane*SUM_WIDTH+:SUM_WIDTH] = accumulators;
    end else begin : g_wait
      logic done;  // the accumulators hold the sums of a row block
      always_ff @(posedge clk) done <= valid[3] && last[1] && !rst;
      logic [POINTER_BITS-1:0] pointer;
      always_ff @(posedge clk) begin
        if (done) pointer <= PARTIAL_DEPTH > 1 ? pointer + 1'b1 : '0;
        if (rst) pointer <= '0;
      end
      wire [SUM_WIDTH-1:0] waiting;
      if (SKIPS != 0) begin : g_taken
        logic taken;
        always_ff @(posedge clk) if (emit[SUMMED+1]) taken <= takes[lane];
        assign partials[lane*SUM_WIDTH+:SUM_WIDTH] = taken ? waiting : '0;
      end else begin : g_always
        assign partials[lane*SUM_WIDTH+:SUM_WIDTH] = waiting;
      end
      ram #(
          .WIDTH(SUM_WIDTH),
          .DEPTH(PARTIAL_DEPTH),
          .BLOCK_RAM(PARTIAL_BLOCK_RAM)
      ) ram_i (
          .clk(clk),
          .write(done),
          .write_address(pointer),
          .write_data(accumulators),
          .read(emit[SUMMED+1]),
          .read_address(emitted[(lane%POINTERS)*POINTER_BITS+:POINTER_BITS]),
          .read_data(waiting)
      );
    end
  end

  // --- Sums over the lanes of a group.

  for (genvar group = 0; group < GROUPS; group++) begin : g_group
    for (genvar row = 0; row < HEIGHT; row++) begin : g_row
      wire [LANES*ACC_BITS-1:0] addends;
      for (genvar lane = 0; lane < LANES; lane++) begin : g_addend
        assign addends[lane*ACC_BITS+:ACC_BITS] = partials[((group*LANES+lane)*HEIGHT+row)*ACC_BITS+:ACC_BITS];
      end
      adder_tree #(
          .INPUTS(LANES),
          .IN_BITS(ACC_BITS),
          .OUT_BITS(ACC_BITS)
      ) adder_tree_i (
          .clk(clk),
          .in_data(addends),
          .sum(sums[(group*HEIGHT+row)*ACC_BITS+:ACC_BITS])
      );
    end
  end

  fifo #(
      .WIDTH(GROUPS * SUM_WIDTH),
      .DEPTH(OUT_DEPTH),
      .BLOCK_RAM(OUT_BLOCK_RAM)
  ) fifo_i (
      .clk(clk),
      .rst(rst),
      .reserve(issue && emits),
      .room(room),
      .push(emit[STAGES]),
      .in_data(sums),
      .out_valid(out_valid),
      .out_ready(out_ready),
      .out_data(out_data)
  );

endmodule

`default_nettype wire
