// The assembly of arch/armv6m against plain loops, for test_armv6m.py, which runs it in QEMU. Exits 0, or with a line about the first difference.
#include "arch/kernels.h"
#include "arch/mix.h"
#include "arch/quick.h"
#include "sha256.h"

enum { ROWS = 24, WIDTH = 40 };

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
static int32_t packed[ROWS * WIDTH / 2], found[WIDTH + 4], expected[WIDTH + 4];
static int16_t factors[ROWS];
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

static void check_nested(int32_t n, int32_t count) {
    static int8_t copy[ROWS * WIDTH + 4] __attribute__((aligned(4)));
    fill_rows(-128);
    int32_t total = 0, bytes = ROWS * n, in_place = (int32_t)draw(2);
    for (int32_t i = 0; i < WIDTH + 4; i++) {
        found[i] = expected[i] = i < n ? 0 : 7;
    }
    for (int32_t i = 0; i < bytes + 4; i++) {
        copy[i] = in_place && i < bytes ? rows[i] : 7;
    }
    mt_copy_nested(in_place ? copy : rows, copy, bytes);
    for (int32_t i = 0; i < bytes + 4; i++) {
        if (copy[i] != (int8_t)(i < bytes ? rows[i] ^ 0x80 : 7)) {
            stop("mt_copy_nested\n");
        }
    }
    for (int32_t part = 0; part < 2; part++) {
        for (int32_t i = 0; i < count; i++) {
            int32_t row = (int32_t)draw(ROWS);
            terms[i] = (mt_term_t) {value(32767), row * n};
            total += terms[i].factor;
            for (int32_t j = 0; j < n; j++) {
                expected[j] += terms[i].factor * rows[row * n + j];
            }
        }
        mt_add_nested(found, copy, n, terms, count);
    }
    mt_settle_nested(found, n, total);
    compare(found, expected, WIDTH + 4, "mt_add_nested\n");
}

static void check_fold(int32_t n, int32_t shift) {
    int32_t total = 5, sum = 5, count = 0;
    for (int32_t i = 0; i < n; i++) {
        rows[i] = (int8_t)(draw(3) ? value(127) : 0);
        factors[i] = (int16_t)(draw(8) ? value(32767) : 0);
    }
    const mt_term_t *end = mt_fold_bytes(rows, n, factors, shift, 12, terms, &total);
    for (int32_t i = 0; i < n; i++) {
        if (rows[i]) {
            int32_t factor = (rows[i] * factors[i] + (1 << (shift - 1))) >> shift;
            sum += factor;
            if (terms[count].factor != factor || terms[count].offset != 12 * i) {
                stop("mt_fold_bytes: term\n");
            }
            count++;
        }
    }
    if (end != terms + count || total != sum) {
        stop("mt_fold_bytes\n");
    }
}

static void check_scaled(int32_t n) {
    int32_t factor = value(32767), less = value(1 << 28);
    fill_rows(-128);
    for (int32_t i = 0; i < WIDTH + 4; i++) {
        found[i] = 7;
        expected[i] = i < n ? factor * rows[i] - less : 7;
    }
    mt_scale_row(factor, less, rows, n, found);
    compare(found, expected, WIDTH + 4, "mt_scale_row\n");
}

static void check_mixing(int32_t count, int32_t n) {
    static uint16_t channels[WIDTH];
    static int8_t trained[4 * WIDTH], mixed[ROWS * WIDTH];
    int32_t moved[5] = {1, 2, 3, 4, 5}, expected_moved[5] = {1, 2, 3, 4, 5}, at = 0;
    const int32_t pitch = 3 * WIDTH, trained_pitch = count + (count < WIDTH);
    fill_rows(-127);
    for (int32_t i = 0; i < count; i++, at += 1 + (int32_t)draw(3)) {
        channels[i] = (uint16_t)at;
    }
    for (int32_t i = 0; i < ROWS * WIDTH; i++) {
        mixed[i] = rows[i];
    }
    for (int32_t row = 0; row < n; row++) {
        for (int32_t i = 0; i < count; i++) {
            int32_t v = value(127);
            trained[row * trained_pitch + i] = (int8_t)v;
            expected_moved[row] += v - mixed[row * pitch + channels[i]];
            mixed[row * pitch + channels[i]] = (int8_t)v;
        }
    }
    mt_mix(&(mt_mix_t) {rows, pitch, trained, trained_pitch, channels, count, n, moved});
    compare(moved, expected_moved, 5, "mt_mix: sum\n");
    for (int32_t i = 0; i < ROWS * WIDTH; i++) {
        if (rows[i] != mixed[i]) {
            stop("mt_mix\n");
        }
    }
}

