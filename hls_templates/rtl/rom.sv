// Memory with fixed contents and synchronous read.
`default_nettype none

module rom #(
    // Bits of a word.
    parameter int WIDTH = 8,
    // Words, any number from 1.
    parameter int DEPTH = 16,
    // 1: block RAM, 0: LUTs with an output register. Same timing.
    parameter int BLOCK_RAM = 0,
    // File for $readmemh, one word a line.
    parameter CONTENTS = "",
    localparam int ADDRESS_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
    input  wire                     clk,
    input  wire                     read,
    input  wire  [ADDRESS_BITS-1:0] address,
    output logic [       WIDTH-1:0] data
);

  if (WIDTH < 1 || DEPTH < 1) begin : g_illegal
    $fatal(1, "rom: WIDTH and DEPTH must be positive");
  end

  if (BLOCK_RAM != 0) begin : g_block
    (* rom_style = "block" *) logic [WIDTH-1:0] memory[DEPTH];
    initial $readmemh(CONTENTS, memory);
    always_ff @(posedge clk) if (read) data <= memory[address];
  end else begin : g_distributed
    // Vivado's word for it is "distributed", that of Yosys (which reads through slang) is "logic".
`ifdef __slang__
    (* rom_style = "logic" *)
`else
    (* rom_style = "distributed" *)
`endif
    logic [WIDTH-1:0] memory[DEPTH];
    initial $readmemh(CONTENTS, memory);
    always_ff @(posedge clk) if (read) data <= memory[address];
  end

endmodule

`default_nettype wire
