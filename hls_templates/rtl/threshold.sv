// Threshold: accumulators to codes of a few bits by comparison, one beat a cycle.
//
//     out = LOW + number of the channel's thresholds that the accumulator reaches
//
// Thresholds ascend. They come from a ROM, one word a channel group. Registers: thresholds and input, comparisons, and with
// more than one threshold the code.
`default_nettype none

module threshold #(
    // Channels of a beat, beats of a position.
    parameter int LANES = 1,
    parameter int GROUPS = 1,
    // Input.
    parameter int IN_BITS = 12,
    parameter int IN_SIGNED = 1,
    // Of a channel, 1 to 15; signed.
    parameter int COUNT = 1,
    parameter int THRESHOLD_BITS = 13,
    // The code below all thresholds.
    parameter int LOW = 0,
    parameter int OUT_BITS = 1,
    // Thresholds in block RAM or in LUTs.
    parameter int THRESHOLD_BLOCK_RAM = 0,
    // 1: the memory takes new contents from the load chain; 0: it is constant and the chain goes past.
    parameter int RELOADABLE = 0,
    // Output FIFO.
    parameter int OUT_DEPTH = 2,
    parameter int OUT_BLOCK_RAM = 0,
    // Threshold words for $readmemh, lane*COUNT + i being number i of a lane.
    parameter THRESHOLDS = ""
) (
    input  wire                       clk,
    input  wire                       rst,
    // The chain that brings new weights, see `loader`.
    input  wire  [              10:0] load_in,
    output wire  [              10:0] load_out,
    input  wire                       in_valid,
    output wire                       in_ready,
    input  wire  [ LANES*IN_BITS-1:0] in_data,
    output wire                       out_valid,
    input  wire                       out_ready,
    output wire  [LANES*OUT_BITS-1:0] out_data
);

  if (LANES < 1 || GROUPS < 1 || IN_BITS < 1 || THRESHOLD_BITS < 1) begin : g_illegal_size
    $fatal(1, "threshold: lanes, groups and widths must be positive");
  end
  if (COUNT < 1 || COUNT > 15 || OUT_BITS < 1 || OUT_BITS > 32 || COUNT >= 1 << OUT_BITS) begin : g_illegal_count
    $fatal(1, "threshold: COUNT must be 1 to 15 and less than the codes of OUT_BITS");
  end

  localparam int GROUP_BITS = GROUPS > 1 ? $clog2(GROUPS) : 1;
  localparam int COMPARE_BITS = IN_BITS >= THRESHOLD_BITS ? IN_BITS + 1 : THRESHOLD_BITS;
  localparam int COUNT_BITS = $clog2(COUNT + 1);
  localparam int STAGES = COUNT > 1 ? 3 : 2;

  wire room;
  assign in_ready = room;
  wire issue = in_valid && room;

  logic [STAGES-1:0] valid;
  always_ff @(posedge clk) begin
    valid <= {valid[STAGES-2:0], issue};
    if (rst) valid <= '0;
  end

  logic [GROUP_BITS-1:0] group;
  always_ff @(posedge clk) begin
    if (issue) group <= group == GROUP_BITS'(GROUPS - 1) ? '0 : group + 1'b1;
    if (rst) group <= '0;
  end

  wire [LANES*COUNT*THRESHOLD_BITS-1:0] thresholds;
  weight_memory #(
      .WIDTH(LANES * COUNT * THRESHOLD_BITS),
      .DEPTH(GROUPS),
      .BLOCK_RAM(THRESHOLD_BLOCK_RAM),
      .RELOADABLE(RELOADABLE),
      .CONTENTS(THRESHOLDS)
  ) thresholds_i (
      .clk(clk),
      .rst(rst),
      .load_in(load_in),
      .load_out(load_out),
      .read(issue),
      .address(group),
      .data(thresholds)
  );

  logic [LANES*IN_BITS-1:0] accumulators;
  always_ff @(posedge clk) accumulators <= in_data;

  wire [LANES*OUT_BITS-1:0] codes;

  for (genvar lane = 0; lane < LANES; lane++) begin : g_lane
    wire [IN_BITS-1:0] raw = accumulators[lane*IN_BITS+:IN_BITS];
    wire signed [IN_BITS:0] accumulator = {IN_SIGNED != 0 && raw[IN_BITS-1], raw};

    logic [COUNT-1:0] reached;
    for (genvar i = 0; i < COUNT; i++) begin : g_threshold
      wire signed [THRESHOLD_BITS-1:0] least = thresholds[(lane*COUNT+i)*THRESHOLD_BITS+:THRESHOLD_BITS];
      always_ff @(posedge clk) reached[i] <= COMPARE_BITS'(accumulator) >= COMPARE_BITS'(least);
    end

    if (COUNT == 1) begin : g_sign
      assign codes[lane*OUT_BITS+:OUT_BITS] = OUT_BITS'(LOW) + OUT_BITS'(reached);
    end else begin : g_count
      // Those reached are the first ones: their number by bisection.
      wire [(1<<COUNT_BITS)-1:0] all = {{((1 << COUNT_BITS) - COUNT) {1'b0}}, reached};
      wire unused_top = all[(1<<COUNT_BITS)-1];
      for (genvar i = 0; i < COUNT_BITS; i++) begin : g_bit
        localparam int K = COUNT_BITS - 1 - i;
        localparam int OPTIONS = 1 << i;
        wire [OPTIONS-1:0] middle;
        // Bits from the highest one down to K.
        wire [i:0] count;
        for (genvar j = 0; j < OPTIONS; j++) begin : g_option
          assign middle[j] = all[(j<<(K+1))+(1<<K)-1];
        end
        if (i == 0) begin : g_first
          assign count = middle;
        end else begin : g_next
          assign count = {g_bit[i-1].count, middle[g_bit[i-1].count]};
        end
      end
      logic [OUT_BITS-1:0] code;
      always_ff @(posedge clk) code <= OUT_BITS'(LOW) + OUT_BITS'(g_bit[COUNT_BITS-1].count);
      assign codes[lane*OUT_BITS+:OUT_BITS] = code;
    end
  end

  fifo #(
      .WIDTH(LANES * OUT_BITS),
      .DEPTH(OUT_DEPTH),
      .BLOCK_RAM(OUT_BLOCK_RAM)
  ) fifo_i (
      .clk(clk),
      .rst(rst),
      .reserve(issue),
      .room(room),
      .push(valid[STAGES-1]),
      .in_data(codes),
      .out_valid(out_valid),
      .out_ready(out_ready),
      .out_data(out_data)
  );

endmodule

`default_nettype wire
