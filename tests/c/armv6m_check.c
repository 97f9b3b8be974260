// The assembly of arch/armv6m against plain loops, for test_armv6m.py, which runs it in QEMU. Exits 0, or with a line about the first difference.
#include "arch/kernels.h"

enum { ROWS = 24, WIDTH = 40, DEPTH = 24 };

static uint32_t state = 1;

static uint32_t draw(uint32_t limit) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return (state >> 3) % limit;
}

static void semihost(int operation, const void *argument) {
    register int r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = argument;
    __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

static void stop(const char *difference) {
    if (difference) {
        semihost(0x04, difference);
    }
    semihost(0x18, (const void *)(difference ? 0x20023 : 0x20026));
}

static int32_t value(int32_t most) { // often an extreme one
    uint32_t kind = draw(4);
    return kind == 0 ? most : kind == 1 ? -most : (int32_t)draw(2 * (uint32_t)most + 1) - most;
}

static void compare(const int32_t *found, const int32_t *expected, int32_t n, const char *difference) {
    for (int32_t i = 0; i < n; i++) {
        if (found[i] != expected[i]) {
            stop(difference);
        }
    }
}

static int8_t rows[ROWS * WIDTH] __attribute__((aligned(4)));
static int32_t packed[ROWS * WIDTH / 2], panel[4 * DEPTH], found[WIDTH + 4], expected[WIDTH + 4];
static int16_t factors[2 * DEPTH] __attribute__((aligned(4)));
static mt_term_t terms[ROWS];

static void fill_rows(int32_t least) {
    for (int32_t i = 0; i < ROWS * WIDTH; i++) {
        int32_t v = draw(4) ? (int32_t)draw(256) - 128 : draw(2) ? 127 : -128;
        rows[i] = (int8_t)(v < least ? least : v);
    }
}

static void check_sums(int32_t n, int32_t count, int packs) {
    fill_rows(packs ? -128 : -127);
    for (int32_t i = 0; i < WIDTH + 4; i++) {
        found[i] = expected[i] = value(1 << 28);
    }
    for (int32_t i = 0; i < count; i++) {
        int32_t row = (int32_t)draw(ROWS);
        terms[i] = (mt_term_t) {value(packs ? 127 : 32767), packs ? row * 2 * n : row * n};
        for (int32_t j = 0; j < n; j++) {
            expected[j] += terms[i].factor * rows[row * n + j];
        }
    }
    if (packs) {
        for (int32_t i = 0; i < ROWS; i++) {
            mt_pack_row(rows + i * n, n, packed + i * n / 2);
        }
        mt_add_packed_rows(found, packed, n, terms, count);
    } else {
        mt_add_rows(found, rows, n, n, terms, count);
    }
    compare(found, expected, WIDTH + 4, packs ? "mt_add_packed_rows\n" : "mt_add_rows\n");
}

static void check_panel(int32_t depth) {
    for (int32_t i = 0; i < 4 * depth; i++) {
        panel[i] = value(127);
    }
    for (int32_t i = 0; i < 2 * depth; i++) {
        factors[i] = (int16_t)value(32767);
    }
    for (int32_t i = 0; i < WIDTH; i++) {
        found[i] = expected[i] = 7;
    }
    for (int32_t row = 0; row < 2; row++) {
        for (int32_t j = 0; j < 4; j++) {
            expected[8 * row + j] = 0;
            for (int32_t k = 0; k < depth; k++) {
                expected[8 * row + j] += factors[row * depth + k] * panel[4 * k + j];
            }
        }
    }
    mt_multiply_panel(factors, panel, depth, 2, found, 8);
    compare(found, expected, WIDTH, "mt_multiply_panel\n");
}

static void check_rounding(int32_t n, int32_t shift) {
    static int8_t bytes[WIDTH + 1];
    int32_t half = 1 << (shift - 1), most = (int32_t)((127u << shift) + (uint32_t)half), over = draw(3) ? n : (int32_t)draw((uint32_t)n);
    uint32_t seen = 0;
    for (int32_t i = 0; i < n; i++) {
        found[i] = draw(8) ? value(127 << (shift - 1)) : value(most - 1);
        seen |= (uint32_t)(found[i] < 0 ? -found[i] : found[i]);
    }
    if (over < n) {
        found[over] = draw(2) ? INT32_MIN : value(1) < 0 ? -most : most;
    }
    bytes[n] = 99;
    uint32_t result = mt_round_bytes(found, n, shift, bytes);
    if (bytes[n] != 99 || result >> 31 != (over < n) || (over == n && result != seen)) {
        stop("mt_round_bytes\n");
    }
    for (int32_t i = 0; over == n && i < n; i++) {
        if (bytes[i] != (found[i] + half) >> shift) {
            stop("mt_round_bytes: value\n");
        }
    }
}

static void check_dot(int32_t n) {
    fill_rows(-127);
    int8_t *x = rows + 2 * WIDTH;
    int32_t sum = 0;
    for (int32_t i = 0; i < n; i++) {
        x[i] = draw(3) ? x[i] : -128;
        sum += rows[i] * x[i];
    }
    mt_pack_vector(x, n, packed);
    if (mt_dot_packed(rows, packed, n) != sum) {
        stop("mt_dot_packed\n");
    }
}

void reset(void) {
    for (int i = 0; i < 300; i++) {
        check_sums(4 + 4 * (int32_t)draw(WIDTH / 4), (int32_t)draw(ROWS + 1), 0);
        check_sums(4 + 4 * (int32_t)draw(WIDTH / 4), 2 * (int32_t)draw(ROWS / 2 + 1), 1);
        check_dot(8 * (int32_t)draw(WIDTH / 8 + 1));
        check_panel(8 + 8 * (int32_t)draw(DEPTH / 8));
        check_rounding(4 + 4 * (int32_t)draw(WIDTH / 4), 1 + (int32_t)draw(24));
    }
    stop(0);
}

__attribute__((section(".vectors"), used)) static const void *const vectors[] = {(const void *)0x20004000, (const void *)reset};
