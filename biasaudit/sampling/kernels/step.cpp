// The parts of a decode step where torch's own operators pass over memory too often. Each function has a twin in torch
// that the loader compares it with; rows are computed each by itself, so no row depends on its neighbours.

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <tuple>
#include <vector>

#ifdef __AVX512F__
#include <sleef.h>
#endif

#include "lanes.h"

namespace {

using namespace biasaudit;

// A row's keys or values of one head: cells in blocks, `stride` elements from block to block.
template <typename T>
struct Cells {
  T* start;
  int64_t block, stride, width;
  static constexpr int64_t LINE = 64 / sizeof(T);
  T* at(int64_t cell) const { return start + (cell / block) * stride + (cell % block) * width; }

  // Calls visit(cell, its memory) for the cells [first, last], in order. The next head's same cells lie one block on,
  // and are fetched meanwhile: a head's cells are too few for the processor to run ahead of them by itself.
  template <typename Visit>
  void each(int64_t first, int64_t last, const Visit& visit) const {
    for (int64_t cell = first; cell <= last;) {
      const int64_t until = std::min(last + 1, (cell / block + 1) * block);
      for (const T* memory = at(cell); cell < until; ++cell, memory += width) {
        for (int64_t i = 0; i < width; i += LINE) __builtin_prefetch(memory + block * width + i, 0, 2);
        visit(cell, memory);
      }
    }
  }
};

// One query head of one row over the cells [first, last], for heads that are N times 16 wide.
template <typename T, int N>
void attend_head(const T* query, const Cells<T>& keys, const Cells<T>& values, T* out, int64_t first, int64_t last,
                 float scale, float* scores) {
  Lanes asked[N], sum[N] = {};
  for (int n = 0; n < N; ++n) asked[n] = load(query + 16 * n) * scale;
  float top = -std::numeric_limits<float>::infinity();
  keys.each(first, last, [&](int64_t cell, const T* key) {
    Lanes products = asked[0] * load(key);
    for (int n = 1; n < N; ++n) products += asked[n] * load(key + 16 * n);
    scores[cell] = sum_of(products);
    top = std::max(top, scores[cell]);
  });
  for (int64_t cell = last + 1; cell <= last + 16; ++cell) scores[cell] = -std::numeric_limits<float>::infinity();
  Lanes masses = {};
  for (int64_t cell = first; cell <= last; cell += 16) {
    const Lanes shares = exp_of_negative(load(scores + cell) - top);
    std::memcpy(scores + cell, &shares, sizeof(shares));
    masses += shares;
  }
  const float mass = sum_of(masses);
  values.each(first, last, [&](int64_t cell, const T* value) {
    const float share = scores[cell];
    for (int n = 0; n < N; ++n) sum[n] += share * load(value + 16 * n);
  });
  for (int n = 0; n < N; ++n) store(out + 16 * n, sum[n] / mass);
}

template <typename T>
auto head_of(int64_t width) {
  switch (width) {
    case 16: return attend_head<T, 1>;
    case 32: return attend_head<T, 2>;
    case 64: return attend_head<T, 4>;
    case 80: return attend_head<T, 5>;
    case 96: return attend_head<T, 6>;
    case 128: return attend_head<T, 8>;
    case 256: return attend_head<T, 16>;
    default: TORCH_CHECK(false, "no attention kernel for heads of width ", width);
  }
}

template <typename T>
void attend_rows(Tensor& keys, Tensor& values, const Tensor& positions, const Tensor& query, const Tensor& key,
                 const Tensor& value, double scale, int64_t window, Tensor& out) {
  const int64_t rows = keys.size(1), heads = keys.size(2), block = keys.size(3), width = keys.size(4);
  const int64_t stride = rows * heads * block * width, shared = query.size(1) / heads;
  const int64_t most = keys.size(0) * block;
  const int64_t* at_position = positions.const_data_ptr<int64_t>();
  const auto run = head_of<T>(width);
  at::parallel_for(0, query.size(0) * heads, 8, [&](int64_t begin, int64_t end) {
    std::vector<float> scores(most + 16);
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t row = unit / heads, head = unit % heads, last = at_position[row];
      const Cells<T> k{keys.mutable_data_ptr<T>() + unit * block * width, block, stride, width};
      const Cells<T> v{values.mutable_data_ptr<T>() + unit * block * width, block, stride, width};
      const T* new_key = key.const_data_ptr<T>() + row * key.stride(0) + head * key.stride(1);
      std::memcpy(k.at(last), new_key, width * sizeof(T));
      const T* new_value = value.const_data_ptr<T>() + row * value.stride(0) + head * value.stride(1);
      std::memcpy(v.at(last), new_value, width * sizeof(T));
      const int64_t first = window > 0 ? std::max<int64_t>(0, last - window + 1) : 0;
      for (int64_t g = 0; g < shared; ++g) {
        const T* q = query.const_data_ptr<T>() + row * query.stride(0) + (head * shared + g) * query.stride(1);
        T* to = out.mutable_data_ptr<T>() + (unit * shared + g) * width;
        run(q, k, v, to, first, last, static_cast<float>(scale), scores.data());
      }
    }
  });
}

