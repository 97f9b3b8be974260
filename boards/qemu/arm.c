// Arm's MPS2 boards: serial port, counter, sleep and reset. The board's
// mpconfigboard.mk gives the addresses.

#include "py/mpconfig.h"
#include "board.h"
#include "uart.h"

typedef struct {
    volatile uint32_t DATA, STATE, CTRL, INTSTATUS, BAUDDIV;
} uart_t;
#define UART ((uart_t *)BOARD_UART)
enum { TX_FULL = 1, RX_FULL = 2 }; // of STATE
enum { TX_ENABLE = 1, RX_ENABLE = 2, RX_INTERRUPT = 8 }; // of CTRL
enum { RX_INTERRUPTED = 2 }; // of INTSTATUS

typedef struct {
    volatile uint32_t CTRL, VALUE, RELOAD, INTSTATUS;
} count_down_t;
#define COUNTER ((count_down_t *)BOARD_TIMER)

#define CPACR (*(volatile uint32_t *)0xe000ed88)
#define AIRCR (*(volatile uint32_t *)0xe000ed0c)
#define NVIC_ISER ((volatile uint32_t *)0xe000e100)
#define NVIC_ICPR ((volatile uint32_t *)0xe000e280)

// Called by the port's start-up code before anything else.
void uart_init(void) {
    #if __ARM_FP
    CPACR |= 0xf << 20; // the FPU is off after a reset
    __asm__ volatile ("dsb\nisb");
    #endif
    // Interrupts are never taken. A pending one wakes the processor all the same.
    __asm__ volatile ("cpsid i");
    UART->BAUDDIV = 16;
    UART->CTRL = TX_ENABLE | RX_ENABLE | RX_INTERRUPT;
    (void)UART->DATA; // makes QEMU look for input
    NVIC_ISER[BOARD_UART_RX_IRQ / 32] = 1 << BOARD_UART_RX_IRQ % 32;
    COUNTER->RELOAD = 0xffffffff;
    COUNTER->VALUE = 0xffffffff;
    COUNTER->CTRL = 1;
}

int board_uart_rx(void) {
    return UART->STATE & RX_FULL ? (int)UART->DATA : -1;
}

void board_uart_tx(const char *data, size_t len) {
    for (size_t i = 0; i < len; i++) {
        while (UART->STATE & TX_FULL) {
        }
        UART->DATA = data[i];
    }
}

// For the port's error messages.
void uart_tx_strn(const char *data, size_t len) {
    board_uart_tx(data, len);
}

void board_wait_for_rx(void) {
    UART->INTSTATUS = RX_INTERRUPTED;
    NVIC_ICPR[BOARD_UART_RX_IRQ / 32] = 1 << BOARD_UART_RX_IRQ % 32;
    if (!(UART->STATE & RX_FULL)) {
        __asm__ volatile ("wfi");
    }
}

// The counter has 32 bits: it must be read every two minutes.
uint64_t board_nanoseconds(void) {
    static uint32_t last;
    static uint64_t ticks;
    uint32_t now = ~COUNTER->VALUE;
    ticks += now - last;
    last = now;
    return ticks * (1000000000 / BOARD_TIMER_HZ);
}

uint64_t board_instructions(void) {
    return board_nanoseconds();
}

void board_reset(void) {
    AIRCR = 0x05fa0004;
    for (;;) {
    }
}
