// A whole decode step of GPT-2 in bf16 on a processor with a matrix unit: one call, one team of threads, every weight
// read once, and the keys and values of a prompt read where they lie, together for all rows that continue it.

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <omp.h>
#include <torch/library.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <vector>

#include "matrix.h"

#ifdef BIASAUDIT_MATRIX
namespace {

using namespace biasaudit;

using Sums = float[2][2][16][16];

// x times the sigmoid of twice the argument of tanh; 1 / y by the processor's estimate and one step of Newton's.
inline Lanes gelu_tanh(Lanes x) {
  const Lanes twice = x * (1.59576912f + 0.0713548162f * x * x);
  const Lanes small = exp_of_negative(Lanes(_mm512_or_ps(__m512(twice), _mm512_set1_ps(-0.0f))));
  const Lanes whole = 1.0f + small, guess = Lanes(_mm512_rcp14_ps(__m512(whole)));
  return x * (twice < 0.0f ? small : Lanes{} + 1.0f) * (guess * (2.0f - whole * guess));
}

// 16 sums of 16 lanes each, one vector of them.
inline Lanes sums_of(Lanes* x) {
  const auto pair = [](Lanes a, Lanes b, auto low, auto high) { return low(a, b) + high(a, b); };
  for (int i = 0; i < 8; ++i) {
    x[i] = pair(
        x[2 * i], x[2 * i + 1],
        [](Lanes a, Lanes b) { return Lanes(_mm512_unpacklo_ps(__m512(a), __m512(b))); },
        [](Lanes a, Lanes b) { return Lanes(_mm512_unpackhi_ps(__m512(a), __m512(b))); });
  }
  for (int i = 0; i < 4; ++i) {
    x[i] = pair(
        x[2 * i], x[2 * i + 1],
        [](Lanes a, Lanes b) { return Lanes(_mm512_castpd_ps(_mm512_unpacklo_pd(__m512d(a), __m512d(b)))); },
        [](Lanes a, Lanes b) { return Lanes(_mm512_castpd_ps(_mm512_unpackhi_pd(__m512d(a), __m512d(b)))); });
  }
  // Lanes now hold, in each quarter q, the sums of four cells over that quarter.
  for (int i = 0; i < 2; ++i) {
    x[i] = Lanes(_mm512_shuffle_f32x4(__m512(x[2 * i]), __m512(x[2 * i + 1]), 0x88)) +
           Lanes(_mm512_shuffle_f32x4(__m512(x[2 * i]), __m512(x[2 * i + 1]), 0xdd));
  }
  return Lanes(_mm512_shuffle_f32x4(__m512(x[0]), __m512(x[1]), 0x88)) +
         Lanes(_mm512_shuffle_f32x4(__m512(x[0]), __m512(x[1]), 0xdd));
}

// Keys and values of one head in consecutive cells, D wide each.
struct Stretch {
  const BFloat16 *keys, *values;
  int64_t cells;
  int64_t next;  // elements to the next head's
};

template <int N>  // D / 32
struct Attention {
  static constexpr int64_t D = 32 * N;

  static Lanes product(const __m512bh* asked, const BFloat16* key) {
    __m512 sum = _mm512_setzero_ps();
    for (int n = 0; n < N; ++n) sum = _mm512_dpbf16_ps(sum, asked[n], (__m512bh)_mm512_loadu_si512(key + 32 * n));
    return Lanes(sum);
  }

  static void score(const __m512bh* asked, const Stretch& s, float* scores) {
    int64_t cell = 0;
    for (; cell + 16 <= s.cells; cell += 16) {
      Lanes products[16];
      for (int i = 0; i < 16; ++i) {
        const BFloat16* key = s.keys + (cell + i) * D;
        for (int n = 0; n < N; ++n) _mm_prefetch(key + s.next + 32 * n, _MM_HINT_T0);
        products[i] = product(asked, key);
      }
      store(scores + cell, sums_of(products));
    }
    for (; cell < s.cells; ++cell) {
      const BFloat16* key = s.keys + cell * D;
      for (int n = 0; n < N; ++n) _mm_prefetch(key + s.next + 32 * n, _MM_HINT_T0);
      scores[cell] = sum_of(product(asked, key));
    }
  }

  // Adds shares of values; even and odd components apart.
  static void mix(const float* shares, const Stretch& s, Lanes* even, Lanes* odd) {
    for (int64_t cell = 0; cell < s.cells; ++cell) {
      const BFloat16* value = s.values + cell * D;
      for (int n = 0; n < N; ++n) {
        _mm_prefetch(value + s.next + 32 * n, _MM_HINT_T0);
        const __m512i halves = _mm512_loadu_si512(value + 32 * n);
        even[n] += shares[cell] * Lanes(_mm512_slli_epi32(halves, 16));
        odd[n] += shares[cell] * Lanes(_mm512_and_si512(halves, _mm512_set1_epi32(0xffff0000)));
      }
    }
  }

