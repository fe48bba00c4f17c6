// Window unit: im2col with padding and stride from line buffers.
//
// Steps run over the padded image in the order (row, column, channel group), one a cycle. Each takes one beat of
// CHANNELS lanes of one pixel, or makes a padding pixel up, and shifts it into the line memory and the taps; where a
// window is complete, all KERNEL_H x KERNEL_W taps of those channels leave in one beat, lanes in the order (kernel row,
// kernel column, channel). Padding is worked off without input, also that of the next frame.
//
// With OPTIONS > 0 only kept taps leave: each lane carries one of OPTIONS taps, which one depends on the channel group,
// and groups of which nothing is kept emit no beat. With one option a lane is a wire.
`default_nettype none

module window #(
    // Image: HEIGHT x WIDTH pixels of GROUPS beats of CHANNELS lanes of BITS.
    parameter int HEIGHT = 8,
    parameter int WIDTH = 8,
    parameter int CHANNELS = 1,
    parameter int GROUPS = 1,
    parameter int BITS = 8,
    // Window and its steps.
    parameter int KERNEL_H = 3,
    parameter int KERNEL_W = 3,
    parameter int STRIDE_H = 1,
    parameter int STRIDE_W = 1,
    // Padding, each smaller than the kernel, and the code of a padding pixel.
    parameter int PAD_TOP = 0,
    parameter int PAD_LEFT = 0,
    parameter int PAD_BOTTOM = 0,
    parameter int PAD_RIGHT = 0,
    parameter int PAD_VALUE = 0,
    // Line memory in block RAM or LUT-RAM.
    parameter int LINE_BLOCK_RAM = 0,
    // Lanes of an output beat, and between how many taps each of them chooses; 0: the lanes are all taps in order.
    parameter int LANES = KERNEL_H * KERNEL_W * CHANNELS,
    parameter int OPTIONS = 0,
    localparam int TAP_BITS = KERNEL_H * KERNEL_W * CHANNELS > 1 ? $clog2(KERNEL_H * KERNEL_W * CHANNELS) : 1,
    localparam int SELECT_BITS = OPTIONS > 1 ? $clog2(OPTIONS) : 1,
    // Taps by lane and option, options by group and lane, whether a group emits; first entry in the low bits.
    parameter bit [(OPTIONS > 0 ? LANES * OPTIONS * TAP_BITS : 1)-1:0] TAPS = '0,
    parameter bit [(OPTIONS > 0 ? GROUPS * LANES * SELECT_BITS : 1)-1:0] SELECTS = '0,
    parameter bit [GROUPS-1:0] GROUP_EMITS = '1,
    // Output FIFO.
    parameter int OUT_DEPTH = 2,
    parameter int OUT_BLOCK_RAM = 0
) (
    input  wire                      clk,
    input  wire                      rst,
    input  wire                      in_valid,
    output wire                      in_ready,
    input  wire  [CHANNELS*BITS-1:0] in_data,
    output wire                      out_valid,
    input  wire                      out_ready,
    output wire  [   LANES*BITS-1:0] out_data
);

  localparam int ROWS = HEIGHT + PAD_TOP + PAD_BOTTOM;
  localparam int COLUMNS = WIDTH + PAD_LEFT + PAD_RIGHT;
  localparam int LINE_DEPTH = COLUMNS * GROUPS;
  localparam int PIXEL = CHANNELS * BITS;

  if (HEIGHT < 1 || WIDTH < 1 || CHANNELS < 1 || GROUPS < 1 || BITS < 1) begin : g_illegal_image
    $fatal(1, "window: the image's sizes must be positive");
  end
  if (KERNEL_H < 1 || KERNEL_W < 1 || STRIDE_H < 1 || STRIDE_W < 1 || ROWS < KERNEL_H || COLUMNS < KERNEL_W)
  begin : g_illegal_kernel
    $fatal(1, "window: kernel and strides must be positive, and the kernel must fit into the padded image");
  end
  if (PAD_TOP < 0 || PAD_BOTTOM < 0 || PAD_TOP >= KERNEL_H || PAD_BOTTOM >= KERNEL_H ||
      PAD_LEFT < 0 || PAD_RIGHT < 0 || PAD_LEFT >= KERNEL_W || PAD_RIGHT >= KERNEL_W)
  begin : g_illegal_pads
    $fatal(1, "window: padding must be smaller than the kernel");
  end

  if (LANES < 1 || OPTIONS < 0 || (OPTIONS == 0 && LANES != KERNEL_H * KERNEL_W * CHANNELS)) begin : g_illegal_lanes
    $fatal(1, "window: without OPTIONS there are KERNEL_H * KERNEL_W * CHANNELS lanes");
  end

  // --- Steps: where in the padded image, whether the pixel is a real one, whether a window ends here.

  localparam int GROUP_BITS = GROUPS > 1 ? $clog2(GROUPS) : 1;
  localparam int COLUMN_BITS = COLUMNS > 1 ? $clog2(COLUMNS) : 1;
  localparam int ROW_BITS = ROWS > 1 ? $clog2(ROWS) : 1;
  localparam int COLUMN_WAIT = KERNEL_W > STRIDE_W ? KERNEL_W : STRIDE_W;
  localparam int ROW_WAIT = KERNEL_H > STRIDE_H ? KERNEL_H : STRIDE_H;
  localparam int COLUMN_WAIT_BITS = COLUMN_WAIT > 1 ? $clog2(COLUMN_WAIT) : 1;
  localparam int ROW_WAIT_BITS = ROW_WAIT > 1 ? $clog2(ROW_WAIT) : 1;

  logic [GROUP_BITS-1:0] group;
  logic [COLUMN_BITS-1:0] column;
  logic [ROW_BITS-1:0] row;
  logic column_real, row_real;
  // Columns and rows until the next one in which a window ends.
  logic [COLUMN_WAIT_BITS-1:0] column_wait;
  logic [ROW_WAIT_BITS-1:0] row_wait;

  wire last_group = group == GROUP_BITS'(GROUPS - 1);
  wire last_column = column == COLUMN_BITS'(COLUMNS - 1);
  wire last_row = row == ROW_BITS'(ROWS - 1);

  wire room;
  wire pops = column_real && row_real;
  wire emits = column_wait == '0 && row_wait == '0 && GROUP_EMITS[group];
  assign in_ready = pops && (!emits || room);
  wire issue = (!pops || in_valid) && (!emits || room);

  always_ff @(posedge clk) begin
    if (issue) begin
      group <= last_group ? '0 : group + 1'b1;
      if (last_group) begin
        column <= last_column ? '0 : column + 1'b1;
        if (last_column) column_real <= PAD_LEFT == 0;
        else if (PAD_LEFT != 0 && column == COLUMN_BITS'(PAD_LEFT - 1)) column_real <= 1'b1;
        else if (PAD_RIGHT != 0 && column == COLUMN_BITS'(PAD_LEFT + WIDTH - 1)) column_real <= 1'b0;
        if (last_column) column_wait <= COLUMN_WAIT_BITS'(KERNEL_W - 1);
        else if (column_wait == '0) column_wait <= COLUMN_WAIT_BITS'(STRIDE_W - 1);
        else column_wait <= column_wait - 1'b1;
        if (last_column) begin
          row <= last_row ? '0 : row + 1'b1;
          if (last_row) row_real <= PAD_TOP == 0;
          else if (PAD_TOP != 0 && row == ROW_BITS'(PAD_TOP - 1)) row_real <= 1'b1;
          else if (PAD_BOTTOM != 0 && row == ROW_BITS'(PAD_TOP + HEIGHT - 1)) row_real <= 1'b0;
          if (last_row) row_wait <= ROW_WAIT_BITS'(KERNEL_H - 1);
          else if (row_wait == '0) row_wait <= ROW_WAIT_BITS'(STRIDE_H - 1);
          else row_wait <= row_wait - 1'b1;
        end
      end
    end
    if (rst) begin
      group <= '0;
      column <= '0;
      row <= '0;
      column_real <= PAD_LEFT == 0;
      row_real <= PAD_TOP == 0;
      column_wait <= COLUMN_WAIT_BITS'(KERNEL_W - 1);
      row_wait <= ROW_WAIT_BITS'(KERNEL_H - 1);
    end
  end

  // --- One cycle later: the pixel joins those above it.

  logic step, push;
  logic [PIXEL-1:0] pixel;

  always_ff @(posedge clk) begin
    step <= issue && !rst;
    push <= issue && emits && !rst;
    pixel <= pops ? in_data : {CHANNELS{BITS'(PAD_VALUE)}};
  end

  wire [KERNEL_H*PIXEL-1:0] newest;  // one column of the window, its top row in the least significant bits

  if (KERNEL_H == 1) begin : g_no_lines
    assign newest = pixel;
    wire unused_step = step;
  end else begin : g_lines
    localparam int LINES = (KERNEL_H - 1) * PIXEL;
    wire [LINES-1:0] above;
    wire [LINES-1:0] shifted = LINES'(newest >> PIXEL);
    assign newest = {pixel, above};

    if (LINE_DEPTH == 1) begin : g_register
      // A memory of one word would be read while it is written.
      logic [LINES-1:0] line;
      always_ff @(posedge clk) if (step) line <= shifted;
      assign above = line;
    end else begin : g_memory
      localparam int ADDRESS_BITS = $clog2(LINE_DEPTH);
      logic [ADDRESS_BITS-1:0] address, written;
      always_ff @(posedge clk) begin
        if (issue) address <= address == ADDRESS_BITS'(LINE_DEPTH - 1) ? '0 : address + 1'b1;
        written <= address;
        if (rst) address <= '0;
      end

      ram #(
          .WIDTH(LINES),
          .DEPTH(LINE_DEPTH),
          .BLOCK_RAM(LINE_BLOCK_RAM)
      ) ram_i (
          .clk(clk),
          .write(step),
          .write_address(written),
          .write_data(shifted),
          .read(issue),
          .read_address(address),
          .read_data(above)
      );
    end
  end

  // --- Taps: the columns to the left, `GROUPS` steps apart.

  wire [KERNEL_H*KERNEL_W*PIXEL-1:0] beat;

  for (genvar age = 0; age < KERNEL_W; age++) begin : g_age
    wire [KERNEL_H*PIXEL-1:0] taps;
    if (age == 0) begin : g_newest
      assign taps = newest;
    end else begin : g_older
      delay #(
          .WIDTH(KERNEL_H * PIXEL),
          .DEPTH(GROUPS)
      ) delay_i (
          .clk(clk),
          .enable(step),
          .in_data(g_age[age-1].taps),
          .out_data(taps)
      );
    end
    for (genvar y = 0; y < KERNEL_H; y++) begin : g_row
      assign beat[(y*KERNEL_W+KERNEL_W-1-age)*PIXEL+:PIXEL] = taps[y*PIXEL+:PIXEL];
    end
  end

  // --- Kept taps.

  wire [LANES*BITS-1:0] kept;

  if (OPTIONS == 0) begin : g_all
    assign kept = beat;
  end else begin : g_gather
    wire unused_taps = ^beat;
    if (OPTIONS > 1) begin : g_group
      logic [GROUP_BITS-1:0] now;  // that of the beat
      always_ff @(posedge clk) now <= group;
    end
    for (genvar lane = 0; lane < LANES; lane++) begin : g_lane
      wire [BITS-1:0] option[OPTIONS];
      for (genvar i = 0; i < OPTIONS; i++) begin : g_option
        localparam int TAP = int'(TAPS[(lane*OPTIONS+i)*TAP_BITS+:TAP_BITS]);
        assign option[i] = beat[TAP*BITS+:BITS];
      end
      if (OPTIONS == 1) begin : g_wire
        assign kept[lane*BITS+:BITS] = option[0];
      end else begin : g_select
        wire [SELECT_BITS-1:0] of_group[GROUPS];
        for (genvar i = 0; i < GROUPS; i++) begin : g_of_group
          assign of_group[i] = SELECTS[(i*LANES+lane)*SELECT_BITS+:SELECT_BITS];
        end
        assign kept[lane*BITS+:BITS] = option[of_group[g_group.now]];
      end
    end
  end

  fifo #(
      .WIDTH(LANES * BITS),
      .DEPTH(OUT_DEPTH),
      .BLOCK_RAM(OUT_BLOCK_RAM)
  ) fifo_i (
      .clk(clk),
      .rst(rst),
      .reserve(issue && emits),
      .room(room),
      .push(push),
      .in_data(kept),
      .out_valid(out_valid),
      .out_ready(out_ready),
      .out_data(out_data)
  );

endmodule

`default_nettype wire
