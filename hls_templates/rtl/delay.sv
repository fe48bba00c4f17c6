// Delay by DEPTH enabled cycles. Without a reset, so that it becomes shift-register LUTs.
`default_nettype none

module delay #(
    // Bits of a word.
    parameter int WIDTH = 8,
    // Enabled cycles from in_data to out_data, any number from 1.
    parameter int DEPTH = 1
) (
    input  wire              clk,
    input  wire              enable,
    input  wire  [WIDTH-1:0] in_data,
    output logic [WIDTH-1:0] out_data
);

  if (WIDTH < 1 || DEPTH < 1) begin : g_illegal
    $fatal(1, "delay: WIDTH and DEPTH must be positive");
  end

  logic [WIDTH-1:0] stages[DEPTH];

  always_ff @(posedge clk) begin
    if (enable) begin
      stages[0] <= in_data;
      for (int i = 1; i < DEPTH; i++) stages[i] <= stages[i-1];
    end
  end

  assign out_data = stages[DEPTH-1];

endmodule

`default_nettype wire