  // One head of one row: all cells of its prompt, then its own; D values to out, in tiles.
  static void run(const BFloat16* query, const Stretch& prompt, const Stretch& own, float scale, float* scores,
                  BFloat16* out) {
    __m512bh asked[N];
    for (int n = 0; n < N; ++n) asked[n] = (__m512bh)_mm512_loadu_si512(query + 32 * n);
    score(asked, prompt, scores);
    score(asked, own, scores + prompt.cells);
    const int64_t cells = prompt.cells + own.cells;
    store(scores + cells, Lanes{} - std::numeric_limits<float>::infinity());
    Lanes top = Lanes{} - std::numeric_limits<float>::infinity(), masses = {};
    for (int64_t cell = 0; cell < cells; cell += 16) {
      const Lanes x = load(scores + cell);
      top = x > top ? x : top;
    }
    const float most = _mm512_reduce_max_ps(__m512(top));
    for (int64_t cell = 0; cell < cells; cell += 16) {
      const Lanes share = exp_of_negative((load(scores + cell) - most) * scale);
      store(scores + cell, share);
      masses += share;
    }
    const float mass = sum_of(masses);
    Lanes even[N] = {}, odd[N] = {};
    mix(scores, prompt, even, odd);
    mix(scores + prompt.cells, own, even, odd);
    for (int n = 0; n < N; ++n) {
      const __m512 low = __m512(even[n] / mass), high = __m512(odd[n] / mass);
      const __m512i evens = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(low));
      const __m512i odds = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(high));
      _mm512_storeu_si512(out + n * TILE, _mm512_or_si512(evens, _mm512_slli_epi32(odds, 16)));
    }
  }
};

using Attend = void (*)(const BFloat16*, const Stretch&, const Stretch&, float, float*, BFloat16*);

Attend attention_of(int64_t width) {
  switch (width) {
    case 32: return Attention<1>::run;
    case 64: return Attention<2>::run;
    case 96: return Attention<3>::run;
    case 128: return Attention<4>::run;
    default: TORCH_CHECK(false, "no attention for heads of width ", width);
  }
}

// Mean and variance in two passes; 32 values at a time go to put(first, low, high).
template <typename Put>
void normalise(const float* x, int64_t width, const float* weight, const float* bias, float epsilon, const Put& put) {
  Lanes sum = {}, squares = {};
  for (int64_t i = 0; i < width; i += 16) sum += load(x + i);
  const float mean = sum_of(sum) / width;
  for (int64_t i = 0; i < width; i += 16) {
    const Lanes off = load(x + i) - mean;
    squares += off * off;
  }
  const float factor = 1.0f / std::sqrt(sum_of(squares) / width + epsilon);
  const auto normal = [&](int64_t i) { return (load(x + i) - mean) * factor * load(weight + i) + load(bias + i); };
  for (int64_t i = 0; i < width; i += PANEL) put(i, normal(i), normal(i + 16));
}

// Weights of a layer, in the order in which `step` takes them.
enum { NORM1, SHIFT1, PROJECT, PROJECT_BIAS, MERGE, MERGE_BIAS, NORM2, SHIFT2, INNER, INNER_BIAS, OUTER, OUTER_BIAS, PARTS };

struct Step {
  int64_t rows, tile, width, heads, layers, blocks;
  const std::vector<Tensor>& weights;
  float* x;                                       // (rows, C), the residual stream
  BFloat16 *normed, *projected, *inner;           // tiles of C, (rows, 3C), tiles of 4C
  BFloat16 *keys, *values;                        // (layers, tile, heads, cells, D)
  int64_t cells;
  const int64_t *positions, *prompts;             // (rows), (rows, 3): keys, values, length
  const double* scales;
  float epsilon;

  const float* floats(int64_t layer, int part) const { return weights[layer * PARTS + part].const_data_ptr<float>(); }
  const BFloat16* packed(int64_t layer, int part) const {
    return weights[layer * PARTS + part].const_data_ptr<BFloat16>();
  }

  struct Share {
    int64_t begin, end;
  };
  static Share share(int64_t size, int64_t thread, int64_t threads) {
    return {size * thread / threads, size * (thread + 1) / threads};
  }

