#include "engine.hpp"

namespace {

const int PE = ENGINE_PE;
const int SIMD = ENGINE_SIMD;
const int WORD_BYTES = PE * SIMD;
const int FIELDS = 32;
const int HEADER_BYTES = 4 * FIELDS + 8 * PE;
const int HEADER_WORDS = (HEADER_BYTES + WORD_BYTES - 1) / WORD_BYTES;

enum Kind { MATRIX = 0, DEPTHWISE = 1, FACTOR = 2, MAXIMUM = 3 };
enum SerialKind { LOAD = 0, NORMALIZE = 1, LOOKUP = 2 };

// Fields of a compute command in their order; see the descriptor table in docs/engine.md.
enum Field {
  FLAGS,
  WAIT_TRANSFERS,
  WAIT_COMMANDS,
  BASE,
  PLANE,
  RING,
  ROW,
  Y,
  X,
  HEIGHT,
  WIDTH,
  PLANES,
  KERNEL_ROWS,
  KERNEL_COLUMNS,
  ROWS,
  COLUMNS,
  ROW_STEP,
  COLUMN_STEP,
  KERNEL_ROW_STEP,
  KERNEL_COLUMN_STEP,
  Y_STEP,
  KERNEL_Y_STEP,
  PAD_VALUE,
  FACTOR_VALUE,
  OUT_BASE,
  OUT_PITCH,
  OUT_PLANE,
  OUT_WORDS,
  SHIFT,
  ZERO_POINT,
  LOW,
  HIGH
};

int field(const unsigned char* bytes, int index) {
#pragma HLS INLINE
  return (int)((unsigned)bytes[4 * index] | (unsigned)bytes[4 * index + 1] << 8 |
               (unsigned)bytes[4 * index + 2] << 16 | (unsigned)bytes[4 * index + 3] << 24);
}

int wrapped(int offset, int ring) {
#pragma HLS INLINE
  return offset >= ring ? offset - ring : offset;
}

// One transfer between DRAM and scratchpad.
void transfer(const int d[8], unsigned char* data, unsigned char scratchpad[ENGINE_SCRATCHPAD][SIMD]) {
  const bool store = (d[0] & 1) != 0;
  for (int piece = 0; piece < d[4]; ++piece) {
    unsigned char* at = data + (unsigned)d[2] + (unsigned long long)(unsigned)d[6] * piece;
    const int word = d[3] + piece * d[7];
    for (int i = 0; i < d[5]; ++i) {
      for (int lane = 0; lane < SIMD; ++lane) {
#pragma HLS PIPELINE II=1
        if (store) {
          at[i * SIMD + lane] = scratchpad[word + i][lane];
        } else {
          scratchpad[word + i][lane] = at[i * SIMD + lane];
        }
      }
    }
  }
}

// Codes of one word at a position of a step; padding outside of the input.
void activations(const int c[FIELDS], int address, bool exists, const unsigned char scratchpad[ENGINE_SCRATCHPAD][SIMD],
                 short code[SIMD]) {
#pragma HLS INLINE
  const bool is_signed = (c[FLAGS] & 16) != 0;
  for (int lane = 0; lane < SIMD; ++lane) {
    const unsigned char raw = exists ? scratchpad[address][lane] : (unsigned char)c[PAD_VALUE];
    code[lane] = is_signed ? (short)(signed char)raw : (short)raw;
  }
}

// One step: every position of the tile with the same weights.
void step(const int c[FIELDS], int kind, bool first, int base, int row, int y, int x, const signed char weight[PE][SIMD],
          const signed char lane_weight[SIMD], const unsigned char scratchpad[ENGINE_SCRATCHPAD][SIMD],
          int accumulator[ENGINE_POSITIONS][PE]) {
  int position = 0;
  int at_row = row, at_y = y;
  for (int i = 0; i < c[ROWS]; ++i) {
    int at_x = x;
    for (int j = 0; j < c[COLUMNS]; ++j) {
#pragma HLS PIPELINE II=1
      short code[SIMD];
#pragma HLS ARRAY_PARTITION variable=code complete dim=1
      const bool exists = at_y >= 0 && at_y < c[HEIGHT] && at_x >= 0 && at_x < c[WIDTH];
      activations(c, base + at_row + at_x, exists, scratchpad, code);
      if (kind == MATRIX) {
        for (int pe = 0; pe < PE; ++pe) {
          int sum = 0;
          for (int lane = 0; lane < SIMD; ++lane) sum += code[lane] * weight[pe][lane];
          accumulator[position][pe] = first ? sum : accumulator[position][pe] + sum;
        }
      } else {
        for (int lane = 0; lane < SIMD; ++lane) {
          const int factor = kind == DEPTHWISE ? (int)lane_weight[lane] : c[FACTOR_VALUE];
          const int product = code[lane] * factor;
          const int before = accumulator[position][lane];
          const int joined = kind == MAXIMUM ? (product > before ? product : before) : before + product;
          accumulator[position][lane] = first ? product : joined;
        }
      }
      ++position;
      at_x += c[COLUMN_STEP];
    }
    at_row = wrapped(at_row + c[ROW_STEP], c[RING]);
    at_y += c[Y_STEP];
  }
}

// One gathered step: every lane reads an input plane and tap of its own.
void gathered_step(const int c[FIELDS], bool first, const unsigned char* index, const signed char weight[PE][SIMD],
                   const unsigned char scratchpad[ENGINE_SCRATCHPAD][SIMD], int accumulator[ENGINE_POSITIONS][PE]) {
  int offset[SIMD], dx[SIMD], dy[SIMD], dr[SIMD];
#pragma HLS ARRAY_PARTITION variable=offset complete dim=1
#pragma HLS ARRAY_PARTITION variable=dx complete dim=1
#pragma HLS ARRAY_PARTITION variable=dy complete dim=1
#pragma HLS ARRAY_PARTITION variable=dr complete dim=1
  for (int lane = 0; lane < SIMD; ++lane) {
    const unsigned entry = (unsigned)field(index, lane);
    const int kernel_row = (int)(entry >> 28);
    offset[lane] = (int)(entry & 0xfffffu);
    dx[lane] = (int)(entry >> 20 & 0xffu);
    dy[lane] = kernel_row * c[KERNEL_Y_STEP];
    dr[lane] = kernel_row * c[KERNEL_ROW_STEP] % c[RING];
  }
  int position = 0;
  int at_row = c[ROW], at_y = c[Y];
  for (int i = 0; i < c[ROWS]; ++i) {
    int at_x = c[X];
    for (int j = 0; j < c[COLUMNS]; ++j) {
#pragma HLS PIPELINE II=1
      short code[SIMD];
#pragma HLS ARRAY_PARTITION variable=code complete dim=1
      for (int lane = 0; lane < SIMD; ++lane) {
        const int y = at_y + dy[lane], x = at_x + dx[lane];
        const bool exists = y >= 0 && y < c[HEIGHT] && x >= 0 && x < c[WIDTH];
        const int address = c[BASE] + offset[lane] + wrapped(at_row + dr[lane], c[RING]) + at_x;
        const unsigned char raw = exists ? scratchpad[address][lane] : (unsigned char)c[PAD_VALUE];
        code[lane] = (c[FLAGS] & 16) != 0 ? (short)(signed char)raw : (short)raw;
      }
      for (int pe = 0; pe < PE; ++pe) {
        int sum = 0;
        for (int lane = 0; lane < SIMD; ++lane) sum += code[lane] * weight[pe][lane];
        accumulator[position][pe] = first ? sum : accumulator[position][pe] + sum;
      }
      ++position;
      at_x += c[COLUMN_STEP];
    }
    at_row = wrapped(at_row + c[ROW_STEP], c[RING]);
    at_y += c[Y_STEP];
  }
}

// Weights of a step, one byte each. Returns the bytes read.
unsigned dense(const unsigned char* stream, signed char weight[PE][SIMD]) {
  for (int pe = 0; pe < PE; ++pe) {
    for (int lane = 0; lane < SIMD; ++lane) {
#pragma HLS PIPELINE II=1
      weight[pe][lane] = (signed char)stream[pe * SIMD + lane];
    }
  }
  return WORD_BYTES;
}

// Packed weights of a step: a bit for each, then beats; byte j of a beat is the next weight that is not zero among those
// with index j, j + AXI, ... Returns the bytes read.
unsigned unpack(const unsigned char* stream, signed char weight[PE][SIMD]) {
  const int MASK_BYTES = WORD_BYTES / 8;
  unsigned char mask[MASK_BYTES];
  for (int i = 0; i < MASK_BYTES; ++i) {
#pragma HLS PIPELINE II=1
    mask[i] = stream[i];
  }
  int beats = 0;
  for (int lane = 0; lane < ENGINE_AXI; ++lane) {
    int taken = 0;
    for (int i = lane; i < WORD_BYTES; i += ENGINE_AXI) {
#pragma HLS PIPELINE II=1
      const bool there = (mask[i / 8] >> (i % 8) & 1) != 0;
      weight[i / SIMD][i % SIMD] = there ? (signed char)stream[MASK_BYTES + taken * ENGINE_AXI + lane] : (signed char)0;
      if (there) ++taken;
    }
    if (taken > beats) beats = taken;
  }
  return (unsigned)(MASK_BYTES + beats * ENGINE_AXI);
}

// clip(round_half_even((accumulator + bias) * multiplier / 2^shift) + zero_point, low, high)
int requantized(int accumulator, int bias, int multiplier, const int c[FIELDS]) {
#pragma HLS INLINE
  const int shift = c[SHIFT];
  const long long product = ((long long)accumulator + bias) * multiplier;
  const long long half = shift == 0 ? 0 : 1LL << (shift - 1);
  const long long biased = product + half;
  const long long quotient = biased >> shift;
  const bool tie = shift != 0 && (biased & ((1LL << shift) - 1)) == 0;
  const long long value = quotient - ((tie && (quotient & 1) != 0) ? 1 : 0) + c[ZERO_POINT];
  return (int)(value < c[LOW] ? c[LOW] : value > c[HIGH] ? c[HIGH] : value);
}

// Serial command: words of the stream into the scratchpad.
void load(const int c[FIELDS], const unsigned char* stream, int words,
          unsigned char scratchpad[ENGINE_SCRATCHPAD][SIMD]) {
  for (int i = 0; i < words * PE; ++i) {
    for (int lane = 0; lane < SIMD; ++lane) {
#pragma HLS PIPELINE II=1
      scratchpad[c[OUT_BASE] + i][lane] = stream[i * SIMD + lane];
    }
  }
}

// Entry of a table in the scratchpad: 32 bits.
unsigned entry_of(const int c[FIELDS], int entry, const unsigned char scratchpad[ENGINE_SCRATCHPAD][SIMD]) {
#pragma HLS INLINE
  const int entries = SIMD / 4;  // in a word
  unsigned found = 0;
  for (int byte = 0; byte < 4; ++byte) {
    found |= (unsigned)scratchpad[c[FACTOR_VALUE] + entry / entries][entry % entries * 4 + byte] << (8 * byte);
  }
  return found;
}

// Serial command: a function of one code.
void lookup(const int c[FIELDS], unsigned char scratchpad[ENGINE_SCRATCHPAD][SIMD]) {
  int at_row = c[ROW];
  for (int i = 0; i < c[ROWS]; ++i) {
    for (int j = 0; j < c[COLUMNS]; ++j) {
      for (int k = 0; k < c[PLANES] * SIMD; ++k) {
#pragma HLS PIPELINE II=2
        const int plane = k / SIMD, lane = k % SIMD;
        const int entry = (int)scratchpad[c[BASE] + plane * c[PLANE] + at_row + c[X] + j][lane];
        scratchpad[c[OUT_BASE] + plane * c[OUT_PLANE] + i * c[OUT_PITCH] + j][lane] =
            (unsigned char)requantized(1, 0, (int)entry_of(c, entry, scratchpad), c);
      }
    }
    at_row = wrapped(at_row + c[ROW_STEP], c[RING]);
  }
}

// Serial command: local response normalization, channel by channel. Its own names for fields are in docs/engine.md.
void normalize(const int c[FIELDS], unsigned char scratchpad[ENGINE_SCRATCHPAD][SIMD]) {
  const int KEPT = 32;  // of the last channels; neighbourhoods are smaller
  const int channels = c[HEIGHT], last_entry = c[WIDTH], before = c[KERNEL_ROWS], after = c[KERNEL_COLUMNS];
  const bool is_signed = (c[FLAGS] & 16) != 0;
  const int zero = is_signed ? (int)(signed char)c[PAD_VALUE] : c[PAD_VALUE];
  short value[KEPT] = {};
  int at_row = c[ROW];
  for (int i = 0; i < c[ROWS]; ++i) {
    for (int j = 0; j < c[COLUMNS]; ++j) {
      int energy = 0;
      for (int k = 0; k < c[PLANES] * SIMD + after; ++k) {
#pragma HLS PIPELINE II=2
        short difference = 0;
        if (k < channels) {
          const unsigned char raw = scratchpad[c[BASE] + k / SIMD * c[PLANE] + at_row + c[X] + j][k % SIMD];
          difference = (short)((is_signed ? (int)(signed char)raw : (int)raw) - zero);
        }
        const int gone = k > before + after ? value[(k - before - after - 1) % KEPT] : 0;
        energy += difference * difference - gone * gone;
        value[k % KEPT] = difference;
        if (k >= after) {
          const int channel = k - after;
          const int shifted = energy >> c[Y];
          const int entry = shifted < last_entry ? shifted : last_entry;
          const unsigned factor = entry_of(c, entry, scratchpad);
          scratchpad[c[OUT_BASE] + channel / SIMD * c[OUT_PLANE] + i * c[OUT_PITCH] + j][channel % SIMD] =
              (unsigned char)requantized(value[channel % KEPT], 0, (int)factor, c);
        }
      }
    }
    at_row = wrapped(at_row + c[ROW_STEP], c[RING]);
  }
}

void drain(const int c[FIELDS], const int bias[PE], const int multiplier[PE],
           const int accumulator[ENGINE_POSITIONS][PE], unsigned char scratchpad[ENGINE_SCRATCHPAD][SIMD]) {
  int position = 0;
  for (int i = 0; i < c[ROWS]; ++i) {
    for (int j = 0; j < c[COLUMNS]; ++j) {
      for (int plane = 0; plane < c[OUT_WORDS]; ++plane) {
#pragma HLS PIPELINE II=4
        const int word = c[OUT_BASE] + plane * c[OUT_PLANE] + i * c[OUT_PITCH] + j;
        for (int lane = 0; lane < SIMD; ++lane) {
          const int pe = plane * SIMD + lane;
          scratchpad[word][lane] = (unsigned char)requantized(accumulator[position][pe], bias[pe], multiplier[pe], c);
        }
      }
      ++position;
    }
  }
}

}  // namespace