static void check_packing(int32_t n) {
    fill_rows(-128);
    const int8_t *const pixels[4] = {rows, rows + n, rows + 2 * n, rows + 3 * n};
    packed[2 * n] = 7;
    mt_panel_pack(pixels, n, packed);
    for (int32_t i = 0; i < 2 * n; i++) {
        int32_t k = i / 4 * 2 + i % 2, pixel = i / 2 % 2;
        if (packed[i] != pixels[pixel][k] + pixels[pixel + 2][k] * 65536) {
            stop("mt_panel_pack\n");
        }
    }
    if (packed[2 * n] != 7) {
        stop("mt_panel_pack: end\n");
    }
}

static void check_products(int32_t depth, int32_t count) { // of panels
    static int32_t out[4 * 4 * 3 + 1];
    for (int32_t i = 0; i < count; i++) {
        const int8_t *pixels[4];
        for (int32_t j = 0; j < 4; j++) {
            pixels[j] = rows + (4 + 4 * i + j) * depth;
        }
        fill_rows(-128);
        for (int32_t j = 0; j < 4 * depth; j++) {
            rows[j] = rows[j] == -128 ? 127 : rows[j]; // weights
        }
        mt_panel_pack(pixels, depth, packed);
        out[16] = 7;
        mt_panel_rows(rows, packed, depth, 1, out);
        for (int32_t j = 0; j < 16; j++) {
            int32_t sum = 0;
            for (int32_t k = 0; k < depth; k++) {
                sum += rows[j / 4 * depth + k] * pixels[j % 4][k];
            }
            if (out[j] != sum || out[16] != 7) {
                stop("mt_panel_rows\n");
            }
        }
    }
}

