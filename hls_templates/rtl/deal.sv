// The first STORED beats of a unit in EXTRA lanes beside the others: fewer and wider beats of the same elements.
//
// Stored elements leave in their order, EXTRA with each of the other beats; zeros follow them.
`default_nettype none

module deal #(
    // Lanes of an input beat, and how many more an output beat has, at most those stored.
    parameter int LANES = 4,
    parameter int EXTRA = 2,
    // Beats of a unit, and those of them that are stored.
    parameter int BEATS = 3,
    parameter int STORED = 1,
    // Bits of a lane.
    parameter int BITS = 8,
    // Output FIFO.
    parameter int OUT_DEPTH = 2,
    parameter int OUT_BLOCK_RAM = 0
) (
    input  wire                             clk,
    input  wire                             rst,
    input  wire                             in_valid,
    output wire                             in_ready,
    input  wire  [          LANES*BITS-1:0] in_data,
    output wire                             out_valid,
    input  wire                             out_ready,
    output wire  [(LANES+EXTRA)*BITS-1:0] out_data
);

  if (LANES < 1 || BITS < 1 || EXTRA < 1 || EXTRA > STORED * LANES) begin : g_illegal_size
    $fatal(1, "deal: LANES, BITS and EXTRA must be positive, EXTRA no more than are stored");
  end
  if (STORED < 1 || BEATS <= STORED || STORED * LANES > (BEATS - STORED) * EXTRA) begin : g_illegal_beats
    $fatal(1, "deal: what STORED beats hold must fit beside the other beats");
  end

  localparam int WIDTH = LANES * BITS;
  localparam int EXTRA_WIDTH = EXTRA * BITS;
  localparam int STORE_WIDTH = STORED * WIDTH;
  localparam int BEAT_BITS = $clog2(BEATS);

  logic [BEAT_BITS-1:0] beat;
  logic [STORE_WIDTH-1:0] store;
  wire room;
  wire storing = beat < BEAT_BITS'(STORED);
  assign in_ready = storing || room;
  wire issue = in_valid && in_ready;
  wire emit = issue && !storing;

  always_ff @(posedge clk) begin
    if (issue) begin
      beat  <= beat == BEAT_BITS'(BEATS - 1) ? '0 : beat + 1'b1;
      store <= storing ? STORE_WIDTH'({in_data, store} >> WIDTH) : store >> EXTRA_WIDTH;
    end
    if (rst) beat <= '0;
  end

  fifo #(
      .WIDTH(WIDTH + EXTRA_WIDTH),
      .DEPTH(OUT_DEPTH),
      .BLOCK_RAM(OUT_BLOCK_RAM)
  ) fifo_i (
      .clk(clk),
      .rst(rst),
      .reserve(emit),
      .room(room),
      .push(emit),
      .in_data({store[EXTRA_WIDTH-1:0], in_data}),
      .out_valid(out_valid),
      .out_ready(out_ready),
      .out_data(out_data)
  );

endmodule

`default_nettype wire