int engine(const unsigned char* stream, const unsigned char* list, unsigned char* data, unsigned commands,
           unsigned transfers) {
#pragma HLS INTERFACE m_axi port=stream offset=direct bundle=stream max_widen_bitwidth=64
#pragma HLS INTERFACE m_axi port=list offset=direct bundle=data max_widen_bitwidth=64
#pragma HLS INTERFACE m_axi port=data offset=direct bundle=data max_widen_bitwidth=64
  static unsigned char scratchpad[ENGINE_SCRATCHPAD][SIMD];
#pragma HLS ARRAY_PARTITION variable=scratchpad complete dim=2
  static int accumulator[ENGINE_POSITIONS][PE];
#pragma HLS ARRAY_PARTITION variable=accumulator complete dim=2
  signed char weight[PE][SIMD] = {};
#pragma HLS ARRAY_PARTITION variable=weight complete dim=0
  signed char lane_weight[SIMD] = {};
#pragma HLS ARRAY_PARTITION variable=lane_weight complete dim=1
  unsigned moved = 0;
  unsigned long long at = 0;  // of the stream
  for (unsigned n = 0; n <= commands; ++n) {
    int c[FIELDS] = {};
    int bias[PE], multiplier[PE];
#pragma HLS ARRAY_PARTITION variable=bias complete dim=1
#pragma HLS ARRAY_PARTITION variable=multiplier complete dim=1
    if (n < commands) {
      for (int i = 0; i < FIELDS; ++i) c[i] = field(stream + at, i);
      for (int pe = 0; pe < PE; ++pe) {
        bias[pe] = field(stream + at, FIELDS + 2 * pe);
        multiplier[pe] = field(stream + at, FIELDS + 2 * pe + 1);
      }
      at += HEADER_WORDS * WORD_BYTES;
    }
    // Behind the last command, what is left.
    const unsigned needed = n < commands ? (unsigned)c[WAIT_TRANSFERS] : transfers;
    while (moved < needed) {
      int d[8];
      for (int i = 0; i < 8; ++i) d[i] = field(list + (unsigned long long)moved * 32, i);
      if ((unsigned)d[1] > n) return 1;
      transfer(d, data, scratchpad);
      ++moved;
    }
    if (n == commands) break;

    const int kind = c[FLAGS] & 3;
    if ((c[FLAGS] & 64) != 0) {
      if (kind == LOAD) {
        const int words = (int)((unsigned)c[FLAGS] >> 8);
        load(c, stream + at, words, scratchpad);
        at += (unsigned long long)words * WORD_BYTES;
      } else if (kind == LOOKUP) {
        lookup(c, scratchpad);
      } else {
        normalize(c, scratchpad);
      }
      continue;
    }
    int base = c[BASE], tap = 0;
    bool first = (c[FLAGS] & 4) != 0;
    if ((c[FLAGS] & 128) != 0) {
      const int INDICES = PE / 4;  // steps whose indices share a word
      unsigned long long index = at;
      for (int n = 0; n < c[PLANES]; ++n) {
        if (n % INDICES == 0) {
          index = at;
          at += WORD_BYTES;
        }
        at += dense(stream + at, weight);
        gathered_step(c, first, stream + index + n % INDICES * SIMD * 4, weight, scratchpad, accumulator);
        first = false;
      }
      if ((c[FLAGS] & 8) != 0) drain(c, bias, multiplier, accumulator, scratchpad);
      continue;
    }
    for (int plane = 0; plane < c[PLANES]; ++plane) {
      int row = c[ROW], y = c[Y];
      for (int i = 0; i < c[KERNEL_ROWS]; ++i) {
        int x = c[X];
        for (int j = 0; j < c[KERNEL_COLUMNS]; ++j) {
          if (kind == MATRIX) {
            at += (c[FLAGS] & 32) != 0 ? unpack(stream + at, weight) : dense(stream + at, weight);
          } else if (kind == DEPTHWISE) {
            for (int lane = 0; lane < SIMD; ++lane) {
#pragma HLS PIPELINE II=1
              lane_weight[lane] = (signed char)stream[at + tap * SIMD + lane];
            }
            ++tap;
          }
          step(c, kind, first, base, row, y, x, weight, lane_weight, scratchpad, accumulator);
          first = false;
          x += c[KERNEL_COLUMN_STEP];
        }
        row = wrapped(row + c[KERNEL_ROW_STEP], c[RING]);
        y += c[KERNEL_Y_STEP];
      }
      base += c[PLANE];
    }
    // Taps of lane by lane weights are packed PE to a word.
    if (kind == DEPTHWISE) at += (unsigned long long)((tap + PE - 1) / PE) * WORD_BYTES;
    if ((c[FLAGS] & 8) != 0) drain(c, bias, multiplier, accumulator, scratchpad);
  }
  return 0;
}
