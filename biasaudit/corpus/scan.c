/* Passes over bytes that numpy needs several of, or RE2 several instructions a byte: see scan.py. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

#ifdef CLONED /* one function a processor, chosen when the library is loaded */
#define CLONES __attribute__((target_clones("avx2", "default")))
#else
#define CLONES
#endif

typedef uint8_t u8;

/* Thirty-two neighbouring bytes at a time; a comparison gives 255 where it holds. */
typedef u8 lanes __attribute__((vector_size(32)));

#define IN(x, low, high) (((x) >= (low)) & ((x) <= (high)))
/* Whether a byte is a control, doubles a blank, is in a stamp, or begins a character that some rule may change; p2 and
   p1 are the bytes before it, n1 and n2 those behind. T is what a comparison gives: lanes, or int for one byte. */
#define ODD(T, p2, p1, b, n1, n2)                                                                                      \
    ((T)((((b) < 32) & ((b) != '\n')) | ((b) == 127)) |                                                                \
     (T)((((b) == ' ') & ((p1) <= ' ')) | (((b) <= ' ') & ((p1) == ' '))) |                                            \
     (T)(((b) == '\n') & ((p1) == '\n') & ((p2) == '\n')) | (T)(((b) == '[') & ((p1) == ' ') & ((p2) == ',')) |        \
     ((T)((b) == 0xC2) & ~((T)((n1) >= 0xA1) & (T)((n1) != 0xAD))) |                                                   \
     ((T)IN(b, 0xCC, 0xE1)) |                                                                                          \
     ((T)((b) == 0xE2) &                                                                                               \
      ~(((T)((n1) == 0x80) & ((T)IN(n2, 0x90, 0xA7) | (T)IN(n2, 0xB0, 0xBA))) |                                        \
        (T)((n1) == 0x82) | (T)IN(n1, 0x98, 0x9E) | (T)IN(n1, 0xAC, 0xAD))) |                                          \
     ((T)IN(b, 0xE3, 0xFF) & ~((T)((b) == 0xEF) & (T)((n1) == 0xB8) & (T)((n2) == 0x8F)) &                             \
      ~((T)((b) == 0xF0) & (T)((n1) == 0x9F))))

/* Of a text of at least 32 bytes with two more on either side. */
CLONES static int odd_inside(const u8 *text, size_t length) {
    lanes odd = {0};
    for (size_t at = 0;; at += sizeof odd) {
        if (at + sizeof odd > length) {
            if (at == length) break;
            at = length - sizeof odd;
        }
        lanes p2, p1, b, n1, n2;
        memcpy(&p2, text + at - 2, sizeof odd), memcpy(&p1, text + at - 1, sizeof odd), memcpy(&b, text + at, sizeof odd);
        memcpy(&n1, text + at + 1, sizeof odd), memcpy(&n2, text + at + 2, sizeof odd);
        odd |= ODD(lanes, p2, p1, b, n1, n2);
    }
    uint64_t some[4];
    memcpy(some, &odd, sizeof some);
    return (some[0] | some[1] | some[2] | some[3]) != 0;
}

static int odd_alone(const u8 *text, size_t length) {
    int p1 = 'a', p2 = 'a', odd = 0;
    for (size_t j = 0; j < length; j++) {
        int b = text[j], n1 = j + 1 < length ? text[j + 1] : 0, n2 = j + 2 < length ? text[j + 2] : 0;
        odd |= ODD(int, p2, p1, b, n1, n2);
        p2 = p1, p1 = b;
    }
    return odd != 0;
}

/* Whether a text begins as the head of a forwarded message can. */
static u8 headed(const u8 *text, size_t length) {
    static const char heads[7][4] = {"for", "fwd", "fre", "enc", "ree", "rep", "men"};
    size_t at = text[0] == '[';
    if (text[0] >= 0xE2) return 1; /* arrows and emojis stand before it */
    if (length <= at) return 0;
    if ((text[at] >= '0') & (text[at] <= '9')) return 1;
    if (length < at + 2) return 0;
    if (!at && text[0] == '-' && text[1] == '-') return 1;
    if (length < at + 3) return 0;
    for (int n = 0; n < 7; n++)
        if ((text[at] | 32) == heads[n][0] && (text[at + 1] | 32) == heads[n][1] && (text[at + 2] | 32) == heads[n][2])
            return 1;
    return 0;
}

/* flags[i] = 1 for every text that a usual rule of cleaning changes, and for some that none does. */
void biasaudit_suspects(const u8 *data, const int32_t *offsets, int64_t count, u8 *flags) {
    int64_t end = offsets[count];
    for (int64_t i = 0; i < count; i++) {
        const u8 *text = data + offsets[i];
        size_t length = (size_t)(offsets[i + 1] - offsets[i]);
        flags[i] = 0;
        if (!length) continue;
        flags[i] = (text[0] <= ' ') | (text[length - 1] <= ' ') | headed(text, length);
        if (!flags[i]) {
            /* Bytes around a text belong to its neighbours, and none of them can make it less suspect. */
            int inner = length >= sizeof(lanes) && offsets[i] >= 2 && offsets[i + 1] + 2 <= end;
            flags[i] = inner ? odd_inside(text, length) : odd_alone(text, length);
        }
    }
}

/* Places of four byte values, each into its own array with room for so many; counts[k] is how many there are. */
void biasaudit_places(const u8 *data, int64_t size, const u8 *wanted, int64_t *const *places, int64_t room,
                      int64_t *counts) {
    int64_t n[4] = {0, 0, 0, 0}, at = 0;
#if defined(__x86_64__)
    __m128i one[4];
    for (int k = 0; k < 4; k++) one[k] = _mm_set1_epi8((char)wanted[k]);
    for (; at + 16 <= size; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(data + at));
        __m128i same[4];
        for (int k = 0; k < 4; k++) same[k] = _mm_cmpeq_epi8(bytes, one[k]);
        if (!_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(same[0], same[1]), _mm_or_si128(same[2], same[3])))) continue;
        for (int k = 0; k < 4; k++)
            for (unsigned mask = (unsigned)_mm_movemask_epi8(same[k]); mask; mask &= mask - 1, n[k]++)
                if (n[k] < room) places[k][n[k]] = at + __builtin_ctz(mask);
    }
#endif
    for (; at < size; at++)
        for (int k = 0; k < 4; k++)
            if (data[at] == wanted[k]) {
                if (n[k] < room) places[k][n[k]] = at;
                n[k]++;
            }
    for (int k = 0; k < 4; k++) counts[k] = n[k];
}
