// Scratchpad of the shared engine: two ports, one clock. Port a reads for the array, port b reads and writes for transfers
// and results. Data come two cycles after the address.
`default_nettype none

module engine_scratchpad #(
    // Bits of a word, words.
    parameter int WIDTH = 64,
    parameter int DEPTH = 512,
    localparam int ADDRESS_BITS = $clog2(DEPTH)
) (
    input  wire                     clk,
    input  wire  [ADDRESS_BITS-1:0] a_address,
    output logic [       WIDTH-1:0] a_data,
    input  wire                     b_write,
    input  wire  [ADDRESS_BITS-1:0] b_address,
    input  wire  [       WIDTH-1:0] b_write_data,
    output logic [       WIDTH-1:0] b_data
);

  if (WIDTH < 1 || DEPTH < 2) begin : g_illegal
    $fatal(1, "engine_scratchpad: WIDTH must be positive, DEPTH at least 2");
  end

  (* ram_style = "block" *) logic [WIDTH-1:0] memory[DEPTH];
  logic [WIDTH-1:0] a_read, b_read;

  always_ff @(posedge clk) begin
    a_read <= memory[a_address];
    a_data <= a_read;
  end

  always_ff @(posedge clk) begin
    if (b_write) memory[b_address] <= b_write_data;
    b_read <= memory[b_address];
    b_data <= b_read;
  end

endmodule

`default_nettype wire
