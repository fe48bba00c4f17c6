// Weight stream of the shared engine: reads beats from DRAM in bursts, as far ahead as its FIFO has room, and puts them
// together to words: headers, dense weights, and weights whose zeros were left out (packed).
`default_nettype none

module engine_stream #(
    // Bytes of a beat and of a word.
    parameter int AXI_BYTES = 8,
    parameter int WORD_BYTES = 64,
    // Words of a command's header.
    parameter int HEADER_WORDS = 3,
    // Beats of the FIFO and of a burst; a burst of at most 4 KiB from an aligned address crosses no boundary.
    parameter int DEPTH = 512,
    parameter int BURST = 64
) (
    input  wire                      clk,
    input  wire                      rst,
    // Begins; the address is a multiple of 4096.
    input  wire                      start,
    input  wire  [             63:0] address,
    input  wire  [             31:0] beats,
    output logic [             63:0] m_axi_araddr,
    output logic [              7:0] m_axi_arlen,
    output logic                     m_axi_arvalid,
    input  wire                      m_axi_arready,
    input  wire  [  AXI_BYTES*8-1:0] m_axi_rdata,
    input  wire                      m_axi_rvalid,
    output wire                      m_axi_rready,
    // The next word; it is taken in a cycle in which both are high.
    output wire                      word_valid,
    input  wire                      word_take,
    output wire  [ WORD_BYTES*8-1:0] word_data,
    // All of its weights are zero.
    output logic                     word_empty
);

  if (WORD_BYTES % AXI_BYTES != 0 || BURST * AXI_BYTES > 4096 || 4096 % (BURST * AXI_BYTES) != 0) begin : g_illegal_sizes
    $fatal(1, "engine_stream: a word must be whole beats, a burst a part of 4096 bytes");
  end
  if (BURST > 256 || DEPTH < 2 * BURST) begin : g_illegal_burst
    $fatal(1, "engine_stream: BURST must be at most 256 and half of DEPTH");
  end

  if (WORD_BYTES % (8 * AXI_BYTES) != 0) begin : g_illegal_mask
    $fatal(1, "engine_stream: a mask must be whole beats");
  end

  localparam int BEATS = WORD_BYTES / AXI_BYTES;
  localparam int MASK_BEATS = BEATS / 8;
  localparam int LEVEL_BITS = $clog2(DEPTH + 1);
  localparam int POINTER_BITS = $clog2(DEPTH);
  localparam int BEAT_BITS = BEATS > 1 ? $clog2(BEATS) : 1;
  localparam int HEADER_BITS = HEADER_WORDS > 1 ? $clog2(HEADER_WORDS) : 1;

  // --- Requests: a burst when there is room for it.

  logic [31:0] wanted;  // beats that were not asked for yet
  logic [LEVEL_BITS-1:0] room;  // beats that are neither in the FIFO nor on their way
  wire [LEVEL_BITS-1:0] burst = wanted < 32'(BURST) ? LEVEL_BITS'(wanted) : LEVEL_BITS'(BURST);
  wire ask = wanted != '0 && room >= burst && (!m_axi_arvalid || m_axi_arready);
  wire beat_read;

  logic [63:0] next_address;
  always_ff @(posedge clk) begin
    if (ask) begin
      m_axi_araddr <= next_address;
      m_axi_arlen <= 8'(burst - 1'b1);
      m_axi_arvalid <= 1'b1;
      next_address <= next_address + 64'(BURST * AXI_BYTES);
      wanted <= wanted - 32'(burst);
    end else if (m_axi_arready) begin
      m_axi_arvalid <= 1'b0;
    end
    room <= room - (ask ? burst : '0) + LEVEL_BITS'(beat_read);
    if (start) begin
      next_address <= address;
      wanted <= beats;
    end
    if (rst) begin
      wanted <= '0;
      room <= LEVEL_BITS'(DEPTH);
      m_axi_arvalid <= 1'b0;
    end
  end

  // --- FIFO. The next beat waits at its output.

  assign m_axi_rready = 1'b1;
  logic [POINTER_BITS-1:0] write_pointer, read_pointer;
  logic [LEVEL_BITS-1:0] level;
  logic beat_valid;
  wire beat_take;
  wire [AXI_BYTES*8-1:0] beat;
  assign beat_read = level != '0 && (!beat_valid || beat_take);

  ram #(
      .WIDTH(AXI_BYTES * 8),
      .DEPTH(DEPTH),
      .BLOCK_RAM(1)
  ) ram_i (
      .clk(clk),
      .write(m_axi_rvalid),
      .write_address(write_pointer),
      .write_data(m_axi_rdata),
      .read(beat_read),
      .read_address(read_pointer),
      .read_data(beat)
  );

  always_ff @(posedge clk) begin
    if (m_axi_rvalid) write_pointer <= write_pointer == POINTER_BITS'(DEPTH - 1) ? '0 : write_pointer + 1'b1;
    if (beat_read) read_pointer <= read_pointer == POINTER_BITS'(DEPTH - 1) ? '0 : read_pointer + 1'b1;
    level <= level + LEVEL_BITS'(m_axi_rvalid) - LEVEL_BITS'(beat_read);
    beat_valid <= beat_read || (beat_valid && !beat_take);
    if (rst) begin
      write_pointer <= '0;
      read_pointer <= '0;
      level <= '0;
      beat_valid <= 1'b0;
    end
  end

  // --- Words. A command's header says how many words of weights follow it, and whether they are packed: then each is a mask,
  // and beats whose bytes go to the next set bits of their own classes (weight i is of class i % AXI_BYTES).

  typedef enum logic [1:0] {
    HEADER,
    DENSE,
    MASK,
    VALUES
  } phase_t;
  phase_t phase;
  logic [HEADER_BITS-1:0] header_word;
  logic [BEAT_BITS-1:0] placing;
  logic [23:0] words_left;  // of weights, behind the word that is being put together
  logic packed_weights;
  logic complete;
  logic [WORD_BYTES-1:0] remaining;  // bits of the mask whose values have not come yet
  logic [WORD_BYTES*8-1:0] word;

  wire [WORD_BYTES-1:0] chosen;  // the next set bit of each class
  for (genvar lane = 0; lane < AXI_BYTES; lane++) begin : g_class
    wire [BEATS-1:0] left, lowest;
    assign lowest = left & (~left + 1'b1);
    for (genvar i = 0; i < BEATS; i++) begin : g_weight
      assign left[i] = remaining[i*AXI_BYTES+lane];
      assign chosen[i*AXI_BYTES+lane] = lowest[i];
    end
  end
  wire nothing_left = remaining == '0;
  wire last_values = (remaining & ~chosen) == '0;

  // The word may change once it is taken.
  wire free = !complete || word_take;
  assign beat_take = beat_valid && free && !(phase == VALUES && nothing_left);
  wire whole = phase == HEADER || phase == DENSE;
  wire ends = (beat_take && (whole ? placing == BEAT_BITS'(BEATS - 1) : phase == VALUES && last_values))
      || (phase == VALUES && nothing_left);
  wire last_of_header = header_word == HEADER_BITS'(HEADER_WORDS - 1);
  assign word_valid = complete;
  assign word_data = word;

  always_ff @(posedge clk) begin
    complete <= (complete && !word_take) || ends;
    if (ends) word_empty <= phase == VALUES && nothing_left;
    if (beat_take) begin
      placing <= placing + 1'b1;
      if (phase == HEADER && header_word == '0 && placing == '0) begin
        words_left <= beat[31:8];
        packed_weights <= beat[5];
      end
      if (phase == MASK) begin
        remaining[placing*8*AXI_BYTES+:8*AXI_BYTES] <= beat;
        if (placing == BEAT_BITS'(MASK_BEATS - 1)) phase <= VALUES;
      end
      if (phase == VALUES) remaining <= remaining & ~chosen;
    end
    if (ends) begin
      placing <= '0;
      if (phase == HEADER) header_word <= last_of_header ? '0 : header_word + 1'b1;
      if (phase != HEADER || last_of_header) begin
        words_left <= words_left - 1'b1;
        phase <= words_left == '0 ? HEADER : packed_weights ? MASK : DENSE;
      end
    end
    for (int i = 0; i < WORD_BYTES; i++) begin
      if (beat_take && phase == MASK) word[i*8+:8] <= '0;
      else if (beat_take && (whole ? placing == BEAT_BITS'(i / AXI_BYTES) : chosen[i]))
        word[i*8+:8] <= beat[(i%AXI_BYTES)*8+:8];
    end
    if (rst) begin
      phase <= HEADER;
      header_word <= '0;
      placing <= '0;
      complete <= 1'b0;
      word_empty <= 1'b0;
    end
  end

endmodule

`default_nettype wire
