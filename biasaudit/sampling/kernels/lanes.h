// Sixteen floats at a time: loads, stores and the few functions that every kernel here is made of.

#pragma once

#include <ATen/core/Tensor.h>

#include <cstring>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

namespace biasaudit {

using at::BFloat16;
using at::Tensor;

// Sixteen floats, wherever the compiler keeps them.
typedef float Lanes __attribute__((vector_size(64)));
typedef int32_t Ints __attribute__((vector_size(64)));

inline Lanes load(const float* from) {
  Lanes value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}
inline Lanes load(const BFloat16* from) {
#ifdef __AVX512F__
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  return reinterpret_cast<Lanes>(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
#else
  Lanes value;
  for (int i = 0; i < 16; ++i) value[i] = static_cast<float>(from[i]);
  return value;
#endif
}
inline void store(float* to, Lanes x) { std::memcpy(to, &x, sizeof(x)); }
inline void store(BFloat16* to, Lanes x) {
#ifdef __AVX512BF16__
  const __m256bh halves = _mm512_cvtneps_pbh(reinterpret_cast<__m512>(x));
  std::memcpy(to, &halves, sizeof(halves));
#else
  for (int i = 0; i < 16; ++i) to[i] = static_cast<BFloat16>(x[i]);
#endif
}
inline float sum_of(Lanes x) {
#ifdef __AVX512F__
  return _mm512_reduce_add_ps(reinterpret_cast<__m512>(x));
#else
  float sum = 0.0f;
  for (int i = 0; i < 16; ++i) sum += x[i];
  return sum;
#endif
}

// exp(x) for x <= 0, to about one unit in the last place; 0 below -87. The polynomial is that of Cephes' expf.
inline Lanes exp_of_negative(Lanes x) {
  const Lanes floor = x < -87.0f ? Lanes{} - 87.0f : x;
  const Lanes n = (floor * 1.44269504f + 12582912.0f) - 12582912.0f;
  const Lanes r = (floor - n * 0.693359375f) + n * 2.12194440e-4f;
  Lanes p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
#ifdef __AVX512F__
  const __mmask16 near = _mm512_cmp_ps_mask(__m512(x), _mm512_set1_ps(-87.0f), _CMP_NLT_UQ);
  return Lanes(_mm512_maskz_scalef_ps(near, __m512(p), __m512(n)));
#else
  const Ints power = (__builtin_convertvector(n, Ints) + 127) << 23;
  return x < -87.0f ? Lanes{} : p * reinterpret_cast<Lanes>(power);
#endif
}

}  // namespace biasaudit
