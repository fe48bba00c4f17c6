// Fork: every beat to two readers, each behind a FIFO of its own. A beat is taken when both have room.
`default_nettype none

module stream_fork #(
    // Bits of a beat.
    parameter int WIDTH = 8,
    // Output FIFOs.
    parameter int OUT0_DEPTH = 2,
    parameter int OUT0_BLOCK_RAM = 0,
    parameter int OUT1_DEPTH = 2,
    parameter int OUT1_BLOCK_RAM = 0
) (
    input  wire             clk,
    input  wire             rst,
    input  wire             in_valid,
    output wire             in_ready,
    input  wire [WIDTH-1:0] in_data,
    output wire             out0_valid,
    input  wire             out0_ready,
    output wire [WIDTH-1:0] out0_data,
    output wire             out1_valid,
    input  wire             out1_ready,
    output wire [WIDTH-1:0] out1_data
);

  if (WIDTH < 1) begin : g_illegal
    $fatal(1, "stream_fork: WIDTH must be positive");
  end

  wire room0, room1;
  assign in_ready = room0 && room1;
  wire issue = in_valid && in_ready;

  fifo #(
      .WIDTH(WIDTH),
      .DEPTH(OUT0_DEPTH),
      .BLOCK_RAM(OUT0_BLOCK_RAM)
  ) fifo0_i (
      .clk(clk),
      .rst(rst),
      .reserve(issue),
      .room(room0),
      .push(issue),
      .in_data(in_data),
      .out_valid(out0_valid),
      .out_ready(out0_ready),
      .out_data(out0_data)
  );

  fifo #(
      .WIDTH(WIDTH),
      .DEPTH(OUT1_DEPTH),
      .BLOCK_RAM(OUT1_BLOCK_RAM)
  ) fifo1_i (
      .clk(clk),
      .rst(rst),
      .reserve(issue),
      .room(room1),
      .push(issue),
      .in_data(in_data),
      .out_valid(out1_valid),
      .out_ready(out1_ready),
      .out_data(out1_data)
  );

endmodule

`default_nettype wire
