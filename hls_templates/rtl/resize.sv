// Resize: every pixel to FACTOR_H x FACTOR_W pixels, one beat a cycle. What is repeated is kept in a memory: a row, or
// without vertical enlargement a pixel.
`default_nettype none

module resize #(
    // Pixels of a row, bits of a beat, beats of a pixel.
    parameter int WIDTH = 8,
    parameter int BEAT = 8,
    parameter int GROUPS = 1,
    // Enlargement.
    parameter int FACTOR_H = 2,
    parameter int FACTOR_W = 2,
    // The memory in block RAM or LUT-RAM.
    parameter int ROW_BLOCK_RAM = 0,
    // Output FIFO.
    parameter int OUT_DEPTH = 2,
    parameter int OUT_BLOCK_RAM = 0
) (
    input  wire            clk,
    input  wire            rst,
    input  wire            in_valid,
    output wire            in_ready,
    input  wire [BEAT-1:0] in_data,
    output wire            out_valid,
    input  wire            out_ready,
    output wire [BEAT-1:0] out_data
);

  if (WIDTH < 1 || BEAT < 1 || GROUPS < 1 || FACTOR_H < 1 || FACTOR_W < 1) begin : g_illegal
    $fatal(1, "resize: sizes and factors must be positive");
  end

  localparam int KEPT = FACTOR_H > 1 ? WIDTH * GROUPS : GROUPS;
  localparam int ADDRESS_BITS = KEPT > 1 ? $clog2(KEPT) : 1;
  localparam int GROUP_BITS = GROUPS > 1 ? $clog2(GROUPS) : 1;
  localparam int COPY_BITS = FACTOR_W > 1 ? $clog2(FACTOR_W) : 1;
  localparam int COLUMN_BITS = WIDTH > 1 ? $clog2(WIDTH) : 1;
  localparam int ROW_BITS = FACTOR_H > 1 ? $clog2(FACTOR_H) : 1;

  logic [GROUP_BITS-1:0] group;
  logic [COPY_BITS-1:0] copy;
  logic [COLUMN_BITS-1:0] column;
  logic [ROW_BITS-1:0] row;
  // Address of the pixel's first beat; that of the beat is `group` more.
  logic [ADDRESS_BITS-1:0] pixel;
  wire [ADDRESS_BITS-1:0] address = pixel + ADDRESS_BITS'(group);

  wire last_group = group == GROUP_BITS'(GROUPS - 1);
  wire last_copy = copy == COPY_BITS'(FACTOR_W - 1);
  wire last_column = column == COLUMN_BITS'(WIDTH - 1);

  wire room;
  wire pops = copy == '0 && row == '0;
  assign in_ready = pops && room;
  wire issue = (!pops || in_valid) && room;

  always_ff @(posedge clk) begin
    if (issue) begin
      group <= last_group ? '0 : group + 1'b1;
      if (last_group) begin
        copy <= last_copy ? '0 : copy + 1'b1;
        if (last_copy) begin
          column <= last_column ? '0 : column + 1'b1;
          pixel <= last_column || FACTOR_H == 1 ? '0 : pixel + ADDRESS_BITS'(GROUPS);
          if (last_column) row <= row == ROW_BITS'(FACTOR_H - 1) ? '0 : row + 1'b1;
        end
      end
    end
    if (rst) begin
      group <= '0;
      copy <= '0;
      column <= '0;
      row <= '0;
      pixel <= '0;
    end
  end

  logic push, popped;
  logic [BEAT-1:0] fresh;
  wire [BEAT-1:0] kept;
  always_ff @(posedge clk) begin
    push <= issue && !rst;
    popped <= pops;
    fresh <= in_data;
  end

  ram #(
      .WIDTH(BEAT),
      .DEPTH(KEPT),
      .BLOCK_RAM(ROW_BLOCK_RAM)
  ) ram_i (
      .clk(clk),
      .write(issue && pops),
      .write_address(address),
      .write_data(in_data),
      .read(issue && !pops),
      .read_address(address),
      .read_data(kept)
  );

  fifo #(
      .WIDTH(BEAT),
      .DEPTH(OUT_DEPTH),
      .BLOCK_RAM(OUT_BLOCK_RAM)
  ) fifo_i (
      .clk(clk),
      .rst(rst),
      .reserve(issue),
      .room(room),
      .push(push),
      .in_data(popped ? fresh : kept),
      .out_valid(out_valid),
      .out_ready(out_ready),
      .out_data(out_data)
  );

endmodule

`default_nettype wire
