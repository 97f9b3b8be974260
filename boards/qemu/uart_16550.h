// The serial port of the boards that have a 16550; BOARD_UART is its address, BOARD_UART_STEP the
// bytes from one of its registers to the next.

#include <stdbool.h>

void uart_16550_init(void);
// Whether a character waits, for as long as which it also asks for an interrupt.
bool uart_16550_has_rx(void);
