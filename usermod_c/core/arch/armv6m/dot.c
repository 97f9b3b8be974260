// mt_dot_packed (dot.h) for Cortex-M0+, 5 cycles a multiply-accumulate. Two weights, taken from their word as w0 + (w2 << 16), times x2 + (x0 << 16)
// have both products in the upper half, from which the shift rounds down where w0 * x2 below it is negative: the carry flag tells, as in panel.c.
#include "../hot.h"

#if defined(__ARM_ARCH_6M__)

#ifndef MT_HOT_SECTION
#define MT_HOT_SECTION ".text.mt_dot_packed"
#endif

// r0 row, r1 vector, r2 r7 weights, r3 0x00FF00FF, r4 r5 values, r6 sum, r8 0x80808080, r9 -0x00800080, r12 end of the vector.
__asm__(
    ".syntax unified\n"
    ".macro mt_four_products\n" // 32 bytes
    "    ldm r0!, {r2}\n"
    "    ldm r1!, {r4, r5}\n"
    "    mov r7, r8\n"
    "    eors r2, r7\n" // from 0 to 255
    "    movs r7, r2\n"
    "    ands r7, r3\n"
    "    add r7, r9\n"
    "    muls r7, r4, r7\n"
    "    asrs r7, r7, #16\n"
    "    adcs r6, r7\n"
    "    lsrs r2, r2, #8\n"
    "    ands r2, r3\n"
    "    add r2, r9\n"
    "    muls r2, r5, r2\n"
    "    asrs r2, r2, #16\n"
    "    adcs r6, r2\n"
    ".endm\n"
    ".section " MT_HOT_SECTION ", \"ax\", %progbits\n"
    ".balign 4\n"
    ".global mt_dot_packed\n"
    ".type mt_dot_packed, %function\n"
    ".thumb_func\n"
    "mt_dot_packed:\n"
    "    push {r4-r7, lr}\n"
    "    mov r4, r8\n"
    "    mov r5, r9\n"
    "    push {r4, r5}\n"
    "    negs r7, r2\n" // values that are left over from rounds of 32 come first
    "    lsls r7, r7, #27\n"
    "    lsrs r7, r7, #27 - 3\n"
    "    adr r4, 1f\n"
    "    adds r7, r7, r4\n"
    "    adds r7, #1\n"
    "    lsls r2, r2, #1\n"
    "    bne 2f\n"
    "    movs r6, #0\n"
    "    b 4f\n"
    "2:  adds r2, r1, r2\n"
    "    mov r12, r2\n"
    "    movs r4, #0x80\n"
    "    lsls r3, r4, #16\n"
    "    orrs r4, r3\n" // 0x00800080
    "    lsls r5, r4, #8\n"
    "    orrs r5, r4\n"
    "    mov r8, r5\n"
    "    negs r5, r4\n"
    "    mov r9, r5\n"
    "    ldr r3, 3f\n"
    "    movs r6, #0\n"
    "    bx r7\n"
    "    .balign 4\n"
    "1:\n"
    "    .rept 8\n"
    "    mt_four_products\n"
    "    .endr\n"
    "    cmp r1, r12\n"
    "    beq 4f\n"
    "    b 1b\n"
    "4:  movs r0, r6\n"
    "    pop {r4, r5}\n"
    "    mov r8, r4\n"
    "    mov r9, r5\n"
    "    pop {r4-r7, pc}\n"
    "    .balign 4\n"
    "3:  .word 0x00FF00FF\n"
    ".size mt_dot_packed, . - mt_dot_packed\n"
    ".text\n");

#endif