// Sums of 24 bits, near the ends of the clamp and beyond it; both roundings, with a mask or without; quick or not.
static void check_finish(int32_t n) {
    static int8_t y[4 * (WIDTH + 1)], exact[4 * (WIDTH + 1)];
    static uint8_t mask[WIDTH / 2 + 1], exact_mask[WIDTH / 2 + 1];
    static int32_t sums[4 * WIDTH];
    const int32_t zero = (int32_t)draw(256) - 128, k = 1 + (int32_t)draw(1200);
    mt_finish_t f = {4, draw(2) ? -128 - zero : -(int32_t)draw((uint32_t)(129 + zero)), draw(2) ? 127 - zero : (int32_t)draw((uint32_t)(128 - zero)), zero, y,
        draw(2) ? mask : 0, (int32_t)draw(2)};
    mt_finish_t e = f;
    e.y = exact;
    e.mask = f.mask ? exact_mask : 0;
    mt_finish_row_t of[4];
    mt_quick_t quickly[4] = {{0}};
    int quick, all_quick = draw(4) > 0;
    for (int32_t r = 0; r < 4; r++) {
        do {
            int32_t mult = (1 << 30) + (int32_t)(state & 0x3FFFFFFF);
            mt_finish_row(&of[r], value(draw(2) ? 1000 : 1 << 27), mult, -(int32_t)draw(26));
            quick = !mt_finish_takes(f.once, &of[r], k) ? -1 : mt_quick_of(&quickly[r], &of[r], 1, &f, (uint32_t)k << 14);
        } while (quick < 0 || (all_quick && !quick));
        for (int32_t i = 0; i < n; i++) {
            int32_t v = value(k * 127 * 128), around = draw(2) ? -quickly[r].minus_low : (int32_t)(quickly[r].range - (uint32_t)quickly[r].minus_low);
            int32_t near = around + (int32_t)draw(2000) - 1000;
            sums[r * n + i] = draw(2) || near > k * 127 * 128 || near < -k * 127 * 128 ? v >> draw(12) : near;
        }
    }
    for (int32_t i = 0; i < 4 * (WIDTH + 1); i++) {
        y[i] = exact[i] = 99;
        mask[i / 8] = exact_mask[i / 8] = 255;
    }
    for (int32_t i = 0; i < 4 * n; i++) {
        const mt_finish_row_t *r = &of[i / n];
        mt_finish(e, i % n * 4 + i / n, r->start + sums[i], mt_finish_mult(r), -r->shift);
    }
    if (all_quick) {
        mt_quick_rows(&f, 0, of, quickly, sums, n);
    } else {
        mt_finish_rows(&f, 0, of, sums, n);
    }
    for (int32_t i = 0; i < 4 * (WIDTH + 1); i++) {
        if (y[i] != exact[i]) {
            stop("mt_finish_rows\n");
        }
        if (mask[i / 8] != exact_mask[i / 8]) {
            stop("mt_finish_rows: mask\n");
        }
    }
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

// A message and its digest, of FIPS 180-4, at any address and in two pieces.
static void check_sha256(uint32_t offset, uint32_t first) {
    static const char message[] = "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu";
    static const uint8_t digest[32] = {
        0xcf, 0x5b, 0x16, 0xa7, 0x78, 0xaf, 0x83, 0x80, 0x03, 0x6c, 0xe5, 0x9e, 0x7b, 0x04, 0x92, 0x37,
        0x0b, 0x24, 0x9b, 0x11, 0xe8, 0xf0, 0x7a, 0x51, 0xaf, 0xac, 0x45, 0x03, 0x7a, 0xfe, 0xe9, 0xd1,
    };
    static uint8_t data[128] __attribute__((aligned(4)));
    uint8_t out[32];
    mt_sha256_t s;
    for (uint32_t i = 0; i < sizeof(message) - 1; i++) {
        data[offset + i] = (uint8_t)message[i];
    }
    mt_sha256_init(&s);
    mt_sha256_update(&s, data + offset, first);
    mt_sha256_update(&s, data + offset + first, sizeof(message) - 1 - first);
    mt_sha256_digest(&s, out);
    for (int i = 0; i < 32; i++) {
        if (out[i] != digest[i]) {
            stop("mt_sha256_block\n");
        }
    }
}

void reset(void) {
    for (int i = 0; i < 300; i++) {
        check_sums(4 + 4 * (int32_t)draw(WIDTH / 4), (int32_t)draw(ROWS + 1), 0);
        check_sums(4 + 4 * (int32_t)draw(WIDTH / 4), 2 * (int32_t)draw(ROWS / 2 + 1), 1);
        check_dot(8 * (int32_t)draw(WIDTH / 8 + 1));
        check_nested(4 + 4 * (int32_t)draw(WIDTH / 4), (int32_t)draw(ROWS + 1));
        check_fold((int32_t)draw(ROWS) + 1, 1 + (int32_t)draw(14));
        check_scaled((int32_t)draw(WIDTH) + 1);
        check_mixing((int32_t)draw(WIDTH + 1), 1 + (int32_t)draw(4));
        check_packing(4 + 4 * (int32_t)draw(WIDTH / 4));
        check_products(4 + 4 * (int32_t)draw(WIDTH / 4), 1 + (int32_t)draw(3));
        check_finish(4 + 4 * (int32_t)draw(WIDTH / 4));
        check_rounding(4 + 4 * (int32_t)draw(WIDTH / 4), 1 + (int32_t)draw(24));
        check_sha256(draw(8), draw(113));
    }
    stop(0);
}

__attribute__((section(".vectors"), used)) static const void *const vectors[] = {(const void *)0x20004000, (const void *)reset};
