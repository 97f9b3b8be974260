// The board's serial line: the master side of a pty. Like a USB serial port it drops what is
// printed while no host has it open, survives the host closing and opening it again, and turns
// the interrupt character into KeyboardInterrupt as it arrives, whatever the VM is doing.

// For posix_openpt().
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "py/mphal.h"
#include "py/runtime.h"
#include "py/stream.h"

#include "board.h"

// How often to look whether a host has opened the port again, and how long to wait at a time for
// a host that does not read, in ms.
#define PORT_POLL_MS (10)

static int line_fd = -1;             // master side of the pty
static int received_fd[2];           // pipe from the receiver thread to MicroPython
static pthread_t vm_thread;
static volatile int interrupt_char = -1;

static uint8_t rx_buf[1 << 16]; // as much as a pipe holds
static size_t rx_len;
static size_t rx_pos;

// Nudges sent after an interrupt before its effect is looked for, one each PORT_POLL_MS.
#define NUDGES_MIN (3)
static int nudges_left;

static void on_interrupt(int signum) {
    (void)signum;
    // By now the VM may have switched the character off, and be at its prompt.
    if (interrupt_char >= 0) {
        mp_sched_keyboard_interrupt();
    }
}

static void on_nudge(int signum) {
    (void)signum;
}

// An interrupt that comes just before a system call starts to wait does not end that wait. A nudge
// does, and is repeated until the VM has seen the interrupt. Returns whether to go on.
static bool nudge(void) {
    if (nudges_left == 0 && MP_STATE_MAIN_THREAD(mp_pending_exception) == MP_OBJ_NULL) {
        return false;
    }
    if (nudges_left > 0) {
        nudges_left--;
    }
    pthread_kill(vm_thread, SIGUSR2);
    return true;
}

// Hands received bytes on, and the interrupt character to the VM's thread as a signal, so that
// this is what an interrupt handler is on a board.
static void receive(uint8_t *data, size_t len) {
    size_t kept = len;
    if (interrupt_char >= 0) {
        kept = 0;
        for (size_t i = 0; i < len; i++) {
            if (interrupt_char >= 0 && data[i] == interrupt_char) {
                pthread_kill(vm_thread, SIGUSR1);
                nudges_left = NUDGES_MIN;
            } else {
                data[kept++] = data[i];
            }
        }
    }
    for (size_t done = 0; done < kept;) {
        ssize_t n = write(received_fd[1], data + done, kept - done);
        if (n > 0) {
            done += n;
        }
    }
}

static void *receiver(void *unused) {
    (void)unused;
    static uint8_t data[1 << 15]; // a read of a pty gives 4 KB at most; each hand-over wakes the VM
    for (;;) {
        struct pollfd fds[2] = {{line_fd, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
        if (poll(fds, 2, nudge() ? PORT_POLL_MS : -1) <= 0) {
            continue;
        }
        if (fds[1].revents != 0 && read(STDIN_FILENO, data, sizeof(data)) <= 0) {
            // Whoever started the board has gone: power off.
            _exit(0);
        }
        if (fds[0].revents & POLLIN) {
            size_t len = 0;
            ssize_t n;
            while (len < sizeof(data) && (n = read(line_fd, data + len, sizeof(data) - len)) > 0) {
                len += n;
            }
            receive(data, len);
        } else if (fds[0].revents & POLLHUP) {
            usleep(PORT_POLL_MS * 1000);
        }
    }
    return NULL;
}

int board_serial_start(void) {
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    action.sa_handler = on_interrupt;
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR1, &action, NULL);
    action.sa_handler = on_nudge;
    sigaction(SIGUSR2, &action, NULL);

    if (pipe(received_fd) != 0) {
        return -1;
    }
    vm_thread = pthread_self();
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    int err = pthread_create(&thread, NULL, receiver, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = err;
    return err == 0 ? 0 : -1;
}

const char *board_serial_open(void) {
    line_fd = posix_openpt(O_RDWR | O_NOCTTY);
    if (line_fd < 0 || grantpt(line_fd) != 0 || unlockpt(line_fd) != 0) {
        return NULL;
    }
    const char *path = ptsname(line_fd);
    // The settings belong to the pty and outlive this descriptor. Without them the line would echo.
    int host_fd = open(path, O_RDWR | O_NOCTTY);
    struct termios settings;
    if (host_fd < 0 || tcgetattr(host_fd, &settings) != 0) {
        return NULL;
    }
    cfmakeraw(&settings);
    tcsetattr(host_fd, TCSANOW, &settings);
    close(host_fd);
    fcntl(line_fd, F_SETFL, O_NONBLOCK);
    return path;
}

void mp_hal_set_interrupt_char(char c) {
    interrupt_char = (signed char)c;
}

size_t board_stdin_read(uint8_t *to, size_t n) {
    struct pollfd fd = {received_fd[0], POLLIN, 0};
    if (rx_pos == rx_len && poll(&fd, 1, 0) > 0) {
        ssize_t got = read(received_fd[0], rx_buf, sizeof(rx_buf));
        rx_len = got > 0 ? got : 0;
        rx_pos = 0;
    }
    n = rx_len - rx_pos < n ? rx_len - rx_pos : n;
    memcpy(to, rx_buf + rx_pos, n);
    rx_pos += n;
    return n;
}

bool board_stdin_wait(int ms) {
    struct pollfd fd = {received_fd[0], POLLIN, 0};
    return rx_pos < rx_len || poll(&fd, 1, ms) > 0;
}

int mp_hal_stdin_rx_chr(void) {
    while (rx_pos == rx_len) {
        ssize_t n = read(received_fd[0], rx_buf, sizeof(rx_buf));
        if (n > 0) {
            rx_len = n;
            rx_pos = 0;
        } else {
            mp_handle_pending(true);
        }
    }
    return rx_buf[rx_pos++];
}

uintptr_t board_stdio_poll(uintptr_t poll_flags) {
    uintptr_t ready = 0;
    if (poll_flags & MP_STREAM_POLL_RD) {
        struct pollfd fd = {received_fd[0], POLLIN, 0};
        if (rx_pos < rx_len || poll(&fd, 1, 0) > 0) {
            ready |= MP_STREAM_POLL_RD;
        }
    }
    if (poll_flags & MP_STREAM_POLL_WR) {
        ready |= MP_STREAM_POLL_WR;
    }
    return ready;
}

mp_uint_t mp_hal_stdout_tx_strn(const char *str, size_t len) {
    for (size_t done = 0; done < len;) {
        struct pollfd fd = {line_fd, POLLOUT, 0};
        poll(&fd, 1, PORT_POLL_MS);
        if (fd.revents & POLLHUP) {
            break;
        }
        ssize_t n = write(line_fd, str + done, len - done);
        if (n > 0) {
            done += n;
        }
    }
    return len;
}

void mp_hal_stdout_tx_strn_cooked(const char *str, size_t len) {
    while (len > 0) {
        const char *newline = memchr(str, '\n', len);
        size_t n = newline == NULL ? len : (size_t)(newline - str);
        mp_hal_stdout_tx_strn(str, n);
        if (newline != NULL) {
            mp_hal_stdout_tx_strn("\r\n", 2);
            n++;
        }
        str += n;
        len -= n;
    }
}

void mp_hal_stdout_tx_str(const char *str) {
    mp_hal_stdout_tx_strn(str, strlen(str));
}

// The port switches its terminal around input(); the line is always raw.
void mp_hal_stdio_mode_raw(void) {
}

void mp_hal_stdio_mode_orig(void) {
}
