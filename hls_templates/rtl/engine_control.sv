// AXI4-Lite control of the shared engine: addresses and counts of a program, start, done, cycle counters.
//
// A frame is complete when all commands and transfers are. Unknown addresses answer SLVERR and do nothing; writes to
// read-only registers answer OKAY and do nothing.
`default_nettype none

module engine_control
  import engine_registers::*;
#(
    parameter int PE = 8,
    parameter int SIMD = 8
) (
    input  wire                     clk,
    input  wire                     rst,
    input  wire  [ADDRESS_BITS-1:0] s_axi_awaddr,
    input  wire  [             2:0] s_axi_awprot,
    input  wire                     s_axi_awvalid,
    output wire                     s_axi_awready,
    input  wire  [            31:0] s_axi_wdata,
    input  wire  [             3:0] s_axi_wstrb,
    input  wire                     s_axi_wvalid,
    output wire                     s_axi_wready,
    output logic [             1:0] s_axi_bresp,
    output logic                    s_axi_bvalid,
    input  wire                     s_axi_bready,
    input  wire  [ADDRESS_BITS-1:0] s_axi_araddr,
    input  wire  [             2:0] s_axi_arprot,
    input  wire                     s_axi_arvalid,
    output wire                     s_axi_arready,
    output logic [            31:0] s_axi_rdata,
    output logic [             1:0] s_axi_rresp,
    output logic                    s_axi_rvalid,
    input  wire                     s_axi_rready,
    output logic                    start,
    output logic [            63:0] stream_address,
    output logic [            31:0] stream_beats,
    output logic [            63:0] list_address,
    output logic [            31:0] transfers,
    output logic [            63:0] data_address,
    input  wire  [            31:0] transfers_done,
    input  wire  [            31:0] commands_done,
    input  wire                     busy
);

  localparam bit [1:0] OKAY = 2'b00;
  localparam bit [1:0] SLVERR = 2'b10;
  wire unused_protection = &{s_axi_awprot, s_axi_arprot, s_axi_awaddr[1:0], s_axi_araddr[1:0]};

  // --- Write channels: address and data wait for each other, and for the response before.

  logic awaddr_held, wdata_held;
  logic [ADDRESS_BITS-1:0] write_address;
  logic [31:0] write_data, write_mask;
  wire write = awaddr_held && wdata_held && (!s_axi_bvalid || s_axi_bready);
  logic write_known;
  assign s_axi_awready = !awaddr_held && !rst;
  assign s_axi_wready  = !wdata_held && !rst;

  always_ff @(posedge clk) begin
    if (write) begin
      awaddr_held <= 1'b0;
      wdata_held <= 1'b0;
      s_axi_bvalid <= 1'b1;
      s_axi_bresp <= write_known ? OKAY : SLVERR;
    end else if (s_axi_bready) begin
      s_axi_bvalid <= 1'b0;
    end
    if (s_axi_awvalid && s_axi_awready) begin
      awaddr_held <= 1'b1;
      write_address <= {s_axi_awaddr[ADDRESS_BITS-1:2], 2'b00};
    end
    if (s_axi_wvalid && s_axi_wready) begin
      wdata_held <= 1'b1;
      write_data <= s_axi_wdata;
      write_mask <= {{8{s_axi_wstrb[3]}}, {8{s_axi_wstrb[2]}}, {8{s_axi_wstrb[1]}}, {8{s_axi_wstrb[0]}}};
    end
    if (rst) begin
      awaddr_held <= 1'b0;
      wdata_held <= 1'b0;
      s_axi_bvalid <= 1'b0;
    end
  end

  // --- Read channels.

  wire read = s_axi_arvalid && s_axi_arready;
  wire [ADDRESS_BITS-1:0] read_address = {s_axi_araddr[ADDRESS_BITS-1:2], 2'b00};
  logic [31:0] read_data;
  logic read_known;
  assign s_axi_arready = !s_axi_rvalid && !rst;

  always_ff @(posedge clk) begin
    if (read) begin
      s_axi_rvalid <= 1'b1;
      s_axi_rdata <= read_data;
      s_axi_rresp <= read_known ? OKAY : SLVERR;
    end else if (s_axi_rready) begin
      s_axi_rvalid <= 1'b0;
    end
    if (rst) s_axi_rvalid <= 1'b0;
  end

  // --- A frame.

  logic running, done;
  logic [31:0] commands, cycles, busy_cycles;
  wire begins = write && write_address == CONTROL && write_data[CONTROL_AP_START] && write_mask[CONTROL_AP_START];
  wire finished = running && !start && transfers_done == transfers && commands_done == commands;

  always_ff @(posedge clk) begin
    start <= begins && !running;
    if (begins && !running) begin
      running <= 1'b1;
      cycles <= '0;
      busy_cycles <= '0;
    end else if (running) begin
      cycles <= cycles + 1'b1;
      busy_cycles <= busy_cycles + 32'(busy);
    end
    if (finished) running <= 1'b0;
    if (finished) done <= 1'b1;
    else if (read && read_address == CONTROL) done <= 1'b0;
    if (rst) begin
      start <= 1'b0;
      running <= 1'b0;
      done <= 1'b0;
    end
  end

  // --- The program.

  function automatic logic [31:0] merged(input logic [31:0] held, input logic [31:0] data, input logic [31:0] mask);
    return (held & ~mask) | (data & mask);
  endfunction

  always_ff @(posedge clk) begin
    if (write && !running) begin
      case (write_address)
        STREAM_LOW: stream_address[31:0] <= merged(stream_address[31:0], write_data, write_mask);
        STREAM_HIGH: stream_address[63:32] <= merged(stream_address[63:32], write_data, write_mask);
        STREAM_BEATS: stream_beats <= merged(stream_beats, write_data, write_mask);
        LIST_LOW: list_address[31:0] <= merged(list_address[31:0], write_data, write_mask);
        LIST_HIGH: list_address[63:32] <= merged(list_address[63:32], write_data, write_mask);
        TRANSFERS: transfers <= merged(transfers, write_data, write_mask);
        DATA_LOW: data_address[31:0] <= merged(data_address[31:0], write_data, write_mask);
        DATA_HIGH: data_address[63:32] <= merged(data_address[63:32], write_data, write_mask);
        COMMANDS: commands <= merged(commands, write_data, write_mask);
        default: ;
      endcase
    end
    if (rst) begin
      stream_address <= '0;
      stream_beats <= '0;
      list_address <= '0;
      transfers <= '0;
      data_address <= '0;
      commands <= '0;
    end
  end

  always_comb begin
    read_known = 1'b1;
    read_data  = '0;
    case (read_address)
      CONTROL: begin
        read_data[CONTROL_AP_START] = running;
        read_data[CONTROL_AP_DONE] = done;
        read_data[CONTROL_AP_IDLE] = !running;
      end
      ID: read_data = ID_VALUE;
      SHAPE: read_data = {16'(PE), 16'(SIMD)};
      STREAM_LOW: read_data = stream_address[31:0];
      STREAM_HIGH: read_data = stream_address[63:32];
      STREAM_BEATS: read_data = stream_beats;
      LIST_LOW: read_data = list_address[31:0];
      LIST_HIGH: read_data = list_address[63:32];
      TRANSFERS: read_data = transfers;
      DATA_LOW: read_data = data_address[31:0];
      DATA_HIGH: read_data = data_address[63:32];
      COMMANDS: read_data = commands;
      CYCLES: read_data = cycles;
      BUSY: read_data = busy_cycles;
      default: read_known = 1'b0;
    endcase
  end

  always_comb begin
    case (write_address)
      CONTROL, ID, SHAPE, STREAM_LOW, STREAM_HIGH, STREAM_BEATS, LIST_LOW, LIST_HIGH, TRANSFERS, DATA_LOW, DATA_HIGH,
      COMMANDS, CYCLES, BUSY:
      write_known = 1'b1;
      default: write_known = 1'b0;
    endcase
  end

endmodule

`default_nettype wire