  void to_tiles(int64_t row, const float* weight, const float* shift) const {
    normalise(x + row * width, width, weight, shift, epsilon, [&](int64_t i, Lanes low, Lanes high) {
      store_pair(in_tiles(normed, row, i, width), low, high);
    });
  }

  template <typename Finish>
  void product(const BFloat16* from, int64_t inputs, int64_t outputs, int64_t layer, int part, int64_t thread,
               int64_t threads, const BFloat16* then, const Finish& finish) const {
    const Share mine = share(outputs / PANEL, thread, threads);
    const float* bias = floats(layer, part + 1);
    multiply(from, blocks, inputs, packed(layer, part), mine.begin, mine.end, then,
             [&](int64_t block, int64_t panel, const Sums& sums) {
               const Lanes low = load(bias + panel * PANEL), high = load(bias + panel * PANEL + 16);
               for (int64_t r = 0; r < 32; ++r) {
                 const float(*half)[16][16] = sums[r / 16];
                 finish(block * 32 + r, panel, load(half[0][r % 16]) + low, load(half[1][r % 16]) + high);
               }
             });
  }

  // The first of a thread's panels of a product to come.
  const BFloat16* coming(int64_t layer, int part, int64_t inputs, int64_t outputs, int64_t thread, int64_t threads) const {
    if (layer >= layers) return nullptr;
    return packed(layer, part) + share(outputs / PANEL, thread, threads).begin * inputs * PANEL;
  }

  void attend(int64_t layer, int64_t row, Attend run, float* scores) const {
    const int64_t size = width / heads, length = prompts[3 * row + 2];
    const int64_t seen = std::min(length, positions[row]), own = positions[row] - seen;  // an idle row stands at 0
    const int64_t before = layer * heads * length * size, start = (layer * tile + row) * heads * cells * size;
    const BFloat16* const shared_keys = reinterpret_cast<const BFloat16*>(prompts[3 * row]) + before;
    const BFloat16* const shared_values = reinterpret_cast<const BFloat16*>(prompts[3 * row + 1]) + before;
    const BFloat16* const query = projected + row * 3 * width;
    for (int64_t head = 0; head < heads; ++head) {
      BFloat16* const k = keys + start + head * cells * size;
      BFloat16* const v = values + start + head * cells * size;
      std::memcpy(k + own * size, query + width + head * size, size * sizeof(BFloat16));
      std::memcpy(v + own * size, query + 2 * width + head * size, size * sizeof(BFloat16));
      const int64_t skip = head * length * size;
      run(query + head * size, {shared_keys + skip, shared_values + skip, seen, length * size},
          {k, v, own + 1, cells * size}, static_cast<float>(scales[layer]), scores,
          in_tiles(normed, row, head * size, width));
    }
  }

  void add(int64_t row, int64_t panel, Lanes low, Lanes high) const {
    if (row >= rows) return;
    float* to = x + row * width + panel * PANEL;
    store(to, load(to) + low);
    store(to + 16, load(to + 16) + high);
  }
};

