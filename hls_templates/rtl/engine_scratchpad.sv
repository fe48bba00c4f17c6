// Scratchpad of the shared engine: two ports, one clock. Port a reads for the array, every lane at an address of its own, port b
// reads and writes words for transfers and results. Data come two cycles after the address.
`default_nettype none

module engine_scratchpad #(
    // Lanes of a word, each a byte; words.
    parameter int LANES = 8,
    parameter int DEPTH = 512,
    localparam int ADDRESS_BITS = $clog2(DEPTH)
) (
    input  wire                           clk,
    input  wire  [LANES*ADDRESS_BITS-1:0] a_address,
    output wire  [           LANES*8-1:0] a_data,
    input  wire                           b_write,
    input  wire  [      ADDRESS_BITS-1:0] b_address,
    input  wire  [           LANES*8-1:0] b_write_data,
    output wire  [           LANES*8-1:0] b_data
);

  if (LANES < 1 || DEPTH < 2) begin : g_illegal
    $fatal(1, "engine_scratchpad: LANES must be positive, DEPTH at least 2");
  end

  for (genvar lane = 0; lane < LANES; lane++) begin : g_lane
    (* ram_style = "block" *) logic [7:0] memory[DEPTH];
    logic [7:0] a_read, a_held, b_read, b_held;
    assign a_data[lane*8+:8] = a_held;
    assign b_data[lane*8+:8] = b_held;

    always_ff @(posedge clk) begin
      a_read <= memory[a_address[lane*ADDRESS_BITS+:ADDRESS_BITS]];
      a_held <= a_read;
    end

    always_ff @(posedge clk) begin
      if (b_write) memory[b_address] <= b_write_data[lane*8+:8];
      b_read <= memory[b_address];
      b_held <= b_read;
    end
  end

endmodule

`default_nettype wire