// Stores this step's key and value (B, H, D) in one layer's cache (blocks, rows, H, cells, D), whose first B rows they
// are, at int64 `positions`, and attends with (B, H * G, D) queries to all cells up to them, or to the last `window`
// where it is positive.
Tensor attend(Tensor keys, Tensor values, const Tensor& positions, const Tensor& query, const Tensor& key,
              const Tensor& value, double scale, int64_t window) {
  TORCH_CHECK(keys.is_contiguous() && values.is_contiguous() && positions.is_contiguous(), "cache: not contiguous");
  TORCH_CHECK(query.stride(2) == 1 && key.stride(2) == 1 && value.stride(2) == 1, "heads: not contiguous");
  Tensor out = at::empty({query.size(0), query.size(1) * query.size(2)}, query.options());
  if (keys.scalar_type() == at::kBFloat16) {
    attend_rows<BFloat16>(keys, values, positions, query, key, value, scale, window, out);
  } else {
    attend_rows<float>(keys, values, positions, query, key, value, scale, window, out);
  }
  return out;
}

constexpr int64_t RUN = 64;

struct Workspace {
  explicit Workspace(int64_t cells) : maxima(cells + 16), found(cells), places(cells + 16) {}
  std::vector<float> maxima, found;
  std::vector<int32_t> places, late;  // late: cells that equal the k-th value, and come after the k-th of the best
};

// Integers in the order of the floats that they stand for.
inline int32_t rank_of(float value) {
  const int32_t bits = std::bit_cast<int32_t>(value);
  return bits < 0 ? bits ^ 0x7fffffff : bits;
}
inline float of_rank(int32_t rank) { return std::bit_cast<float>(rank < 0 ? rank ^ 0x7fffffff : rank); }

// Of `count` values from low to high, k of which reach low: the largest value that k reach, or one that k and at most
// `slack` more do. By halving: counting is a pass without a branch, and takes less than any partial sort.
float reached(const float* x, int64_t count, int64_t k, int64_t slack, float low, float high) {
  int64_t from = rank_of(low), to = rank_of(high);
  while (from < to) {
    const int64_t middle = from + (to - from + 1) / 2;
    const float value = of_rank(static_cast<int32_t>(middle));
    int32_t reach = 0;
#pragma omp simd reduction(+ : reach)
    for (int64_t i = 0; i < count; ++i) reach += x[i] >= value;
    if (reach < k) {
      to = middle - 1;
    } else {
      from = middle;
      if (reach <= k + slack) break;
    }
  }
  return of_rank(static_cast<int32_t>(from));
}

// A value that at least k cells reach, close below the k-th largest: the k-th largest maximum of disjoint groups, or
// near it. And the largest value of all.
float lower_bound(const float* x, int64_t vocabulary, int64_t k, Workspace& work, float* largest) {
  const int64_t size = std::clamp<int64_t>(vocabulary / (4 * std::max<int64_t>(k, 1)), 1, 64);
  float* maxima = work.maxima.data();
  int64_t count = 0, v = 0;
  for (; v + 16 * size <= vocabulary; v += 16 * size, count += 16) {
    Lanes most = load(x + v);
    for (int64_t i = 1; i < size; ++i) {
      const Lanes next = load(x + v + 16 * i);
      most = next > most ? next : most;
    }
    store(maxima + count, most);
  }
  for (; v < vocabulary; ++v) maxima[count++] = x[v];
  float low = maxima[0], high = -std::numeric_limits<float>::infinity();
#pragma omp simd reduction(min : low) reduction(max : high)
  for (int64_t j = 0; j < count; ++j) {
    low = maxima[j] < low ? maxima[j] : low;
    high = maxima[j] > high ? maxima[j] : high;
  }
  *largest = high;
  return k > 0 ? reached(maxima, count, k, k / 16, low, high) : low;
}

