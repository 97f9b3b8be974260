// mt_multiply_panel (../rows.h): four columns in registers.
#if defined(__ARM_FEATURE_DSP)

#include "../hot.h"

#ifndef MT_HOT_SECTION
#define MT_HOT_SECTION ".text.mt_multiply_panel"
#endif

// r0 factors, r1 panel, r2 end of the row's factors, r3 sums, r4-r7 the sums, r8-r11 values, r12 two factors; sp: panel, bytes of a row of factors and
// from sums to sums.
__asm__(
    ".syntax unified\n"
    ".thumb\n"
    ".macro mt_two_values\n"
    "    ldr r12, [r0], #4\n"
    "    ldm r1!, {r8-r11}\n"
    "    smlabb r4, r8, r12, r4\n"
    "    smlabb r5, r9, r12, r5\n"
    "    smlabb r6, r10, r12, r6\n"
    "    smlabb r7, r11, r12, r7\n"
    "    ldm r1!, {r8-r11}\n"
    "    smlabt r4, r8, r12, r4\n"
    "    smlabt r5, r9, r12, r5\n"
    "    smlabt r6, r10, r12, r6\n"
    "    smlabt r7, r11, r12, r7\n"
    ".endm\n"
    ".section " MT_HOT_SECTION ", \"ax\", %progbits\n"
    ".balign 4\n"
    ".global mt_multiply_panel\n"
    ".type mt_multiply_panel, %function\n"
    ".thumb_func\n"
    "mt_multiply_panel:\n"
    "    push {r4-r11, lr}\n"
    "    mov lr, r3\n" // rows left
    "    ldrd r3, r4, [sp, #36]\n"
    "    lsls r4, r4, #2\n"
    "    lsls r2, r2, #1\n"
    "    sub sp, #12\n"
    "    str r1, [sp]\n"
    "    strd r2, r4, [sp, #4]\n"
    "    add r2, r0\n"
    "1:  ldr r1, [sp]\n"
    "    movs r4, #0\n"
    "    movs r5, #0\n"
    "    movs r6, #0\n"
    "    movs r7, #0\n"
    "2:  mt_two_values\n"
    "    mt_two_values\n"
    "    mt_two_values\n"
    "    mt_two_values\n"
    "    cmp r0, r2\n"
    "    bne 2b\n"
    "    stm r3, {r4-r7}\n"
    "    ldrd r4, r5, [sp, #4]\n"
    "    add r2, r4\n"
    "    add r3, r5\n"
    "    subs lr, lr, #1\n"
    "    bne 1b\n"
    "    add sp, #12\n"
    "    pop {r4-r11, pc}\n"
    ".size mt_multiply_panel, . - mt_multiply_panel\n"
    ".purgem mt_two_values\n"
    ".text\n");

#endif
