// Sum of INPUTS numbers, one register a level: valid ceil(log2(INPUTS)) cycles later, 0 for one input.
// Sums grow by one bit a level until they have OUT_BITS; from there on they are exact modulo 2**OUT_BITS.
// With CARRIES, every number has a bit that is to be added to it: an adder takes one as its carry in, so one is left over
// at the end, and sum + carry is the result.
`default_nettype none

module carry_adder_tree #(
    // Numbers, lane 0 in the least significant bits.
    parameter int INPUTS = 4,
    parameter int IN_BITS = 16,
    parameter int OUT_BITS = 18,
    parameter int IN_SIGNED = 1,
    parameter int CARRIES = 0
) (
    input  wire                              clk,
    input  wire         [INPUTS*IN_BITS-1:0] in_data,
    input  wire         [        INPUTS-1:0] in_carries,
    output wire  signed [      OUT_BITS-1:0] sum,
    output wire                              carry
);

  if (INPUTS < 1 || IN_BITS < 1 || OUT_BITS < IN_BITS) begin : g_illegal
    $fatal(1, "carry_adder_tree: INPUTS and widths must be positive, OUT_BITS at least IN_BITS");
  end

  localparam int LEVELS = $clog2(INPUTS);

  for (genvar level = 0; level <= LEVELS; level++) begin : g_level
    localparam int NODES = (INPUTS + (1 << level) - 1) >> level;
    localparam int BITS = IN_BITS + level < OUT_BITS ? IN_BITS + level : OUT_BITS;
    wire [BITS-1:0] node[NODES];
    wire [NODES-1:0] carried;  // still to be added
    if (level == 0) begin : g_leaves
      for (genvar i = 0; i < NODES; i++) begin : g_node
        assign node[i] = in_data[i*IN_BITS+:IN_BITS];
      end
      assign carried = CARRIES != 0 ? in_carries : '0;
    end else begin : g_sums
      localparam int BELOW = (INPUTS + (1 << (level - 1)) - 1) >> (level - 1);
      localparam int BITS_BELOW = IN_BITS + level - 1 < OUT_BITS ? IN_BITS + level - 1 : OUT_BITS;
      for (genvar i = 0; i < NODES; i++) begin : g_node
        wire [BITS_BELOW-1:0] left = g_level[level-1].node[2*i];
        wire [BITS-1:0] wide_left = IN_SIGNED != 0 ? BITS'($signed(left)) : BITS'(left);
        logic [BITS-1:0] result;
        logic later;
        if (2 * i + 1 < BELOW) begin : g_pair
          wire [BITS_BELOW-1:0] right = g_level[level-1].node[2*i+1];
          wire [BITS-1:0] wide_right = IN_SIGNED != 0 ? BITS'($signed(right)) : BITS'(right);
          if (CARRIES != 0) begin : g_carry
            // The lowest bit of the adder is its carry in.
            wire [BITS:0] added = {wide_left, 1'b1} + {wide_right, g_level[level-1].carried[2*i]};
            wire unused_carry = added[0];
            always_ff @(posedge clk) begin
              result <= added[BITS:1];
              later <= g_level[level-1].carried[2*i+1];
            end
          end else begin : g_plain
            wire unused_carried = ^g_level[level-1].carried[2*i+:2];
            always_ff @(posedge clk) result <= wide_left + wide_right;
            assign later = 1'b0;
          end
        end else begin : g_single
          always_ff @(posedge clk) begin
            result <= wide_left;
            later <= g_level[level-1].carried[2*i];
          end
        end
        assign node[i] = result;
        assign carried[i] = later;
      end
    end
  end

  localparam int TOP_BITS = IN_BITS + LEVELS < OUT_BITS ? IN_BITS + LEVELS : OUT_BITS;
  wire [TOP_BITS-1:0] top = g_level[LEVELS].node[0];
  assign sum = IN_SIGNED != 0 ? OUT_BITS'($signed(top)) : OUT_BITS'(top);
  assign carry = g_level[LEVELS].carried;

  if (CARRIES == 0) begin : g_no_carries
    wire unused_carries = ^in_carries;
  end

  // Without levels there is no register.
  if (LEVELS == 0) begin : g_no_clock
    wire unused_clk = clk;
  end

endmodule

`default_nettype wire
