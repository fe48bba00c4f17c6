// Max pool: the greatest tap of each channel of a window beat, one beat a cycle. An input register, then a tree of
// comparators, one level a cycle.
`default_nettype none

module max_pool #(
    // A beat brings TAPS x CHANNELS lanes, lane tap*CHANNELS + channel.
    parameter int TAPS = 4,
    parameter int CHANNELS = 1,
    // Codes.
    parameter int BITS = 8,
    parameter int SIGNED = 0,
    // Output FIFO.
    parameter int OUT_DEPTH = 2,
    parameter int OUT_BLOCK_RAM = 0
) (
    input  wire                           clk,
    input  wire                           rst,
    input  wire                           in_valid,
    output wire                           in_ready,
    input  wire  [TAPS*CHANNELS*BITS-1:0] in_data,
    output wire                           out_valid,
    input  wire                           out_ready,
    output wire  [     CHANNELS*BITS-1:0] out_data
);

  if (TAPS < 1 || CHANNELS < 1 || BITS < 1) begin : g_illegal
    $fatal(1, "max_pool: TAPS, CHANNELS and BITS must be positive");
  end

  localparam int WIDTH = CHANNELS * BITS;
  localparam int LEVELS = $clog2(TAPS);

  wire room;
  assign in_ready = room;
  wire issue = in_valid && room;

  logic [LEVELS:0] valid;
  always_ff @(posedge clk) valid <= rst ? '0 : (LEVELS + 1)'({valid, issue});

  for (genvar level = 0; level <= LEVELS; level++) begin : g_level
    localparam int NODES = (TAPS + (1 << level) - 1) >> level;
    logic [NODES*WIDTH-1:0] best;
    if (level == 0) begin : g_input
      always_ff @(posedge clk) best <= in_data;
    end else begin : g_compare
      localparam int BELOW = (TAPS + (1 << (level - 1)) - 1) >> (level - 1);
      for (genvar i = 0; i < NODES; i++) begin : g_node
        for (genvar channel = 0; channel < CHANNELS; channel++) begin : g_channel
          wire [BITS-1:0] left = g_level[level-1].best[2*i*WIDTH+channel*BITS+:BITS];
          if (2 * i + 1 < BELOW) begin : g_pair
            wire [BITS-1:0] right = g_level[level-1].best[(2*i+1)*WIDTH+channel*BITS+:BITS];
            wire greater = SIGNED != 0 ? $signed(right) > $signed(left) : right > left;
            always_ff @(posedge clk) best[i*WIDTH+channel*BITS+:BITS] <= greater ? right : left;
          end else begin : g_single
            always_ff @(posedge clk) best[i*WIDTH+channel*BITS+:BITS] <= left;
          end
        end
      end
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
      .push(valid[LEVELS]),
      .in_data(g_level[LEVELS].best),
      .out_valid(out_valid),
      .out_ready(out_ready),
      .out_data(out_data)
  );

endmodule

`default_nettype wire