// Feeds one token a row: int64 tokens at int64 positions. `weights` holds PARTS tensors a layer: norms and biases in
// fp32, products packed by `pack`; then the last norm's two. `embeddings` are of tokens and of positions, bf16. A row's
// first cells are its prompt's, `prompts` (rows, 3) gives the addresses of the keys and values (layers, heads, length, D)
// and the length; the others are its own, in keys and values (layers, tile, heads, cells, D).
// Only the first rows of a tile may be fed: a row is the same however many there are. `work` is scratch memory
// of `work_bytes`. Returns bf16 states (rows, C) after the last norm.
Tensor gpt2_step(const Tensor& tokens, const Tensor& positions, std::vector<Tensor> embeddings,
                 std::vector<Tensor> weights, const Tensor& prompts, Tensor keys, Tensor values, Tensor work,
                 std::vector<double> scales, double epsilon) {
  const int64_t layers = keys.size(0), tile = keys.size(1), rows = tokens.size(0), heads = keys.size(2), cells = keys.size(3);
  const int64_t width = heads * keys.size(4), whole = padded(rows);
  TORCH_CHECK(rows <= tile && positions.size(0) == rows, "step: ", rows, " rows of a tile of ", tile);
  TORCH_CHECK(keys.is_contiguous() && values.is_contiguous() && prompts.is_contiguous(), "cache: not contiguous");
  TORCH_CHECK(tokens.is_contiguous() && positions.is_contiguous(), "tokens: not contiguous");
  TORCH_CHECK(matrix_unit_granted(), "the system does not give us the matrix unit");
  char* const memory = static_cast<char*>(work.mutable_data_ptr());
  const int64_t unit = whole * width * sizeof(BFloat16);
  TORCH_CHECK(work.numel() * work.element_size() >= 10 * unit, "work: ", work.numel(), " bytes");
  const Step step{rows, tile, width, heads, layers, whole / 32, weights, reinterpret_cast<float*>(memory),
                  reinterpret_cast<BFloat16*>(memory + 2 * unit), reinterpret_cast<BFloat16*>(memory + 3 * unit),
                  reinterpret_cast<BFloat16*>(memory + 6 * unit), keys.mutable_data_ptr<BFloat16>(),
                  values.mutable_data_ptr<BFloat16>(), cells, positions.const_data_ptr<int64_t>(),
                  prompts.const_data_ptr<int64_t>(), scales.data(), static_cast<float>(epsilon)};
  int64_t longest = 0;
  for (int64_t row = 0; row < rows; ++row) {
    TORCH_CHECK(step.positions[row] - step.prompts[3 * row + 2] < cells, "row ", row, ": position ", step.positions[row], " is not in its cells");
    longest = std::max(longest, step.positions[row] + 1);
  }
  const BFloat16* const of_tokens = embeddings[0].const_data_ptr<BFloat16>();
  const BFloat16* const of_positions = embeddings[1].const_data_ptr<BFloat16>();
  const int64_t* const ids = tokens.const_data_ptr<int64_t>();
  const Attend run = attention_of(width / heads);
  Tensor out = at::empty({rows, width}, keys.options());
  BFloat16* const states = out.mutable_data_ptr<BFloat16>();
  std::vector<std::atomic<int64_t>> taken(layers);
  const int64_t threads = std::max<int64_t>(1, at::get_num_threads());
#pragma omp parallel num_threads(threads)
  {
    const int64_t me = omp_get_thread_num(), all = omp_get_num_threads();
    const MatrixUnit unit_of_thread;
    const Step::Share mine = Step::share(rows, me, all);
    std::vector<float> scores(longest + 32);
    for (int64_t row = mine.begin; row < mine.end; ++row) {
      const BFloat16 *token = of_tokens + ids[row] * width, *place = of_positions + step.positions[row] * width;
      for (int64_t i = 0; i < width; i += 16) store(step.x + row * width + i, load(token + i) + load(place + i));
    }
    for (int64_t layer = 0; layer < layers; ++layer) {
      for (int64_t row = mine.begin; row < mine.end; ++row)
        step.to_tiles(row, step.floats(layer, NORM1), step.floats(layer, SHIFT1));
#pragma omp barrier
      step.product(step.normed, width, 3 * width, layer, PROJECT, me, all, nullptr,
                   [&](int64_t row, int64_t panel, Lanes low, Lanes high) {
                     store_pair(step.projected + row * 3 * width + panel * PANEL, low, high);
                   });
#pragma omp barrier
      for (int64_t row; (row = taken[layer].fetch_add(1)) < rows;) step.attend(layer, row, run, scores.data());
#pragma omp barrier
      step.product(step.normed, width, width, layer, MERGE, me, all,
                   step.coming(layer, INNER, width, 4 * width, me, all),
                   [&](int64_t row, int64_t panel, Lanes low, Lanes high) { step.add(row, panel, low, high); });
#pragma omp barrier
      for (int64_t row = mine.begin; row < mine.end; ++row)
        step.to_tiles(row, step.floats(layer, NORM2), step.floats(layer, SHIFT2));
#pragma omp barrier
      step.product(step.normed, width, 4 * width, layer, INNER, me, all,
                   step.coming(layer, OUTER, 4 * width, width, me, all),
                   [&](int64_t row, int64_t panel, Lanes low, Lanes high) {
                     store_pair(in_tiles(step.inner, row, panel * PANEL, 4 * width), gelu_tanh(low), gelu_tanh(high));
                   });
#pragma omp barrier
      step.product(step.inner, 4 * width, width, layer, OUTER, me, all,
                   step.coming(layer + 1, PROJECT, width, 3 * width, me, all),
                   [&](int64_t row, int64_t panel, Lanes low, Lanes high) { step.add(row, panel, low, high); });
#pragma omp barrier
    }
    const float* weight = weights[layers * PARTS].const_data_ptr<float>();
    const float* shift = weights[layers * PARTS + 1].const_data_ptr<float>();
    for (int64_t row = mine.begin; row < mine.end; ++row) {
      normalise(step.x + row * width, width, weight, shift, step.epsilon,
                [&](int64_t i, Lanes low, Lanes high) { store_pair(states + row * width + i, low, high); });
    }
  }
  return out;
}

