// Signed multiplier with a product register. Registers in front of it and the product register fit into a DSP block.
`default_nettype none

module multiplier #(
    parameter int A_BITS = 9,
    parameter int B_BITS = 8,
    // Low bits of the product that are kept, at most all of them.
    parameter int OUT_BITS = A_BITS + B_BITS,
    // 1: DSP block, 0: LUTs.
    parameter int USE_DSP = 1
) (
    input  wire                        clk,
    input  wire  signed [  A_BITS-1:0] a,
    input  wire  signed [  B_BITS-1:0] b,
    output logic signed [OUT_BITS-1:0] product
);

  localparam int FULL_BITS = A_BITS + B_BITS;

  if (A_BITS < 1 || B_BITS < 1 || OUT_BITS < 1 || OUT_BITS > FULL_BITS) begin : g_illegal
    $fatal(1, "multiplier: widths must be positive, OUT_BITS at most A_BITS + B_BITS");
  end

  wire signed [FULL_BITS-1:0] full;
  wire unused_top = ^full;

  if (USE_DSP != 0) begin : g_dsp
    (* use_dsp = "yes" *) logic signed [OUT_BITS-1:0] result;
    assign full = FULL_BITS'(a) * FULL_BITS'(b);
    always_ff @(posedge clk) result <= full[OUT_BITS-1:0];
    assign product = result;
  end else begin : g_lut
    // Booth recoding, two bits of the narrower factor a row: digits -2 to 2 select 0, x or 2x, inverted if negative. Each
    // row is one carry chain whose LUTs hold the selection; tools need no attribute to keep it out of DSP blocks.
    localparam int X_BITS = A_BITS > B_BITS ? A_BITS : B_BITS;
    localparam int Y_BITS = A_BITS > B_BITS ? B_BITS : A_BITS;
    localparam int ROWS = (Y_BITS + 1) / 2;

    wire signed [X_BITS-1:0] x;
    wire signed [Y_BITS-1:0] y;
    if (A_BITS > B_BITS) begin : g_recode_b
      assign x = a;
      assign y = b;
    end else begin : g_recode_a
      assign x = b;
      assign y = a;
    end
    wire [2*ROWS:0] bits = {(2 * ROWS)'(y), 1'b0};

    for (genvar row = 0; row < ROWS; row++) begin : g_row
      wire negative = bits[2*row+2];
      wire once = bits[2*row+1] ^ bits[2*row];
      wire twice = bits[2*row+1] == bits[2*row] && bits[2*row+1] != negative;
      wire [X_BITS:0] multiple = once ? {x[X_BITS-1], x} : twice ? {x, 1'b0} : '0;
      wire [X_BITS:0] addend = negative ? ~multiple : multiple;

      // The sum so far; this row leaves its low 2*row bits as they are. The lowest bit of the adder is its carry in.
      wire [X_BITS+2*row+1:0] sum;
      wire [X_BITS-1:0] above;
      wire [X_BITS+2:0] added = {{2{above[X_BITS-1]}}, above, 1'b1} + {addend[X_BITS], addend, negative};
      wire unused_carry = added[0];
      if (row == 0) begin : g_first
        assign above = '0;
        assign sum = added[X_BITS+2:1];
      end else begin : g_next
        assign above = g_row[row-1].sum[X_BITS+2*row-1:2*row];
        assign sum = {added[X_BITS+2:1], g_row[row-1].sum[2*row-1:0]};
      end
    end

    wire [X_BITS+2*ROWS-1:0] exact = g_row[ROWS-1].sum;
    wire unused_exact = ^exact;
    assign full = exact[FULL_BITS-1:0];

    logic signed [OUT_BITS-1:0] result;
    always_ff @(posedge clk) result <= full[OUT_BITS-1:0];
    assign product = result;
  end

endmodule

`default_nettype wire