// Places of the cells that reach `bound`, in order; returns how many.
int64_t collect(const float* x, int64_t vocabulary, float bound, int32_t* places) {
  int64_t count = 0, v = 0;
#ifdef __AVX512F__
  const __m512 least = _mm512_set1_ps(bound);
  __m512i ids = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  for (; v + 16 <= vocabulary; v += 16, ids = _mm512_add_epi32(ids, _mm512_set1_epi32(16))) {
    const __mmask16 mask = _mm512_cmp_ps_mask(_mm512_loadu_ps(x + v), least, _CMP_GE_OQ);
    _mm512_storeu_si512(places + count, _mm512_maskz_compress_epi32(mask, ids));
    count += __builtin_popcount(mask);
  }
#endif
  for (; v < vocabulary; ++v) {
    if (x[v] >= bound) places[count++] = static_cast<int32_t>(v);
  }
  return count;
}

// The k best of a row in order of ids, equal values by lowest id; returns the k-th value.
float select(const float* x, int64_t vocabulary, int64_t k, float bound, float largest, float* values, int64_t* ids,
             Workspace& work) {
  const int64_t count = collect(x, vocabulary, bound, work.places.data());
  if (count < k) return std::numeric_limits<float>::quiet_NaN();
  for (int64_t i = 0; i < count; ++i) work.found[i] = x[work.places[i]];
  const float kth = reached(work.found.data(), count, k, 0, bound, largest);
  int64_t spare = k;
  for (int64_t i = 0; i < count; ++i) spare -= work.found[i] > kth;
  work.late.clear();
  for (int64_t i = 0, to = 0; i < count; ++i) {
    if (work.found[i] < kth) continue;
    if (work.found[i] == kth && spare-- <= 0) {
      work.late.push_back(work.places[i]);
      continue;
    }
    values[to] = work.found[i];
    ids[to++] = work.places[i];
  }
  return kth;
}

// Of fp32 logits (B, V): the k best values and their ids (B, k), in order of ids; the largest value (B, 1); the sum of
// all weights exp(logit - largest) (B, 1), NaN where a logit is NaN or +infinity; and the sums of the weights that are
// not among the best over runs of 64 ids, fp64 (B, ceil(V / 64)). With k = 0 nothing is selected.
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> survey(const Tensor& logits, int64_t k) {
  const int64_t rows = logits.size(0), vocabulary = logits.size(1), groups = (vocabulary + RUN - 1) / RUN;
  TORCH_CHECK(logits.stride(1) == 1 && k < vocabulary, "survey: ", k, " of ", logits.sizes());
  const auto floats = logits.options();
  Tensor values = at::empty({rows, k}, floats), ids = at::empty({rows, k}, floats.dtype(at::kLong));
  Tensor top = at::empty({rows, 1}, floats), total = at::empty({rows, 1}, floats);
  Tensor sums = at::empty({rows, groups}, floats.dtype(at::kDouble));
  at::parallel_for(0, rows, 1, [&](int64_t begin, int64_t end) {
    Workspace work(vocabulary);
    float padded[RUN];
    for (int64_t row = begin; row < end; ++row) {
      const float* x = logits.const_data_ptr<float>() + row * logits.stride(0);
      float* best = values.mutable_data_ptr<float>() + row * k;
      int64_t* best_ids = ids.mutable_data_ptr<int64_t>() + row * k;
      double* to = sums.mutable_data_ptr<double>() + row * groups;
      float largest;
      const float bound = lower_bound(x, vocabulary, k, work, &largest);
      top.mutable_data_ptr<float>()[row] = largest;
      float kth = std::numeric_limits<float>::infinity();
      work.late.clear();
      if (k > 0) kth = select(x, vocabulary, k, bound, largest, best, best_ids, work);
      double sum = 0.0;
      for (int64_t group = 0; group < groups; ++group) {
        const float* run = x + group * RUN;
        if (group * RUN + RUN > vocabulary) {
          std::fill_n(padded, RUN, -std::numeric_limits<float>::infinity());
          run = std::copy_n(run, vocabulary - group * RUN, padded) - (vocabulary - group * RUN);
        }
        Lanes all = {}, rest = {};
        for (int64_t i = 0; i < RUN; i += 16) {
          const Lanes logit = load(run + i), weight = exp_of_negative(logit - largest);
          all += weight;
          rest += logit < kth ? weight : Lanes{};
        }
        sum += sum_of(all);
        to[group] = sum_of(rest);
      }
      for (const int32_t id : work.late) to[id / RUN] += exp_of_negative(Lanes{} + (kth - largest))[0];
      if (!std::isfinite(sum) || std::isnan(kth)) {  // a logit is not a number, or too large for one
        std::fill_n(best, k, 0.0f), std::fill_n(best_ids, k, 0), std::fill_n(to, groups, 0.0);
        sum = std::numeric_limits<double>::quiet_NaN();
      }
      total.mutable_data_ptr<float>()[row] = static_cast<float>(sum);
    }
  });
  return {values, ids, top, total, sums};
}

