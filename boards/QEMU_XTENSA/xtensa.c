// The Xtensa board: cycle counter, sleep, reset, files by calls to QEMU, and registers for the
// garbage collector.

#include "py/gc.h"
#include "py/mpstate.h"
#include "shared/runtime/gchelper.h"

#include "../qemu/board.h"
#include "../qemu/uart_16550.h"

enum { SYS_EXIT = 1, SYS_READ = 3, SYS_WRITE = 4, SYS_OPEN = 5, SYS_SEEK = 19 };
enum { READ_WRITE = 2, CREATE = 0x40, SEEK_SET = 0 }; // as Linux has them: QEMU hands them on

#define CLOCK_HZ (40000000)
#define UART_INTERRUPT (1 << 0)

#define FPGA_RESET (*(volatile uint32_t *)0xfd020010)
enum { FPGA_RESET_NOW = 0xdead };

// Gives what QEMU answers, -1 on failure.
int sim_call(int what, int a, int b, int c);

static uint32_t cycles(void) {
    uint32_t count;
    __asm__ volatile ("rsr %0, CCOUNT" : "=a" (count));
    return count;
}

void board_wait_for_rx(void) {
    uint32_t status;
    // Held back until waiti lets it through, so that it cannot come before. It is taken once: the
    // handler in start.S switches interrupts off.
    __asm__ volatile ("rsil %0, 15" : "=a" (status));
    __asm__ volatile ("wsr %0, INTENABLE\nrsync\nwaiti 0" : : "a" (UART_INTERRUPT));
}

// The counter has 32 bits: it must be read every 100 s.
uint64_t board_nanoseconds(void) {
    static uint32_t last;
    static uint64_t total;
    uint32_t now = cycles();
    total += now - last;
    last = now;
    return total * (1000000000 / CLOCK_HZ);
}

uint64_t board_instructions(void) {
    return board_nanoseconds();
}

void board_reset(void) {
    FPGA_RESET = FPGA_RESET_NOW;
    for (;;) {
    }
}

int host_open(const char *path) {
    return sim_call(SYS_OPEN, (int)path, READ_WRITE | CREATE, 0666);
}

static int transfer(int what, int file, uint32_t pos, const void *data, size_t len) {
    if (sim_call(SYS_SEEK, file, pos, SEEK_SET) != (int)pos) {
        return -1;
    }
    return sim_call(what, file, (int)data, len);
}

int host_read(int file, uint32_t pos, void *data, size_t len) {
    return transfer(SYS_READ, file, pos, data, len);
}

int host_write(int file, uint32_t pos, const void *data, size_t len) {
    return transfer(SYS_WRITE, file, pos, data, len);
}

void host_exit(int status) {
    sim_call(SYS_EXIT, status, 0, 0);
    for (;;) {
    }
}

// Of libgcc: writes the registers of all callers to the stack.
void __xtensa_libgcc_window_spill(void);

MP_NOINLINE void gc_helper_collect_regs_and_stack(void) {
    __xtensa_libgcc_window_spill();
    uintptr_t sp;
    __asm__ volatile ("mov %0, a1" : "=r" (sp));
    // The first four registers of the caller lie below this function's frame.
    sp -= 16;
    gc_collect_root((void **)sp, ((uintptr_t)MP_STATE_THREAD(stack_top) - sp) / sizeof(uintptr_t));
}
