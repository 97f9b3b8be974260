// How assembly functions that use all registers begin and end: 36 bytes of stack.
#ifndef MT_ARMV6M_REGISTERS_H
#define MT_ARMV6M_REGISTERS_H

#define MT_PUSH_REGISTERS \
    "    push {r4-r7, lr}\n" \
    "    mov r4, r8\n" \
    "    mov r5, r9\n" \
    "    mov r6, r10\n" \
    "    mov r7, r11\n" \
    "    push {r4-r7}\n"

#define MT_POP_REGISTERS \
    "    pop {r4-r7}\n" \
    "    mov r8, r4\n" \
    "    mov r9, r5\n" \
    "    mov r10, r6\n" \
    "    mov r11, r7\n" \
    "    pop {r4-r7, pc}\n"

#endif // MT_ARMV6M_REGISTERS_H
