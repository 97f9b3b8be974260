// mt_dot4_fours (kernels.h): a loop that needs all registers, as compilers would not have it.
#if defined(__ARM_FEATURE_DSP)

#include "../hot.h"
#include "../kernels.h"

#ifndef MT_HOT_SECTION
#define MT_HOT_SECTION ".text.mt_dot4_fours"
#endif

// r0 x, r2 its end, r4-r7 weights, r8-r11 sums, r3 r12 even and odd values of x, r1 lr those of a row.
__asm__(
    ".syntax unified\n"
    ".thumb\n"
    ".macro mt_row w, a\n"
    "    ldr lr, [\\w], #4\n"
    "    sxtb16 r1, lr\n"
    "    sxtb16 lr, lr, ror #8\n"
    "    smlad \\a, r3, r1, \\a\n"
    "    smlad \\a, r12, lr, \\a\n"
    ".endm\n"
    ".section " MT_HOT_SECTION ", \"ax\", %progbits\n"
    ".balign 4\n"
    ".global mt_dot4_fours\n"
    ".type mt_dot4_fours, %function\n"
    ".thumb_func\n"
    "mt_dot4_fours:\n"
    "    push {r3-r11, lr}\n"
    "    add r2, r0\n"
    "    ldm r1, {r4-r7}\n"
    "    ldm r3, {r8-r11}\n"
    "1:  ldr r12, [r0], #4\n"
    "    sxtb16 r3, r12\n"
    "    sxtb16 r12, r12, ror #8\n"
    "    mt_row r4, r8\n"
    "    mt_row r5, r9\n"
    "    mt_row r6, r10\n"
    "    mt_row r7, r11\n"
    "    cmp r0, r2\n"
    "    bne 1b\n"
    "    pop {r3}\n"
    "    stm r3, {r8-r11}\n"
    "    pop {r4-r11, pc}\n"
    ".size mt_dot4_fours, . - mt_dot4_fours\n"
    ".purgem mt_row\n"
    ".text\n");

#endif
