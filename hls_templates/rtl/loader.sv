// A memory's place in the chain that brings new contents: takes the bytes of DEPTH words, then hands on all others.
//
// The chain carries {written, begins, valid, byte}. `begins` makes every loader wait for its first byte; bytes then fill
// the memories in the chain's order, each word from its lowest byte on and in whole bytes. Every word that is written
// comes out at the chain's end as a pulse of `written`.
`default_nettype none

module loader #(
    // Bits of a word.
    parameter int WIDTH = 8,
    // Words, any number from 1.
    parameter int DEPTH = 16,
    localparam int ADDRESS_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
    input  wire                     clk,
    input  wire                     rst,
    input  wire  [            10:0] load_in,
    output logic [            10:0] load_out,
    output logic                    write,
    output logic [ADDRESS_BITS-1:0] write_address,
    output wire  [       WIDTH-1:0] write_data
);

  if (WIDTH < 1 || DEPTH < 1) begin : g_illegal
    $fatal(1, "loader: WIDTH and DEPTH must be positive");
  end

  localparam int BYTES = (WIDTH + 7) / 8;
  localparam int PART_BITS = BYTES > 1 ? $clog2(BYTES) : 1;

  wire written = load_in[10];
  wire begins = load_in[9];
  wire valid = load_in[8];
  wire [7:0] data = load_in[7:0];

  logic open;  // words are missing
  logic [PART_BITS-1:0] part;
  logic [8*BYTES-1:0] assembled;
  wire take = valid && open;
  wire last_part = part == PART_BITS'(BYTES - 1);
  // The address of the word that is being put together.
  wire [ADDRESS_BITS-1:0] next_address = write_address + ADDRESS_BITS'(write);

  if (BYTES == 1) begin : g_byte
    always_ff @(posedge clk) if (take) assembled <= data;
  end else begin : g_bytes
    always_ff @(posedge clk) if (take) assembled <= {data, assembled[8*BYTES-1:8]};
  end
  assign write_data = assembled[WIDTH-1:0];
  if (8 * BYTES > WIDTH) begin : g_padding
    wire unused_padding = &assembled[8*BYTES-1:WIDTH];
  end

  always_ff @(posedge clk) begin
    load_out <= {written || write, begins, valid && !open, data};
    write <= take && last_part;
    write_address <= next_address;
    if (take) part <= last_part ? '0 : part + 1'b1;
    if (take && last_part && next_address == ADDRESS_BITS'(DEPTH - 1)) open <= 1'b0;
    if (begins) begin
      open <= 1'b1;
      part <= '0;
      write_address <= '0;
    end
    if (rst) begin
      load_out <= '0;
      write <= 1'b0;
      open <= 1'b0;
    end
  end

endmodule

`default_nettype wire
