// mt_panel_rows (../panel.h) for Cortex-M4, M7 and M33: two rows and four pixels in registers, whose weights are first made 16 bits wide for all
// panels.
#if defined(__ARM_FEATURE_DSP)

#include "../hot.h"
#include "../panel.h"

#ifndef MT_HOT_SECTION
#define MT_HOT_SECTION ".text.mt_panel_block"
#endif
#define CHUNK 128 // weights of a row made wide at once

// r0 weights, r1 panels, r2 r3 weights of two rows, r12 lr values of two pixels, r4-r11 sums. sp: out, bytes from a row of it to the next less a
// panel's, where the loop is entered, how sums begin, weights, their end.
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
    "    rsbs r2, r2, #0\n" // values that the loop's first round leaves out
    "    ubfx r2, r2, #2, #2\n"
    "    movs r6, #88\n"
    "    adr.w r5, 1f\n"
    "    mla r5, r2, r6, r5\n"
    "    orr r5, #1\n"
    "    ldr r2, [sp, #44]\n"
    "    adr.w r6, 5f\n"
    "    cbz r2, 7f\n"
    "    adr.w r6, 6f\n"
    "7:  orr r6, #1\n"
    "    mov r12, r0\n"
    "    push {r3-r6, r12, lr}\n"
    "0:  ldr pc, [sp, #12]\n"
    "6:  movs r4, #0\n"
    "    movs r5, #0\n"
    "    movs r6, #0\n"
    "    movs r7, #0\n"
    "    mov r8, r4\n"
    "    mov r9, r4\n"
    "    mov r10, r4\n"
    "    mov r11, r4\n"
    "    ldr pc, [sp, #8]\n"
    "1:  mt_two_values\n"
    "    mt_two_values\n"
    "2:  mt_two_values\n"
    "    mt_two_values\n"
    "    mt_two_values\n"
    "    mt_two_values\n"
    "    mt_two_values\n"
    "    mt_two_values\n"
    ".if 2b - 1b != 88\n"
    ".error \"the loop is entered at a wrong address\"\n"
    ".endif\n"
    "    ldr r12, [sp, #20]\n"
    "    cmp r0, r12\n"
    "    bne 1b\n"
    "    ldrd r3, r2, [sp]\n"
    "    stm r3!, {r4-r7}\n"
    "    str r3, [sp]\n"
    "    add r3, r2\n"
    "    stm r3, {r8-r11}\n"
    "    ldr r0, [sp, #16]\n"
    "    ldrd r2, r3, [sp, #60]\n" // panels left, skip
    "    add r1, r3\n"
    "    subs r2, #1\n"
    "    str r2, [sp, #60]\n"
    "    bne 0b\n"
    "    add sp, #24\n"
    "    pop {r4-r11, pc}\n"
    "5:  ldrd r3, r2, [sp]\n"
    "    ldm r3!, {r4-r7}\n"
    "    add r3, r2\n"
    "    ldm r3, {r8-r11}\n"
    "    ldr pc, [sp, #8]\n"
    ".size mt_panel_block, . - mt_panel_block\n"
    ".purgem mt_two_values\n"
    ".text\n");

// For every four values of two rows: even ones of both, odd ones of both. k is a multiple of four.
void mt_widen_rows(const int8_t *a, const int8_t *b, int32_t k, uint32_t *to);
__asm__(
    ".syntax unified\n"
    ".thumb\n"
    ".macro mt_four_values\n"
    "    ldr r4, [r0], #4\n"
    "    ldr r5, [r1], #4\n"
    "    sxtb16 r6, r4\n"
    "    sxtb16 r7, r5\n"
    "    sxtb16 r8, r4, ror #8\n"
    "    sxtb16 r9, r5, ror #8\n"
    "    stm r3!, {r6-r9}\n"
    ".endm\n"
    ".section " MT_HOT_SECTION ", \"ax\", %progbits\n"
    ".balign 4\n"
    ".global mt_widen_rows\n"
    ".type mt_widen_rows, %function\n"
    ".thumb_func\n"
    "mt_widen_rows:\n"
    "    push {r4-r9}\n"
    "    add r12, r0, r2\n"
    "    lsls r2, r2, #29\n" // a four that is left over
    "    bpl 1f\n"
    "    mt_four_values\n"
    "1:  cmp r0, r12\n"
    "    beq 3f\n"
    "2:  mt_four_values\n"
    "    mt_four_values\n"
    "    cmp r0, r12\n"
    "    bne 2b\n"
    "3:  pop {r4-r9}\n"
    "    bx lr\n"
    ".size mt_widen_rows, . - mt_widen_rows\n"
    ".purgem mt_four_values\n"
    ".text\n");

MT_HOT void mt_panel_rows(const int8_t *weights, const int32_t *panels, int32_t k, int32_t count, int32_t *out) {
    uint32_t wide[CHUNK];
    for (int32_t pair = 0; pair < 2; pair++, weights += 2 * k, out += 8 * count) {
        for (int32_t from = 0; from < k; from += CHUNK) {
            int32_t values = k - from < CHUNK ? k - from : CHUNK;
            mt_widen_rows(weights + from, weights + k + from, values, wide);
            mt_panel_block(wide, panels + 2 * from, values, out, count, 8 * (k - values), from == 0, 16 * count);
        }
    }
}

#endif
