// AXI4-Stream out: extends codes to byte-aligned containers and marks the last beat of a frame with TLAST.
`default_nettype none

module axis_output #(
    // TDATA: LANES containers of CONTAINER_BITS, each a code of BITS, sign- or zero-extended.
    parameter int LANES = 1,
    parameter int BITS = 8,
    parameter int SIGNED = 0,
    parameter int CONTAINER_BITS = 8,
    // Beats of a frame.
    parameter int BEATS = 10,
    // Output FIFO.
    parameter int OUT_DEPTH = 2,
    parameter int OUT_BLOCK_RAM = 0
) (
    input  wire                             clk,
    input  wire                             rst,
    input  wire                             in_valid,
    output wire                             in_ready,
    input  wire  [          LANES*BITS-1:0] in_data,
    output wire  [LANES*CONTAINER_BITS-1:0] m_axis_tdata,
    output wire                             m_axis_tvalid,
    input  wire                             m_axis_tready,
    output wire                             m_axis_tlast,
    // Pulses in the cycle of the handshake: a frame's first and last beat.
    output wire                             first_given,
    output wire                             frame_given
);

  if (LANES < 1 || BITS < 1 || CONTAINER_BITS < BITS || CONTAINER_BITS % 8 != 0 || BEATS < 1) begin : g_illegal
    $fatal(1, "axis_output: sizes must be positive, a container whole bytes and no narrower than a code");
  end

  localparam int BEAT_BITS = BEATS > 1 ? $clog2(BEATS) : 1;

  // Codes are narrower than containers, so they are extended behind the FIFO.
  wire room;
  assign in_ready = room;
  wire issue = in_valid && room;
  wire [LANES*BITS-1:0] codes;

  fifo #(
      .WIDTH(LANES * BITS),
      .DEPTH(OUT_DEPTH),
      .BLOCK_RAM(OUT_BLOCK_RAM)
  ) fifo_i (
      .clk(clk),
      .rst(rst),
      .reserve(issue),
      .room(room),
      .push(issue),
      .in_data(in_data),
      .out_valid(m_axis_tvalid),
      .out_ready(m_axis_tready),
      .out_data(codes)
  );

  for (genvar lane = 0; lane < LANES; lane++) begin : g_lane
    wire [BITS-1:0] code = codes[lane*BITS+:BITS];
    wire [CONTAINER_BITS:0] extended = {{CONTAINER_BITS + 1 - BITS{SIGNED != 0 && code[BITS-1]}}, code};
    assign m_axis_tdata[lane*CONTAINER_BITS+:CONTAINER_BITS] = extended[CONTAINER_BITS-1:0];
    wire unused_top = extended[CONTAINER_BITS];
  end

  logic [BEAT_BITS-1:0] beat;
  wire given = m_axis_tvalid && m_axis_tready;
  assign m_axis_tlast = beat == BEAT_BITS'(BEATS - 1);
  assign first_given = given && beat == '0;
  assign frame_given = given && m_axis_tlast;

  always_ff @(posedge clk) begin
    if (given) beat <= m_axis_tlast ? '0 : beat + 1'b1;
    if (rst) beat <= '0;
  end

endmodule

`default_nettype wire
