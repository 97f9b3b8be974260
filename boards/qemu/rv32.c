// QEMU's RISC-V machine "virt": counters, sleep and reset.

#include "board.h"
#include "uart.h"
#include "uart_16550.h"

#define UART_IRQ (10)

#define PLIC_PRIORITY ((volatile uint32_t *)0x0c000000)
#define PLIC_ENABLE (*(volatile uint32_t *)0x0c002000)
#define PLIC_CLAIM (*(volatile uint32_t *)0x0c200004)
enum { EXTERNAL_INTERRUPT = 1 << 11 }; // of mie

#define MTIME ((volatile uint32_t *)0x0200bff8)
#define MTIME_HZ (10000000)

#define FINISHER (*(volatile uint32_t *)0x00100000)
enum { FINISHER_RESET = 0x7777 };

// From the linker script.
extern uint32_t _sidata[], _sdata[], _edata[];

// Called by the port's start-up code, which clears .bss and leaves .data to the loader.
void uart_init(void) {
    for (uint32_t *from = _sidata, *to = _sdata; to < _edata;) {
        *to++ = *from++;
    }
    // Interrupts are never taken. A pending one wakes the processor all the same.
    __asm__ volatile ("csrci mstatus, 8");
    __asm__ volatile ("csrw mie, %0" : : "r" (EXTERNAL_INTERRUPT));
    PLIC_PRIORITY[UART_IRQ] = 1;
    PLIC_ENABLE = 1 << UART_IRQ;
    uart_16550_init();
}

void board_wait_for_rx(void) {
    PLIC_CLAIM = PLIC_CLAIM;
    if (!uart_16550_has_rx()) {
        __asm__ volatile ("wfi");
    }
}

uint64_t board_nanoseconds(void) {
    uint32_t high, low;
    do {
        high = MTIME[1];
        low = MTIME[0];
    } while (high != MTIME[1]);
    return ((uint64_t)high << 32 | low) * (1000000000 / MTIME_HZ);
}

// Exact, where QEMU counts.
uint64_t board_instructions(void) {
    uint32_t high, low, again;
    do {
        __asm__ volatile ("csrr %0, minstreth" : "=r" (high));
        __asm__ volatile ("csrr %0, minstret" : "=r" (low));
        __asm__ volatile ("csrr %0, minstreth" : "=r" (again));
    } while (high != again);
    return (uint64_t)high << 32 | low;
}

void board_reset(void) {
    FINISHER = FINISHER_RESET;
    for (;;) {
    }
}
