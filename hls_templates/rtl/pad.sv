// Pad: a border of one code around an image, and the same code between its pixels, one beat a cycle. Nothing of a frame
// comes out before its first beat is there: the first step takes that beat, and a register holds it until its turn.
`default_nettype none

module pad #(
    // Image: HEIGHT x WIDTH pixels of GROUPS beats of CHANNELS lanes of BITS.
    parameter int HEIGHT = 4,
    parameter int WIDTH = 4,
    parameter int CHANNELS = 1,
    parameter int GROUPS = 1,
    parameter int BITS = 8,
    // Border, and the code of it.
    parameter int PAD_TOP = 1,
    parameter int PAD_LEFT = 1,
    parameter int PAD_BOTTOM = 1,
    parameter int PAD_RIGHT = 1,
    parameter int PAD_VALUE = 0,
    // Distance of neighbouring pixels in the result.
    parameter int SPACING_H = 1,
    parameter int SPACING_W = 1,
    // Output FIFO.
    parameter int OUT_DEPTH = 2,
    parameter int OUT_BLOCK_RAM = 0
) (
    input  wire                     clk,
    input  wire                     rst,
    input  wire                     in_valid,
    output wire                     in_ready,
    input  wire [CHANNELS*BITS-1:0] in_data,
    output wire                     out_valid,
    input  wire                     out_ready,
    output wire [CHANNELS*BITS-1:0] out_data
);

  if (HEIGHT < 1 || WIDTH < 1 || CHANNELS < 1 || GROUPS < 1 || BITS < 1 || SPACING_H < 1 || SPACING_W < 1)
  begin : g_illegal
    $fatal(1, "pad: sizes and spacing must be positive");
  end

  localparam int INNER_H = (HEIGHT - 1) * SPACING_H + 1;
  localparam int INNER_W = (WIDTH - 1) * SPACING_W + 1;
  localparam int ROWS = INNER_H + PAD_TOP + PAD_BOTTOM;
  localparam int COLUMNS = INNER_W + PAD_LEFT + PAD_RIGHT;
  localparam int GROUP_BITS = GROUPS > 1 ? $clog2(GROUPS) : 1;
  localparam int ROW_BITS = ROWS > 1 ? $clog2(ROWS) : 1;
  localparam int COLUMN_BITS = COLUMNS > 1 ? $clog2(COLUMNS) : 1;
  localparam int ROW_WAIT = PAD_TOP + 1 > SPACING_H ? PAD_TOP + 1 : SPACING_H;
  localparam int COLUMN_WAIT = PAD_LEFT + 1 > SPACING_W ? PAD_LEFT + 1 : SPACING_W;
  localparam int ROW_WAIT_BITS = ROW_WAIT > 1 ? $clog2(ROW_WAIT) : 1;
  localparam int COLUMN_WAIT_BITS = COLUMN_WAIT > 1 ? $clog2(COLUMN_WAIT) : 1;
  localparam bit LEADS = PAD_TOP > 0 || PAD_LEFT > 0;

  logic [GROUP_BITS-1:0] group;
  logic [ROW_BITS-1:0] row;
  logic [COLUMN_BITS-1:0] column;
  // Rows and columns until the next one with pixels; below and right of the last one it does not matter.
  logic [ROW_WAIT_BITS-1:0] row_wait;
  logic [COLUMN_WAIT_BITS-1:0] column_wait;
  logic row_left, column_left;

  wire last_group = group == GROUP_BITS'(GROUPS - 1);
  wire last_row = row == ROW_BITS'(ROWS - 1);
  wire last_column = column == COLUMN_BITS'(COLUMNS - 1);

  wire room;
  wire pixel = row_left && column_left && row_wait == '0 && column_wait == '0;
  wire first, holds;
  wire [CHANNELS*BITS-1:0] held;
  wire pops = first || (pixel && !holds);
  assign in_ready = pops && room;
  wire issue = (!pops || in_valid) && room;

  always_ff @(posedge clk) begin
    if (issue) begin
      group <= last_group ? '0 : group + 1'b1;
      if (last_group) begin
        column <= last_column ? '0 : column + 1'b1;
        if (last_column) column_wait <= COLUMN_WAIT_BITS'(PAD_LEFT);
        else if (column_wait == '0) column_wait <= COLUMN_WAIT_BITS'(SPACING_W - 1);
        else column_wait <= column_wait - 1'b1;
        if (last_column) column_left <= 1'b1;
        else if (column == COLUMN_BITS'(PAD_LEFT + INNER_W - 1)) column_left <= 1'b0;
        if (last_column) begin
          row <= last_row ? '0 : row + 1'b1;
          if (last_row) row_wait <= ROW_WAIT_BITS'(PAD_TOP);
          else if (row_wait == '0) row_wait <= ROW_WAIT_BITS'(SPACING_H - 1);
          else row_wait <= row_wait - 1'b1;
          if (last_row) row_left <= 1'b1;
          else if (row == ROW_BITS'(PAD_TOP + INNER_H - 1)) row_left <= 1'b0;
        end
      end
    end
    if (rst) begin
      group <= '0;
      row <= '0;
      column <= '0;
      row_wait <= ROW_WAIT_BITS'(PAD_TOP);
      column_wait <= COLUMN_WAIT_BITS'(PAD_LEFT);
      row_left <= 1'b1;
      column_left <= 1'b1;
    end
  end

  if (LEADS) begin : g_held
    logic full;
    logic [CHANNELS*BITS-1:0] beat;
    assign first = row == '0 && column == '0 && group == '0;
    assign holds = full;
    assign held = beat;
    always_ff @(posedge clk) begin
      if (issue && first) beat <= in_data;
      if (rst || (issue && pixel)) full <= 1'b0;
      else if (issue && first) full <= 1'b1;
    end
  end else begin : g_straight
    assign first = 1'b0;
    assign holds = 1'b0;
    assign held = '0;
  end

  fifo #(
      .WIDTH(CHANNELS * BITS),
      .DEPTH(OUT_DEPTH),
      .BLOCK_RAM(OUT_BLOCK_RAM)
  ) fifo_i (
      .clk(clk),
      .rst(rst),
      .reserve(issue),
      .room(room),
      .push(issue),
      .in_data(!pixel ? {CHANNELS{BITS'(PAD_VALUE)}} : holds ? held : in_data),
      .out_valid(out_valid),
      .out_ready(out_ready),
      .out_data(out_data)
  );

endmodule

`default_nettype wire
