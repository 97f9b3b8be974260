// Instructions of the DSP extension (Cortex-M4, M7, M33) that C has no words for. Two 16-bit lanes a word, low and high.
#ifndef MT_ARMV7EM_DSP_H
#define MT_ARMV7EM_DSP_H

#include <stdint.h>
#include <string.h>

#define MT_DSP_2(name, instruction) \
    static inline uint32_t name(uint32_t a, uint32_t b) { \
        uint32_t r; \
        __asm__(instruction : "=r" (r) : "r" (a), "r" (b)); \
        return r; \
    }
#define MT_DSP_3(name, type, instruction) \
    static inline int32_t name(type a, type b, int32_t sum) { \
        int32_t r; \
        __asm__(instruction " %0, %1, %2, %3" : "=r" (r) : "r" (a), "r" (b), "r" (sum)); \
        return r; \
    }

MT_DSP_3(mt_smlad, uint32_t, "smlad") // sum + a.low * b.low + a.high * b.high
MT_DSP_3(mt_smladx, uint32_t, "smladx") // sum + a.low * b.high + a.high * b.low
MT_DSP_3(mt_smlabb, uint32_t, "smlabb") // sum + a.low * b.low
MT_DSP_3(mt_smlabt, uint32_t, "smlabt") // sum + a.low * b.high
MT_DSP_3(mt_smlatb, uint32_t, "smlatb") // sum + a.high * b.low
MT_DSP_3(mt_smlatt, uint32_t, "smlatt") // sum + a.high * b.high
MT_DSP_3(mt_top_add, int32_t, "smmla") // sum + floor(a * b / 2^32)
MT_DSP_3(mt_rounded_top_add, int32_t, "smmlar") // sum + floor((a * b + 2^31) / 2^32)
MT_DSP_2(mt_low_lanes, "pkhbt %0, %1, %2, lsl #16") // a.low, b.low
MT_DSP_2(mt_high_lanes, "pkhtb %0, %2, %1, asr #16") // a.high, b.high

// Bytes 0 and 2 of a word, with their signs; bytes 1 and 3.
static inline uint32_t mt_even_bytes(uint32_t word) {
    uint32_t r;
    __asm__("sxtb16 %0, %1" : "=r" (r) : "r" (word));
    return r;
}

static inline uint32_t mt_odd_bytes(uint32_t word) {
    uint32_t r;
    __asm__("sxtb16 %0, %1, ror #8" : "=r" (r) : "r" (word));
    return r;
}

static inline int32_t mt_saturate8(int32_t a) {
    int32_t r;
    __asm__("ssat %0, #8, %1" : "=r" (r) : "r" (a));
    return r;
}

// Four bytes, wherever they lie.
static inline uint32_t mt_load4(const void *p) {
    uint32_t word;
    memcpy(&word, p, 4);
    return word;
}

// Returns where the next pair goes.
static inline uint32_t *mt_store_pair(uint32_t *to, uint32_t a, uint32_t b) {
    __asm__ volatile ("strd %1, %2, [%0], #8" : "+r" (to) : "r" (a), "r" (b) : "memory");
    return to;
}

// Four int8 results that lie `step` apart. Returns where the next one goes.
static inline int8_t *mt_store_four(int8_t *to, int32_t step, int32_t a, int32_t b, int32_t c, int32_t d) {
    __asm__ volatile (
        "strb %1, [%0]\n"
        "strb %2, [%0, %5]\n"
        "strb %3, [%0, %5, lsl #1]\n"
        "strb %4, [%0, %6]\n"
        "add %0, %0, %5, lsl #2\n"
        : "+&r" (to) : "r" (a), "r" (b), "r" (c), "r" (d), "r" (step), "r" (3 * step) : "memory");
    return to;
}

// Returns where the next four are.
static inline const int32_t *mt_load_four(const int32_t *from, int32_t *a, int32_t *b, int32_t *c, int32_t *d) {
    __asm__ volatile ("ldrd %1, %2, [%0], #8\nldrd %3, %4, [%0], #8" : "+&r" (from), "=&r" (*a), "=&r" (*b), "=&r" (*c), "=&r" (*d) : : "memory");
    return from;
}

#endif // MT_ARMV7EM_DSP_H
