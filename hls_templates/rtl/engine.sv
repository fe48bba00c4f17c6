// The shared engine: one PE array that runs a network layer after layer from lists in DRAM. Top module.
//
// Two AXI4 masters: m_axi_stream reads the weight stream, m_axi_data the transfer list and activations, which it also writes.
// Bursts are INCR, of whole beats, at most 256 long, and cross no 4 KiB boundary.
`default_nettype none

module engine
  import engine_registers::ADDRESS_BITS;
#(
    // Output channels and input channels that are multiplied at a time; accumulators that are requantized in a cycle.
    parameter int PE = 8,
    parameter int SIMD = 8,
    parameter int REQUANT = 4,
    // Positions of a tile, words of the scratchpad.
    parameter int POSITIONS = 16,
    parameter int DEPTH = 512,
    // Bytes of a beat on both masters.
    parameter int AXI_BYTES = 4,
    // Multipliers of the array in DSP blocks.
    parameter int DSP_MULTIPLIERS = PE * SIMD
) (
    input  wire                     aclk,
    input  wire                     aresetn,
    input  wire [ADDRESS_BITS-1:0] s_axi_control_awaddr,
    input  wire [2:0] s_axi_control_awprot,
    input  wire s_axi_control_awvalid,
    output wire s_axi_control_awready,
    input  wire [31:0] s_axi_control_wdata,
    input  wire [3:0] s_axi_control_wstrb,
    input  wire s_axi_control_wvalid,
    output wire s_axi_control_wready,
    output wire [1:0] s_axi_control_bresp,
    output wire s_axi_control_bvalid,
    input  wire s_axi_control_bready,
    input  wire [ADDRESS_BITS-1:0] s_axi_control_araddr,
    input  wire [2:0] s_axi_control_arprot,
    input  wire s_axi_control_arvalid,
    output wire s_axi_control_arready,
    output wire [31:0] s_axi_control_rdata,
    output wire [1:0] s_axi_control_rresp,
    output wire s_axi_control_rvalid,
    input  wire s_axi_control_rready,
    output wire [0:0] m_axi_stream_arid,
    output wire [63:0] m_axi_stream_araddr,
    output wire [7:0] m_axi_stream_arlen,
    output wire [2:0] m_axi_stream_arsize,
    output wire [1:0] m_axi_stream_arburst,
    output wire [3:0] m_axi_stream_arcache,
    output wire [2:0] m_axi_stream_arprot,
    output wire m_axi_stream_arvalid,
    input  wire m_axi_stream_arready,
    input  wire [0:0] m_axi_stream_rid,
    input  wire [AXI_BYTES*8-1:0] m_axi_stream_rdata,
    input  wire [1:0] m_axi_stream_rresp,
    input  wire m_axi_stream_rlast,
    input  wire m_axi_stream_rvalid,
    output wire m_axi_stream_rready,
    output wire [0:0] m_axi_data_arid,
    output wire [63:0] m_axi_data_araddr,
    output wire [7:0] m_axi_data_arlen,
    output wire [2:0] m_axi_data_arsize,
    output wire [1:0] m_axi_data_arburst,
    output wire [3:0] m_axi_data_arcache,
    output wire [2:0] m_axi_data_arprot,
    output wire m_axi_data_arvalid,
    input  wire m_axi_data_arready,
    input  wire [0:0] m_axi_data_rid,
    input  wire [AXI_BYTES*8-1:0] m_axi_data_rdata,
    input  wire [1:0] m_axi_data_rresp,
    input  wire m_axi_data_rlast,
    input  wire m_axi_data_rvalid,
    output wire m_axi_data_rready,
    output wire [0:0] m_axi_data_awid,
    output wire [63:0] m_axi_data_awaddr,
    output wire [7:0] m_axi_data_awlen,
    output wire [2:0] m_axi_data_awsize,
    output wire [1:0] m_axi_data_awburst,
    output wire [3:0] m_axi_data_awcache,
    output wire [2:0] m_axi_data_awprot,
    output wire m_axi_data_awvalid,
    input  wire m_axi_data_awready,
    output wire [AXI_BYTES*8-1:0] m_axi_data_wdata,
    output wire [AXI_BYTES-1:0] m_axi_data_wstrb,
    output wire m_axi_data_wlast,
    output wire m_axi_data_wvalid,
    input  wire m_axi_data_wready,
    input  wire [0:0] m_axi_data_bid,
    input  wire [1:0] m_axi_data_bresp,
    input  wire m_axi_data_bvalid,
    output wire m_axi_data_bready
);

  logic rst;
  always_ff @(posedge aclk) rst <= !aresetn;

  // The scratchpad's second port belongs to transfers in even cycles, to results in odd ones.
  logic even;
  always_ff @(posedge aclk) begin
    even <= !even;
    if (start) even <= 1'b0;
    if (rst) even <= 1'b0;
  end

  localparam int ADDRESS_WIDTH = $clog2(DEPTH);
  localparam int WORD_BYTES = PE * SIMD;
  localparam int HEADER_BYTES = 128 + 8 * PE;
  localparam int HEADER_WORDS = (HEADER_BYTES + WORD_BYTES - 1) / WORD_BYTES;

  wire start, busy;
  wire [63:0] stream_address, list_address, data_address;
  wire [31:0] stream_beats, transfers, transfers_done, commands_done;
  wire word_valid, word_take, word_empty;
  wire [WORD_BYTES*8-1:0] word_data;

  engine_control #(
      .PE(PE),
      .SIMD(SIMD)
  ) control_i (
      .clk(aclk),
      .rst(rst),
      .s_axi_awaddr(s_axi_control_awaddr),
      .s_axi_awprot(s_axi_control_awprot),
      .s_axi_awvalid(s_axi_control_awvalid),
      .s_axi_awready(s_axi_control_awready),
      .s_axi_wdata(s_axi_control_wdata),
      .s_axi_wstrb(s_axi_control_wstrb),
      .s_axi_wvalid(s_axi_control_wvalid),
      .s_axi_wready(s_axi_control_wready),
      .s_axi_bresp(s_axi_control_bresp),
      .s_axi_bvalid(s_axi_control_bvalid),
      .s_axi_bready(s_axi_control_bready),
      .s_axi_araddr(s_axi_control_araddr),
      .s_axi_arprot(s_axi_control_arprot),
      .s_axi_arvalid(s_axi_control_arvalid),
      .s_axi_arready(s_axi_control_arready),
      .s_axi_rdata(s_axi_control_rdata),
      .s_axi_rresp(s_axi_control_rresp),
      .s_axi_rvalid(s_axi_control_rvalid),
      .s_axi_rready(s_axi_control_rready),
      .start(start),
      .stream_address(stream_address),
      .stream_beats(stream_beats),
      .list_address(list_address),
      .transfers(transfers),
      .data_address(data_address),
      .transfers_done(transfers_done),
      .commands_done(commands_done),
      .busy(busy)
  );

  engine_stream #(
      .AXI_BYTES(AXI_BYTES),
      .WORD_BYTES(WORD_BYTES),
      .HEADER_WORDS(HEADER_WORDS)
  ) stream_i (
      .clk(aclk),
      .rst(rst),
      .start(start),
      .address(stream_address),
      .beats(stream_beats),
      .m_axi_araddr(m_axi_stream_araddr),
      .m_axi_arlen(m_axi_stream_arlen),
      .m_axi_arvalid(m_axi_stream_arvalid),
      .m_axi_arready(m_axi_stream_arready),
      .m_axi_rdata(m_axi_stream_rdata),
      .m_axi_rvalid(m_axi_stream_rvalid),
      .m_axi_rready(m_axi_stream_rready),
      .word_valid(word_valid),
      .word_take(word_take),
      .word_data(word_data),
      .word_empty(word_empty)
  );

  wire transfer_write, result_write;
  wire [ADDRESS_WIDTH-1:0] transfer_address, result_address;
  wire [SIMD*ADDRESS_WIDTH-1:0] read_address;
  wire [SIMD*8-1:0] transfer_data, result_data, read_data, stored_data;

  engine_transfer #(
      .AXI_BYTES(AXI_BYTES),
      .WORD_BYTES(SIMD),
      .DEPTH(DEPTH)
  ) transfer_i (
      .clk(aclk),
      .rst(rst),
      .start(start),
      .list_address(list_address),
      .data_address(data_address),
      .transfers(transfers),
      .commands_done(commands_done),
      .transfers_done(transfers_done),
      .slot(even),
      .write(transfer_write),
      .word_address(transfer_address),
      .write_data(transfer_data),
      .read_data(stored_data),
      .m_axi_araddr(m_axi_data_araddr),
      .m_axi_arlen(m_axi_data_arlen),
      .m_axi_arvalid(m_axi_data_arvalid),
      .m_axi_arready(m_axi_data_arready),
      .m_axi_rdata(m_axi_data_rdata),
      .m_axi_rvalid(m_axi_data_rvalid),
      .m_axi_rready(m_axi_data_rready),
      .m_axi_awaddr(m_axi_data_awaddr),
      .m_axi_awlen(m_axi_data_awlen),
      .m_axi_awvalid(m_axi_data_awvalid),
      .m_axi_awready(m_axi_data_awready),
      .m_axi_wdata(m_axi_data_wdata),
      .m_axi_wlast(m_axi_data_wlast),
      .m_axi_wvalid(m_axi_data_wvalid),
      .m_axi_wready(m_axi_data_wready),
      .m_axi_bvalid(m_axi_data_bvalid),
      .m_axi_bready(m_axi_data_bready)
  );

  engine_compute #(
      .PE(PE),
      .SIMD(SIMD),
      .REQUANT(REQUANT),
      .POSITIONS(POSITIONS),
      .DEPTH(DEPTH),
      .DSP_MULTIPLIERS(DSP_MULTIPLIERS)
  ) compute_i (
      .clk(aclk),
      .rst(rst),
      .word_valid(word_valid),
      .word_take(word_take),
      .word_data(word_data),
      .word_empty(word_empty),
      .transfers_done(transfers_done),
      .commands_done(commands_done),
      .busy(busy),
      .read_address(read_address),
      .read_data(read_data),
      .slot(!even),
      .write(result_write),
      .write_address(result_address),
      .write_data(result_data),
      .start(start)
  );

  engine_scratchpad #(
      .LANES(SIMD),
      .DEPTH(DEPTH)
  ) scratchpad_i (
      .clk(aclk),
      .a_address(read_address),
      .a_data(read_data),
      .b_write(even ? transfer_write : result_write),
      .b_address(even ? transfer_address : result_address),
      .b_write_data(even ? transfer_data : result_data),
      .b_data(stored_data)
  );

  assign m_axi_stream_arid = 1'b0;
  assign m_axi_data_arid = 1'b0;
  assign m_axi_data_awid = 1'b0;
  assign m_axi_stream_arsize = 3'($clog2(AXI_BYTES));
  assign m_axi_stream_arburst = 2'b01;
  assign m_axi_stream_arcache = 4'b0011;
  assign m_axi_stream_arprot = 3'b000;
  assign m_axi_data_arsize = 3'($clog2(AXI_BYTES));
  assign m_axi_data_arburst = 2'b01;
  assign m_axi_data_arcache = 4'b0011;
  assign m_axi_data_arprot = 3'b000;
  assign m_axi_data_awsize = 3'($clog2(AXI_BYTES));
  assign m_axi_data_awburst = 2'b01;
  assign m_axi_data_awcache = 4'b0011;
  assign m_axi_data_awprot = 3'b000;
  assign m_axi_data_wstrb = '1;
  wire unused_responses = &{
    m_axi_stream_rid, m_axi_stream_rresp, m_axi_stream_rlast, m_axi_data_rid, m_axi_data_rresp, m_axi_data_rlast,
    m_axi_data_bid, m_axi_data_bresp
  };

endmodule

`default_nettype wire
