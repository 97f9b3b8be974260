// MicroPython's standard input and output over the board's serial line, and its clock.

#include "py/mphal.h"
#include "py/runtime.h"
#include "py/stream.h"
#include "shared/runtime/interrupt_char.h"

#include "board.h"

static uint8_t received[1024];
static size_t received_start;
static size_t received_len;

void board_poll(void) {
    while (received_len < sizeof(received)) {
        int c = board_uart_rx();
        if (c < 0) {
            return;
        }
        if (c == mp_interrupt_char) {
            mp_sched_keyboard_interrupt();
        } else {
            received[(received_start + received_len++) % sizeof(received)] = c;
        }
    }
}

uintptr_t mp_hal_stdio_poll(uintptr_t poll_flags) {
    board_poll();
    uintptr_t ready = poll_flags & MP_STREAM_POLL_WR;
    if (received_len > 0) {
        ready |= poll_flags & MP_STREAM_POLL_RD;
    }
    return ready;
}

int mp_hal_stdin_rx_chr(void) {
    for (;;) {
        board_poll();
        mp_handle_pending(true);
        if (received_len > 0) {
            int c = received[received_start];
            received_start = (received_start + 1) % sizeof(received);
            received_len--;
            return c;
        }
        board_wait_for_rx();
    }
}

mp_uint_t mp_hal_stdout_tx_strn(const char *str, size_t len) {
    board_uart_tx(str, len);
    return len;
}

mp_uint_t mp_hal_ticks_ms(void) {
    return board_nanoseconds() / 1000000;
}

mp_uint_t mp_hal_ticks_us(void) {
    return board_nanoseconds() / 1000;
}

// There is no calendar: time stamps of files count from the start.
uint64_t mp_hal_time_ns(void) {
    return board_nanoseconds();
}

mp_uint_t mp_hal_ticks_cpu(void) {
    return board_instructions();
}

static void delay(uint64_t nanoseconds) {
    uint64_t end = board_nanoseconds() + nanoseconds;
    while (board_nanoseconds() < end) {
        mp_event_handle_nowait();
    }
}

void mp_hal_delay_ms(mp_uint_t ms) {
    delay((uint64_t)ms * 1000000);
}

void mp_hal_delay_us(mp_uint_t us) {
    delay((uint64_t)us * 1000);
}