// The finaliser of SplitMix64, as `noise.mix`.
inline uint64_t mixed(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

// Gumbel noise of eight hashed ids, as `noise.gumbel`.
inline void gumbel(uint64_t key, const int64_t* hashed, double* noise) {
  double uniform[8];
  for (int i = 0; i < 8; ++i) {
    uniform[i] = (static_cast<double>(mixed(key ^ static_cast<uint64_t>(hashed[i])) >> 12) + 0.5) * 0x1p-52;
  }
#ifdef __AVX512F__
  const __m512d log = Sleef_logd8_u10(_mm512_loadu_pd(uniform));
  const __m512d twice = Sleef_logd8_u10(_mm512_sub_pd(_mm512_setzero_pd(), log));
  _mm512_storeu_pd(noise, _mm512_sub_pd(_mm512_setzero_pd(), twice));
#else
  for (int i = 0; i < 8; ++i) noise[i] = -std::log(-std::log(uniform[i]));
#endif
}

// The race of the k best of a tile, `values` over `top` and their `ids` (B, k), under position keys (B,) and the table of
// hashed ids: the winner's id and score (B, 1), int64 and fp64, the first of equal ones.
std::tuple<Tensor, Tensor> race(const Tensor& values, const Tensor& ids, const Tensor& top, const Tensor& keys,
                                const Tensor& table) {
  const int64_t rows = values.size(0), k = values.size(1);
  TORCH_CHECK(values.is_contiguous() && ids.is_contiguous() && top.is_contiguous() && keys.is_contiguous(), "race");
  Tensor winner = at::empty({rows, 1}, ids.options()), score = at::empty({rows, 1}, values.options().dtype(at::kDouble));
  const int64_t* const hashes = table.const_data_ptr<int64_t>();
  at::parallel_for(0, rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* x = values.const_data_ptr<float>() + row * k;
      const int64_t* id = ids.const_data_ptr<int64_t>() + row * k;
      const float largest = top.const_data_ptr<float>()[row];
      const uint64_t key = static_cast<uint64_t>(keys.const_data_ptr<int64_t>()[row]);
      double most = -std::numeric_limits<double>::infinity();
      int64_t place = 0;
      for (int64_t start = 0; start < k; start += 8) {
        int64_t hashed[8];
        double noise[8];
        for (int64_t i = 0; i < 8; ++i) hashed[i] = hashes[id[std::min(start + i, k - 1)]];
        gumbel(key, hashed, noise);
        for (int64_t i = 0; i < std::min<int64_t>(8, k - start); ++i) {
          const double mine = static_cast<double>(x[start + i] - largest) + noise[i];
          if (mine > most) most = mine, place = start + i;
        }
      }
      winner.mutable_data_ptr<int64_t>()[row] = id[place];
      score.mutable_data_ptr<double>()[row] = most;
    }
  });
  return {winner, score};
}

}  // namespace

TORCH_LIBRARY(biasaudit_step, library) {
  library.def("attend(Tensor(a!) keys, Tensor(b!) values, Tensor positions, Tensor query, Tensor key, Tensor value, "
              "float scale, int window) -> Tensor", &attend);
  library.def("race(Tensor values, Tensor ids, Tensor top, Tensor keys, Tensor table) -> (Tensor, Tensor)", &race);
  library.def("survey(Tensor logits, int k) -> (Tensor, Tensor, Tensor, Tensor, Tensor)", &survey);
}
