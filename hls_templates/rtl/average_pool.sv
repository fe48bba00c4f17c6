// Average pool: sums of channels over the taps of a beat and over COUNT positions, one beat a cycle. What divides is the
// requantize block behind it.
//
// Registers: input, one level of adders each, and with COUNT > 1 the accumulators of the beat's channel group; those of
// the other groups go round in a delay line.
`default_nettype none

module average_pool #(
    // Codes of a channel that a beat brings, and channels of a beat.
    parameter int TAPS = 4,
    parameter int CHANNELS = 1,
    parameter int BITS = 8,
    parameter int SIGNED = 0,
    // Beats of a position, and positions of a sum.
    parameter int GROUPS = 1,
    parameter int COUNT = 1,
    // Signed sums, exact modulo 2**SUM_BITS.
    parameter int SUM_BITS = 11,
    // Output FIFO.
    parameter int OUT_DEPTH = 2,
    parameter int OUT_BLOCK_RAM = 0
) (
    input  wire                          clk,
    input  wire                          rst,
    input  wire                          in_valid,
    output wire                          in_ready,
    input  wire [TAPS*CHANNELS*BITS-1:0] in_data,
    output wire                          out_valid,
    input  wire                          out_ready,
    output wire [ CHANNELS*SUM_BITS-1:0] out_data
);

  if (TAPS < 1 || CHANNELS < 1 || BITS < 1 || GROUPS < 1 || COUNT < 1 || SUM_BITS <= BITS - (SIGNED != 0 ? 1 : 0))
  begin : g_illegal
    $fatal(1, "average_pool: sizes must be positive, SUM_BITS must hold a code");
  end

  localparam int LEVELS = $clog2(TAPS);

  wire room;
  wire first, last;
  assign in_ready = !last || room;
  wire issue = in_valid && in_ready;

  // --- Steps.

  if (COUNT == 1) begin : g_no_count
    assign first = 1'b1;
    assign last = 1'b1;
  end else begin : g_count
    localparam int GROUP_BITS = GROUPS > 1 ? $clog2(GROUPS) : 1;
    localparam int POSITION_BITS = $clog2(COUNT);
    logic [GROUP_BITS-1:0] group;
    logic [POSITION_BITS-1:0] position;
    assign first = position == '0;
    assign last = position == POSITION_BITS'(COUNT - 1);
    wire last_group = group == GROUP_BITS'(GROUPS - 1);
    always_ff @(posedge clk) begin
      if (issue) begin
        group <= last_group ? '0 : group + 1'b1;
        if (last_group) position <= last ? '0 : position + 1'b1;
      end
      if (rst) begin
        group <= '0;
        position <= '0;
      end
    end
  end

  // --- Sums of a beat.

  logic [TAPS*CHANNELS*BITS-1:0] codes;
  always_ff @(posedge clk) codes <= in_data;

  logic [LEVELS:0] valid, fresh, emit;
  always_ff @(posedge clk) begin
    valid <= (LEVELS + 1)'({valid, issue});
    fresh <= (LEVELS + 1)'({fresh, first});
    emit  <= (LEVELS + 1)'({emit, issue && last});
    if (rst) begin
      valid <= '0;
      emit <= '0;
    end
  end

  wire [CHANNELS*SUM_BITS-1:0] sums;
  for (genvar channel = 0; channel < CHANNELS; channel++) begin : g_channel
    localparam int WIDE = BITS + (SIGNED != 0 ? 0 : 1);
    wire [TAPS*WIDE-1:0] taps;
    for (genvar i = 0; i < TAPS; i++) begin : g_tap
      assign taps[i*WIDE+:WIDE] = WIDE'(codes[(i*CHANNELS+channel)*BITS+:BITS]);
    end
    adder_tree #(
        .INPUTS(TAPS),
        .IN_BITS(WIDE),
        .OUT_BITS(SUM_BITS)
    ) tree_i (
        .clk(clk),
        .in_data(taps),
        .sum(sums[channel*SUM_BITS+:SUM_BITS])
    );
  end

  // --- Sums of positions.

  wire push;
  wire [CHANNELS*SUM_BITS-1:0] totals;

  if (COUNT == 1) begin : g_beat
    assign push = emit[LEVELS];
    assign totals = sums;
    wire unused_step = ^valid ^ ^fresh;
  end else begin : g_accumulate
    logic done;
    logic [CHANNELS*SUM_BITS-1:0] total;
    wire [CHANNELS*SUM_BITS-1:0] older;
    always_ff @(posedge clk) begin
      done <= emit[LEVELS] && !rst;
      if (valid[LEVELS]) begin
        for (int i = 0; i < CHANNELS; i++) begin
          total[i*SUM_BITS+:SUM_BITS] <=
              sums[i*SUM_BITS+:SUM_BITS] + (fresh[LEVELS] ? '0 : older[i*SUM_BITS+:SUM_BITS]);
        end
      end
    end
    if (GROUPS == 1) begin : g_one_group
      assign older = total;
    end else begin : g_groups
      delay #(
          .WIDTH(CHANNELS * SUM_BITS),
          .DEPTH(GROUPS - 1)
      ) delay_i (
          .clk(clk),
          .enable(valid[LEVELS]),
          .in_data(total),
          .out_data(older)
      );
    end
    assign push = done;
    assign totals = total;
  end

  fifo #(
      .WIDTH(CHANNELS * SUM_BITS),
      .DEPTH(OUT_DEPTH),
      .BLOCK_RAM(OUT_BLOCK_RAM)
  ) fifo_i (
      .clk(clk),
      .rst(rst),
      .reserve(issue && last),
      .room(room),
      .push(push),
      .in_data(totals),
      .out_valid(out_valid),
      .out_ready(out_ready),
      .out_data(out_data)
  );

endmodule

`default_nettype wire
