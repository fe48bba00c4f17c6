// Memory of weights, parameters or a program: constant, or with a place in the chain that brings new contents.
`default_nettype none

module weight_memory #(
    // Bits of a word.
    parameter int WIDTH = 8,
    // Words, any number from 1.
    parameter int DEPTH = 16,
    // 1: block RAM, 0: LUTs with an output register. Same timing.
    parameter int BLOCK_RAM = 0,
    // 1: a RAM that the chain fills; 0: a ROM, the chain goes past.
    parameter int RELOADABLE = 0,
    // File for $readmemh, one word a line.
    parameter CONTENTS = "",
    localparam int ADDRESS_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
    input  wire                     clk,
    input  wire                     rst,
    // See `loader`.
    input  wire  [            10:0] load_in,
    output wire  [            10:0] load_out,
    input  wire                     read,
    input  wire  [ADDRESS_BITS-1:0] address,
    output wire  [       WIDTH-1:0] data
);

  if (WIDTH < 1 || DEPTH < 1) begin : g_illegal
    $fatal(1, "weight_memory: WIDTH and DEPTH must be positive");
  end

  if (RELOADABLE == 0) begin : g_constant
    assign load_out = load_in;
    wire unused_rst = rst;
    rom #(
        .WIDTH(WIDTH),
        .DEPTH(DEPTH),
        .BLOCK_RAM(BLOCK_RAM),
        .CONTENTS(CONTENTS)
    ) rom_i (
        .clk(clk),
        .read(read),
        .address(address),
        .data(data)
    );
  end else begin : g_reloadable
    wire write;
    wire [ADDRESS_BITS-1:0] write_address;
    wire [WIDTH-1:0] write_data;
    loader #(
        .WIDTH(WIDTH),
        .DEPTH(DEPTH)
    ) loader_i (
        .clk(clk),
        .rst(rst),
        .load_in(load_in),
        .load_out(load_out),
        .write(write),
        .write_address(write_address),
        .write_data(write_data)
    );
    ram #(
        .WIDTH(WIDTH),
        .DEPTH(DEPTH),
        .BLOCK_RAM(BLOCK_RAM),
        .CLEARED(2),
        .CONTENTS(CONTENTS)
    ) ram_i (
        .clk(clk),
        .write(write),
        .write_address(write_address),
        .write_data(write_data),
        .read(read),
        .read_address(address),
        .read_data(data)
    );
  end

endmodule

`default_nettype wire
