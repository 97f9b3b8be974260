#include "board.h"
#include "uart_16550.h"

#define REGISTER(i) (*(volatile uint8_t *)(BOARD_UART + (i) * BOARD_UART_STEP))
#define DATA REGISTER(0)
#define INTERRUPTS REGISTER(1)
#define FIFO REGISTER(2)
#define LINE_STATUS REGISTER(5)
enum { RX_INTERRUPT = 1 };                 // of INTERRUPTS
enum { FIFO_ENABLE = 1 };                  // of FIFO
enum { RX_READY = 0x01, TX_EMPTY = 0x20 }; // of LINE_STATUS

void uart_16550_init(void) {
    FIFO = FIFO_ENABLE;
    INTERRUPTS = RX_INTERRUPT;
    // What came before is lost. Reading makes QEMU look for input again.
    (void)DATA;
}

bool uart_16550_has_rx(void) {
    return LINE_STATUS & RX_READY;
}

int board_uart_rx(void) {
    return uart_16550_has_rx() ? DATA : -1;
}

void board_uart_tx(const char *data, size_t len) {
    for (size_t i = 0; i < len; i++) {
        while (!(LINE_STATUS & TX_EMPTY)) {
        }
        DATA = data[i];
    }
}
