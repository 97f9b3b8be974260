// mt_panel_rows (../panel.h) for Cortex-M4, M7 and M33: two rows and four pixels in registers, whose weights are first made 16 bits wide for all
// panels.
#if defined(__ARM_FEATURE_DSP)

#include "../hot.h"
#include "../panel.h"

#ifndef MT_HOT_SECTION
#define MT_HOT_SECTION ".text.mt_panel_block"
#endif
#define CHUNK 128 // weights of a row made wide at once

// r0 weights, r1 panels, r2 r3 weights of two rows, r12 lr values of two pixels, r4-r11 sums. sp: k << 28, out, bytes from a row of it to the next
// less a panel's, weights, their end.
__asm__(
    ".syntax unified\n"
    ".thumb\n"
    ".macro mt_two_values\n"
    "    ldrd r2, r3, [r0], #8\n"
    "    ldrd r12, lr, [r1], #8\n"
    "    smlad r4, r2, r12, r4\n"
    "    smlad r8, r3, r12, r8\n"
    "    smlad r5, r2, lr, r5\n"
    "    smlad r9, r3, lr, r9\n"
    "    ldrd r12, lr, [r1], #8\n"
    "    smlad r6, r2, r12, r6\n"
    "    smlad r10, r3, r12, r10\n"
    "    smlad r7, r2, lr, r7\n"
    "    smlad r11, r3, lr, r11\n"
    ".endm\n"
    ".section " MT_HOT_SECTION ", \"ax\", %progbits\n"
    ".balign 4\n"
    ".global mt_panel_block\n"
    ".type mt_panel_block, %function\n"
    ".thumb_func\n"
    "mt_panel_block:\n"
    "    push {r4-r11, lr}\n"
    "    ldr r4, [sp, #48]\n"
    "    subs r4, #16\n"
    "    add lr, r0, r2, lsl #2\n"
    "    mov r12, r0\n"
    "    lsls r2, r2, #28\n"
    "    push {r2, r3, r4, r12, lr}\n"
    "0:  ldr r2, [sp, #64]\n"
    "    cmp r2, #0\n"
    "    beq 5f\n"
    "    movs r4, #0\n"
    "    movs r5, #0\n"
    "    movs r6, #0\n"
    "    movs r7, #0\n"
    "    mov r8, r4\n"
    "    mov r9, r4\n"
    "    mov r10, r4\n"
    "    mov r11, r4\n"
    "7:  ldr r2, [sp]\n"
    "    lsls r2, r2, #1\n" // k modulo 16 says where the loop is entered: 8 is in the carry, 4 the sign
    "    bcs 6f\n"
    "    bmi 4f\n"
    "1:  mt_two_values\n"
    "    mt_two_values\n"
    "2:  mt_two_values\n"
    "    mt_two_values\n"
    "3:  mt_two_values\n"
    "    mt_two_values\n"
    "4:  mt_two_values\n"
    "    mt_two_values\n"
    "    ldr r12, [sp, #16]\n"
    "    cmp r0, r12\n"
    "    bne 1b\n"
    "    ldrd r3, r2, [sp, #4]\n"
    "    stm r3!, {r4-r7}\n"
    "    str r3, [sp, #4]\n"
    "    add r3, r2\n"
    "    stm r3, {r8-r11}\n"
    "    ldr r0, [sp, #12]\n"
    "    ldrd r2, r3, [sp, #56]\n" // panels left, skip
    "    add r1, r3\n"
    "    subs r2, #1\n"
    "    str r2, [sp, #56]\n"
    "    bne 0b\n"
    "    add sp, #20\n"
    "    pop {r4-r11, pc}\n"
    "5:  ldrd r3, r2, [sp, #4]\n"
    "    ldm r3!, {r4-r7}\n"
    "    add r3, r2\n"
    "    ldm r3, {r8-r11}\n"
    "    b 7b\n"
    "6:  bmi 2b\n"
    "    b 3b\n"
    ".size mt_panel_block, . - mt_panel_block\n"
    ".purgem mt_two_values\n"
    ".text\n");

// For every four values of two rows: even ones of both, odd ones of both.
static void widen(const int8_t *a, const int8_t *b, int32_t k, uint32_t *to) {
#pragma GCC unroll 2
    for (const int8_t *end = a + k; a < end; a += 4, b += 4) {
        uint32_t x = mt_load4(a), y = mt_load4(b);
        to = mt_store_pair(to, mt_even_bytes(x), mt_even_bytes(y));
        to = mt_store_pair(to, mt_odd_bytes(x), mt_odd_bytes(y));
    }
}

MT_HOT void mt_panel_rows(const int8_t *weights, const int32_t *panels, int32_t k, int32_t count, int32_t *out) {
    uint32_t wide[CHUNK];
    for (int32_t pair = 0; pair < 2; pair++, weights += 2 * k, out += 8 * count) {
        for (int32_t from = 0; from < k; from += CHUNK) {
            int32_t values = k - from < CHUNK ? k - from : CHUNK;
            widen(weights + from, weights + k + from, values, wide);
            mt_panel_block(wide, panels + 2 * from, values, out, count, 8 * (k - values), from == 0, 16 * count);
        }
    }
}

#endif
