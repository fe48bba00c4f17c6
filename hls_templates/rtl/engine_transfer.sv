// Transfers of the shared engine between DRAM and scratchpad, one after the other, from a list in DRAM.
//
// A transfer is `count` pieces of `length` words. The scratchpad's port is its own in even cycles (`slot`); a word is at
// least two beats, so neither direction waits for it. A transfer is complete when its last word is written, or when DRAM
// has answered all its bursts.
`default_nettype none

module engine_transfer #(
    // Bytes of a beat and of a word, words of the scratchpad.
    parameter int AXI_BYTES = 8,
    parameter int WORD_BYTES = 16,
    parameter int DEPTH = 512,
    localparam int ADDRESS_BITS = $clog2(DEPTH)
) (
    input  wire                      clk,
    input  wire                      rst,
    input  wire                      start,
    input  wire  [             63:0] list_address,
    input  wire  [             63:0] data_address,
    input  wire  [             31:0] transfers,
    input  wire  [             31:0] commands_done,
    output logic [             31:0] transfers_done,
    // Scratchpad.
    input  wire                      slot,
    output wire                      write,
    output wire  [ ADDRESS_BITS-1:0] word_address,
    output wire  [ WORD_BYTES*8-1:0] write_data,
    input  wire  [ WORD_BYTES*8-1:0] read_data,
    // DRAM.
    output logic [             63:0] m_axi_araddr,
    output logic [              7:0] m_axi_arlen,
    output logic                     m_axi_arvalid,
    input  wire                      m_axi_arready,
    input  wire  [  AXI_BYTES*8-1:0] m_axi_rdata,
    input  wire                      m_axi_rvalid,
    output wire                      m_axi_rready,
    output logic [             63:0] m_axi_awaddr,
    output logic [              7:0] m_axi_awlen,
    output logic                     m_axi_awvalid,
    input  wire                      m_axi_awready,
    output wire  [  AXI_BYTES*8-1:0] m_axi_wdata,
    output wire                      m_axi_wlast,
    output wire                      m_axi_wvalid,
    input  wire                      m_axi_wready,
    input  wire                      m_axi_bvalid,
    output wire                      m_axi_bready
);

  if (WORD_BYTES % AXI_BYTES != 0 || WORD_BYTES < 2 * AXI_BYTES || 32 % AXI_BYTES != 0) begin : g_illegal
    $fatal(1, "engine_transfer: a word must be two beats or more, 32 bytes whole beats");
  end

  localparam int BEATS = WORD_BYTES / AXI_BYTES;
  localparam int BEAT_BITS = $clog2(BEATS);
  localparam int SIZE_BITS = $clog2(AXI_BYTES);
  localparam int LIST_BEATS = 32 / AXI_BYTES;
  localparam int LIST_BITS = LIST_BEATS > 1 ? $clog2(LIST_BEATS) : 1;

  // --- One transfer after the other.

  typedef enum logic [2:0] {
    IDLE,
    ASK,
    FETCH,
    WAIT,
    RUN
  } state_t;
  state_t state;

  logic [31:0] left;  // transfers
  logic [63:0] list;
  logic [LIST_BITS-1:0] fetched;
  logic [255:0] fields;
  wire is_store = fields[0];
  wire [31:0] wait_commands = fields[63:32];
  wire [31:0] address = fields[95:64];
  wire [31:0] first_word = fields[127:96];
  wire [31:0] count = fields[159:128];
  wire [31:0] length = fields[191:160];
  wire [31:0] pitch = fields[223:192];
  wire [31:0] word_pitch = fields[255:224];
  wire unused_fields = &{fields[31:1], first_word, word_pitch};

  wire run = state == WAIT && commands_done >= wait_commands;
  wire complete;

  always_ff @(posedge clk) begin
    case (state)
      ASK: if (m_axi_arvalid && m_axi_arready) state <= FETCH;
      FETCH: begin
        if (m_axi_rvalid) begin
          fields[fetched*AXI_BYTES*8+:AXI_BYTES*8] <= m_axi_rdata;
          fetched <= fetched + 1'b1;
          if (fetched == LIST_BITS'(LIST_BEATS - 1)) begin
            fetched <= '0;
            state   <= WAIT;
          end
        end
      end
      WAIT: if (run) state <= RUN;
      RUN: begin
        if (complete) begin
          transfers_done <= transfers_done + 1'b1;
          left <= left - 1'b1;
          list <= list + 64'd32;
          state <= left == 32'd1 ? IDLE : ASK;
        end
      end
      default: ;
    endcase
    if (start) begin
      left <= transfers;
      list <= list_address;
      transfers_done <= '0;
      fetched <= '0;
      state <= transfers == '0 ? IDLE : ASK;
    end
    if (rst) begin
      state <= IDLE;
      transfers_done <= '0;
      fetched <= '0;
    end
  end

  // --- Bursts of both directions: to the end of the piece, 256 beats or the next 4 KiB boundary.

  logic asking;  // there are bursts left
  logic [31:0] burst_pieces;
  logic [31:0] burst_beats;  // left of the piece
  logic [63:0] piece_address, burst_address;
  wire [31:0] to_boundary = (32'd4096 - {20'd0, burst_address[11:0]}) >> SIZE_BITS;
  wire [31:0] limit = to_boundary < 32'd256 ? to_boundary : 32'd256;
  wire [31:0] burst = burst_beats < limit ? burst_beats : limit;
  wire [31:0] piece_beats = length * 32'(BEATS);
  wire next_burst;  // the burst's address is handed on

  always_ff @(posedge clk) begin
    if (next_burst) begin
      if (burst == burst_beats) begin
        piece_address <= piece_address + 64'(pitch);
        burst_address <= piece_address + 64'(pitch);
        burst_beats <= piece_beats;
        burst_pieces <= burst_pieces - 1'b1;
        if (burst_pieces == 32'd1) asking <= 1'b0;
      end else begin
        burst_address <= burst_address + 64'(burst << SIZE_BITS);
        burst_beats   <= burst_beats - burst;
      end
    end
    if (run) begin
      asking <= 1'b1;
      burst_pieces <= count;
      burst_beats <= piece_beats;
      piece_address <= data_address + 64'(address);
      burst_address <= data_address + 64'(address);
    end
    if (rst) asking <= 1'b0;
  end

  // --- Words in the scratchpad, piece by piece.

  logic [31:0] word_pieces, word_left;
  logic [ADDRESS_BITS-1:0] piece_word, word;
  logic words_left;
  wire next_word;
  wire last_word = word_pieces == 32'd1 && word_left == 32'd1;

  always_ff @(posedge clk) begin
    if (next_word) begin
      if (word_left == 32'd1) begin
        piece_word <= piece_word + ADDRESS_BITS'(word_pitch);
        word <= piece_word + ADDRESS_BITS'(word_pitch);
        word_left <= length;
        word_pieces <= word_pieces - 1'b1;
        if (word_pieces == 32'd1) words_left <= 1'b0;
      end else begin
        word <= word + 1'b1;
        word_left <= word_left - 1'b1;
      end
    end
    if (run) begin
      words_left <= 1'b1;
      word_pieces <= count;
      word_left <= length;
      piece_word <= ADDRESS_BITS'(first_word);
      word <= ADDRESS_BITS'(first_word);
    end
    if (rst) words_left <= 1'b0;
  end

  assign word_address = word;

  // --- Loads: beats are put together; a word waits for an even cycle.

  logic [WORD_BYTES*8-1:0] arriving, held;
  logic [BEAT_BITS-1:0] beat;
  logic held_valid;
  wire loaded = state == RUN && !is_store && m_axi_rvalid;
  assign m_axi_rready = 1'b1;
  assign write = held_valid && slot && !is_store;
  assign write_data = held;

  always_ff @(posedge clk) begin
    if (loaded) begin
      arriving[beat*AXI_BYTES*8+:AXI_BYTES*8] <= m_axi_rdata;
      beat <= beat == BEAT_BITS'(BEATS - 1) ? '0 : beat + 1'b1;
      if (beat == BEAT_BITS'(BEATS - 1)) held <= {m_axi_rdata, arriving[(BEATS-1)*AXI_BYTES*8-1:0]};
    end
    held_valid <= (held_valid && !write) || (loaded && beat == BEAT_BITS'(BEATS - 1));
    if (rst) begin
      beat <= '0;
      held_valid <= 1'b0;
    end
  end
  wire unused_arriving = &arriving[WORD_BYTES*8-1-:AXI_BYTES*8];

  wire ask_read = state == RUN && !is_store && asking && (!m_axi_arvalid || m_axi_arready);
  always_ff @(posedge clk) begin
    if (ask_read) begin
      m_axi_araddr  <= burst_address;
      m_axi_arlen   <= 8'(burst - 1'b1);
      m_axi_arvalid <= 1'b1;
    end else if (state == ASK && !m_axi_arvalid) begin
      m_axi_araddr  <= list;
      m_axi_arlen   <= 8'(LIST_BEATS - 1);
      m_axi_arvalid <= 1'b1;
    end else if (m_axi_arready) begin
      m_axi_arvalid <= 1'b0;
    end
    if (rst) m_axi_arvalid <= 1'b0;
  end

  // --- Stores: words are read in even cycles into a short FIFO, beats of a burst follow its address.

  localparam int AHEAD = 8;
  logic [1:0] coming;  // reads on their way
  logic [3:0] promised;  // words in the FIFO or on their way
  wire read_word = state == RUN && is_store && words_left && slot && promised < 4'(AHEAD);
  wire fifo_valid, fifo_take;
  wire [WORD_BYTES*8-1:0] fifo_word;
  logic [WORD_BYTES*8-1:0] queue[AHEAD];
  logic [2:0] queue_in, queue_out;
  logic [3:0] queued;
  assign fifo_valid = queued != '0;
  assign fifo_word  = queue[queue_out];

  always_ff @(posedge clk) begin
    coming <= {coming[0], read_word};
    promised <= promised + 4'(read_word) - 4'(fifo_take);
    if (coming[1]) begin
      queue[queue_in] <= read_data;
      queue_in <= queue_in + 1'b1;
    end
    if (fifo_take) queue_out <= queue_out + 1'b1;
    queued <= queued + 4'(coming[1]) - 4'(fifo_take);
    if (rst) begin
      coming <= '0;
      promised <= '0;
      queue_in <= '0;
      queue_out <= '0;
      queued <= '0;
    end
  end

  logic sending;  // beats of a burst
  logic [8:0] send_left;
  logic [BEAT_BITS-1:0] send_beat;
  wire sent = m_axi_wvalid && m_axi_wready;
  assign m_axi_wvalid = sending && fifo_valid;
  assign m_axi_wdata  = fifo_word[send_beat*AXI_BYTES*8+:AXI_BYTES*8];
  assign m_axi_wlast  = send_left == 9'd1;
  assign m_axi_bready = 1'b1;
  assign fifo_take = sent && send_beat == BEAT_BITS'(BEATS - 1);

  wire free_to_send = !sending || (sent && m_axi_wlast);
  wire ask_write = state == RUN && is_store && asking && free_to_send && (!m_axi_awvalid || m_axi_awready);
  logic [31:0] unanswered;

  always_ff @(posedge clk) begin
    if (sent) begin
      send_left <= send_left - 1'b1;
      send_beat <= send_beat == BEAT_BITS'(BEATS - 1) ? '0 : send_beat + 1'b1;
      if (m_axi_wlast) sending <= 1'b0;
    end
    if (ask_write) begin
      m_axi_awaddr <= burst_address;
      m_axi_awlen <= 8'(burst - 1'b1);
      m_axi_awvalid <= 1'b1;
      sending <= 1'b1;
      send_left <= 9'(burst);
    end else if (m_axi_awready) begin
      m_axi_awvalid <= 1'b0;
    end
    unanswered <= unanswered + 32'(ask_write) - 32'(m_axi_bvalid);
    if (rst) begin
      m_axi_awvalid <= 1'b0;
      sending <= 1'b0;
      send_beat <= '0;
      unanswered <= '0;
    end
  end

  assign next_burst = ask_read || ask_write;
  assign next_word = write || read_word;
  wire load_complete = write && last_word;
  wire store_complete = !asking && !words_left && !sending && unanswered == '0;
  assign complete = is_store ? state == RUN && store_complete : load_complete;

endmodule

`default_nettype wire
