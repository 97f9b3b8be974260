#ifndef MT_RV32_KERNELS_H
#define MT_RV32_KERNELS_H

#include <stdint.h>

#if defined(__riscv_mul) && __riscv_xlen == 32 && !defined(__riscv_32e)
#define MT_RV32 1
#define MT_DOT4 1
void mt_dot4_fours(const int8_t *x, const int8_t *const w[4], int32_t n, int32_t acc[4]); // n > 0, a multiple of 4
#else
#define MT_RV32 0
#endif

#endif // MT_RV32_KERNELS_H
