// Feeds a folded PE array: steps, weights from a ROM, activations from the stream or from a replay buffer.
//
// A vector of SYNAPSE_FOLDS beats is taken once and used NEURON_FOLDS times: in row group 0 the beats come from the stream
// and are kept, the other groups read them back. Operands are valid two cycles after the issue of their step.
`default_nettype none

module array_feed #(
    // Bits of a beat of activations and of a step's weights.
    parameter int WIDTH = 8,
    parameter int WEIGHT_WIDTH = 8,
    parameter int NEURON_FOLDS = 1,
    parameter int SYNAPSE_FOLDS = 1,
    // Weights in block RAM or in LUTs.
    parameter int WEIGHT_BLOCK_RAM = 0,
    // 1: the memory takes new contents from the load chain; 0: it is constant and the chain goes past.
    parameter int RELOADABLE = 0,
    // Weight words for $readmemh, address nf*SYNAPSE_FOLDS + sf.
    parameter WEIGHTS = ""
) (
    input  wire                     clk,
    input  wire                     rst,
    // The chain that brings new weights, see `loader`.
    input  wire  [            10:0] load_in,
    output wire  [            10:0] load_out,
    input  wire                     in_valid,
    output wire                     in_ready,
    input  wire  [       WIDTH-1:0] in_data,
    // The output FIFO has a slot for the results of a row group.
    input  wire                     room,
    // A step is issued; it is the first or last one of a row group.
    output wire                     issue,
    output wire                     first,
    output wire                     last,
    output logic [       WIDTH-1:0] activations,
    output logic [WEIGHT_WIDTH-1:0] weights
);

  if (WIDTH < 1 || WEIGHT_WIDTH < 1 || NEURON_FOLDS < 1 || SYNAPSE_FOLDS < 1) begin : g_illegal
    $fatal(1, "array_feed: widths and folds must be positive");
  end

  localparam int WEIGHT_DEPTH = NEURON_FOLDS * SYNAPSE_FOLDS;
  localparam int ADDRESS_BITS = WEIGHT_DEPTH > 1 ? $clog2(WEIGHT_DEPTH) : 1;
  localparam int SYNAPSE_BITS = SYNAPSE_FOLDS > 1 ? $clog2(SYNAPSE_FOLDS) : 1;
  // The replay buffer goes to block RAM beyond what 64-deep LUT-RAM holds.
  localparam int BUFFER_BLOCK_RAM = SYNAPSE_FOLDS > 64 ? 1 : 0;

  logic [ADDRESS_BITS-1:0] address;
  logic [SYNAPSE_BITS-1:0] synapse;
  logic pops;  // row group 0
  wire last_step = address == ADDRESS_BITS'(WEIGHT_DEPTH - 1);

  assign first = synapse == '0;
  assign last = synapse == SYNAPSE_BITS'(SYNAPSE_FOLDS - 1);
  assign in_ready = pops && (!last || room);
  assign issue = (!pops || in_valid) && (!last || room);

  always_ff @(posedge clk) begin
    if (issue) begin
      address <= last_step ? '0 : address + 1'b1;
      synapse <= last ? '0 : synapse + 1'b1;
      if (last_step) pops <= 1'b1;
      else if (last) pops <= 1'b0;
    end
    if (rst) begin
      address <= '0;
      synapse <= '0;
      pops <= 1'b1;
    end
  end

  wire [WEIGHT_WIDTH-1:0] read_weights;

  weight_memory #(
      .WIDTH(WEIGHT_WIDTH),
      .DEPTH(WEIGHT_DEPTH),
      .BLOCK_RAM(WEIGHT_BLOCK_RAM),
      .RELOADABLE(RELOADABLE),
      .CONTENTS(WEIGHTS)
  ) weights_i (
      .clk(clk),
      .rst(rst),
      .load_in(load_in),
      .load_out(load_out),
      .read(issue),
      .address(address),
      .data(read_weights)
  );

  logic [WIDTH-1:0] fresh;
  wire  [WIDTH-1:0] chosen;
  always_ff @(posedge clk) fresh <= in_data;

  if (NEURON_FOLDS == 1) begin : g_no_replay
    assign chosen = fresh;
  end else begin : g_replay
    logic popped;
    wire [WIDTH-1:0] replayed;
    always_ff @(posedge clk) popped <= pops;
    assign chosen = popped ? fresh : replayed;

    ram #(
        .WIDTH(WIDTH),
        .DEPTH(SYNAPSE_FOLDS),
        .BLOCK_RAM(BUFFER_BLOCK_RAM)
    ) ram_i (
        .clk(clk),
        .write(issue && pops),
        .write_address(synapse),
        .write_data(in_data),
        .read(issue && !pops),
        .read_address(synapse),
        .read_data(replayed)
    );
  end

  always_ff @(posedge clk) begin
    activations <= chosen;
    weights <= read_weights;
  end

endmodule

`default_nettype wire
