// Compute commands of the shared engine: PE x SIMD multipliers whose weights stay for all positions of a tile.
//
// A command comes from the weight stream: its header, then the weights of its steps. A step (input plane, kernel row, kernel
// column) visits every position of the tile, one a cycle, at least LEAST cycles long. Accumulators lie in two memories: one
// is drained while the other is added to. A step whose weights are all zero visits no position, but the one that clears.
//
// A gathered command has words of indices between its weights: each lane of each step reads an input plane and tap of its own.
// INDICES steps share a word of indices; a lane's 32 bits are the words from the command's base to its plane and column (20),
// the column of its tap (8) and the row of its tap (4).
`default_nettype none

module engine_compute #(
    parameter int PE = 8,
    parameter int SIMD = 8,
    parameter int REQUANT = 4,
    parameter int POSITIONS = 16,
    parameter int DEPTH = 512,
    // Multipliers of the array in DSP blocks; the others are LUTs.
    parameter int DSP_MULTIPLIERS = PE * SIMD,
    localparam int WORD_BYTES = PE * SIMD,
    localparam int ADDRESS_BITS = $clog2(DEPTH)
) (
    input  wire                     clk,
    input  wire                     rst,
    input  wire                     word_valid,
    output wire                     word_take,
    input  wire  [WORD_BYTES*8-1:0] word_data,
    input  wire                     word_empty,
    input  wire  [            31:0] transfers_done,
    output logic [            31:0] commands_done,
    // The array multiplies.
    output wire                     busy,
    // Scratchpad: read for the array, written with results in odd cycles.
    output wire  [SIMD*ADDRESS_BITS-1:0] read_address,
    input  wire  [      SIMD*8-1:0] read_data,
    input  wire                     slot,
    output wire                     write,
    output wire  [ADDRESS_BITS-1:0] write_address,
    output wire  [      SIMD*8-1:0] write_data,
    // Counters begin again.
    input  wire                     start
);

  localparam int HEADER_BYTES = 128;
  localparam int HEADER_WORDS = (HEADER_BYTES + 8 * PE + WORD_BYTES - 1) / WORD_BYTES;
  localparam int HEADER_BITS = HEADER_WORDS > 1 ? $clog2(HEADER_WORDS) : 1;
  localparam int LEAST = 8;
  localparam int INDICES = PE / 4;
  localparam int INDEX_BITS = $clog2(INDICES + 1);
  localparam int TAP_ROWS = 16;
  localparam int POSITION_BITS = POSITIONS > 1 ? $clog2(POSITIONS) : 1;
  localparam bit [1:0] MATRIX = 0, DEPTHWISE = 1, MAXIMUM = 3;
  localparam bit [1:0] LOAD = 0, LOOKUP = 2;  // of serial commands

  if (PE % SIMD != 0 || POSITIONS < 1) begin : g_illegal
    $fatal(1, "engine_compute: PE must be a multiple of SIMD");
  end

  // --- The next header waits while a command runs.

  logic [HEADER_WORDS*WORD_BYTES*8-1:0] header;
  logic [HEADER_BITS-1:0] header_word;
  logic header_valid;
  logic weights_next;  // the stream's next word belongs to the command that runs
  wire take_header = word_valid && !header_valid && !weights_next;
  wire take_weights;
  assign word_take = take_header || take_weights;

  wire begins;  // the command in `header` starts
  wire takes_last;  // its last word is taken
  wire [23:0] words_of_header = header[31:8];
  wire header_has_weights = words_of_header != '0;

  always_ff @(posedge clk) begin
    if (take_header) begin
      header[header_word*WORD_BYTES*8+:WORD_BYTES*8] <= word_data;
      header_word <= header_word == HEADER_BITS'(HEADER_WORDS - 1) ? '0 : header_word + 1'b1;
      if (header_word == HEADER_BITS'(HEADER_WORDS - 1)) begin
        header_valid <= 1'b1;
        weights_next <= (HEADER_WORDS == 1 ? word_data[31:8] : words_of_header) != '0;
      end
    end
    if (begins) header_valid <= 1'b0;
    if (takes_last) weights_next <= 1'b0;
    if (rst) begin
      header_word  <= '0;
      header_valid <= 1'b0;
      weights_next <= 1'b0;
    end
  end

  // --- The command that runs.

  logic [1023:0] c;
  logic [PE*64-1:0] c_parameters;
  `define FIELD(name, index) wire [31:0] name = c[32*index+:32]
  `FIELD(c_flags, 0);
  `FIELD(c_plane, 4);
  `FIELD(c_ring, 5);
  `FIELD(c_row, 6);
  `FIELD(c_y, 7);
  `FIELD(c_x, 8);
  `FIELD(c_height, 9);
  `FIELD(c_width, 10);
  `FIELD(c_planes, 11);
  `FIELD(c_kernel_rows, 12);
  `FIELD(c_kernel_columns, 13);
  `FIELD(c_rows, 14);
  `FIELD(c_columns, 15);
  `FIELD(c_row_step, 16);
  `FIELD(c_column_step, 17);
  `FIELD(c_kernel_row_step, 18);
  `FIELD(c_kernel_column_step, 19);
  `FIELD(c_y_step, 20);
  `FIELD(c_kernel_y_step, 21);
  `FIELD(c_pad, 22);
  `FIELD(c_factor, 23);
  `undef FIELD
  wire [1:0] kind = c_flags[1:0];
  wire unused_command = &{c[127:0], c_flags[31:5], c_pad[31:8], c_factor[31:25], c_plane, c[1023:896]};

  // --- Steps and positions.

  typedef enum logic [2:0] {
    IDLE,
    ROWS,
    INDEX,
    STEP,
    FLUSH,
    SERIAL
  } state_t;
  state_t state;
  logic [31:0] plane, kernel_row, kernel_column, row, column;
  logic [31:0] tap;  // of the depthwise word
  logic [ADDRESS_BITS-1:0] plane_base;
  logic [31:0] step_x;  // of the step's first position
  logic [31:0] kernel_row_start, kernel_y;
  logic [31:0] at_row, at_y, at_x;
  logic positions_done;  // all visited, the step is too short
  logic [3:0] cycles_left;  // of LEAST
  logic [POSITION_BITS-1:0] position;
  logic first_step;
  logic bank;
  logic [1:0] flush_left;

  wire waits_over = transfers_done >= header[63:32] && commands_done >= header[95:64];
  wire first_word_there = !header_has_weights || (word_valid && weights_next);
  logic [1:0] bank_busy;
  wire drain_idle;
  // Serial commands have no accumulators, and the port that a drain writes through.
  wire header_serial = header[6];
  assign begins = header_valid && state == IDLE && waits_over && first_word_there && !bank_busy[bank]
      && (!header_serial || drain_idle);

  wire issue = state == STEP && !positions_done;
  wire last_column = column == c_columns - 32'd1;
  wire last_position = last_column && row == c_rows - 32'd1;
  wire step_over = state == STEP && (positions_done || last_position) && cycles_left == '0;
  // All steps of a gathered command count as planes of one tap.
  wire gathered = c_flags[7];
  wire last_kernel_column = gathered || kernel_column == c_kernel_columns - 32'd1;
  wire last_kernel_row = gathered || last_kernel_column && kernel_row == c_kernel_rows - 32'd1;
  wire last_step = last_kernel_row && plane == c_planes - 32'd1;
  wire needs_word = kind == MATRIX || (kind == DEPTHWISE && tap == 32'(PE - 1));
  logic [3:0] tap_row;  // of the table of a gathered command's tap rows
  logic [INDEX_BITS-1:0] indices_left;  // steps for which there are indices
  wire step_ends = step_over
      && (last_step || !needs_word || (word_valid && weights_next && (!gathered || indices_left != '0)));
  wire next_step = step_ends && !last_step;

  assign busy = issue;
  wire serial_takes, serial_complete;
  // The first weights of a gathered command, behind its first indices.
  wire first_indexed = state == INDEX && word_valid && weights_next;
  wire more_indices = state == STEP && gathered && indices_left == '0 && !last_step && word_valid && weights_next;
  wire take_indices = (begins && header[7]) || more_indices;
  assign take_weights = (begins && header_has_weights) || (next_step && needs_word) || first_indexed || more_indices
      || (serial_takes && word_valid && weights_next);
  // The last word: that of the last step, or the last part of the taps.
  logic [23:0] words_left;
  assign takes_last = take_weights && (begins ? words_of_header : words_left) == 24'd1;

  function automatic logic [31:0] wrapped(input logic [31:0] offset, input logic [31:0] ring);
    return offset >= ring ? offset - ring : offset;
  endfunction

  wire [31:0] next_kernel_row_start = wrapped(kernel_row_start + c_kernel_row_step, c_ring);
  wire [31:0] next_row = wrapped(at_row + c_row_step, c_ring);
  wire hand_over = state == FLUSH && flush_left == '0 && drain_idle;

  always_ff @(posedge clk) begin
    if (issue) begin
      position <= position + 1'b1;
      column <= last_column ? '0 : column + 1'b1;
      at_x <= last_column ? step_x : at_x + c_column_step;
      if (last_column) begin
        row <= row + 1'b1;
        at_row <= next_row;
        at_y <= at_y + c_y_step;
      end
      if (last_position) positions_done <= 1'b1;
    end
    if (state == STEP && cycles_left != '0) cycles_left <= cycles_left - 1'b1;
    if (next_step) begin
      first_step <= 1'b0;
      tap <= tap == 32'(PE - 1) ? '0 : tap + 1'b1;
      position <= '0;
      column <= '0;
      row <= '0;
      positions_done <= needs_word && word_empty;
      cycles_left <= 4'(LEAST - 1);
      kernel_column <= last_kernel_column ? '0 : kernel_column + 1'b1;
      step_x <= last_kernel_column ? c_x : step_x + c_kernel_column_step;
      at_x <= last_kernel_column ? c_x : step_x + c_kernel_column_step;
      at_row <= kernel_row_start;
      at_y <= kernel_y;
      if (last_kernel_column) begin
        kernel_row <= last_kernel_row ? '0 : kernel_row + 1'b1;
        kernel_row_start <= last_kernel_row ? c_row : next_kernel_row_start;
        at_row <= last_kernel_row ? c_row : next_kernel_row_start;
        kernel_y <= last_kernel_row ? c_y : kernel_y + c_kernel_y_step;
        at_y <= last_kernel_row ? c_y : kernel_y + c_kernel_y_step;
      end
      if (last_kernel_row) begin
        plane <= plane + 1'b1;
        plane_base <= plane_base + ADDRESS_BITS'(c_plane);
      end
    end
    if (state == ROWS && tap_row == c_kernel_rows[3:0] - 4'd1) state <= INDEX;
    if (first_indexed) state <= STEP;
    if (take_weights) words_left <= (begins ? words_of_header : words_left) - 1'b1;
    if (step_ends && last_step) begin
      state <= FLUSH;
      flush_left <= 2'd3;
    end
    if (state == FLUSH && flush_left != '0 && pipeline_empty) flush_left <= flush_left - 1'b1;
    if (serial_complete) state <= IDLE;
    if (hand_over) begin
      state <= IDLE;
      if (c_flags[3]) bank <= !bank;
    end
    if (begins) begin
      c <= header[1023:0];
      c_parameters <= header[1024+:PE*64];
      state <= header_serial ? SERIAL : header[7] ? ROWS : STEP;
      first_step <= 1'b1;
      tap <= '0;
      position <= '0;
      column <= '0;
      row <= '0;
      plane <= '0;
      kernel_row <= '0;
      kernel_column <= '0;
      positions_done <= header_has_weights && word_empty && !header[2];
      cycles_left <= 4'(LEAST - 1);
      plane_base <= ADDRESS_BITS'(header[3*32+:32]);
      kernel_row_start <= header[6*32+:32];
      at_row <= header[6*32+:32];
      kernel_y <= header[7*32+:32];
      at_y <= header[7*32+:32];
      step_x <= header[8*32+:32];
      at_x <= header[8*32+:32];
    end
    if (rst) begin
      state <= IDLE;
      bank  <= 1'b0;
    end
  end

  // --- Gathering: rows of taps, from the kernel's first one, and the lanes' places in this step.

  logic [31:0] row_offset, row_y;  // of tap_row
  logic [31:0] row_offsets[TAP_ROWS], row_ys[TAP_ROWS];
  logic [INDICES*SIMD*32-1:0] indices;
  logic [ADDRESS_BITS-1:0] lane_base[SIMD];
  logic [31:0] lane_row[SIMD], lane_y[SIMD];
  logic [7:0] lane_x[SIMD];
  wire places = first_indexed || (next_step && gathered);
  always_ff @(posedge clk) begin
    if (state == ROWS) begin
      row_offsets[tap_row] <= row_offset;
      row_ys[tap_row] <= row_y;
      row_offset <= wrapped(row_offset + c_kernel_row_step, c_ring);
      row_y <= row_y + c_kernel_y_step;
      tap_row <= tap_row + 1'b1;
    end
    if (places) begin
      for (int lane = 0; lane < SIMD; lane++) begin
        lane_base[lane] <= plane_base + ADDRESS_BITS'(indices[lane*32+:20]);
        lane_x[lane] <= indices[lane*32+20+:8];
        lane_row[lane] <= row_offsets[indices[lane*32+28+:4]];
        lane_y[lane] <= row_ys[indices[lane*32+28+:4]];
      end
      indices <= indices >> (SIMD * 32);
      indices_left <= indices_left - 1'b1;
    end
    if (take_indices) begin
      indices <= word_data;
      indices_left <= INDEX_BITS'(INDICES);
    end
    if (begins) begin
      tap_row <= '0;
      row_offset <= '0;
      row_y <= '0;
    end
    if (rst) indices_left <= '0;
  end

  // --- Pipeline. Stage 1: address; 2, 3: scratchpad; 4: operands; 5: products; then the adder tree; then accumulators.

  localparam int LEVELS = $clog2(SIMD);
  localparam int SUMMED = 5 + LEVELS;  // the stage in which sums are valid
  logic [SUMMED+1:0] valid;
  logic [SUMMED:0] firsts;
  logic [POSITION_BITS-1:0] positions[SUMMED+2];
  logic [SIMD-1:0] exists[1:3];
  logic [SIMD*ADDRESS_BITS-1:0] address;
  wire [ADDRESS_BITS-1:0] serial_address;
  assign read_address = state == SERIAL ? {SIMD{serial_address}} : address;
  wire pipeline_empty = valid == '0;

  always_ff @(posedge clk) begin
    valid <= {valid[SUMMED:0], issue};
    firsts <= {firsts[SUMMED-1:0], first_step && c_flags[2]};
    positions[0] <= position;
    for (int i = 1; i <= SUMMED + 1; i++) positions[i] <= positions[i-1];
    for (int lane = 0; lane < SIMD; lane++) begin
      address[lane*ADDRESS_BITS+:ADDRESS_BITS] <= (gathered ? lane_base[lane] : plane_base)
          + ADDRESS_BITS'(wrapped(at_row + (gathered ? lane_row[lane] : '0), c_ring)) + ADDRESS_BITS'(at_x);
      // A negative row or column is a large one.
      exists[1][lane] <= at_y + (gathered ? lane_y[lane] : '0) < c_height
          && at_x + (gathered ? 32'(lane_x[lane]) : '0) < c_width;
    end
    exists[2] <= exists[1];
    exists[3] <= exists[2];
    if (rst) valid <= '0;
  end

  // Weights: taken with the step's first position, used when that reaches the operands.
  logic [3:0] loads, shifts;
  logic [WORD_BYTES*8-1:0] weights_next_step, weights;
  always_ff @(posedge clk) begin
    loads <= {loads[2:0], take_weights && !take_indices};
    shifts <= {shifts[2:0], next_step && kind == DEPTHWISE && !needs_word};
    if (take_weights && !take_indices) weights_next_step <= word_data;
    if (loads[3]) weights <= weights_next_step;
    else if (shifts[3]) weights <= weights >> (SIMD * 8);
    if (rst) begin
      loads  <= '0;
      shifts <= '0;
    end
  end

  // Operands: activations as 9 signed bits. What belongs to the command is constant over its steps.
  logic [SIMD*9-1:0] operands;
  always_ff @(posedge clk) begin
    for (int lane = 0; lane < SIMD; lane++) begin
      operands[lane*9+:8] <= exists[3][lane] ? read_data[lane*8+:8] : c_pad[7:0];
      operands[lane*9+8]  <= c_flags[4] && (exists[3][lane] ? read_data[lane*8+7] : c_pad[7]);
    end
  end

  wire [PE*32-1:0] matrix_sums;
  for (genvar pe = 0; pe < PE; pe++) begin : g_pe
    wire [SIMD*17-1:0] products;
    for (genvar lane = 0; lane < SIMD; lane++) begin : g_lane
      multiplier #(
          .A_BITS(9),
          .B_BITS(8),
          .USE_DSP(pe * SIMD + lane < DSP_MULTIPLIERS ? 1 : 0)
      ) multiplier_i (
          .clk(clk),
          .a(operands[lane*9+:9]),
          .b(weights[(pe*SIMD+lane)*8+:8]),
          .product(products[lane*17+:17])
      );
    end
    adder_tree #(
        .INPUTS(SIMD),
        .IN_BITS(17),
        .OUT_BITS(32)
    ) adder_tree_i (
        .clk(clk),
        .in_data(products),
        .sum(matrix_sums[pe*32+:32])
    );
  end

  wire [SIMD*32-1:0] lane_products;
  for (genvar lane = 0; lane < SIMD; lane++) begin : g_vector
    wire [7:0] weight = weights[lane*8+:8];
    wire [24:0] factor = kind == DEPTHWISE ? 25'(signed'(weight)) : c_factor[24:0];
    wire signed [33:0] product;
    multiplier #(
        .A_BITS(9),
        .B_BITS(25)
    ) multiplier_i (
        .clk(clk),
        .a(operands[lane*9+:9]),
        .b(factor),
        .product(product)
    );
    wire unused_top = &product[33:32];
    delay #(
        .WIDTH(32),
        .DEPTH(LEVELS)
    ) delay_i (
        .clk(clk),
        .enable(1'b1),
        .in_data(product[31:0]),
        .out_data(lane_products[lane*32+:32])
    );
  end

  // Accumulators: read a cycle before the sums are valid, written a cycle after.
  wire [PE*32-1:0] sums, previous;
  if (PE == SIMD) begin : g_square
    assign sums = kind == MATRIX ? matrix_sums : lane_products;
  end else begin : g_tall
    assign sums = kind == MATRIX ? matrix_sums : {{(PE - SIMD) {32'd0}}, lane_products};
  end
  logic [PE*32-1:0] accumulated;
  always_ff @(posedge clk) begin
    for (int pe = 0; pe < PE; pe++) begin
      if (firsts[SUMMED-1]) accumulated[pe*32+:32] <= sums[pe*32+:32];
      else if (kind == MAXIMUM)
        accumulated[pe*32+:32] <= signed'(sums[pe*32+:32]) > signed'(previous[pe*32+:32]) ? sums[pe*32+:32] : previous[pe*32+:32];
      else accumulated[pe*32+:32] <= sums[pe*32+:32] + previous[pe*32+:32];
    end
  end

  wire [PE*32-1:0] bank_data[2];
  wire [POSITION_BITS-1:0] drain_position;
  for (genvar i = 0; i < 2; i++) begin : g_bank
    wire mine = bank == (i != 0);
    ram #(
        .WIDTH(PE * 32),
        .DEPTH(POSITIONS),
        .BLOCK_RAM(1)
    ) ram_i (
        .clk(clk),
        .write(valid[SUMMED] && mine),
        .write_address(positions[SUMMED]),
        .write_data(accumulated),
        .read(1'b1),
        .read_address(bank_busy[i] ? drain_position : positions[SUMMED-2]),
        .read_data(bank_data[i])
    );
  end
  assign previous = bank_data[bank];

  // --- Drain.

  logic drain_bank;
  wire complete;
  always_ff @(posedge clk) begin
    if (hand_over && c_flags[3]) begin
      drain_bank <= bank;
      bank_busy[bank] <= 1'b1;
    end
    if (complete || serial_complete) commands_done <= commands_done + 1'b1;
    if (drained) bank_busy[drain_bank] <= 1'b0;
    if (start) commands_done <= '0;
    if (rst) begin
      bank_busy <= '0;
      commands_done <= '0;
    end
  end
  // A command that only adds leaves the memories alone.
  logic draining;
  wire drained = complete && draining;
  always_ff @(posedge clk) begin
    if (hand_over) draining <= c_flags[3];
    if (rst) draining <= 1'b0;
  end

  wire drain_write, serial_write;
  wire [ADDRESS_BITS-1:0] drain_address, serial_write_address;
  wire [SIMD*8-1:0] drain_data, serial_data;
  assign write = drain_write || serial_write;
  assign write_address = state == SERIAL ? serial_write_address : drain_address;
  assign write_data = state == SERIAL ? serial_data : drain_data;

  engine_drain #(
      .PE(PE),
      .SIMD(SIMD),
      .REQUANT(REQUANT),
      .POSITIONS(POSITIONS),
      .DEPTH(DEPTH)
  ) drain_i (
      .clk(clk),
      .rst(rst),
      .start(hand_over),
      .drain(c_flags[3]),
      .rows(c_rows),
      .columns(c_columns),
      .out_base(c[24*32+:32]),
      .out_pitch(c[25*32+:32]),
      .out_plane(c[26*32+:32]),
      .out_words(c[27*32+:32]),
      .shift(c[28*32+:6]),
      .zero_point(c[29*32+:10]),
      .low(c[30*32+:10]),
      .high(c[31*32+:10]),
      .parameters(c_parameters),
      .idle(drain_idle),
      .complete(complete),
      .position(drain_position),
      .accumulators(bank_data[drain_bank]),
      .slot(slot),
      .write(drain_write),
      .address(drain_address),
      .data(drain_data)
  );

  // --- Serial commands.

  engine_serial #(
      .PE(PE),
      .SIMD(SIMD),
      .DEPTH(DEPTH)
  ) serial_i (
      .clk(clk),
      .rst(rst),
      .start(begins && header_serial),
      .is_load(header[1:0] == LOAD),
      .is_lookup(kind == LOOKUP),
      .base(c[3*32+:32]),
      .plane(c_plane),
      .ring(c_ring),
      .row(c_row),
      .x(c_x),
      .channels(c_height),
      .last_entry(c_width),
      .planes(c_planes),
      .channels_before(c_kernel_rows[4:0]),
      .channels_after(c_kernel_columns[4:0]),
      .rows(c_rows),
      .columns(c_columns),
      .row_step(c_row_step),
      .is_signed(c_flags[4]),
      .input_zero(c_pad[7:0]),
      .table_base(c_factor),
      .table_shift(c_y[4:0]),
      .out_base(c[24*32+:32]),
      .out_pitch(c[25*32+:32]),
      .out_plane(c[26*32+:32]),
      .shift(c[28*32+:6]),
      .zero_point(c[29*32+:10]),
      .low(c[30*32+:10]),
      .high(c[31*32+:10]),
      .word(weights_next_step),
      .word_taken(take_weights),
      .more_words(weights_next),
      .next_word(serial_takes),
      .read_address(serial_address),
      .read_data(read_data),
      .slot(slot),
      .write(serial_write),
      .write_address(serial_write_address),
      .write_data(serial_data),
      .complete(serial_complete)
  );

endmodule

`default_nettype wire
