// Techmap for Yosys: one bit of a ROM of 64, 128 or 256 words (lut_rom.txt) in LUT6, MUXF7 and MUXF8.
module \$__LUT_ROM_ (PORT_R_ADDR, PORT_R_RD_DATA);
  parameter OPTION_ABITS = 6;
  parameter INIT = 0;
  parameter WIDTH = 1;

  input [OPTION_ABITS-1:0] PORT_R_ADDR;
  output PORT_R_RD_DATA;

  localparam TABLES = 1 << (OPTION_ABITS - 6);
  localparam [255:0] CONTENTS = INIT;
  wire [8:0] address = PORT_R_ADDR;
  wire [3:0] table;

  genvar t;
  generate
    for (t = 0; t < 4; t = t + 1) begin : g_table
      localparam [63:0] WORDS = CONTENTS[t*64+:64];
      // Words behind the end of the memory are zeros. The first table stays whatever it holds: registers behind constants
      // vanish, and a multiplier takes no operand into its DSP block of which bits lack their register.
      if (t == 0 || (t < TABLES && WORDS != 0)) begin : g_lut
        LUT6 #(.INIT(WORDS)) lut_i (
            .I0(address[0]), .I1(address[1]), .I2(address[2]), .I3(address[3]), .I4(address[4]), .I5(address[5]),
            .O(table[t])
        );
      end else begin : g_none
        assign table[t] = 1'b0;
      end
    end
    if (OPTION_ABITS == 6) begin : g_one
      assign PORT_R_RD_DATA = table[0];
    end else begin : g_pairs
      wire lower;
      MUXF7 lower_i (.I0(table[0]), .I1(table[1]), .S(address[6]), .O(lower));
      if (OPTION_ABITS == 7) begin : g_pair
        assign PORT_R_RD_DATA = lower;
      end else begin : g_four
        wire upper;
        MUXF7 upper_i (.I0(table[2]), .I1(table[3]), .S(address[6]), .O(upper));
        MUXF8 join_i (.I0(lower), .I1(upper), .S(address[7]), .O(PORT_R_RD_DATA));
      end
    end
  endgenerate
endmodule
