// UART receiver: 8 data bits, no parity, one stop bit, least significant bit first.
//
// The line goes through two synchronizing registers and a majority of three clocks, so that a spike of one clock is not
// seen; bits are taken in their middle. A stop bit that is low is a framing error; a line that is low through all bits of
// a byte and its stop bit is a break. Neither gives a byte, and the receiver waits for a high line after them.
`default_nettype none

module uart_rx #(
    // Clocks of one bit.
    parameter int CLOCKS_PER_BIT = 50
) (
    input  wire        clk,
    input  wire        rst,
    input  wire        rx,
    // Pulses: a byte; a stop bit was low; the line was low for a whole byte.
    output logic       valid,
    output logic       framing_error,
    output logic       line_break,
    output logic [7:0] data
);

  if (CLOCKS_PER_BIT < 8) begin : g_illegal
    $fatal(1, "uart_rx: CLOCKS_PER_BIT must be at least 8");
  end

  localparam int COUNT_BITS = $clog2(CLOCKS_PER_BIT);
  localparam bit [COUNT_BITS-1:0] BIT = COUNT_BITS'(CLOCKS_PER_BIT - 1);
  localparam bit [COUNT_BITS-1:0] HALF = COUNT_BITS'(CLOCKS_PER_BIT / 2 - 1);

  // Two registers against metastability, three whose majority counts.
  logic [4:0] samples;
  logic line;
  always_ff @(posedge clk) begin
    samples <= {samples[3:0], rx};
    line <= (samples[4] && samples[3]) || (samples[3] && samples[2]) || (samples[4] && samples[2]);
    if (rst) begin
      samples <= '1;
      line <= 1'b1;
    end
  end

  typedef enum logic [1:0] {
    IDLE,   // high line
    START,  // to the middle of the start bit
    BITS,   // eight bits and the stop bit
    HIGH    // until the line is high again
  } state_t;
  state_t state;
  logic [COUNT_BITS-1:0] count;
  logic [3:0] index;

  always_ff @(posedge clk) begin
    valid <= 1'b0;
    framing_error <= 1'b0;
    line_break <= 1'b0;
    count <= count == '0 ? BIT : count - 1'b1;
    case (state)
      IDLE: begin
        count <= HALF;
        if (!line) state <= START;
      end
      START:
      if (count == '0) begin
        index <= '0;
        state <= line ? IDLE : BITS;
      end
      BITS:
      if (count == '0) begin
        index <= index + 1'b1;
        if (index != 4'd8) begin
          data <= {line, data[7:1]};
        end else if (line) begin
          valid <= 1'b1;
          state <= IDLE;
        end else begin
          framing_error <= data != '0;
          line_break <= data == '0;
          state <= HIGH;
        end
      end
      HIGH: if (line) state <= IDLE;
    endcase
    if (rst) begin
      state <= IDLE;
      valid <= 1'b0;
      framing_error <= 1'b0;
      line_break <= 1'b0;
    end
  end

endmodule

`default_nettype wire
