// Unrolled PE: a whole constant matrix as shifts and adders, one vector a cycle.
//
// The network comes as tables. Values are numbered: lanes of the input beat, nodes, and zero at the end. A node is a
// register that takes the sum or difference of two values of the stage before, shifted, or a copy of one. All results are
// in stage STAGES.
`default_nettype none

module unrolled_pe #(
    // Lanes of the input beat, rows of the matrix.
    parameter int IN_LANES = 1,
    parameter int OUT_LANES = 1,
    // Activations.
    parameter int IN_BITS = 8,
    parameter int IN_SIGNED = 0,
    // Accumulators, signed; sums are exact modulo 2**ACC_BITS.
    parameter int ACC_BITS = 9,
    // Registers from input to output, and in all.
    parameter int STAGES = 1,
    parameter int NODES = 1,
    // Widths of the tables' entries.
    parameter int SHIFT_BITS = 1,
    localparam int INDEX_BITS = $clog2(IN_LANES + NODES + 1),
    localparam int WIDTH_BITS = $clog2(ACC_BITS + 1),
    // Of each node: 0 copy, 1 left + right, 2 left - right, 3 -left; the operands' values and shifts; bits and sign.
    parameter bit [2*NODES-1:0] OPERATION = '0,
    parameter bit [INDEX_BITS*NODES-1:0] LEFT = '0,
    parameter bit [INDEX_BITS*NODES-1:0] RIGHT = '0,
    parameter bit [SHIFT_BITS*NODES-1:0] LEFT_SHIFT = '0,
    parameter bit [SHIFT_BITS*NODES-1:0] RIGHT_SHIFT = '0,
    parameter bit [WIDTH_BITS*NODES-1:0] NODE_BITS = WIDTH_BITS'(IN_BITS),
    parameter bit [NODES-1:0] NODE_SIGNED = '0,
    // Of each row: its value and shift.
    parameter bit [INDEX_BITS*OUT_LANES-1:0] RESULT = INDEX_BITS'(IN_LANES),
    parameter bit [SHIFT_BITS*OUT_LANES-1:0] RESULT_SHIFT = '0,
    // Output FIFO.
    parameter int OUT_DEPTH = 3,
    parameter int OUT_BLOCK_RAM = 0
) (
    input  wire                          clk,
    input  wire                          rst,
    input  wire                          in_valid,
    output wire                          in_ready,
    input  wire  [ IN_LANES*IN_BITS-1:0] in_data,
    output wire                          out_valid,
    input  wire                          out_ready,
    output wire  [OUT_LANES*ACC_BITS-1:0] out_data
);

  if (IN_LANES < 1 || OUT_LANES < 1 || IN_BITS < 1 || ACC_BITS < 1) begin : g_illegal_size
    $fatal(1, "unrolled_pe: lanes and widths must be positive");
  end
  if (STAGES < 1 || NODES < 1 || SHIFT_BITS < 1) begin : g_illegal_network
    $fatal(1, "unrolled_pe: STAGES, NODES and SHIFT_BITS must be positive");
  end

  wire room;
  assign in_ready = room;
  wire issue = in_valid && room;

  logic [STAGES-1:0] valid;
  always_ff @(posedge clk) valid <= rst ? '0 : STAGES'({valid, issue});

  // --- Values.

  wire signed [ACC_BITS-1:0] value[IN_LANES+NODES+1];

  for (genvar lane = 0; lane < IN_LANES; lane++) begin : g_input
    wire [IN_BITS-1:0] code = in_data[lane*IN_BITS+:IN_BITS];
    wire signed [IN_BITS:0] extended = {IN_SIGNED != 0 && code[IN_BITS-1], code};
    assign value[lane] = ACC_BITS'(extended);
    wire unused_top = ^extended;
  end

  for (genvar i = 0; i < NODES; i++) begin : g_node
    localparam int OP = int'(OPERATION[2*i+:2]);
    localparam int A = int'(LEFT[i*INDEX_BITS+:INDEX_BITS]);
    localparam int B = int'(RIGHT[i*INDEX_BITS+:INDEX_BITS]);
    localparam int A_SHIFT = int'(LEFT_SHIFT[i*SHIFT_BITS+:SHIFT_BITS]);
    localparam int B_SHIFT = int'(RIGHT_SHIFT[i*SHIFT_BITS+:SHIFT_BITS]);
    localparam int BITS = int'(NODE_BITS[i*WIDTH_BITS+:WIDTH_BITS]);

    wire signed [ACC_BITS-1:0] a = value[A] <<< A_SHIFT;
    wire unused_a = ^a;
    logic [BITS-1:0] result;
    if (OP == 0) begin : g_copy
      always_ff @(posedge clk) result <= BITS'(a);
    end else if (OP == 3) begin : g_negate
      always_ff @(posedge clk) result <= BITS'(-a);
    end else begin : g_pair
      wire signed [ACC_BITS-1:0] b = value[B] <<< B_SHIFT;
      wire unused_b = ^b;
      if (OP == 1) begin : g_add
        always_ff @(posedge clk) result <= BITS'(a + b);
      end else begin : g_subtract
        always_ff @(posedge clk) result <= BITS'(a - b);
      end
    end
    if (NODE_SIGNED[i]) begin : g_signed
      assign value[IN_LANES+i] = ACC_BITS'($signed(result));
    end else begin : g_unsigned
      assign value[IN_LANES+i] = ACC_BITS'(result);
    end
  end

  assign value[IN_LANES+NODES] = '0;

  wire [OUT_LANES*ACC_BITS-1:0] results;

  for (genvar row = 0; row < OUT_LANES; row++) begin : g_row
    localparam int FROM = int'(RESULT[row*INDEX_BITS+:INDEX_BITS]);
    localparam int UP = int'(RESULT_SHIFT[row*SHIFT_BITS+:SHIFT_BITS]);
    assign results[row*ACC_BITS+:ACC_BITS] = value[FROM] <<< UP;
  end

  fifo #(
      .WIDTH(OUT_LANES * ACC_BITS),
      .DEPTH(OUT_DEPTH),
      .BLOCK_RAM(OUT_BLOCK_RAM)
  ) fifo_i (
      .clk(clk),
      .rst(rst),
      .reserve(issue),
      .room(room),
      .push(valid[STAGES-1]),
      .in_data(results),
      .out_valid(out_valid),
      .out_ready(out_ready),
      .out_data(out_data)
  );

endmodule

`default_nettype wire
