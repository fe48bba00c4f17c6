// Running sum of signed numbers, and with CARRY of a bit beside each.
`default_nettype none

module accumulator #(
    parameter int BITS = 24,
    // 1: `carry` is added too, as the adder's carry in.
    parameter int CARRY = 0
) (
    input  wire                    clk,
    input  wire                    valid,
    // The number begins a sum.
    input  wire                    first,
    input  wire  signed [BITS-1:0] value,
    input  wire                    carry,
    output logic signed [BITS-1:0] sum
);

  // One adder whose second operand may be zero: a LUT a bit, and part of a DSP block that makes the number.
  if (CARRY != 0) begin : g_carry
    wire [BITS:0] added = {value, 1'b1} + {first ? BITS'(0) : sum, carry};
    wire unused_carry = added[0];
    always_ff @(posedge clk) if (valid) sum <= added[BITS:1];
  end else begin : g_plain
    wire unused_carry = carry;
    always_ff @(posedge clk) if (valid) sum <= value + (first ? BITS'(0) : sum);
  end

endmodule

`default_nettype wire
