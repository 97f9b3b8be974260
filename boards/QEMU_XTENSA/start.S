// Start-up of the core de233_fpu without an operating system: vectors, reset, first C frame.
// simcall, which is bytes here as the assembler's core has none, asks QEMU: a2 says what for.

#define SIMCALL .byte 0x00, 0x51, 0x00
#define SYS_EXIT 1
// Exit codes: the cause of an exception is added.
#define EXIT_EXCEPTION 100
#define EXIT_DOUBLE_EXCEPTION 99
#define CAUSE_LEVEL1_INTERRUPT 4
#define CAUSE_ALLOCA 5

    // Window overflow and underflow: registers of callers go to the stack and come back. The
    // sequences are those of the instruction set's manual.
    .section .vectors, "ax"
    .org 0x000
    s32e a0, a5, -16
    s32e a1, a5, -12
    s32e a2, a5, -8
    s32e a3, a5, -4
    rfwo
    .org 0x040
.Lunderflow4:
    l32e a0, a5, -16
    l32e a1, a5, -12
    l32e a2, a5, -8
    l32e a3, a5, -4
    rfwu
    .org 0x080
    s32e a0, a9, -16
    l32e a0, a1, -12
    s32e a1, a9, -12
    s32e a2, a9, -8
    s32e a3, a9, -4
    s32e a4, a0, -32
    s32e a5, a0, -28
    s32e a6, a0, -24
    s32e a7, a0, -20
    rfwo
    .org 0x0c0
.Lunderflow8:
    l32e a0, a9, -16
    l32e a1, a9, -12
    l32e a2, a9, -8
    l32e a7, a1, -12
    l32e a3, a9, -4
    l32e a4, a7, -32
    l32e a5, a7, -28
    l32e a6, a7, -24
    l32e a7, a7, -20
    rfwu
    .org 0x100
    s32e a0, a13, -16
    l32e a0, a1, -12
    s32e a1, a13, -12
    s32e a2, a13, -8
    s32e a3, a13, -4
    s32e a4, a0, -48
    s32e a5, a0, -44
    s32e a6, a0, -40
    s32e a7, a0, -36
    s32e a8, a0, -32
    s32e a9, a0, -28
    s32e a10, a0, -24
    s32e a11, a0, -20
    rfwo
    .org 0x140
.Lunderflow12:
    l32e a0, a13, -16
    l32e a1, a13, -12
    l32e a2, a13, -8
    l32e a11, a1, -12
    l32e a3, a13, -4
    l32e a4, a11, -48
    l32e a5, a11, -44
    l32e a6, a11, -40
    l32e a7, a11, -36
    l32e a8, a11, -32
    l32e a9, a11, -28
    l32e a10, a11, -24
    l32e a11, a11, -20
    rfwu

    .org 0x300 // exception in kernel mode, which is the only one
    wsr a0, EXCSAVE1
    rsr a0, EXCCAUSE
    beqi a0, CAUSE_ALLOCA, .Lalloca
    beqi a0, CAUSE_LEVEL1_INTERRUPT, .Linterrupt
    j .Lfault
    .org 0x340 // exception in user mode
    j .Lfault
    .org 0x3c0 // exception in an exception
    movi a3, EXIT_DOUBLE_EXCEPTION
    j .Lexit

    .org 0x400
.Lfault:
    rsr a3, EXCCAUSE
    addi a3, a3, EXIT_EXCEPTION
.Lexit:
    movi a2, SYS_EXIT
    SIMCALL
1:  j 1b

    // It has ended a wait: that was its purpose.
    .align 4
.Linterrupt:
    movi a0, 0
    wsr a0, INTENABLE
    rsync
    rsr a0, EXCSAVE1
    rfe

    // MOVSP while the caller's registers are on the stack: fetch them as an underflow does, and
    // run the instruction again.
    .align 4
.Lalloca:
    rsr a0, WINDOWBASE
    rotw -1
    rsr a2, PS
    extui a3, a2, 8, 4
    xor a3, a3, a4
    rsr a4, EXCSAVE1
    slli a3, a3, 8
    xor a2, a2, a3
    wsr a2, PS
    rsync
    bbsi a4, 31, 1f
    j .Lunderflow4
1:  rotw -1
    bbsi a8, 30, 1f
    j .Lunderflow8
1:  rotw -1
    j .Lunderflow12

    .section .start, "ax"
    .literal_position
    .align 4
_start:
    movi a0, 0
    movi a2, 0
    wsr a2, INTENABLE
    wsr a2, WINDOWBASE
    rsync
    movi a2, 1
    wsr a2, WINDOWSTART
    rsync
    movi a2, 0x40000 // windows on, interrupts and exceptions possible, kernel mode
    wsr a2, PS
    rsync
    movi a2, 0xff // all coprocessors, the FPU among them
    wsr a2, CPENABLE
    rsync
    movi a1, _estack
    movi a2, _sdata
    movi a3, _edata
    movi a4, _sidata
1:  bgeu a2, a3, 2f
    l32i a5, a4, 0
    s32i a5, a2, 0
    addi a2, a2, 4
    addi a4, a4, 4
    j 1b
2:  movi a2, _sbss
    movi a3, _ebss
    movi a4, 0
3:  bgeu a2, a3, 4f
    s32i a4, a2, 0
    addi a2, a2, 4
    j 3b
4:  movi a4, uart_16550_init
    callx4 a4
    movi a4, main
    callx4 a4
5:  j 5b

    .section .reset, "ax"
    .global _reset
_reset:
    j 1f
    .align 4
2:  .word _start
1:  l32r a0, 2b
    jx a0

    // int sim_call(int what, int a, int b, int c)
    .text
    .global sim_call
    .align 4
sim_call:
    entry a1, 32
    SIMCALL
    retw
