// Techmap for Yosys: a ROM in LUTs as Xilinx devices hold it, a LUT6 a bit and 64 words, joined by MUXF7 and MUXF8 up to
// 256 words. Yosys itself turns such a ROM into multiplexers, of which ABC makes two to four times as many LUTs when
// there is other logic beside it.
(* techmap_celltype = "$mem_v2" *)
module lut_rom (RD_CLK, RD_EN, RD_ARST, RD_SRST, RD_ADDR, RD_DATA, WR_CLK, WR_EN, WR_ADDR, WR_DATA);
  parameter MEMID = "";
  parameter SIZE = 2;
  parameter OFFSET = 0;
  parameter ABITS = 1;
  parameter WIDTH = 1;
  parameter INIT = 0;
  parameter RD_PORTS = 1;
  parameter RD_CLK_ENABLE = 0;
  parameter RD_CLK_POLARITY = 0;
  parameter RD_TRANSPARENCY_MASK = 0;
  parameter RD_COLLISION_X_MASK = 0;
  parameter RD_WIDE_CONTINUATION = 0;
  parameter RD_CE_OVER_SRST = 0;
  parameter RD_ARST_VALUE = 0;
  parameter RD_SRST_VALUE = 0;
  parameter RD_INIT_VALUE = 0;
  parameter WR_PORTS = 0;
  parameter WR_CLK_ENABLE = 0;
  parameter WR_CLK_POLARITY = 0;
  parameter WR_PRIORITY_MASK = 0;
  parameter WR_WIDE_CONTINUATION = 0;

  input RD_CLK, RD_EN, RD_ARST, RD_SRST;
  input [ABITS-1:0] RD_ADDR;
  output [WIDTH-1:0] RD_DATA;
  input WR_CLK, WR_EN, WR_ADDR, WR_DATA;

  // One asynchronous read port, no write port.
  wire _TECHMAP_FAIL_ = SIZE < 2 || OFFSET != 0 || RD_PORTS != 1 || RD_CLK_ENABLE != 0 || WR_PORTS != 0;

  localparam TABLES = (SIZE + 63) / 64;
  localparam BLOCKS = (SIZE + 255) / 256;
  localparam [SIZE*WIDTH-1:0] CONTENTS = INIT;
  wire [8:0] low = RD_ADDR;

  genvar b, t, k;
  generate
    for (b = 0; b < WIDTH; b = b + 1) begin : g_bit
      wire [BLOCKS*4-1:0] table;
      for (t = 0; t < BLOCKS * 4; t = t + 1) begin : g_table
        if (t < TABLES) begin : g_lut
          function [63:0] column;
            input dummy;
            integer i;
            for (i = 0; i < 64; i = i + 1)
              column[i] = t * 64 + i < SIZE ? CONTENTS[((t * 64 + i) % SIZE) * WIDTH + b] : 1'b0;
          endfunction
          LUT6 #(.INIT(column(1'b0))) lut (
              .I0(low[0]), .I1(low[1]), .I2(low[2]), .I3(low[3]), .I4(low[4]), .I5(low[5]), .O(table[t])
          );
        end else begin : g_none
          assign table[t] = 1'b0;
        end
      end
      wire [BLOCKS-1:0] block;
      for (k = 0; k < BLOCKS; k = k + 1) begin : g_block
        if (k * 4 + 1 >= TABLES) begin : g_one
          assign block[k] = table[4*k];
        end else begin : g_pairs
          wire upper, lower;
          MUXF7 lower_i (.I0(table[4*k]), .I1(table[4*k+1]), .S(low[6]), .O(lower));
          if (k * 4 + 2 >= TABLES) begin : g_pair
            assign block[k] = lower;
          end else begin : g_four
            if (k * 4 + 3 >= TABLES) begin : g_three
              MUXF7 upper_i (.I0(table[4*k+2]), .I1(table[4*k+2]), .S(low[6]), .O(upper));
            end else begin : g_full
              MUXF7 upper_i (.I0(table[4*k+2]), .I1(table[4*k+3]), .S(low[6]), .O(upper));
            end
            MUXF8 block_i (.I0(lower), .I1(upper), .S(low[7]), .O(block[k]));
          end
        end
      end
      if (BLOCKS == 1) begin : g_small
        assign RD_DATA[b] = block;
      end else begin : g_large
        assign RD_DATA[b] = block[RD_ADDR[ABITS-1:8]];
      end
    end
  endgenerate
endmodule
