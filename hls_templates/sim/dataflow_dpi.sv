// The data path as HLS C++ in simulation: the ports of the RTL data path around the C++ function, called through DPI.
//
// A frame runs in one call when its last beat is taken; results wait in C++ and leave as AXI4-Stream. Cycle counts
// mean nothing here, everything on the ports does. Frames are counted in beats; a TLAST that comes early, or does not
// come, is reported and changes nothing.
/* verilator lint_off DECLFILENAME */
`default_nettype none

module dataflow #(
    parameter int AXIS_IN_WIDTH = 64,
    parameter int AXIS_OUT_WIDTH = 8,
    parameter int IN_BEATS = 98,
    parameter int OUT_BEATS = 10
) (
    input  wire                       clk,
    input  wire                       rst,
    // A frame may be admitted; looked at only at its first beat.
    input  wire                       start,
    input  wire  [ AXIS_IN_WIDTH-1:0] s_axis_tdata,
    input  wire                       s_axis_tvalid,
    output wire                       s_axis_tready,
    input  wire                       s_axis_tlast,
    output logic [AXIS_OUT_WIDTH-1:0] m_axis_tdata,
    output logic                      m_axis_tvalid,
    input  wire                       m_axis_tready,
    output logic                      m_axis_tlast,
    // One-cycle pulses, in the cycle of the handshake.
    output wire                       frame_taken,
    output wire                       tlast_error,
    output wire                       beat_taken,
    output wire                       frame_given,
    output wire                       first_given,
    // Begin and end of the chain that brings new weights: written, begin, valid, byte. The C++ keeps it as one link.
    input  wire  [              10:0] load,
    output logic [              10:0] loaded
);

  if (AXIS_IN_WIDTH > 64 || AXIS_OUT_WIDTH > 64) begin : g_bad_width
    $fatal(1, "dataflow_dpi: a beat is handed over as 64 bits");
  end

  // Forget everything: a frame half taken, results not given yet. Non-zero: the C++ was made for other sizes.
  import "DPI-C" function int admmfpga_reset(
    input int in_width,
    input int out_width,
    input int in_beats,
    input int out_beats
  );
  import "DPI-C" function void admmfpga_push(input longint unsigned beat);
  // Run a frame. Non-zero: beats are left over or missing, or TLAST is wrong.
  import "DPI-C" function int admmfpga_run();
  // Result beats that wait.
  import "DPI-C" function int admmfpga_waiting();
  // TLAST of the next result beat; TDATA, which takes the beat away.
  import "DPI-C" function int admmfpga_last();
  import "DPI-C" function longint unsigned admmfpga_pop();

  // New weights begin; their next byte, non-zero if it ends a memory's word.
  import "DPI-C" function void admmfpga_load_begin();
  import "DPI-C" function int admmfpga_load_byte(input byte unsigned data);

  localparam int IN_BITS = IN_BEATS > 1 ? $clog2(IN_BEATS) : 1;

  // One more frame is admitted while no more than one frame's results wait.
  logic room;
  logic [IN_BITS-1:0] in_beat;
  logic out_first;
  wire in_first = in_beat == '0;
  wire in_last = in_beat == IN_BITS'(IN_BEATS - 1);

  assign s_axis_tready = room && (!in_first || start);
  assign beat_taken = s_axis_tvalid && s_axis_tready;
  assign frame_taken = beat_taken && in_last;
  assign tlast_error = beat_taken && s_axis_tlast != in_last;

  wire given = m_axis_tvalid && m_axis_tready;
  assign first_given = given && out_first;
  assign frame_given = given && m_axis_tlast;

  wire unused_written = load[10];
  always_ff @(posedge clk) begin
    loaded <= '0;
    if (load[9]) admmfpga_load_begin();
    if (load[8]) loaded[10] <= admmfpga_load_byte(load[7:0]) != 0;
  end

  always_ff @(posedge clk) begin
    if (rst) begin
      if (admmfpga_reset(AXIS_IN_WIDTH, AXIS_OUT_WIDTH, IN_BEATS, OUT_BEATS) != 0)
        $fatal(1, "dataflow_dpi: the C++ has other widths or another frame");
      room <= 1'b0;
      in_beat <= '0;
      out_first <= 1'b1;
      m_axis_tvalid <= 1'b0;
    end else begin
      if (beat_taken) begin
        admmfpga_push(64'(s_axis_tdata));
        in_beat <= in_last ? '0 : in_beat + 1'b1;
        if (in_last && admmfpga_run() != 0) $fatal(1, "dataflow_dpi: the C++ gave no whole frame");
      end
      if (given) out_first <= m_axis_tlast;
      if (!m_axis_tvalid || m_axis_tready) begin
        m_axis_tvalid <= admmfpga_waiting() != 0;
        if (admmfpga_waiting() != 0) begin
          m_axis_tlast <= admmfpga_last() != 0;
          m_axis_tdata <= AXIS_OUT_WIDTH'(admmfpga_pop());
        end
      end
      room <= admmfpga_waiting() <= OUT_BEATS;
    end
  end

endmodule

`default_nettype wire
