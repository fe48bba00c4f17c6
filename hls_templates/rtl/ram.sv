// Simple dual-port memory, one clock: synchronous write, synchronous read. A read of the address that is being written
// gives the old word.
`default_nettype none

module ram #(
    // Bits of a word.
    parameter int WIDTH = 8,
    // Words, any number from 1.
    parameter int DEPTH = 16,
    // 1: block RAM, 0: LUT-RAM with an output register. Same timing.
    parameter int BLOCK_RAM = 0,
    // 1: zero at the start, for memories of which words may be read that were never written; 2: CONTENTS at the start.
    parameter int CLEARED = 0,
    // File for $readmemh, one word a line.
    parameter CONTENTS = "",
    localparam int ADDRESS_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
    input  wire                     clk,
    input  wire                     write,
    input  wire  [ADDRESS_BITS-1:0] write_address,
    input  wire  [       WIDTH-1:0] write_data,
    input  wire                     read,
    input  wire  [ADDRESS_BITS-1:0] read_address,
    output logic [       WIDTH-1:0] read_data
);

  if (WIDTH < 1 || DEPTH < 1) begin : g_illegal
    $fatal(1, "ram: WIDTH and DEPTH must be positive");
  end

  if (BLOCK_RAM != 0) begin : g_block
    (* ram_style = "block" *) logic [WIDTH-1:0] memory[DEPTH];
    if (CLEARED == 1) begin : g_cleared
      initial for (int i = 0; i < DEPTH; i++) memory[i] = '0;
    end else if (CLEARED == 2) begin : g_contents
      initial $readmemh(CONTENTS, memory);
    end
    always_ff @(posedge clk) begin
      if (write) memory[write_address] <= write_data;
      if (read) read_data <= memory[read_address];
    end
  end else begin : g_distributed
    (* ram_style = "distributed" *) logic [WIDTH-1:0] memory[DEPTH];
    if (CLEARED == 1) begin : g_cleared
      initial for (int i = 0; i < DEPTH; i++) memory[i] = '0;
    end else if (CLEARED == 2) begin : g_contents
      initial $readmemh(CONTENTS, memory);
    end
    always_ff @(posedge clk) begin
      if (write) memory[write_address] <= write_data;
      if (read) read_data <= memory[read_address];
    end
  end

endmodule

`default_nettype wire
