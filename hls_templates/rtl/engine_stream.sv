// Weight stream of the shared engine: reads BYTES bytes from DRAM in bursts, as far ahead as its FIFO has room, and puts them
// together to words.
`default_nettype none

module engine_stream #(
    // Bytes of a beat and of a word.
    parameter int AXI_BYTES = 8,
    parameter int WORD_BYTES = 64,
    // Beats of the FIFO and of a burst; a burst of at most 4 KiB from an aligned address crosses no boundary.
    parameter int DEPTH = 512,
    parameter int BURST = 64
) (
    input  wire                      clk,
    input  wire                      rst,
    // Begins; the address is a multiple of 4096.
    input  wire                      start,
    input  wire  [             63:0] address,
    input  wire  [             31:0] words,
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
    output wire  [ WORD_BYTES*8-1:0] word_data
);

  if (WORD_BYTES % AXI_BYTES != 0 || BURST * AXI_BYTES > 4096 || 4096 % (BURST * AXI_BYTES) != 0) begin : g_illegal_sizes
    $fatal(1, "engine_stream: a word must be whole beats, a burst a part of 4096 bytes");
  end
  if (BURST > 256 || DEPTH < 2 * BURST) begin : g_illegal_burst
    $fatal(1, "engine_stream: BURST must be at most 256 and half of DEPTH");
  end

  localparam int BEATS = WORD_BYTES / AXI_BYTES;
  localparam int LEVEL_BITS = $clog2(DEPTH + 1);
  localparam int POINTER_BITS = $clog2(DEPTH);
  localparam int BEAT_BITS = BEATS > 1 ? $clog2(BEATS) : 1;

  // --- Requests: a burst when there is room for it.

  logic [37:0] wanted;  // beats that were not asked for yet
  logic [LEVEL_BITS-1:0] room;  // beats that are neither in the FIFO nor on their way
  wire [LEVEL_BITS-1:0] burst = wanted < 38'(BURST) ? LEVEL_BITS'(wanted) : LEVEL_BITS'(BURST);
  wire ask = wanted != '0 && room >= burst && (!m_axi_arvalid || m_axi_arready);
  wire beat_read;

  logic [63:0] next_address;
  always_ff @(posedge clk) begin
    if (ask) begin
      m_axi_araddr <= next_address;
      m_axi_arlen <= 8'(burst - 1'b1);
      m_axi_arvalid <= 1'b1;
      next_address <= next_address + 64'(BURST * AXI_BYTES);
      wanted <= wanted - 38'(burst);
    end else if (m_axi_arready) begin
      m_axi_arvalid <= 1'b0;
    end
    room <= room - (ask ? burst : '0) + LEVEL_BITS'(beat_read);
    if (start) begin
      next_address <= address;
      wanted <= 38'(words) * 38'(BEATS);
    end
    if (rst) begin
      wanted <= '0;
      room <= LEVEL_BITS'(DEPTH);
      m_axi_arvalid <= 1'b0;
    end
  end

  // --- FIFO.

  assign m_axi_rready = 1'b1;
  logic [POINTER_BITS-1:0] write_pointer, read_pointer;
  logic [LEVEL_BITS-1:0] level;
  wire [AXI_BYTES*8-1:0] beat;

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
    if (rst) begin
      write_pointer <= '0;
      read_pointer <= '0;
      level <= '0;
    end
  end

  // --- Words: a beat is read, a cycle later it is in its place.

  logic [BEAT_BITS-1:0] reading, placing;
  logic all_read;  // of the word that is being put together
  logic arriving;  // a beat comes out of the memory
  logic complete;
  logic [WORD_BYTES*8-1:0] word;

  assign beat_read = level != '0 && (!all_read || (word_valid && word_take));
  assign word_valid = complete;
  assign word_data = word;

  always_ff @(posedge clk) begin
    if (beat_read) reading <= reading == BEAT_BITS'(BEATS - 1) ? '0 : reading + 1'b1;
    if (beat_read) all_read <= reading == BEAT_BITS'(BEATS - 1);
    else if (word_valid && word_take) all_read <= 1'b0;
    arriving <= beat_read;
    placing  <= reading;
    if (arriving) word[placing*AXI_BYTES*8+:AXI_BYTES*8] <= beat;
    complete <= (complete && !word_take) || (arriving && placing == BEAT_BITS'(BEATS - 1));
    if (rst) begin
      reading  <= '0;
      all_read <= 1'b0;
      arriving <= 1'b0;
      complete <= 1'b0;
    end
  end

endmodule

`default_nettype wire
