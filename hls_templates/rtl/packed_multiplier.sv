// LANES products of one activation in a single DSP block: weights SPACING bits apart make one wide factor.
//
// Weights come in borrow form: each is one less if the lanes below it, as one number, are negative. Then the wide factor
// is their sign-extended concatenation, and no adder stands in front of the multiplier.
//
// Where a product has SPACING bits, half of the range is added to every lane in the DSP block's own adder, so lanes
// do not borrow from each other and products are cut out of the result. Where it has one bit more, lanes overlap; the
// lowest bit of a product is known without a multiplier (and of the lowest bits of its factors), so the overlapping bit
// can be taken apart: it gives the sign of the lane below and what that borrows. That is handed on as a carry.
//
// product + carry of a lane is its weight times the activation. One register, as in `multiplier`.
`default_nettype none

module packed_multiplier #(
    parameter int LANES = 2,
    parameter int SPACING = 16,
    // Activations.
    parameter int IN_BITS = 8,
    parameter int IN_SIGNED = 0,
    // Weights, signed and narrow.
    parameter int WEIGHT_BITS = 8,
    // Low bits of the products that are kept, at most all of them.
    parameter int OUT_BITS = 16
) (
    input  wire                          clk,
    input  wire  [          IN_BITS-1:0] code,
    input  wire  [LANES*WEIGHT_BITS-1:0] weights,
    output wire  [   LANES*OUT_BITS-1:0] products,
    output wire  [            LANES-1:0] carries
);

  localparam int PRODUCT_BITS = IN_BITS + WEIGHT_BITS - (IN_SIGNED != 0 ? 1 : 0);
  localparam int WIDE_BITS = (LANES - 1) * SPACING + WEIGHT_BITS;
  localparam int FULL_BITS = WIDE_BITS + IN_BITS + 1;

  if (LANES < 2 || SPACING > PRODUCT_BITS || SPACING < PRODUCT_BITS - 1 || OUT_BITS > PRODUCT_BITS) begin : g_illegal
    $fatal(1, "packed_multiplier: two lanes at least, SPACING a product's bits or one less, OUT_BITS at most those");
  end
  if (WIDE_BITS > 27 || IN_BITS > 17) begin : g_too_wide
    $fatal(1, "packed_multiplier: the factors do not fit a DSP block");
  end

  wire signed [WIDE_BITS-1:0] wide;
  for (genvar lane = 0; lane < LANES; lane++) begin : g_field
    localparam int BITS = lane == LANES - 1 ? WEIGHT_BITS : SPACING;
    wire signed [WEIGHT_BITS-1:0] weight = weights[lane*WEIGHT_BITS+:WEIGHT_BITS];
    assign wide[lane*SPACING+:BITS] = BITS'(weight);
  end
  wire signed [IN_BITS:0] activation = {IN_SIGNED != 0 && code[IN_BITS-1], code};

  // Half the range of every lane but the highest.
  function automatic logic [FULL_BITS-1:0] halves();
    halves = '0;
    if (SPACING == PRODUCT_BITS) for (int lane = 0; lane < LANES - 1; lane++) halves[(lane+1)*SPACING-1] = 1'b1;
  endfunction

  wire signed [FULL_BITS-1:0] full = FULL_BITS'(wide) * FULL_BITS'(activation) + $signed(halves());
  (* use_dsp = "yes" *) logic signed [FULL_BITS-1:0] result;
  always_ff @(posedge clk) result <= full;
  wire unused_top = result[FULL_BITS-1];

  // Bit `lane`: what it has lost to the lanes below.
  wire [LANES-1:0] lost;
  assign carries = lost;
  if (SPACING == PRODUCT_BITS) begin : g_apart
    assign lost = '0;
    for (genvar lane = 0; lane < LANES; lane++) begin : g_lane
      wire [PRODUCT_BITS-1:0] biased = result[lane*SPACING+:PRODUCT_BITS];
      wire [PRODUCT_BITS-1:0] product = {(lane < LANES - 1) ^ biased[PRODUCT_BITS-1], biased[PRODUCT_BITS-2:0]};
      assign products[lane*OUT_BITS+:OUT_BITS] = product[OUT_BITS-1:0];
      wire unused_product = ^product;
    end
  end else begin : g_overlap
    for (genvar lane = 0; lane < LANES; lane++) begin : g_lane
      if (lane == 0) begin : g_lowest
        assign lost[lane] = 1'b0;
      end else begin : g_parity
        // The stored weight's lowest bit is inverted where one was borrowed from it.
        wire odd = weights[lane*WEIGHT_BITS] ^ weights[lane*WEIGHT_BITS-1];
        logic parity;
        always_ff @(posedge clk) parity <= odd && code[0];
        assign lost[lane] = result[lane*SPACING] ^ parity;
      end
      wire [PRODUCT_BITS-1:0] product;
      if (lane == LANES - 1) begin : g_highest
        assign product = result[lane*SPACING+:PRODUCT_BITS];
      end else begin : g_below
        assign product = {lost[lane+1], result[lane*SPACING+:SPACING]};
      end
      assign products[lane*OUT_BITS+:OUT_BITS] = product[OUT_BITS-1:0];
      wire unused_product = ^product;
    end
  end

endmodule

`default_nettype wire
