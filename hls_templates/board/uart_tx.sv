// UART transmitter: 8 data bits, no parity, one stop bit, least significant bit first.
`default_nettype none

module uart_tx #(
    // Clocks of one bit.
    parameter int CLOCKS_PER_BIT = 50
) (
    input  wire        clk,
    input  wire        rst,
    input  wire        valid,
    output wire        ready,
    input  wire  [7:0] data,
    output logic       tx
);

  if (CLOCKS_PER_BIT < 8) begin : g_illegal
    $fatal(1, "uart_tx: CLOCKS_PER_BIT must be at least 8");
  end

  localparam int COUNT_BITS = $clog2(CLOCKS_PER_BIT);
  localparam bit [COUNT_BITS-1:0] BIT = COUNT_BITS'(CLOCKS_PER_BIT - 1);

  // What is still to be sent: bits, then ones. Start, eight bits and stop are ten.
  logic [8:0] bits;
  logic [3:0] left;
  logic [COUNT_BITS-1:0] count;

  assign ready = left == '0;

  always_ff @(posedge clk) begin
    if (ready) begin
      count <= BIT;
      tx <= 1'b1;
      if (valid) begin
        tx <= 1'b0;
        bits <= {1'b1, data};
        left <= 4'd10;
      end
    end else begin
      count <= count == '0 ? BIT : count - 1'b1;
      if (count == '0) begin
        tx <= bits[0];
        bits <= {1'b1, bits[8:1]};
        left <= left - 1'b1;
      end
    end
    if (rst) begin
      left <= '0;
      tx   <= 1'b1;
    end
  end

endmodule

`default_nettype wire
