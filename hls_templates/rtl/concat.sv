// Concat: FIRST beats of one stream, then SECOND beats of another, in turn; one beat a cycle.
`default_nettype none

module concat #(
    // Bits of a beat.
    parameter int WIDTH = 8,
    // Beats of each input in a turn.
    parameter int FIRST = 1,
    parameter int SECOND = 1,
    // Output FIFO.
    parameter int OUT_DEPTH = 2,
    parameter int OUT_BLOCK_RAM = 0
) (
    input  wire             clk,
    input  wire             rst,
    input  wire             in0_valid,
    output wire             in0_ready,
    input  wire [WIDTH-1:0] in0_data,
    input  wire             in1_valid,
    output wire             in1_ready,
    input  wire [WIDTH-1:0] in1_data,
    output wire             out_valid,
    input  wire             out_ready,
    output wire [WIDTH-1:0] out_data
);

  if (WIDTH < 1 || FIRST < 1 || SECOND < 1) begin : g_illegal
    $fatal(1, "concat: WIDTH, FIRST and SECOND must be positive");
  end

  localparam int BEAT_BITS = $clog2(FIRST + SECOND);

  logic [BEAT_BITS-1:0] beat;
  logic second;

  wire room;
  assign in0_ready = !second && room;
  assign in1_ready = second && room;
  wire issue = (second ? in1_valid : in0_valid) && room;

  always_ff @(posedge clk) begin
    if (issue) begin
      beat <= beat == BEAT_BITS'(FIRST + SECOND - 1) ? '0 : beat + 1'b1;
      if (beat == BEAT_BITS'(FIRST - 1)) second <= 1'b1;
      else if (beat == BEAT_BITS'(FIRST + SECOND - 1)) second <= 1'b0;
    end
    if (rst) begin
      beat <= '0;
      second <= 1'b0;
    end
  end

  fifo #(
      .WIDTH(WIDTH),
      .DEPTH(OUT_DEPTH),
      .BLOCK_RAM(OUT_BLOCK_RAM)
  ) fifo_i (
      .clk(clk),
      .rst(rst),
      .reserve(issue),
      .room(room),
      .push(issue),
      .in_data(second ? in1_data : in0_data),
      .out_valid(out_valid),
      .out_ready(out_ready),
      .out_data(out_data)
  );

endmodule

`default_nettype wire
