// clip(round_half_even(sum * factor / 2**shift) + zero_point, low, high), four cycles from sum and factor to the code.
`default_nettype none

module engine_requantize (
    input  wire                clk,
    input  wire signed [ 32:0] sum,
    input  wire        [ 23:0] factor,
    // Constant while sums are on their way: half is 2**shift / 2, mask 2**shift - 1.
    input  wire        [  5:0] shift,
    input  wire signed [ 59:0] half,
    input  wire signed [ 59:0] mask,
    input  wire signed [  9:0] zero_point,
    input  wire signed [  9:0] low,
    input  wire signed [  9:0] high,
    output logic       [  7:0] code
);

  wire signed [57:0] product;
  multiplier #(
      .A_BITS(33),
      .B_BITS(25)
  ) multiplier_i (
      .clk(clk),
      .a(sum),
      .b({1'b0, factor}),
      .product(product)
  );

  logic signed [59:0] biased, quotient;
  logic tie;
  wire signed [59:0] rounded = quotient - 60'(signed'({1'b0, tie && quotient[0]})) + 60'(zero_point);
  wire unused_high = &{low[9:8], high[9:8]};

  always_ff @(posedge clk) begin
    biased <= 60'(product) + half;
    quotient <= biased >>> shift;
    tie <= shift != '0 && (biased & mask) == '0;
    if (rounded < 60'(low)) code <= low[7:0];
    else if (rounded > 60'(high)) code <= high[7:0];
    else code <= rounded[7:0];
  end

endmodule

`default_nettype wire
