// UART link: commands from a host to AXI4-Lite accesses and AXI4-Stream beats, results back. The protocol is that of
// admmfpga_uart; blocks/uart_link.py describes it.
//
// A command is checked before anything is done: input bytes go into the buffer behind its end and become part of it when
// the CRC is right. What was fetched of the results leaves its buffer when the next command arrives, so that a reply that
// was damaged can be had again. The link is half duplex: bytes that come while a reply is being sent are dropped.
`default_nettype none

module uart_link
  import admmfpga_uart::*;
#(
    // Clocks of one bit on the line.
    parameter int CLOCKS_PER_BIT = 50,
    // Clocks without a byte after which a command is given up.
    parameter int SILENCE_CLOCKS = 1000000,
    // Beats of an input frame; TDATA of the accelerator's input and output, whole bytes.
    parameter int IN_BEATS = 784,
    parameter int IN_WIDTH = 8,
    parameter int OUT_WIDTH = 8,
    // Of the registers.
    parameter int ADDRESS_BITS = 8
) (
    input  wire                     clk,
    input  wire                     rst,
    input  wire                     rx,
    output wire                     tx,
    // To the accelerator.
    output logic                    aresetn,
    output wire  [    IN_WIDTH-1:0] m_axis_tdata,
    output wire                     m_axis_tvalid,
    input  wire                     m_axis_tready,
    output wire                     m_axis_tlast,
    input  wire  [   OUT_WIDTH-1:0] s_axis_tdata,
    input  wire                     s_axis_tvalid,
    output wire                     s_axis_tready,
    input  wire                     s_axis_tlast,
    output wire  [ADDRESS_BITS-1:0] m_axi_awaddr,
    output logic                    m_axi_awvalid,
    input  wire                     m_axi_awready,
    output wire  [            31:0] m_axi_wdata,
    output logic                    m_axi_wvalid,
    input  wire                     m_axi_wready,
    input  wire  [             1:0] m_axi_bresp,
    input  wire                     m_axi_bvalid,
    output wire                     m_axi_bready,
    output wire  [ADDRESS_BITS-1:0] m_axi_araddr,
    output logic                    m_axi_arvalid,
    input  wire                     m_axi_arready,
    input  wire  [            31:0] m_axi_rdata,
    input  wire  [             1:0] m_axi_rresp,
    input  wire                     m_axi_rvalid,
    output wire                     m_axi_rready,
    // For lamps: a command was carried out; something was wrong with one.
    output logic                    done,
    output logic                    wrong
);

  if (IN_BEATS < 1 || IN_WIDTH < 8 || IN_WIDTH % 8 != 0 || OUT_WIDTH < 8 || OUT_WIDTH % 8 != 0) begin : g_illegal_stream
    $fatal(1, "uart_link: streams must be whole bytes wide and frames have beats");
  end
  if (SILENCE_CLOCKS < 1 || ADDRESS_BITS < 1 || ADDRESS_BITS > 16) begin : g_illegal
    $fatal(1, "uart_link: SILENCE_CLOCKS must be positive, ADDRESS_BITS 1 to 16");
  end

  localparam int POINTER_BITS = $clog2(BUFFER_BYTES);
  localparam int SILENCE_BITS = $clog2(SILENCE_CLOCKS + 1);
  localparam int BEAT_BITS = IN_BEATS > 1 ? $clog2(IN_BEATS) : 1;
  localparam int IN_BYTES = IN_WIDTH / 8;
  localparam int OUT_BYTES = OUT_WIDTH / 8;
  localparam int IN_COUNT_BITS = $clog2(IN_BYTES + 1);
  localparam int OUT_COUNT_BITS = $clog2(OUT_BYTES + 1);

  // One bit more than an address: equal pointers mean an empty buffer.
  typedef logic [POINTER_BITS:0] pointer_t;

  function automatic logic [15:0] crc_next(input logic [15:0] crc, input logic [7:0] value);
    logic [15:0] next;
    next = crc ^ {value, 8'h00};
    for (int i = 0; i < 8; i++) next = next[15] ? (next << 1) ^ CRC_POLYNOMIAL : next << 1;
    return next;
  endfunction

  // --- The line.

  wire rx_valid, framing_error, line_break;
  wire  [7:0] rx_data;
  wire        tx_ready;
  logic       tx_valid;
  logic [7:0] tx_data;

  uart_rx #(
      .CLOCKS_PER_BIT(CLOCKS_PER_BIT)
  ) uart_rx_i (
      .clk(clk),
      .rst(rst),
      .rx(rx),
      .valid(rx_valid),
      .framing_error(framing_error),
      .line_break(line_break),
      .data(rx_data)
  );

  uart_tx #(
      .CLOCKS_PER_BIT(CLOCKS_PER_BIT)
  ) uart_tx_i (
      .clk(clk),
      .rst(rst),
      .valid(tx_valid),
      .ready(tx_ready),
      .data(tx_data),
      .tx(tx)
  );

  // --- Receiving a command.

  typedef enum logic [3:0] {
    HUNT,      // for the sync byte
    CODE,
    SEQUENCE,
    LENGTH_LOW,
    LENGTH_HIGH,
    PAYLOAD,
    CRC_HIGH,
    CRC_LOW,
    CHECK,     // is it one, and what is there to do
    ACCESS,    // a register
    RESTART,   // the accelerator's reset
    COUNT,     // results that are there
    ANSWER     // the reply is being sent
  } state_t;
  state_t state;

  logic [7:0] code, sequence_number, length_low;
  logic [15:0] length, left, crc;
  logic [47:0] arguments;  // a payload's last six bytes, the last one on top
  logic stored;  // of a SEND: there is room
  logic [SILENCE_BITS-1:0] silence;

  // The last command that was carried out, and its reply. One that was damaged on its way changes none of it.
  logic known;
  logic [7:0] known_code, known_sequence;
  logic [7:0] known_status;
  logic [15:0] known_length;
  logic [31:0] reply_data;
  logic from_results;  // the reply's payload comes from the results' buffer

  // What went wrong.
  logic [7:0] crc_errors, framing_errors, silences, breaks;

  function automatic logic [7:0] one_more(input logic [7:0] count);
    return &count ? count : count + 1'b1;
  endfunction

  wire receiving = state != HUNT && state <= CRC_LOW;
  wire silent = receiving && silence == SILENCE_BITS'(SILENCE_CLOCKS - 1);
  wire repeated = known && code == known_code && sequence_number == known_sequence && code != RESET;
  // The reply that is being sent: the known one, or that nothing was done.
  logic refused;
  logic [7:0] refusal;
  wire [7:0] status = refused ? refusal : known_status;
  wire [15:0] reply_length = refused ? '0 : known_length;
  wire answered;  // the last byte of the reply has been given to the transmitter

  logic length_right, code_right;
  always_comb begin
    code_right   = 1'b1;
    length_right = 1'b1;
    case (code)
      RESET:   length_right = length == RESET_LENGTH;
      READ:    length_right = length == READ_LENGTH;
      WRITE:   length_right = length == WRITE_LENGTH;
      SEND:    length_right = length != '0;
      RECEIVE: length_right = length == RECEIVE_LENGTH;
      STATUS:  length_right = length == STATUS_LENGTH;
      default: code_right = 1'b0;
    endcase
  end

  // --- Buffers.

  // Input: bytes up to `in_end` are good, those up to `in_write` belong to a command that is still coming.
  pointer_t in_read, in_end, in_write;
  wire [15:0] in_room = 16'(BUFFER_BYTES) - 16'(pointer_t'(in_end - in_read));
  // Results: bytes from `out_base` on are there, the first `out_sent` of them were sent and may be asked for again.
  pointer_t out_base, out_write, out_sent;
  wire pointer_t out_count = out_write - out_base;
  wire [15:0] wanted = arguments[47:32] > 16'(MAX_PAYLOAD) ? 16'(MAX_PAYLOAD) : arguments[47:32];

  wire in_store = state == PAYLOAD && rx_valid && stored;
  logic [7:0] in_byte, out_byte;
  wire in_fetch, out_store;
  wire [7:0] out_stored;
  pointer_t out_next;  // the result that is sent next

  ram #(
      .WIDTH(8),
      .DEPTH(BUFFER_BYTES),
      .BLOCK_RAM(1)
  ) in_buffer (
      .clk(clk),
      .write(in_store),
      .write_address(in_write[POINTER_BITS-1:0]),
      .write_data(rx_data),
      .read(in_fetch),
      .read_address(in_read[POINTER_BITS-1:0]),
      .read_data(in_byte)
  );

  ram #(
      .WIDTH(8),
      .DEPTH(BUFFER_BYTES),
      .BLOCK_RAM(1)
  ) out_buffer (
      .clk(clk),
      .write(out_store),
      .write_address(out_write[POINTER_BITS-1:0]),
      .write_data(out_stored),
      .read(1'b1),
      .read_address(out_next[POINTER_BITS-1:0]),
      .read_data(out_byte)
  );

  // --- Commands.

  logic [4:0] restart;
  wire access_done = (m_axi_bvalid && code == WRITE) || (m_axi_rvalid && code == READ);
  wire access_wrong = code == WRITE ? m_axi_bresp != 2'b00 : m_axi_rresp != 2'b00;

  always_ff @(posedge clk) begin
    done  <= 1'b0;
    wrong <= 1'b0;
    silence <= receiving && !rx_valid ? silence + 1'b1 : '0;
    if (m_axi_awready) m_axi_awvalid <= 1'b0;
    if (m_axi_wready) m_axi_wvalid <= 1'b0;
    if (m_axi_arready) m_axi_arvalid <= 1'b0;

    if (receiving && rx_valid) crc <= crc_next(crc, rx_data);

    case (state)
      HUNT: begin
        crc <= CRC_START;
        if (rx_valid && rx_data == SYNC_COMMAND) state <= CODE;
      end
      CODE:
      if (rx_valid) begin
        code  <= rx_data;
        state <= SEQUENCE;
      end
      SEQUENCE:
      if (rx_valid) begin
        sequence_number <= rx_data;
        state <= LENGTH_LOW;
      end
      LENGTH_LOW:
      if (rx_valid) begin
        length_low <= rx_data;
        state <= LENGTH_HIGH;
      end
      LENGTH_HIGH:
      if (rx_valid) begin
        length <= {rx_data, length_low};
        left <= {rx_data, length_low};
        stored <= code == SEND && {rx_data, length_low} <= in_room;
        in_write <= in_end;
        if ({rx_data, length_low} == '0) begin
          state <= CRC_HIGH;
        end else if ({rx_data, length_low} > 16'(MAX_PAYLOAD)) begin
          // Nothing of that length is ever sent, so this is not the length, or not a command's start.
          state <= ANSWER;
          refused <= 1'b1;
          refusal <= REPLY_CRC;
          wrong <= 1'b1;
          crc_errors <= one_more(crc_errors);
        end else begin
          state <= PAYLOAD;
        end
      end
      PAYLOAD:
      if (rx_valid) begin
        arguments <= {rx_data, arguments[47:8]};
        if (stored) in_write <= in_write + 1'b1;
        left <= left - 1'b1;
        if (left == 16'd1) state <= CRC_HIGH;
      end
      CRC_HIGH: if (rx_valid) state <= CRC_LOW;
      CRC_LOW:  if (rx_valid) state <= CHECK;

      CHECK: begin
        state <= ANSWER;
        refused <= 1'b0;
        if (crc != '0) begin
          refused <= 1'b1;
          refusal <= REPLY_CRC;
          wrong <= 1'b1;
          crc_errors <= one_more(crc_errors);
        end else if (!repeated) begin
          // The last reply has arrived.
          out_base <= out_base + out_sent;
          out_sent <= '0;
          known_status <= REPLY_OK;
          known_length <= '0;
          from_results <= 1'b0;
          known <= 1'b1;
          known_code <= code;
          known_sequence <= sequence_number;
          done <= 1'b1;
          if (!code_right || !length_right) begin
            refused <= 1'b1;
            refusal <= code_right ? REPLY_LENGTH : REPLY_COMMAND;
            known <= 1'b0;
            done <= 1'b0;
            wrong <= 1'b1;
          end else begin
            case (code)
              READ: begin
                m_axi_arvalid <= 1'b1;
                state <= ACCESS;
              end
              WRITE: begin
                m_axi_awvalid <= 1'b1;
                m_axi_wvalid <= 1'b1;
                state <= ACCESS;
              end
              SEND:
              if (stored) begin
                in_end <= in_write;
              end else begin
                refused <= 1'b1;
                refusal <= REPLY_BUSY;
                known <= 1'b0;
              end
              RECEIVE: begin
                from_results <= 1'b1;
                state <= COUNT;
              end
              STATUS: begin
                known_length <= 16'd4;
                reply_data   <= {breaks, silences, framing_errors, crc_errors};
              end
              default: state <= RESTART;
            endcase
          end
        end
      end

      ACCESS:
      if (access_done) begin
        state <= ANSWER;
        reply_data <= m_axi_rdata;
        if (access_wrong) begin
          known_status <= REPLY_BUS;
          wrong  <= 1'b1;
        end else if (code == READ) begin
          known_length <= 16'd4;
        end
      end

      RESTART: begin
        restart <= restart + 1'b1;
        if (&restart) begin
          state <= ANSWER;
          known_length <= 16'd3;
          reply_data <= {8'h00, 16'(MAX_PAYLOAD), VERSION};
        end
      end

      COUNT: begin
        out_sent <= 16'(out_count) < wanted ? out_count : pointer_t'(wanted);
        known_length <= 16'(out_count) < wanted ? 16'(out_count) : wanted;
        state <= ANSWER;
      end

      ANSWER:   if (answered) state <= HUNT;
      default:  state <= HUNT;
    endcase

    if (state == RESTART) begin
      in_end   <= '0;
      out_base <= '0;
      out_sent <= '0;
    end

    // What is not a command's end is none; bytes beside a reply have no effect on it.
    if (receiving && (silent || framing_error || line_break)) state <= HUNT;
    if (silent) silences <= one_more(silences);
    if (framing_error) framing_errors <= one_more(framing_errors);
    if (line_break) begin
      breaks <= one_more(breaks);
      known  <= 1'b0;
    end
    if (silent || framing_error) wrong <= 1'b1;

    if (rst) begin
      state <= HUNT;
      known <= 1'b0;
      in_end <= '0;
      out_base <= '0;
      out_sent <= '0;
      from_results <= 1'b0;
      restart <= '0;
      silence <= '0;
      m_axi_awvalid <= 1'b0;
      m_axi_wvalid <= 1'b0;
      m_axi_arvalid <= 1'b0;
      crc_errors <= '0;
      framing_errors <= '0;
      silences <= '0;
      breaks <= '0;
    end
  end

  always_ff @(posedge clk) aresetn <= !rst && state != RESTART;

  assign m_axi_awaddr = arguments[ADDRESS_BITS-1:0];
  assign m_axi_wdata  = arguments[47:16];
  assign m_axi_bready = 1'b1;
  assign m_axi_araddr = arguments[32+:ADDRESS_BITS];
  assign m_axi_rready = 1'b1;

  // --- Sending the reply.

  logic [15:0] position, reply_crc;
  wire [15:0] behind = reply_length + 16'd5;  // position of the CRC
  wire in_body = position >= 16'd5 && position < behind;
  wire [1:0] body_index = position[1:0] - 2'd1;
  wire sent = tx_valid && tx_ready;

  assign tx_valid = state == ANSWER;
  assign answered = sent && position == behind + 16'd1;

  always_comb begin
    case (position)
      16'd0:   tx_data = SYNC_REPLY;
      16'd1:   tx_data = status;
      16'd2:   tx_data = sequence_number;
      16'd3:   tx_data = reply_length[7:0];
      16'd4:   tx_data = reply_length[15:8];
      default: tx_data = from_results ? out_byte : reply_data[8*body_index+:8];
    endcase
    if (position == behind) tx_data = reply_crc[15:8];
    if (position > behind) tx_data = reply_crc[7:0];
  end

  always_ff @(posedge clk) begin
    if (state != ANSWER) begin
      position  <= '0;
      reply_crc <= CRC_START;
      out_next  <= out_base;
    end else if (sent) begin
      position <= position + 1'b1;
      if (position != '0 && position < behind) reply_crc <= crc_next(reply_crc, tx_data);
      if (in_body) out_next <= out_next + 1'b1;
    end
  end

  // --- Input bytes to beats.

  logic fetched;  // a byte comes out of the buffer
  logic [IN_WIDTH-1:0] in_beat;
  logic [IN_COUNT_BITS-1:0] in_filled;
  logic [BEAT_BITS-1:0] beat;
  wire [IN_WIDTH+7:0] in_joined = {in_byte, in_beat};
  wire unused_bottom = &in_joined[7:0];

  assign in_fetch = in_read != in_end && !fetched && in_filled != IN_COUNT_BITS'(IN_BYTES);
  assign m_axis_tvalid = in_filled == IN_COUNT_BITS'(IN_BYTES);
  assign m_axis_tdata = in_beat;
  assign m_axis_tlast = beat == BEAT_BITS'(IN_BEATS - 1);

  always_ff @(posedge clk) begin
    fetched <= in_fetch;
    if (in_fetch) in_read <= in_read + 1'b1;
    if (fetched) begin
      in_beat   <= in_joined[IN_WIDTH+7:8];
      in_filled <= in_filled + 1'b1;
    end
    if (m_axis_tvalid && m_axis_tready) begin
      in_filled <= '0;
      beat <= m_axis_tlast ? '0 : beat + 1'b1;
    end
    if (rst || state == RESTART) begin
      fetched <= 1'b0;
      in_read <= '0;
      in_filled <= '0;
      beat <= '0;
    end
  end

  // --- Result beats to bytes.

  logic [OUT_WIDTH-1:0] out_beat;
  logic [OUT_COUNT_BITS-1:0] out_left;
  wire unused_last = s_axis_tlast;

  assign s_axis_tready = out_left == '0 && aresetn;
  assign out_store = out_left != '0 && out_count != pointer_t'(BUFFER_BYTES);
  assign out_stored = out_beat[7:0];

  always_ff @(posedge clk) begin
    if (s_axis_tvalid && s_axis_tready) begin
      out_beat <= s_axis_tdata;
      out_left <= OUT_COUNT_BITS'(OUT_BYTES);
    end else if (out_store) begin
      out_beat  <= out_beat >> 8;
      out_left  <= out_left - 1'b1;
      out_write <= out_write + 1'b1;
    end
    if (rst || state == RESTART) begin
      out_left  <= '0;
      out_write <= '0;
    end
  end

endmodule

`default_nettype wire
