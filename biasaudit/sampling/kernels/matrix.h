// Products with bf16 weights on a processor's matrix unit (AMX), for any number of rows.
//
// Factors lie in tiles of 16 rows by 32 inputs, 1 KiB each, in the order in which they are read; weights in panels of
// 32 outputs. Every element is summed over the inputs in order, so it depends on its own row and column alone: not on
// the number of rows, a row's place among them, or the threads.

#pragma once

#include "lanes.h"

#if defined(__AMX_BF16__) && defined(__AVX512BF16__) && defined(__linux__)
#define BIASAUDIT_MATRIX 1
#include <sys/syscall.h>
#include <unistd.h>

namespace biasaudit {

constexpr int64_t PANEL = 32;         // outputs of a panel, rows of a block, inputs of a tile
constexpr int64_t TILE = 16 * PANEL;  // elements of a tile

inline int64_t padded(int64_t size) { return (size + PANEL - 1) / PANEL * PANEL; }

// The system gives the unit's registers to a process that asks.
inline bool matrix_unit_granted() {
  static const bool granted = syscall(SYS_arch_prctl, 0x1023, 18) == 0;
  return granted;
}

// Eight registers of 16 rows of 64 bytes. The compiler must find them in memory: it knows nothing of who reads them.
struct alignas(64) Registers {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
inline const Registers REGISTERS;

// A thread's use of the unit.
class MatrixUnit {
 public:
  MatrixUnit() { _tile_loadconfig(&REGISTERS); }
  ~MatrixUnit() { _tile_release(); }
};

// Where 32 values of one row begin, in a factor with `inputs` inputs.
inline BFloat16* in_tiles(BFloat16* factor, int64_t row, int64_t input, int64_t inputs) {
  return factor + ((row / 16) * (inputs / PANEL) + input / PANEL) * TILE + (row % 16) * PANEL;
}

// Two vectors of neighbours, to 32 bf16.
inline void store_pair(BFloat16* to, Lanes low, Lanes high) {
  const __m512bh halves = _mm512_cvtne2ps_pbh(reinterpret_cast<__m512>(high), reinterpret_cast<__m512>(low));
  std::memcpy(to, &halves, sizeof(halves));
}

// Multiplies rows (`blocks` of 32) by the panels [first, last) of weights, and calls
// finish(block, panel, sums) with float sums[2][2][16][16]: by half of the rows, half of the outputs, row, output.
// While a panel is at work the next is fetched, and after the last one `then`, which may be null.
template <typename Finish>
void multiply(const BFloat16* rows, int64_t blocks, int64_t inputs, const BFloat16* weights, int64_t first, int64_t last,
              const BFloat16* then, const Finish& finish) {
  const int64_t steps = inputs / PANEL, size = inputs * PANEL;
  const int64_t lines = (32 + blocks - 1) / blocks;  // of 64 bytes, to fetch in each step
  alignas(64) float sums[2][2][16][16];
  for (int64_t panel = first; panel < last; ++panel) {
    const BFloat16* const columns = weights + panel * size;
    const char* ahead = reinterpret_cast<const char*>(panel + 1 < last ? columns + size : then);
    const char* const until = ahead ? ahead + size * sizeof(BFloat16) : nullptr;
    for (int64_t block = 0; block < blocks; ++block) {
      const BFloat16* upper = rows + 2 * block * steps * TILE;
      const BFloat16* lower = upper + steps * TILE;
      const BFloat16* column = columns;
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
      for (int64_t step = 0; step < steps; ++step, upper += TILE, lower += TILE, column += 2 * TILE) {
        _tile_loadd(6, column, 64);
        _tile_loadd(4, upper, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, column + TILE, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, lower, 64);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
        for (int64_t line = 0; line < lines && ahead < until; ++line, ahead += 64) _mm_prefetch(ahead, _MM_HINT_T1);
      }
      _tile_stored(0, sums[0][0], 64);
      _tile_stored(1, sums[0][1], 64);
      _tile_stored(2, sums[1][0], 64);
      _tile_stored(3, sums[1][1], 64);
      finish(block, panel, sums);
    }
  }
}

}  // namespace biasaudit
#endif
