// Lookup: codes to codes by table, one beat a cycle; every lane reads a memory of its own.
`default_nettype none

module lookup #(
    // Codes of a beat.
    parameter int LANES = 1,
    parameter int IN_BITS = 8,
    parameter int OUT_BITS = 8,
    // Tables, used in turn; more than one only with one lane.
    parameter int TABLES = 1,
    // Tables in block RAM or in LUTs.
    parameter int CODE_BLOCK_RAM = 0,
    // Output FIFO.
    parameter int OUT_DEPTH = 2,
    parameter int OUT_BLOCK_RAM = 0,
    // Entries for $readmemh: address {table, code}.
    parameter CODES = ""
) (
    input  wire                      clk,
    input  wire                      rst,
    input  wire                      in_valid,
    output wire                      in_ready,
    input  wire [ LANES*IN_BITS-1:0] in_data,
    output wire                      out_valid,
    input  wire                      out_ready,
    output wire [LANES*OUT_BITS-1:0] out_data
);

  if (LANES < 1 || IN_BITS < 1 || OUT_BITS < 1 || TABLES < 1 || (TABLES > 1 && LANES > 1)) begin : g_illegal
    $fatal(1, "lookup: sizes must be positive, several tables go with one lane only");
  end

  localparam int DEPTH = TABLES << IN_BITS;
  localparam int ADDRESS_BITS = $clog2(DEPTH);

  wire room;
  assign in_ready = room;
  wire issue = in_valid && room;

  logic push;
  always_ff @(posedge clk) push <= issue && !rst;

  wire [LANES*OUT_BITS-1:0] codes;
  wire [ADDRESS_BITS-1:0] base;

  if (TABLES == 1) begin : g_one_table
    assign base = '0;
  end else begin : g_tables
    localparam int TABLE_BITS = $clog2(TABLES);
    logic [TABLE_BITS-1:0] number;
    always_ff @(posedge clk) begin
      if (issue) number <= number == TABLE_BITS'(TABLES - 1) ? '0 : number + 1'b1;
      if (rst) number <= '0;
    end
    assign base = {number, IN_BITS'(0)};
  end

  for (genvar lane = 0; lane < LANES; lane++) begin : g_lane
    rom #(
        .WIDTH(OUT_BITS),
        .DEPTH(DEPTH),
        .BLOCK_RAM(CODE_BLOCK_RAM),
        .CONTENTS(CODES)
    ) rom_i (
        .clk(clk),
        .read(issue),
        .address(base | ADDRESS_BITS'(in_data[lane*IN_BITS+:IN_BITS])),
        .data(codes[lane*OUT_BITS+:OUT_BITS])
    );
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
      .push(push),
      .in_data(codes),
      .out_valid(out_valid),
      .out_ready(out_ready),
      .out_data(out_data)
  );

endmodule

`default_nettype wire
