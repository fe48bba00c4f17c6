// The same elements in beats of another number of lanes, a whole ratio up or down. One narrow beat a cycle.
//
// With UNIT_STEPS, so many narrow beats are a unit, which begins in a wide beat of its own. Of a unit's last wide beat in,
// the rest is dropped; its last wide beat out holds the unit's last elements, some of which the one before had too.
`default_nettype none

module width_converter #(
    // Lanes of an input beat and of an output beat; one is a multiple of the other.
    parameter int IN_LANES = 4,
    parameter int OUT_LANES = 1,
    // Narrow beats of a unit, more than a wide one has; 0: wide beats are full.
    parameter int UNIT_STEPS = 0,
    // Bits of a lane.
    parameter int BITS = 8,
    // Output FIFO.
    parameter int OUT_DEPTH = 2,
    parameter int OUT_BLOCK_RAM = 0
) (
    input  wire                       clk,
    input  wire                       rst,
    input  wire                       in_valid,
    output wire                       in_ready,
    input  wire  [ IN_LANES*BITS-1:0] in_data,
    output wire                       out_valid,
    input  wire                       out_ready,
    output wire  [OUT_LANES*BITS-1:0] out_data
);

  if (IN_LANES < 1 || OUT_LANES < 1 || BITS < 1) begin : g_illegal_size
    $fatal(1, "width_converter: lanes and BITS must be positive");
  end
  if (IN_LANES % OUT_LANES != 0 && OUT_LANES % IN_LANES != 0) begin : g_illegal_ratio
    $fatal(1, "width_converter: one of IN_LANES and OUT_LANES must be a multiple of the other");
  end

  localparam int IN_WIDTH = IN_LANES * BITS;
  localparam int OUT_WIDTH = OUT_LANES * BITS;
  localparam int RATIO = IN_LANES > OUT_LANES ? IN_LANES / OUT_LANES : OUT_LANES / IN_LANES;
  localparam int STEP_BITS = RATIO > 1 ? $clog2(RATIO) : 1;

  if (UNIT_STEPS != 0 && (RATIO == 1 || UNIT_STEPS <= RATIO)) begin : g_illegal_unit
    $fatal(1, "width_converter: UNIT_STEPS must be more than a wide beat has");
  end

  wire room, emit;
  wire [OUT_WIDTH-1:0] beat;

  if (RATIO == 1) begin : g_same
    assign in_ready = room;
    assign emit = in_valid && room;
    assign beat = in_data;
  end else begin : g_other
    // Steps of a wide beat; the last one is its own, or its unit's.
    wire issue;
    logic [STEP_BITS-1:0] step;
    wire unit_ends;
    wire last = step == STEP_BITS'(RATIO - 1) || unit_ends;

    always_ff @(posedge clk) begin
      if (issue) step <= last ? '0 : step + 1'b1;
      if (rst) step <= '0;
    end

    if (UNIT_STEPS == 0) begin : g_full
      assign unit_ends = 1'b0;
    end else begin : g_unit
      localparam int UNIT_BITS = $clog2(UNIT_STEPS);
      logic [UNIT_BITS-1:0] unit_step;
      assign unit_ends = unit_step == UNIT_BITS'(UNIT_STEPS - 1);
      always_ff @(posedge clk) begin
        if (issue) unit_step <= unit_ends ? '0 : unit_step + 1'b1;
        if (rst) unit_step <= '0;
      end
    end

    if (IN_LANES > OUT_LANES) begin : g_down
      // The first step takes a beat and passes its low lanes on; the others shift the rest out.
      logic [IN_WIDTH-OUT_WIDTH-1:0] rest;
      wire first = step == '0;
      assign in_ready = first && room;
      assign issue = (!first || in_valid) && room;
      assign emit = issue;
      assign beat = first ? in_data[OUT_WIDTH-1:0] : rest[OUT_WIDTH-1:0];
      always_ff @(posedge clk) if (issue) rest <= first ? in_data[IN_WIDTH-1:OUT_WIDTH] : rest >> OUT_WIDTH;
    end else begin : g_up
      // All steps take a beat; the last one passes it on above those kept.
      logic [OUT_WIDTH-IN_WIDTH-1:0] kept;
      assign in_ready = !last || room;
      assign issue = in_valid && in_ready;
      assign emit = issue && last;
      assign beat = {in_data, kept};
      always_ff @(posedge clk) if (issue) kept <= (OUT_WIDTH - IN_WIDTH)'(beat >> IN_WIDTH);
    end
  end

  fifo #(
      .WIDTH(OUT_WIDTH),
      .DEPTH(OUT_DEPTH),
      .BLOCK_RAM(OUT_BLOCK_RAM)
  ) fifo_i (
      .clk(clk),
      .rst(rst),
      .reserve(emit),
      .room(room),
      .push(emit),
      .in_data(beat),
      .out_valid(out_valid),
      .out_ready(out_ready),
      .out_data(out_data)
  );

endmodule

`default_nettype wire
