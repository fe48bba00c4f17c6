// Takes a tile's accumulators out of their memory, requantizes REQUANT of them a cycle and writes the codes into the
// scratchpad, whose port is its own in odd cycles (`slot`).
//
//     out = clip(round_half_even((accumulator + bias) * multiplier / 2**shift) + zero_point, low, high)
`default_nettype none

module engine_drain #(
    parameter int PE = 8,
    parameter int SIMD = 8,
    parameter int REQUANT = 4,
    parameter int POSITIONS = 16,
    parameter int DEPTH = 512,
    localparam int ADDRESS_BITS = $clog2(DEPTH),
    localparam int POSITION_BITS = POSITIONS > 1 ? $clog2(POSITIONS) : 1
) (
    input  wire                      clk,
    input  wire                      rst,
    // Begins; parameters are taken in this cycle. Without `drain` the command is complete at once.
    input  wire                      start,
    input  wire                      drain,
    input  wire  [             31:0] rows,
    input  wire  [             31:0] columns,
    input  wire  [             31:0] out_base,
    input  wire  [             31:0] out_pitch,
    input  wire  [             31:0] out_plane,
    input  wire  [             31:0] out_words,
    input  wire  [              5:0] shift,
    input  wire  [              9:0] zero_point,
    input  wire  [              9:0] low,
    input  wire  [              9:0] high,
    input  wire  [        PE*64-1:0] parameters,
    output logic                     idle,
    // Pulses when the command is complete.
    output logic                     complete,
    // Accumulators, a cycle after the address.
    output wire  [POSITION_BITS-1:0] position,
    input  wire  [        PE*32-1:0] accumulators,
    // Scratchpad.
    input  wire                      slot,
    output wire                      write,
    output logic [ ADDRESS_BITS-1:0] address,
    output logic [       SIMD*8-1:0] data
);

  if (PE % SIMD != 0 || SIMD % REQUANT != 0 || 2 * REQUANT > SIMD) begin : g_illegal
    $fatal(1, "engine_drain: PE must be a multiple of SIMD, REQUANT divide half of it");
  end

  localparam int PIECES = SIMD / REQUANT;  // of a word
  localparam int PIECE_BITS = $clog2(PIECES);
  localparam int WORDS = PE / SIMD;
  localparam int WORD_BITS = WORDS > 1 ? $clog2(WORDS) : 1;

  // --- The command.

  logic [31:0] c_columns, c_pitch, c_plane, c_words;
  logic [5:0] c_shift;
  logic signed [9:0] c_zero_point, c_low, c_high;
  logic [PE*64-1:0] c_parameters;
  logic signed [59:0] half, mask;

  always_ff @(posedge clk) begin
    if (start) begin
      c_columns <= columns;
      c_pitch <= out_pitch;
      c_plane <= out_plane;
      c_words <= out_words;
      c_shift <= shift;
      c_zero_point <= zero_point;
      c_low <= low;
      c_high <= high;
      c_parameters <= parameters;
      mask <= (60'sd1 <<< shift) - 60'sd1;
      half <= shift == '0 ? '0 : 60'sd1 <<< (shift - 6'd1);
    end
  end

  // --- Pieces: word by word of a position, position by position.

  logic running;
  logic [PIECE_BITS-1:0] piece;
  logic [WORD_BITS-1:0] word;
  logic [POSITION_BITS-1:0] at;
  logic [31:0] column, rows_left;
  logic [ADDRESS_BITS-1:0] row_address, position_address, word_address;
  wire last_piece = piece == PIECE_BITS'(PIECES - 1);
  wire last_word = last_piece && 32'(word) == c_words - 32'd1;
  wire last_column = last_word && column == c_columns - 32'd1;
  wire last = last_column && rows_left == 32'd1;

  assign position = at;

  always_ff @(posedge clk) begin
    if (running) begin
      piece <= last_piece ? '0 : piece + 1'b1;
      if (last_piece) begin
        word <= last_word ? '0 : word + 1'b1;
        word_address <= word_address + ADDRESS_BITS'(c_plane);
      end
      if (last_word) begin
        at <= at + 1'b1;
        column <= column + 1'b1;
        position_address <= position_address + 1'b1;
        word_address <= position_address + 1'b1;
      end
      if (last_column) begin
        column <= '0;
        rows_left <= rows_left - 1'b1;
        row_address <= row_address + ADDRESS_BITS'(c_pitch);
        position_address <= row_address + ADDRESS_BITS'(c_pitch);
        word_address <= row_address + ADDRESS_BITS'(c_pitch);
      end
      if (last) running <= 1'b0;
    end
    if (start) begin
      running <= drain;
      piece <= '0;
      word <= '0;
      at <= '0;
      column <= '0;
      rows_left <= rows;
      row_address <= ADDRESS_BITS'(out_base);
      position_address <= ADDRESS_BITS'(out_base);
      word_address <= ADDRESS_BITS'(out_base);
    end
    if (rst) running <= 1'b0;
  end

  // --- Pipeline: accumulators read, lanes taken, sum, product, half added, shifted, clipped, word put together.

  localparam int STAGES = 7;
  logic [STAGES-1:0] valid, ends, finishes;
  logic [ADDRESS_BITS-1:0] addresses[STAGES];
  logic [PIECE_BITS-1:0] pieces[STAGES];
  logic [WORD_BITS-1:0] read_word;
  always_ff @(posedge clk) begin
    valid <= {valid[STAGES-2:0], running};
    ends <= {ends[STAGES-2:0], running && last_piece};
    finishes <= {finishes[STAGES-2:0], running && last};
    addresses[0] <= word_address;
    pieces[0] <= piece;
    for (int i = 1; i < STAGES; i++) begin
      addresses[i] <= addresses[i-1];
      pieces[i] <= pieces[i-1];
    end
    read_word <= word;
    if (rst) begin
      valid <= '0;
      ends <= '0;
      finishes <= '0;
    end
  end

  wire [REQUANT*8-1:0] codes;
  for (genvar lane = 0; lane < REQUANT; lane++) begin : g_lane
    localparam int INDEX_BITS = $clog2(PE);
    wire [INDEX_BITS-1:0] index = INDEX_BITS'(32'(read_word) * SIMD + 32'(pieces[0]) * REQUANT + lane);
    logic signed [31:0] accumulator, bias;
    logic [23:0] factor, factor_held;
    logic signed [32:0] sum;
    wire [63:0] parameter_pair = c_parameters[index*64+:64];
    wire unused_parameter = &parameter_pair[63:56];
    always_ff @(posedge clk) begin
      accumulator <= accumulators[index*32+:32];
      bias <= parameter_pair[31:0];
      factor <= parameter_pair[55:32];
      sum <= 33'(accumulator) + 33'(bias);
      factor_held <= factor;
    end
    wire [7:0] code;
    engine_requantize requantize_i (
        .clk(clk),
        .sum(sum),
        .factor(factor_held),
        .shift(c_shift),
        .half(half),
        .mask(mask),
        .zero_point(c_zero_point),
        .low(c_low),
        .high(c_high),
        .code(code)
    );
    assign codes[lane*8+:8] = code;
  end

  wire unused_high = &{out_base, c_pitch, c_plane};

  // --- Words: the last piece completes one, which waits for an odd cycle.

  logic [(SIMD-REQUANT)*8-1:0] gathered;
  logic waiting, finishing;
  assign write = waiting && slot;
  always_ff @(posedge clk) begin
    if (valid[STAGES-1] && !ends[STAGES-1]) gathered[pieces[STAGES-1]*REQUANT*8+:REQUANT*8] <= codes;
    if (ends[STAGES-1]) begin
      data <= {codes, gathered};
      address <= addresses[STAGES-1];
      finishing <= finishes[STAGES-1];
    end
    waiting <= (waiting && !write) || ends[STAGES-1];
    complete <= (write && finishing) || (start && !drain);
    if (start) idle <= !drain;
    else if (write && finishing) idle <= 1'b1;
    if (rst) begin
      waiting <= 1'b0;
      complete <= 1'b0;
      idle <= 1'b1;
    end
  end

endmodule

`default_nettype wire
