// Serial commands of the shared engine: words of the stream into the scratchpad, local response normalization, functions
// of one code.
//
// LOAD writes the PE scratchpad words of each stream word, one in every odd cycle (`slot`).
//
// NORMALIZE goes over the channels of every position of a tile, one in two cycles; `after` cycles of two more let the
// neighbourhood run out:
//
//     energy = sum of (x - zero point)**2 over the channels c - before ... c + after that exist
//     out    = clip(round_half_even((x - zero point) * table[min(energy >> table shift, last)] / 2**shift) + ..., low, high)
//
// LOOKUP is the same with entry x (its byte, as it is) and a factor of 1 in place of the difference.
//
// The table is in the scratchpad, 32 bits an entry; its words and those of the input are read in turn.
`default_nettype none

module engine_serial #(
    parameter int PE = 8,
    parameter int SIMD = 8,
    parameter int DEPTH = 512,
    localparam int ADDRESS_BITS = $clog2(DEPTH)
) (
    input  wire                       clk,
    input  wire                       rst,
    // Begins; the command's fields are there from the next cycle on.
    input  wire                       start,
    input  wire                       is_load,
    input  wire                       is_lookup,
    input  wire  [              31:0] base,
    input  wire  [              31:0] plane,
    input  wire  [              31:0] ring,
    input  wire  [              31:0] row,
    input  wire  [              31:0] x,
    input  wire  [              31:0] channels,
    input  wire  [              31:0] last_entry,
    input  wire  [              31:0] planes,
    input  wire  [               4:0] channels_before,
    input  wire  [               4:0] channels_after,
    input  wire  [              31:0] rows,
    input  wire  [              31:0] columns,
    input  wire  [              31:0] row_step,
    input  wire                       is_signed,
    input  wire  [               7:0] input_zero,
    input  wire  [              31:0] table_base,
    input  wire  [               4:0] table_shift,
    input  wire  [              31:0] out_base,
    input  wire  [              31:0] out_pitch,
    input  wire  [              31:0] out_plane,
    input  wire  [               5:0] shift,
    input  wire  [               9:0] zero_point,
    input  wire  [               9:0] low,
    input  wire  [               9:0] high,
    // The word of the stream that was taken last; `next_word` asks for another one.
    input  wire  [    PE*SIMD*8-1:0] word,
    input  wire                       word_taken,
    input  wire                       more_words,
    output wire                       next_word,
    // Scratchpad: data come two cycles after the address.
    output logic [  ADDRESS_BITS-1:0] read_address,
    input  wire  [        SIMD*8-1:0] read_data,
    input  wire                       slot,
    output wire                       write,
    output wire  [  ADDRESS_BITS-1:0] write_address,
    output wire  [        SIMD*8-1:0] write_data,
    // Pulses when the command is complete.
    output logic                      complete
);

  localparam int ENTRIES = SIMD / 4;  // of a word
  localparam int ENTRY_BITS = $clog2(ENTRIES);
  localparam int LANE_BITS = $clog2(SIMD);
  localparam int PIECE_BITS = $clog2(PE);

  if (SIMD < 8 || (SIMD & (SIMD - 1)) != 0) begin : g_illegal
    $fatal(1, "engine_serial: SIMD must be a power of two, at least 8");
  end

  // --- Loading.

  logic first;  // the cycle behind `start`
  logic loading, holds;  // a word is being written
  logic [PIECE_BITS-1:0] piece;
  logic [ADDRESS_BITS-1:0] load_address;
  wire load_write = holds && slot && !first;
  wire last_piece = load_write && piece == PIECE_BITS'(PE - 1);
  assign next_word = loading && !holds;

  always_ff @(posedge clk) begin
    if (load_write) begin
      piece <= piece + 1'b1;
      load_address <= load_address + 1'b1;
    end
    if (last_piece) begin
      holds <= 1'b0;
      if (!more_words) loading <= 1'b0;
    end
    if (word_taken && (loading || (start && is_load))) holds <= 1'b1;
    if (start) begin
      loading <= is_load;
      piece <= '0;
    end
    if (first) load_address <= ADDRESS_BITS'(out_base);
    if (rst) begin
      loading <= 1'b0;
      holds <= 1'b0;
    end
  end

  // --- Elements: channel by channel, position by position; an input word and a word of the table in turn.

  logic running, odd;
  logic [31:0] index, count, column, rows_left, at_row, at_x;
  logic [ADDRESS_BITS-1:0] plane_base;
  wire [31:0] elements = planes << LANE_BITS;
  wire last_index = index == count - 32'd1;
  wire last_column = column == columns - 32'd1;
  wire last_row = rows_left == 32'd1;
  wire [31:0] stepped = at_row + row_step;
  wire issue = running && !odd;

  always_ff @(posedge clk) begin
    first <= start;
    if (running) odd <= !odd;
    if (running && odd) begin
      index <= last_index ? '0 : index + 1'b1;
      if (&index[LANE_BITS-1:0]) plane_base <= plane_base + ADDRESS_BITS'(plane);
      if (last_index) begin
        plane_base <= ADDRESS_BITS'(base);
        column <= last_column ? '0 : column + 1'b1;
        at_x <= last_column ? x : at_x + 1'b1;
        if (last_column) begin
          at_row <= stepped >= ring ? stepped - ring : stepped;
          rows_left <= rows_left - 1'b1;
          if (last_row) running <= 1'b0;
        end
      end
    end
    if (first && !loading) begin
      running <= 1'b1;
      odd <= 1'b0;
      index <= '0;
      count <= elements + 32'(channels_after);
      column <= '0;
      rows_left <= rows;
      at_row <= row;
      at_x <= x;
      plane_base <= ADDRESS_BITS'(base);
    end
    if (rst) begin
      first <= 1'b0;
      running <= 1'b0;
    end
  end

  // --- Pipeline. 0: issue; 1: input address; 3: input data; 4: difference; 5: square; 6: energy; 7: entry; 8: table address;
  // 10: table data; 11: factor and the delayed difference; 15: code; 16: word.

  logic [14:0] valid, gives, ends_word, ends_position, ends;
  logic [2:0] exists;
  logic [3:0] leaves;
  logic [4:0] begins;
  logic [LANE_BITS-1:0] lanes[3];
  wire [31:0] output_index = index - 32'(channels_after);
  wire unused_index = &output_index[31:LANE_BITS];
  always_ff @(posedge clk) begin
    valid <= {valid[13:0], issue};
    exists <= {exists[1:0], index < channels};
    begins <= {begins[3:0], index == '0};
    leaves <= {leaves[2:0], index > 32'(channels_before) + 32'(channels_after)};
    gives <= {gives[13:0], index >= 32'(channels_after)};
    ends_word <= {ends_word[13:0], &output_index[LANE_BITS-1:0]};
    ends_position <= {ends_position[13:0], last_index};
    ends <= {ends[13:0], last_index && last_column && last_row};
    lanes[0] <= index[LANE_BITS-1:0];
    lanes[1] <= lanes[0];
    lanes[2] <= lanes[1];
    if (rst) valid <= '0;
  end

  // Input: difference to its zero point, kept in a ring of the last elements, and so is its square.
  logic signed [8:0] difference, delayed;
  logic signed [8:0] differences[32];
  logic [16:0] square, squares[32], gone;
  logic [4:0] number;  // of the element in stage 4
  wire [7:0] code_in = read_data[lanes[2]*8+:8];
  wire signed [8:0] extended = {is_signed && code_in[7], code_in};
  wire signed [8:0] zero = {is_signed && input_zero[7], input_zero};
  wire [17:0] squared = 18'(difference) * 18'(difference);
  wire unused_square = squared[17];
  logic [31:0] energy;
  logic [31:0] entry;
  logic [7:0] codes[3];
  wire [31:0] shifted = energy >> table_shift;
  logic [ENTRY_BITS-1:0] entries_kept[3];
  logic [4:0] numbers[6];
  always_ff @(posedge clk) begin
    difference <= exists[2] ? extended - zero : '0;
    if (valid[3]) begin
      number <= number + 1'b1;
      differences[number] <= difference;
    end
    numbers[0] <= number;
    for (int i = 1; i < 6; i++) numbers[i] <= numbers[i-1];
    square <= squared[16:0];
    // The element that leaves the neighbourhood: `before + after + 1` elements ago.
    gone <= leaves[3] ? squares[number-channels_before-channels_after-5'd1] : '0;
    if (valid[4]) begin
      squares[numbers[0]] <= square;
      energy <= (begins[4] ? '0 : energy) + 32'(square) - 32'(gone);
    end
    codes[0] <= code_in;
    codes[1] <= codes[0];
    codes[2] <= codes[1];
    entry <= is_lookup ? 32'(codes[2]) : shifted < last_entry ? shifted : last_entry;
    entries_kept[0] <= entry[ENTRY_BITS-1:0];
    for (int i = 1; i < 3; i++) entries_kept[i] <= entries_kept[i-1];
    delayed <= is_lookup ? 9'sd1 : differences[numbers[5]-channels_after];
  end

  always_ff @(posedge clk) begin
    if (valid[6]) read_address <= ADDRESS_BITS'(table_base) + ADDRESS_BITS'(entry >> ENTRY_BITS);
    else read_address <= plane_base + ADDRESS_BITS'(at_row) + ADDRESS_BITS'(at_x);
  end

  logic [23:0] factor;
  wire [31:0] found = read_data[entries_kept[2]*32+:32];
  wire unused_found = &{found[31:24], base, plane, table_base, out_base, out_pitch, out_plane};
  always_ff @(posedge clk) factor <= found[23:0];

  logic signed [59:0] half, mask;
  always_ff @(posedge clk) begin
    mask <= (60'sd1 <<< shift) - 60'sd1;
    half <= shift == '0 ? '0 : 60'sd1 <<< (shift - 6'd1);
  end

  wire [7:0] code;
  engine_requantize requantize_i (
      .clk(clk),
      .sum(33'(delayed)),
      .factor(factor),
      .shift(shift),
      .half(half),
      .mask(mask),
      .zero_point(zero_point),
      .low(low),
      .high(high),
      .code(code)
  );

  // --- Words of results.

  logic [(SIMD-1)*8-1:0] gathered;
  logic [SIMD*8-1:0] data;
  logic [ADDRESS_BITS-1:0] result_address, out_row, out_position, out_word;
  logic [31:0] out_column;
  logic waiting, finishing;
  wire result_write = waiting && slot;
  wire comes = valid[14] && gives[14];
  assign write = load_write || result_write;
  assign write_address = loading ? load_address : result_address;
  assign write_data = loading ? word[piece*SIMD*8+:SIMD*8] : data;

  always_ff @(posedge clk) begin
    if (comes) gathered <= {code, gathered[(SIMD-1)*8-1:8]};
    if (comes && ends_word[14]) begin
      data <= {code, gathered};
      result_address <= out_word;
      finishing <= ends[14];
      out_word <= out_word + ADDRESS_BITS'(out_plane);
      if (ends_position[14]) begin
        out_column <= out_column == columns - 32'd1 ? '0 : out_column + 1'b1;
        if (out_column == columns - 32'd1) begin
          out_row <= out_row + ADDRESS_BITS'(out_pitch);
          out_position <= out_row + ADDRESS_BITS'(out_pitch);
          out_word <= out_row + ADDRESS_BITS'(out_pitch);
        end else begin
          out_position <= out_position + 1'b1;
          out_word <= out_position + 1'b1;
        end
      end
    end
    waiting <= (waiting && !result_write) || (comes && ends_word[14]);
    complete <= (result_write && finishing) || (last_piece && !more_words);
    if (first) begin
      out_column <= '0;
      out_row <= ADDRESS_BITS'(out_base);
      out_position <= ADDRESS_BITS'(out_base);
      out_word <= ADDRESS_BITS'(out_base);
    end
    if (rst) begin
      waiting <= 1'b0;
      complete <= 1'b0;
      number <= '0;
    end
  end

endmodule

`default_nettype wire
