// What entry of its program each lane of a csr_pe is at, and which of the lane's activations that entry wants: slot and
// end of a row block are there two cycles after a step has been issued.
`default_nettype none

module index_decoder #(
    parameter int LANES = 1,
    parameter int STEPS = 1,
    parameter int ROW_BLOCKS = 1,
    parameter int SLOTS = 1,
    // 0: an entry's slot, 1: slots left out since the entry before, 2: a bit for every slot.
    parameter int INDEX_FORMAT = 0,
    parameter int INDEX_BITS = 1,
    parameter int BLOCK_RAM = 0,
    // 1: indices or bitmaps come from the load chain; 0: they are constant and the chain goes past.
    parameter int RELOADABLE = 0,
    parameter INDICES = "",
    parameter BITMAPS = "",
    localparam int STEP_BITS = STEPS > 1 ? $clog2(STEPS) : 1,
    localparam int SLOT_BITS = SLOTS > 1 ? $clog2(SLOTS) : 1
) (
    input  wire                        clk,
    input  wire                        rst,
    // See `loader`.
    input  wire  [               10:0] load_in,
    output wire  [               10:0] load_out,
    input  wire                        issue,
    input  wire  [      STEP_BITS-1:0] step,
    output logic [LANES*SLOT_BITS-1:0] slots,
    output logic [          LANES-1:0] ends
);

  logic issued, first;
  always_ff @(posedge clk) begin
    issued <= issue && !rst;
    first <= step == '0;
  end

  if (INDEX_FORMAT == 2) begin : g_bitmap
    localparam int BLOCK_BITS = ROW_BLOCKS > 1 ? $clog2(ROW_BLOCKS) : 1;

    // One loader for all lanes' memories, which hold the same and are read at different row blocks.
    wire write;
    wire [BLOCK_BITS-1:0] write_address;
    wire [LANES*SLOTS-1:0] write_data;
    if (RELOADABLE != 0) begin : g_loader
      loader #(
          .WIDTH(LANES * SLOTS),
          .DEPTH(ROW_BLOCKS)
      ) loader_i (
          .clk(clk),
          .rst(rst),
          .load_in(load_in),
          .load_out(load_out),
          .write(write),
          .write_address(write_address),
          .write_data(write_data)
      );
    end else begin : g_constant
      assign load_out = load_in;
      assign write = 1'b0;
      assign write_address = '0;
      assign write_data = '0;
      wire unused_write = &{write, write_address, write_data};
    end

    for (genvar lane = 0; lane < LANES; lane++) begin : g_lane
      // The row block's bits are read when the one before has ended; of a vector that has ended, those of the next one's
      // first row block.
      wire [LANES*SLOTS-1:0] word;
      wire [SLOTS-1:0] stored = word[lane*SLOTS+:SLOTS];
      wire unused_word = ^word;

      logic [BLOCK_BITS-1:0] row_block;
      logic [SLOTS-1:0] rest;  // bits that are left of a row block which has begun
      logic begun, done;
      wire idle = done && !first;
      wire [SLOTS-1:0] bits = begun ? rest : stored;
      wire [SLOTS-1:0] left = bits & (bits - 1'b1);
      wire [SLOTS-1:0] lowest = bits & ~left;
      wire last = left == '0 && !idle;
      wire last_block = row_block == BLOCK_BITS'(ROW_BLOCKS - 1);
      wire advance = issued && last;
      wire [BLOCK_BITS-1:0] next = rst || advance && last_block ? '0 : row_block + BLOCK_BITS'(advance);

      // Read in every cycle: a new word is there when the first frame after it comes.
      if (RELOADABLE != 0) begin : g_bitmap_ram
        ram #(
            .WIDTH(LANES * SLOTS),
            .DEPTH(ROW_BLOCKS),
            .BLOCK_RAM(0),
            .CLEARED(2),
            .CONTENTS(BITMAPS)
        ) bitmaps_i (
            .clk(clk),
            .write(write),
            .write_address(write_address),
            .write_data(write_data),
            .read(1'b1),
            .read_address(next),
            .read_data(word)
        );
      end else begin : g_bitmap_rom
        rom #(
            .WIDTH(LANES * SLOTS),
            .DEPTH(ROW_BLOCKS),
            .BLOCK_RAM(0),
            .CONTENTS(BITMAPS)
        ) bitmaps_i (
            .clk(clk),
            .read(1'b1),
            .address(next),
            .data(word)
        );
      end

      logic [SLOT_BITS-1:0] slot;
      always_comb begin
        slot = '0;
        for (int i = 0; i < SLOTS; i++) if (lowest[i]) slot |= SLOT_BITS'(i);
      end

      always_ff @(posedge clk) begin
        row_block <= next;
        if (issued) begin
          rest <= left;
          begun <= !last && !idle;
          done <= last ? last_block : idle;
          slots[lane*SLOT_BITS+:SLOT_BITS] <= slot;
          ends[lane] <= last;
        end
        if (rst) begin
          begun <= 1'b0;
          done <= 1'b0;
        end
      end
    end
  end else begin : g_index
    localparam int ENTRY_BITS = INDEX_BITS + 1;
    wire [LANES*ENTRY_BITS-1:0] entries;
    weight_memory #(
        .WIDTH(LANES * ENTRY_BITS),
        .DEPTH(STEPS),
        .BLOCK_RAM(BLOCK_RAM),
        .RELOADABLE(RELOADABLE),
        .CONTENTS(INDICES)
    ) indices_i (
        .clk(clk),
        .rst(rst),
        .load_in(load_in),
        .load_out(load_out),
        .read(issue),
        .address(step),
        .data(entries)
    );

    for (genvar lane = 0; lane < LANES; lane++) begin : g_lane
      wire last = entries[lane*ENTRY_BITS];
      wire [INDEX_BITS-1:0] index = entries[lane*ENTRY_BITS+1+:INDEX_BITS];
      wire [SLOT_BITS-1:0] slot;
      always_ff @(posedge clk) begin
        if (issued) begin
          slots[lane*SLOT_BITS+:SLOT_BITS] <= slot;
          ends[lane] <= last;
        end
      end
      if (INDEX_FORMAT == 0) begin : g_absolute
        assign slot = index;
      end else begin : g_relative
        // The slot behind the entry before; a row block begins at slot 0.
        logic [SLOT_BITS-1:0] base;
        assign slot = (first ? '0 : base) + SLOT_BITS'(index);
        wire unused_index = ^index;  // distances may be wider than slots
        always_ff @(posedge clk) if (issued) base <= last ? '0 : slot + 1'b1;
      end
    end

    if (INDEX_FORMAT == 0) begin : g_unused
      wire unused_first = first;
    end
  end

endmodule

`default_nettype wire
