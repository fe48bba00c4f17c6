// AXI4-Stream in: unpacks containers (bytes, or equal parts of bytes) into lanes, admits whole frames, checks TLAST.
//
// Frames are counted in beats; a TLAST that comes early, or does not come, is reported and changes nothing.
`default_nettype none

module axis_input #(
    // TDATA: LANES containers of CONTAINER_BITS, a code of BITS in the low bits of each.
    parameter int LANES = 8,
    parameter int BITS = 8,
    parameter int CONTAINER_BITS = 8,
    // Beats of a frame.
    parameter int BEATS = 98,
    // Output FIFO.
    parameter int OUT_DEPTH = 2,
    parameter int OUT_BLOCK_RAM = 0
) (
    input  wire                             clk,
    input  wire                             rst,
    // A frame may be admitted. Looked at only at a frame's first beat; low while rst is high.
    input  wire                             start,
    input  wire  [LANES*CONTAINER_BITS-1:0] s_axis_tdata,
    input  wire                             s_axis_tvalid,
    output wire                             s_axis_tready,
    input  wire                             s_axis_tlast,
    // Pulses in the cycle of the handshake: a beat, a frame's last beat, a wrong TLAST.
    output wire                             beat_taken,
    output wire                             frame_taken,
    output wire                             tlast_error,
    output wire                             out_valid,
    input  wire                             out_ready,
    output wire  [          LANES*BITS-1:0] out_data
);

  if (LANES < 1 || BITS < 1 || CONTAINER_BITS < BITS || BEATS < 1) begin : g_illegal
    $fatal(1, "axis_input: sizes must be positive, a container no narrower than a code");
  end
  if (CONTAINER_BITS % 8 != 0 && 8 % CONTAINER_BITS != 0 || LANES * CONTAINER_BITS % 8 != 0) begin : g_illegal_container
    $fatal(1, "axis_input: a container must be whole bytes, or an equal part of one in a beat of whole bytes");
  end

  localparam int BEAT_BITS = BEATS > 1 ? $clog2(BEATS) : 1;

  wire room;
  logic [BEAT_BITS-1:0] beat;
  wire first = beat == '0;
  wire last = beat == BEAT_BITS'(BEATS - 1);

  assign s_axis_tready = room && (!first || start);
  assign beat_taken = s_axis_tvalid && s_axis_tready;
  assign frame_taken = beat_taken && last;
  assign tlast_error = beat_taken && s_axis_tlast != last;

  always_ff @(posedge clk) begin
    if (beat_taken) beat <= last ? '0 : beat + 1'b1;
    if (rst) beat <= '0;
  end

  wire [LANES*BITS-1:0] codes;
  for (genvar lane = 0; lane < LANES; lane++) begin : g_lane
    assign codes[lane*BITS+:BITS] = s_axis_tdata[lane*CONTAINER_BITS+:BITS];
    if (CONTAINER_BITS > BITS) begin : g_padding
      wire unused_padding = &{s_axis_tdata[lane*CONTAINER_BITS+BITS+:CONTAINER_BITS-BITS]};
    end
  end

  fifo #(
      .WIDTH(LANES * BITS),
      .DEPTH(OUT_DEPTH),
      .BLOCK_RAM(OUT_BLOCK_RAM)
  ) fifo_i (
      .clk(clk),
      .rst(rst),
      .reserve(beat_taken),
      .room(room),
      .push(beat_taken),
      .in_data(codes),
      .out_valid(out_valid),
      .out_ready(out_ready),
      .out_data(out_data)
  );

endmodule

`default_nettype wire
