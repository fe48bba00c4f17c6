// Sum of INPUTS numbers, one register a level: valid ceil(log2(INPUTS)) cycles later, 0 for one input. `carry_adder_tree`
// without carries.
`default_nettype none

module adder_tree #(
    parameter int INPUTS = 4,
    parameter int IN_BITS = 16,
    parameter int OUT_BITS = 18,
    parameter int IN_SIGNED = 1
) (
    input  wire                              clk,
    input  wire         [INPUTS*IN_BITS-1:0] in_data,
    output wire  signed [      OUT_BITS-1:0] sum
);

  wire unused_carry;
  carry_adder_tree #(
      .INPUTS(INPUTS),
      .IN_BITS(IN_BITS),
      .OUT_BITS(OUT_BITS),
      .IN_SIGNED(IN_SIGNED)
  ) tree_i (
      .clk(clk),
      .in_data(in_data),
      .in_carries('0),
      .sum(sum),
      .carry(unused_carry)
  );

endmodule

`default_nettype wire
