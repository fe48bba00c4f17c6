// Rows of lanes in beats of another number of lanes, where neither is a multiple of the other. Units of UNIT lanes stay
// together. On either side a row is so many beats, all full but the last one, which holds REST units of it; or rows
// follow each other without a gap (BEATS = 1, REST = UNITS). What has arrived and not left is held back.
`default_nettype none

module gearbox #(
    // Lanes of a unit, bits of a lane.
    parameter int UNIT = 1,
    parameter int BITS = 8,
    // Input: units of a beat, beats of a row, units of the row in its last beat.
    parameter int IN_UNITS = 2,
    parameter int IN_BEATS = 1,
    parameter int IN_REST = 2,
    // Output: the same.
    parameter int OUT_UNITS = 3,
    parameter int OUT_BEATS = 3,
    parameter int OUT_REST = 1,
    // Input beats of a frame, after which everything leaves.
    parameter int FRAME_BEATS = 7,
    // Code of the lanes that fill an output row's last beat.
    parameter int FILL = 0,
    // Output FIFO.
    parameter int OUT_DEPTH = 2,
    parameter int OUT_BLOCK_RAM = 0
) (
    input  wire                            clk,
    input  wire                            rst,
    input  wire                            in_valid,
    output wire                            in_ready,
    input  wire  [ IN_UNITS*UNIT*BITS-1:0] in_data,
    output wire                            out_valid,
    input  wire                            out_ready,
    output wire  [OUT_UNITS*UNIT*BITS-1:0] out_data
);

  if (UNIT < 1 || BITS < 1 || IN_UNITS < 1 || OUT_UNITS < 1 || IN_BEATS < 1 || OUT_BEATS < 1 || FRAME_BEATS < 1)
  begin : g_illegal_size
    $fatal(1, "gearbox: sizes must be positive");
  end
  if (IN_REST < 1 || IN_REST > IN_UNITS || OUT_REST < 1 || OUT_REST > OUT_UNITS) begin : g_illegal_rest
    $fatal(1, "gearbox: a row's last beat holds one unit at least and no more than fit");
  end
  if (FRAME_BEATS % IN_BEATS != 0) begin : g_illegal_frame
    $fatal(1, "gearbox: a frame is a whole number of rows");
  end

  localparam int UNIT_BITS = UNIT * BITS;
  localparam int IN_WIDTH = IN_UNITS * UNIT_BITS;
  localparam int OUT_WIDTH = OUT_UNITS * UNIT_BITS;
  // Units held: less than a beat of the wider side; beside them a beat that arrives.
  localparam int HELD = (IN_UNITS > OUT_UNITS ? IN_UNITS : OUT_UNITS) - 1;
  localparam int ALL = HELD + IN_UNITS;
  localparam int COUNT_BITS = $clog2(ALL + OUT_UNITS + 1);
  localparam int IN_BEAT_BITS = IN_BEATS > 1 ? $clog2(IN_BEATS) : 1;
  localparam int OUT_BEAT_BITS = OUT_BEATS > 1 ? $clog2(OUT_BEATS) : 1;
  localparam int LEFT_BITS = $clog2(FRAME_BEATS + 1);

  typedef logic [COUNT_BITS-1:0] count_t;

  logic [IN_BEAT_BITS-1:0] in_beat;
  logic [OUT_BEAT_BITS-1:0] out_beat;
  // Beats of the frame that have not come yet.
  logic [LEFT_BITS-1:0] left;
  count_t have;

  wire in_last = in_beat == IN_BEAT_BITS'(IN_BEATS - 1);
  wire out_last = out_beat == OUT_BEAT_BITS'(OUT_BEATS - 1);
  wire count_t need = out_last ? count_t'(OUT_REST) : count_t'(OUT_UNITS);
  wire enough = have >= need;
  // A beat that is not needed comes where there is room beside what stays.
  wire pops = left != '0 && (!enough || have + count_t'(IN_UNITS) <= need + count_t'(HELD));
  wire count_t brings = !pops ? '0 : in_last ? count_t'(IN_REST) : count_t'(IN_UNITS);
  wire count_t total = have + brings;
  wire emits = total >= need;

  wire room;
  wire able = room || !emits;
  assign in_ready = pops && able;
  wire issue = (!pops || in_valid) && able;

  // Above what is held there are zeros; units of a beat beyond its row become zeros.
  wire [ALL*UNIT_BITS-1:0] kept, arriving, whole;
  wire [IN_WIDTH-1:0] real_data;
  if (IN_REST < IN_UNITS) begin : g_mask
    localparam int REST_BITS = IN_REST * UNIT_BITS;
    assign real_data = in_last ? {(IN_WIDTH - REST_BITS)'(0), in_data[REST_BITS-1:0]} : in_data;
  end else begin : g_full
    assign real_data = in_data;
  end
  assign arriving = pops ? (ALL * UNIT_BITS)'(real_data) : '0;
  assign whole = kept | placed(arriving, have);

  // The beat behind what is held, by powers of two.
  function automatic logic [ALL*UNIT_BITS-1:0] placed(input logic [ALL*UNIT_BITS-1:0] beat, input count_t at);
    placed = beat;
    for (int place = 0; (1 << place) <= HELD; place++) begin
      if (at[place]) placed = placed << ((1 << place) * UNIT_BITS);
    end
  endfunction

  wire [OUT_WIDTH-1:0] front = OUT_WIDTH'(whole);
  wire [OUT_WIDTH-1:0] beat;
  if (OUT_REST < OUT_UNITS) begin : g_fill
    localparam int FILLED = (OUT_UNITS - OUT_REST) * UNIT;
    assign beat = out_last ? {{FILLED{BITS'(FILL)}}, front[OUT_REST*UNIT_BITS-1:0]} : front;
  end else begin : g_whole
    assign beat = front;
  end

  if (HELD > 0) begin : g_held
    logic [HELD*UNIT_BITS-1:0] held;
    assign kept = (ALL * UNIT_BITS)'(held);
    wire [ALL*UNIT_BITS-1:0] behind = out_last ? whole >> (OUT_REST * UNIT_BITS) : whole >> OUT_WIDTH;
    always_ff @(posedge clk) begin
      if (issue) held <= (HELD * UNIT_BITS)'(emits ? behind : whole);
      if (rst) held <= '0;
    end
  end else begin : g_nothing
    assign kept = '0;
  end

  always_ff @(posedge clk) begin
    if (issue) begin
      have <= emits ? total - need : total;
      if (emits) out_beat <= out_last ? '0 : out_beat + 1'b1;
      if (pops) in_beat <= in_last ? '0 : in_beat + 1'b1;
      // The frame is over when all beats have come and nothing is held.
      if (emits && left == LEFT_BITS'(pops) && total == need) left <= LEFT_BITS'(FRAME_BEATS);
      else if (pops) left <= left - 1'b1;
    end
    if (rst) begin
      have <= '0;
      out_beat <= '0;
      in_beat <= '0;
      left <= LEFT_BITS'(FRAME_BEATS);
    end
  end

  fifo #(
      .WIDTH(OUT_WIDTH),
      .DEPTH(OUT_DEPTH),
      .BLOCK_RAM(OUT_BLOCK_RAM)
  ) fifo_i (
      .clk(clk),
      .rst(rst),
      .reserve(issue && emits),
      .room(room),
      .push(issue && emits),
      .in_data(beat),
      .out_valid(out_valid),
      .out_ready(out_ready),
      .out_data(out_data)
  );

endmodule

`default_nettype wire
