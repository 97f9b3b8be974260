// mt_panel_rows (panel.h) for Cortex-M0+, 3 cycles a multiply-accumulate. For every two values: the two words times their weights, added; the sum
// goes to that of whole words, and shifted right by 16 to that of the high lanes. The shift rounds down where the low lane is negative, and leaves
// just that sign in the carry flag, which the addition with carry gives back. In the end the low lanes are the whole words less the high lanes.
#include "../hot.h"
#include "registers.h"

#if defined(__ARM_ARCH_6M__)

#ifndef MT_HOT_SECTION
#define MT_HOT_SECTION ".text.mt_panel_rows"
#endif

// r0 panels, r1 weights, r2 r3 two of them, r4 r5 words, r6 r7 sums of the high lanes, r8 r9 of whole words, r10 next weights, r11 end of the
// panel's groups of 8 values, r12 the next four weights, lr the row's weights.
__asm__(
    ".syntax unified\n"
    ".macro mt_two_values\n"
    "    ldm r0!, {r4, r5}\n"
    "    muls r4, r2, r4\n"
    "    muls r5, r3, r5\n"
    "    adds r4, r4, r5\n"
    "    add r8, r4\n"
    "    asrs r4, r4, #16\n"
    "    adcs r6, r4\n"
    "    ldm r0!, {r4, r5}\n"
    "    muls r4, r2, r4\n"
    "    muls r5, r3, r5\n"
    "    adds r4, r4, r5\n"
    "    add r9, r4\n"
    "    asrs r4, r4, #16\n"
    "    adcs r7, r4\n"
    ".endm\n"
    ".macro mt_four_values\n" // weights in r1
    "    sxtb r2, r1\n"
    "    lsls r3, r1, #16\n"
    "    asrs r3, r3, #24\n"
    "    mt_two_values\n"
    "    lsls r2, r1, #8\n"
    "    asrs r2, r2, #24\n"
    "    asrs r3, r1, #24\n"
    "    mt_two_values\n"
    ".endm\n"
    ".section " MT_HOT_SECTION ", \"ax\", %progbits\n"
    ".balign 4\n"
    ".global mt_panel_rows\n"
    ".type mt_panel_rows, %function\n"
    ".thumb_func\n"
    "mt_panel_rows:\n"
    MT_PUSH_REGISTERS
    "    sub sp, #28\n"
    "    str r1, [sp, #0]\n" // panels
    "    mov lr, r0\n"
    "    str r2, [sp, #4]\n" // a row's bytes
    "    lsls r4, r2, #3\n"
    "    str r4, [sp, #8]\n" // a panel's
    "    muls r3, r4, r3\n"
    "    adds r3, r1, r3\n"
    "    str r3, [sp, #12]\n" // end of the panels
    "    lsrs r2, r2, #3\n"
    "    lsls r2, r2, #6\n"
    "    adds r2, r1, r2\n"
    "    str r2, [sp, #16]\n" // end of the first one's groups
    "    ldr r4, [sp, #64]\n"
    "    str r4, [sp, #20]\n" // out
    "    movs r4, #4\n"
    "    str r4, [sp, #24]\n" // rows left
    "1:  ldr r0, [sp, #0]\n"
    "    ldr r1, [sp, #16]\n"
    "    mov r11, r1\n"
    "2:  movs r6, #0\n"
    "    movs r7, #0\n"
    "    mov r8, r6\n"
    "    mov r9, r6\n"
    "    mov r10, lr\n"
    "    cmp r0, r11\n"
    "    beq 4f\n"
    "3:  mov r2, r10\n"
    "    ldm r2!, {r1, r3}\n"
    "    mov r10, r2\n"
    "    mov r12, r3\n"
    "    mt_four_values\n"
    "    mov r1, r12\n"
    "    mt_four_values\n"
    "    cmp r0, r11\n"
    "    bne 3b\n"
    "4:  ldr r2, [sp, #4]\n"
    "    lsls r2, r2, #29\n"
    "    beq 5f\n" // no four values more
    "    mov r2, r10\n"
    "    ldm r2!, {r1}\n"
    "    mt_four_values\n"
    "5:  lsls r1, r6, #16\n"
    "    mov r4, r8\n"
    "    subs r4, r4, r1\n" // the low lanes: whole words less the high ones
    "    lsls r1, r7, #16\n"
    "    mov r5, r9\n"
    "    subs r5, r5, r1\n"
    "    ldr r1, [sp, #20]\n"
    "    stm r1!, {r4-r7}\n"
    "    str r1, [sp, #20]\n"
    "    ldr r1, [sp, #8]\n"
    "    add r11, r1\n"
    "    ldr r1, [sp, #12]\n"
    "    cmp r0, r1\n"
    "    beq 6f\n"
    "    b 2b\n"
    "6:  ldr r1, [sp, #4]\n"
    "    add lr, r1\n"
    "    ldr r1, [sp, #24]\n"
    "    subs r1, #1\n"
    "    str r1, [sp, #24]\n"
    "    beq 7f\n"
    "    b 1b\n"
    "7:  add sp, #28\n"
    MT_POP_REGISTERS
    ".size mt_panel_rows, . - mt_panel_rows\n"
    ".text\n");

#endif
