// A code times FACTOR * 2**SHIFT, two cycles later: code register, product register.
`default_nettype none

module constant_multiplier #(
    // Code.
    parameter int BITS = 8,
    parameter int SIGNED = 0,
    // Odd, so that twos are wires.
    parameter int FACTOR = 3,
    parameter int SHIFT = 0,
    // Signed product; exact modulo 2**OUT_BITS.
    parameter int OUT_BITS = 16,
    // DSP blocks or LUTs.
    parameter int USE_DSP = 1
) (
    input  wire                        clk,
    input  wire         [    BITS-1:0] code,
    output wire  signed [OUT_BITS-1:0] product
);

  if (BITS < 1 || OUT_BITS < 1 || SHIFT < 0 || FACTOR % 2 == 0) begin : g_illegal
    $fatal(1, "constant_multiplier: widths must be positive, FACTOR odd");
  end

  logic [BITS-1:0] held;
  always_ff @(posedge clk) held <= code;

  wire signed [BITS:0] wide = {SIGNED != 0 && held[BITS-1], held};

  if (FACTOR == 1 || FACTOR == -1) begin : g_wire
    localparam int WIDE_BITS = OUT_BITS > BITS + 1 ? OUT_BITS : BITS + 1;
    logic signed [WIDE_BITS-1:0] passed;
    always_ff @(posedge clk) passed <= FACTOR == 1 ? WIDE_BITS'(wide) : -WIDE_BITS'(wide);
    assign product = OUT_BITS'(passed) <<< SHIFT;
    if (WIDE_BITS > OUT_BITS) begin : g_unused
      wire unused_top = ^passed;
    end
  end else begin : g_product
    localparam int A_BITS = BITS + (SIGNED != 0 ? 0 : 1);
    localparam int B_BITS = $clog2(FACTOR > 0 ? FACTOR + 1 : -FACTOR) + 1;
    wire signed [A_BITS+B_BITS-1:0] exact;
    multiplier #(
        .A_BITS(A_BITS),
        .B_BITS(B_BITS),
        .OUT_BITS(A_BITS + B_BITS),
        .USE_DSP(USE_DSP)
    ) multiplier_i (
        .clk(clk),
        .a(wide[A_BITS-1:0]),
        .b(B_BITS'(FACTOR)),
        .product(exact)
    );
    wire unused_top = ^wide ^ ^exact;
    assign product = OUT_BITS'(exact) <<< SHIFT;
  end

endmodule

`default_nettype wire