// bf16 weights (V, C), packed for `multiply`; outputs are filled up with zeros to whole panels.
Tensor pack(const Tensor& weight) {
  const int64_t outputs = weight.size(0), inputs = weight.size(1), panels = padded(outputs) / PANEL;
  TORCH_CHECK(weight.is_contiguous() && inputs % PANEL == 0, "pack: ", weight.sizes());
  Tensor packed = at::empty({panels, inputs / PANEL, 2, 16, 16, 2}, weight.options());
  const BFloat16* from = weight.const_data_ptr<BFloat16>();
  BFloat16* to = packed.mutable_data_ptr<BFloat16>();
  at::parallel_for(0, panels, 4, [&](int64_t begin, int64_t end) {
    for (int64_t unit = begin * inputs; unit < end * inputs; ++unit) {
      // A unit is one pair of inputs for 16 outputs: as many as panels times inputs.
      const int64_t pair = unit % 16, half = unit / 16 % 2, tile = unit / 32;
      const int64_t panel = tile / (inputs / PANEL), input = tile % (inputs / PANEL) * PANEL + 2 * pair;
      for (int64_t i = 0; i < 32; ++i) {
        const int64_t output = panel * PANEL + half * 16 + i / 2;
        to[unit * 32 + i] = output < outputs ? from[output * inputs + input + i % 2] : BFloat16(0.0f);
      }
    }
  });
  return packed;
}

// fp32 logits (B, V) of bf16 states (B, C) and packed weights, into `out`, whose rows may lie apart. Where every row
// begins a line of memory, whole lines are written past the caches, which could not keep them.
void head(const Tensor& states, const Tensor& packed, Tensor out) {
  const int64_t rows = states.size(0), inputs = states.size(1), outputs = out.size(1), panels = packed.size(0);
  TORCH_CHECK(states.is_contiguous() && out.stride(1) == 1 && padded(outputs) == panels * PANEL, "head: shapes");
  TORCH_CHECK(matrix_unit_granted(), "the system does not give us the matrix unit");
  const int64_t whole = padded(rows);
  Tensor tiles = at::empty({whole, inputs}, states.options());
  BFloat16* const factor = tiles.mutable_data_ptr<BFloat16>();
  const BFloat16* from = states.const_data_ptr<BFloat16>();
  for (int64_t row = 0; row < whole; ++row) {
    for (int64_t i = 0; i < inputs; i += PANEL) {
      BFloat16* to = in_tiles(factor, row, i, inputs);
      row < rows ? std::memcpy(to, from + row * inputs + i, 64) : std::memset(static_cast<void*>(to), 0, 64);
    }
  }
  float* const logits = out.mutable_data_ptr<float>();
  const int64_t stride = out.stride(0);
  const bool stream = stride % 16 == 0 && reinterpret_cast<uintptr_t>(logits) % 64 == 0;
  const BFloat16* const weights = packed.const_data_ptr<BFloat16>();
  const int64_t threads = std::max<int64_t>(1, at::get_num_threads());
#pragma omp parallel num_threads(threads)
  {
    const int64_t me = omp_get_thread_num(), all = omp_get_num_threads();
    const MatrixUnit unit_of_thread;
    const Step::Share mine = Step::share(panels, me, all);
    multiply(factor, whole / 32, inputs, weights, mine.begin, mine.end, nullptr,
             [&](int64_t block, int64_t panel, const Sums& sums) {
               const int64_t most = std::min(PANEL, outputs - panel * PANEL);
               for (int64_t r = 0; r < std::min<int64_t>(32, rows - block * 32); ++r) {
                 float* to = logits + (block * 32 + r) * stride + panel * PANEL;
                 const float *low = sums[r / 16][0][r % 16], *high = sums[r / 16][1][r % 16];
                 if (most == PANEL && stream) {
                   _mm512_stream_ps(to, __m512(load(low)));
                   _mm512_stream_ps(to + 16, __m512(load(high)));
                 } else if (most == PANEL) {
                   store(to, load(low)), store(to + 16, load(high));
                 } else {
                   for (int64_t i = 0; i < most; ++i) to[i] = i < 16 ? low[i] : high[i - 16];
                 }
               }
             });
    _mm_sfence();
  }
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(biasaudit_step, library) {
  library.def("gpt2_step(Tensor tokens, Tensor positions, Tensor[] embeddings, Tensor[] weights, Tensor prompts, "
              "Tensor(a!) keys, Tensor(b!) values, Tensor(c!) work, float[] scales, float epsilon) -> Tensor",
              &gpt2_step);
  library.def("pack(Tensor weight) -> Tensor", &pack);
  library.def("head(Tensor states, Tensor packed, Tensor(a!) out) -> ()", &head);
}
#endif
