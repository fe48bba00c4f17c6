// AXI4-Lite control: the register map of admmfpga_registers around the data path.
//
// CONTROL, GIER, IER and ISR behave as those of a Vitis HLS kernel with ap_ctrl_hs: AP_START is set by writing one and
// clears when a frame's last input beat is taken, unless AUTO_RESTART is set; AP_DONE and AP_READY clear on read; ISR bits
// are set by enabled events and toggle on write. An event in the cycle of a clearing access wins.
//
// Where RELOADABLE is 1, LOAD_DATA sends bytes into the chain of the memories that hold weights (see `loader`), a byte a
// cycle, while LOAD.HOLD keeps frames out and none is inside; otherwise the write answers SLVERR and does nothing but
// raise ERROR.LOAD. WEIGHTS is not reset, since the memories are not: it is zero from the first byte of new weights until
// it is written again. Where RELOADABLE is 0, these registers do not exist.
//
// Addresses count in whole words. Those of no register answer SLVERR and do nothing; writes to read-only registers answer
// OKAY and do nothing.
`default_nettype none

module axi_lite_control
  import admmfpga_registers::*;
#(
    // First 32 bits of the model's SHA-256.
    parameter bit [31:0] MODEL_HASH = 32'h0,
    // 1: weights can be loaded.
    parameter int RELOADABLE = 0
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
    // The name is the one that Vitis HLS gives; only some C++ compilers know it as a word.
    // verilator lint_off SYMRSVDWORD
    output logic                    interrupt,
    // verilator lint_on SYMRSVDWORD
    // A frame may be admitted.
    output wire                     start,
    // Pulses in the cycle of the handshake: input beat, last input beat, wrong TLAST, last and first output beat.
    input  wire                     beat_taken,
    input  wire                     frame_taken,
    input  wire                     tlast_error,
    input  wire                     frame_given,
    input  wire                     first_given,
    // The streams, watched for stalls.
    input  wire                     s_axis_tvalid,
    input  wire                     s_axis_tready,
    input  wire                     m_axis_tvalid,
    input  wire                     m_axis_tready,
    // Begin and end of the chain of memories.
    output wire  [            10:0] load,
    input  wire  [            10:0] loaded
);

  localparam bit [1:0] OKAY = 2'b00;
  localparam bit [1:0] SLVERR = 2'b10;

  wire unused_protection = &{s_axi_awprot, s_axi_arprot};

  function automatic logic [ADDRESS_BITS-1:0] word(input logic [ADDRESS_BITS-1:0] address);
    return address & ~ADDRESS_BITS'(3);
  endfunction

  // --- Write channels: address and data wait for each other, and for the response before.

  logic awaddr_held, wdata_held;
  logic [ADDRESS_BITS-1:0] write_address;
  logic [31:0] write_data, write_mask;
  wire load_busy;  // bytes of the last LOAD_DATA are waiting
  wire write = awaddr_held && wdata_held && (!s_axi_bvalid || s_axi_bready) && !load_busy;
  logic write_known;
  wire write_refused;

  assign s_axi_awready = !awaddr_held && !rst;
  assign s_axi_wready  = !wdata_held && !rst;

  always_ff @(posedge clk) begin
    if (write) begin
      awaddr_held <= 1'b0;
      wdata_held <= 1'b0;
      s_axi_bvalid <= 1'b1;
      s_axi_bresp <= write_known && !write_refused ? OKAY : SLVERR;
    end else if (s_axi_bready) begin
      s_axi_bvalid <= 1'b0;
    end
    if (s_axi_awvalid && s_axi_awready) begin
      awaddr_held <= 1'b1;
      write_address <= word(s_axi_awaddr);
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

  // --- Read channels: the register's value as it was in the cycle of the address's handshake.

  wire read = s_axi_arvalid && s_axi_arready;
  wire [ADDRESS_BITS-1:0] read_address = word(s_axi_araddr);
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

  // --- Control and interrupts.

  logic ap_start, ap_done, ap_ready, auto_restart, interrupt_enable, tlast_seen;
  logic enable_done, enable_ready, status_done, status_ready;
  wire [31:0] ones = write_data & write_mask;  // bits written as one
  wire read_control = read && read_address == CONTROL;
  wire write_control = write && write_address == CONTROL;
  wire write_gier = write && write_address == GIER;
  wire write_ier = write && write_address == IER;
  wire write_isr = write && write_address == ISR;
  wire write_error = write && write_address == ERROR;
  wire ap_idle;

  wire hold;
  assign start = ap_start && !hold;

  always_ff @(posedge clk) begin
    if (write_control && ones[CONTROL_AP_START]) ap_start <= 1'b1;
    else if (frame_taken) ap_start <= auto_restart;
    if (write_control && write_mask[CONTROL_AUTO_RESTART]) auto_restart <= write_data[CONTROL_AUTO_RESTART];

    if (frame_given) ap_done <= 1'b1;
    else if (read_control) ap_done <= 1'b0;
    if (frame_taken) ap_ready <= 1'b1;
    else if (read_control) ap_ready <= 1'b0;

    if (write_gier && write_mask[GIER_ENABLE]) interrupt_enable <= write_data[GIER_ENABLE];
    if (write_ier && write_mask[IER_DONE]) enable_done <= write_data[IER_DONE];
    if (write_ier && write_mask[IER_READY]) enable_ready <= write_data[IER_READY];

    if (frame_given && enable_done) status_done <= 1'b1;
    else if (write_isr) status_done <= status_done ^ ones[ISR_DONE];
    if (frame_taken && enable_ready) status_ready <= 1'b1;
    else if (write_isr) status_ready <= status_ready ^ ones[ISR_READY];
    interrupt <= interrupt_enable && (status_done || status_ready);

    if (tlast_error) tlast_seen <= 1'b1;
    else if (write_error && ones[ERROR_TLAST]) tlast_seen <= 1'b0;

    if (rst) begin
      ap_start <= 1'b0;
      auto_restart <= 1'b0;
      ap_done <= 1'b0;
      ap_ready <= 1'b0;
      interrupt_enable <= 1'b0;
      enable_done <= 1'b0;
      enable_ready <= 1'b0;
      status_done <= 1'b0;
      status_ready <= 1'b0;
      interrupt <= 1'b0;
      tlast_seen <= 1'b0;
    end
  end

  // --- Counters.

  logic [31:0] cycles, frames_in, frames_out, latency, interval, input_stalls, output_stalls;
  logic [31:0] first_taken, last_given;  // cycle numbers
  logic partway;  // through a frame's input beats
  logic alone;  // the frame that is measured began while no other was in
  wire empty = frames_in == frames_out && !partway;

  assign ap_idle = empty && !ap_start;

  always_ff @(posedge clk) begin
    cycles <= cycles + 1'b1;
    if (beat_taken) partway <= !frame_taken;
    if (frame_taken) frames_in <= frames_in + 1'b1;
    if (frame_given) frames_out <= frames_out + 1'b1;

    if (beat_taken && empty) begin
      alone <= 1'b1;
      first_taken <= cycles;
    end else if (first_given) begin
      alone <= 1'b0;
    end
    if (first_given && alone) latency <= cycles - first_taken;

    if (frame_given) begin
      last_given <= cycles;
      if (frames_out != '0) interval <= cycles - last_given;
    end

    if (s_axis_tready && !s_axis_tvalid) input_stalls <= input_stalls + 1'b1;
    if (m_axis_tvalid && !m_axis_tready) output_stalls <= output_stalls + 1'b1;

    if (rst) begin
      cycles <= '0;
      partway <= 1'b0;
      alone <= 1'b0;
      frames_in <= '0;
      frames_out <= '0;
      latency <= '0;
      interval <= '0;
      input_stalls <= '0;
      output_stalls <= '0;
    end
  end

  // --- Loading.

  wire load_ready, load_seen;
  wire [31:0] load_words, weights;

  if (RELOADABLE != 0) begin : g_load
    logic held, seen;
    logic [31:0] words;
    logic [31:0] model;  // whose weights the memories hold
    initial model = MODEL_HASH;
    logic begins;
    logic [3:0] strobes;  // of the bytes that wait, the next one lowest
    logic [31:0] bytes;
    wire write_load = write && write_address == LOAD && write_mask[LOAD_HOLD];
    wire write_bytes = write && write_address == LOAD_DATA;
    wire written = loaded[10];
    wire unused_rest = &{loaded[9:0]};

    assign hold = held;
    assign load_ready = held && empty;
    assign write_refused = write_bytes && !load_ready;
    assign load_busy = strobes != '0;
    assign load = {1'b0, begins, strobes[0], bytes[7:0]};
    assign load_seen = seen;
    assign load_words = words;
    assign weights = model;

    always_ff @(posedge clk) begin
      if (write_load) held <= write_data[LOAD_HOLD];
      begins <= write_load && write_data[LOAD_HOLD];
      words <= begins ? '0 : words + 32'(written);

      strobes <= strobes >> 1;
      bytes <= bytes >> 8;
      if (write_bytes && load_ready) begin
        strobes <= {write_mask[24], write_mask[16], write_mask[8], write_mask[0]};
        bytes <= write_data;
        model <= '0;
      end else if (write && write_address == WEIGHTS) begin
        model <= model & ~write_mask | ones;
      end

      if (write_refused) seen <= 1'b1;
      else if (write_error && ones[ERROR_LOAD]) seen <= 1'b0;

      if (rst) begin
        held <= 1'b0;
        begins <= 1'b0;
        strobes <= '0;
        words <= '0;
        seen <= 1'b0;
      end
    end
  end else begin : g_constant
    assign hold = 1'b0;
    assign load_ready = 1'b0;
    assign write_refused = 1'b0;
    assign load_busy = 1'b0;
    assign load = '0;
    assign load_seen = 1'b0;
    assign load_words = '0;
    assign weights = '0;
    wire unused_load = &{loaded, load_ready, load_seen, load_words, weights};
  end

  // --- The map.

  always_comb begin
    read_known = 1'b1;
    read_data  = '0;
    case (read_address)
      CONTROL: begin
        read_data[CONTROL_AP_START] = ap_start;
        read_data[CONTROL_AP_DONE] = ap_done;
        read_data[CONTROL_AP_IDLE] = ap_idle;
        read_data[CONTROL_AP_READY] = ap_ready;
        read_data[CONTROL_AUTO_RESTART] = auto_restart;
      end
      GIER: read_data[GIER_ENABLE] = interrupt_enable;
      IER: begin
        read_data[IER_DONE]  = enable_done;
        read_data[IER_READY] = enable_ready;
      end
      ISR: begin
        read_data[ISR_DONE]  = status_done;
        read_data[ISR_READY] = status_ready;
      end
      ID: read_data = ID_VALUE;
      MODEL: read_data = MODEL_HASH;
      ERROR: begin
        read_data[ERROR_TLAST] = tlast_seen;
        read_data[ERROR_LOAD]  = load_seen;
      end
      FRAMES_IN: read_data = frames_in;
      FRAMES_OUT: read_data = frames_out;
      LATENCY: read_data = latency;
      INTERVAL: read_data = interval;
      INPUT_STALLS: read_data = input_stalls;
      OUTPUT_STALLS: read_data = output_stalls;
      CYCLES: read_data = cycles;
      LOAD: begin
        read_known = RELOADABLE != 0;
        read_data[LOAD_HOLD]  = hold;
        read_data[LOAD_READY] = load_ready;
      end
      LOAD_DATA: read_known = RELOADABLE != 0;
      LOAD_WORDS: begin
        read_known = RELOADABLE != 0;
        read_data  = load_words;
      end
      WEIGHTS: begin
        read_known = RELOADABLE != 0;
        read_data  = weights;
      end
      default: read_known = 1'b0;
    endcase
  end

  always_comb begin
    case (write_address)
      CONTROL, GIER, IER, ISR, ID, MODEL, ERROR, FRAMES_IN, FRAMES_OUT, LATENCY, INTERVAL, INPUT_STALLS, OUTPUT_STALLS,
      CYCLES:
      write_known = 1'b1;
      LOAD, LOAD_DATA, LOAD_WORDS, WEIGHTS: write_known = RELOADABLE != 0;
      default: write_known = 1'b0;
    endcase
  end

endmodule

`default_nettype wire
