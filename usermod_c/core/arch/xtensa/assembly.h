// What stands around an assembly function.
#ifndef MT_XTENSA_ASSEMBLY_H
#define MT_XTENSA_ASSEMBLY_H

#define MT_FUNCTION(name, body) \
    __asm__( \
        ".section .text." #name ", \"ax\"\n" \
        ".align 4\n" \
        ".global " #name "\n" \
        ".type " #name ", @function\n" \
        #name ":\n" \
        body \
        ".size " #name ", . - " #name "\n" \
        ".text\n")

#endif // MT_XTENSA_ASSEMBLY_H
