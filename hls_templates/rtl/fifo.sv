// FIFO with credits: the elastic part of every block.
//
// A slot is reserved when a result is issued (`reserve`, only while `room`) and filled when it arrives (`push`), so a
// pipeline in front of it needs no stall net. `room` counts slots that are reserved and not yet popped: a pop in cycle p
// gives room in cycle p + 1. Plain valid/ready use: in_ready = room, reserve = push = in_valid && in_ready.
`default_nettype none

module fifo #(
    // Bits of a beat.
    parameter int WIDTH = 8,
    // Slots, any number from 1.
    parameter int DEPTH = 2,
    // 0: LUT-RAM, out_valid the cycle after the push; 1: block RAM whose output register is the FIFO's, two cycles.
    parameter int BLOCK_RAM = 0
) (
    input  wire              clk,
    input  wire              rst,
    input  wire              reserve,
    output logic             room,
    input  wire              push,
    input  wire  [WIDTH-1:0] in_data,
    output wire              out_valid,
    input  wire              out_ready,
    output wire  [WIDTH-1:0] out_data
);

  if (WIDTH < 1 || DEPTH < 1) begin : g_illegal
    $fatal(1, "fifo: WIDTH and DEPTH must be positive");
  end

  localparam int POINTER_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1;
  localparam int COUNT_BITS = $clog2(DEPTH + 1);
  localparam bit [POINTER_BITS-1:0] LAST = POINTER_BITS'(DEPTH - 1);

  // Credits.
  wire pop = out_valid && out_ready;
  logic [COUNT_BITS-1:0] used;  // slots reserved and not yet popped

  always_ff @(posedge clk) begin
    if (reserve && !pop) begin
      used <= used + 1'b1;
      room <= used != COUNT_BITS'(DEPTH - 1);
    end else if (pop && !reserve) begin
      used <= used - 1'b1;
      room <= 1'b1;
    end
    if (rst) begin
      used <= '0;
      room <= 1'b1;
    end
  end

  // Pointers. Equal pointers mean an empty memory after a read, a full one after a write: `filled` remembers which.
  logic [POINTER_BITS-1:0] write_pointer, read_pointer;
  wire [POINTER_BITS-1:0] next_read = read_pointer == LAST ? '0 : read_pointer + 1'b1;
  logic filled;
  wire  take;  // a beat leaves the memory

  always_ff @(posedge clk) begin
    if (push) write_pointer <= write_pointer == LAST ? '0 : write_pointer + 1'b1;
    if (take) read_pointer <= next_read;
    if (push) filled <= 1'b1;
    else if (take) filled <= next_read != write_pointer;
    if (rst) begin
      write_pointer <= '0;
      read_pointer <= '0;
      filled <= 1'b0;
    end
  end

  if (BLOCK_RAM != 0) begin : g_block
    logic head_valid;
    assign take = filled && (!head_valid || out_ready);
    assign out_valid = head_valid;

    always_ff @(posedge clk) begin
      if (rst) head_valid <= 1'b0;
      else if (take) head_valid <= 1'b1;
      else if (out_ready) head_valid <= 1'b0;
    end

    ram #(
        .WIDTH(WIDTH),
        .DEPTH(DEPTH),
        .BLOCK_RAM(1)
    ) ram_i (
        .clk(clk),
        .write(push),
        .write_address(write_pointer),
        .write_data(in_data),
        .read(take),
        .read_address(read_pointer),
        .read_data(out_data)
    );
  end else begin : g_distributed
    assign take = pop;
    assign out_valid = filled;

    if (DEPTH == 1) begin : g_register
      logic [WIDTH-1:0] slot;
      always_ff @(posedge clk) if (push) slot <= in_data;
      assign out_data = slot;
    end else begin : g_memory
      (* ram_style = "distributed" *) logic [WIDTH-1:0] memory[DEPTH];
      always_ff @(posedge clk) if (push) memory[write_pointer] <= in_data;
      assign out_data = memory[read_pointer];
    end
  end

  always_ff @(posedge clk) begin
    if (!rst) begin
      assert (room || !reserve)
      else $error("fifo: reserve without room");
      assert (!push || !filled || write_pointer != read_pointer)
      else $error("fifo: push without a slot");
    end
  end

endmodule

`default_nettype wire
