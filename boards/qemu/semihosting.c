// Files of the machine that runs QEMU, by Arm's semihosting calls, which RISC-V has as well.

#include <string.h>

#include "board.h"

enum {
    SYS_OPEN = 0x01,
    SYS_WRITE = 0x05,
    SYS_READ = 0x06,
    SYS_SEEK = 0x0a,
    SYS_EXIT_EXTENDED = 0x20,
};
enum { MODE_READ_WRITE = 3, MODE_NEW_READ_WRITE = 7 }; // "r+b", "w+b"
enum { STOPPED_APPLICATION_EXIT = 0x20026 };

__attribute__((noinline)) static int call(int operation, const uintptr_t *arguments) {
    #if defined(__riscv)
    register int a0 __asm__ ("a0") = operation;
    register const uintptr_t *a1 __asm__ ("a1") = arguments;
    // Three full-size instructions within a page.
    __asm__ volatile (
        ".option push\n"
        ".option norvc\n"
        ".balign 16\n"
        "slli zero, zero, 0x1f\n"
        "ebreak\n"
        "srai zero, zero, 7\n"
        ".option pop\n"
        : "+r" (a0) : "r" (a1) : "memory");
    return a0;
    #else
    register int r0 __asm__ ("r0") = operation;
    register const uintptr_t *r1 __asm__ ("r1") = arguments;
    __asm__ volatile ("bkpt 0xab" : "+r" (r0) : "r" (r1) : "memory");
    return r0;
    #endif
}

int host_open(const char *path) {
    uintptr_t arguments[] = {(uintptr_t)path, MODE_READ_WRITE, strlen(path)};
    int file = call(SYS_OPEN, arguments);
    if (file < 0) {
        arguments[1] = MODE_NEW_READ_WRITE;
        file = call(SYS_OPEN, arguments);
    }
    return file;
}

// Both give the number of bytes that were not done.
static int transfer(int operation, int file, uint32_t pos, const void *data, size_t len) {
    uintptr_t place[] = {file, pos};
    uintptr_t arguments[] = {file, (uintptr_t)data, len};
    if (call(SYS_SEEK, place) != 0) {
        return -1;
    }
    int left = call(operation, arguments);
    return left < 0 ? -1 : (int)len - left;
}

int host_read(int file, uint32_t pos, void *data, size_t len) {
    return transfer(SYS_READ, file, pos, data, len);
}

int host_write(int file, uint32_t pos, const void *data, size_t len) {
    return transfer(SYS_WRITE, file, pos, data, len);
}

void host_exit(int status) {
    uintptr_t arguments[] = {STOPPED_APPLICATION_EXIT, status};
    call(SYS_EXIT_EXTENDED, arguments);
    for (;;) {
    }
}
