#include "arena.h"

#include <stdbool.h>
#include <string.h>

#include "fixed.h"
#include "microtrain.h"

#define IMPROVEMENTS 48 // attempts after each start order; planning stays far below a second on a Cortex-M0+

uint32_t mt_arena_lower_bound(const mt_buffer_t *b, uint32_t count, uint16_t from, uint16_t *when) {
    uint32_t most = 0;
    for (uint32_t i = 0; i < count; i++) { // a maximum starts where some buffer starts, or at the beginning
        uint16_t at = b[i].start > from ? b[i].start : from;
        uint32_t sum = 0;
        for (uint32_t j = 0; j < count; j++) {
            if (b[j].start <= at && at <= b[j].end) {
                sum += b[j].size;
            }
        }
        if (sum > most) {
            most = sum;
            *when = at;
        }
    }
    return most;
}

static uint64_t chain_key(const mt_buffer_t *b, uint32_t leader, int rule) {
    uint64_t size = 0, area = 0, life = 0;
    for (uint32_t i = leader; i != MT_NO_BUFFER; i = b[i].next) {
        uint64_t t = (uint64_t)b[i].end - b[i].start + 1;
        size = b[i].size > size ? b[i].size : size;
        area += t * b[i].size;
        life += t;
    }
    switch (rule) {
        case 0:
            return size;
        case 1:
            return area;
        case 2:
            return life << 32 | size;
        default:
            return UINT64_MAX - b[leader].start;
    }
}

// Leaders, largest key first. Returns how many.
static uint32_t sort_leaders(const mt_buffer_t *b, uint32_t count, int rule, uint16_t *order) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (b[i].leader != i) {
            continue;
        }
        uint64_t key = chain_key(b, i, rule);
        uint32_t at = n++;
        for (; at > 0 && chain_key(b, order[at - 1], rule) < key; at--) {
            order[at] = order[at - 1];
        }
        order[at] = (uint16_t)i;
    }
    return n;
}

// First offset, `offset` or above, where `size` bytes lie in one piece.
static uint32_t whole_offset(mt_arena_ends_t ends, uint32_t offset, uint32_t size) {
    for (uint32_t k = 0; k < ends.count; k++) {
        if (offset < ends.ends[k] && offset + size > ends.ends[k]) {
            offset = ends.ends[k];
        }
    }
    return offset;
}

// First offset where buffer i, placed at `offset` or above, meets nothing among the chains already placed.
static uint32_t clear_offset(const mt_buffer_t *b, uint32_t i, uint32_t offset, mt_arena_ends_t ends, const uint16_t *placed, uint32_t n) {
    for (bool moved = true; moved;) {
        offset = whole_offset(ends, offset, b[i].size);
        moved = false;
        for (uint32_t k = 0; k < n; k++) {
            for (uint32_t j = placed[k]; j != MT_NO_BUFFER; j = b[j].next) {
                if (b[i].start <= b[j].end && b[j].start <= b[i].end && offset < b[j].offset + b[j].size && b[j].offset < offset + b[i].size) {
                    offset = mt_align(b[j].offset + b[j].size, MT_ALIGN);
                    moved = true;
                }
            }
        }
    }
    return offset;
}

// Places the chains in this order, each as low as it goes. `*top` receives the position of the chain that ends highest.
static uint32_t place_in_order(mt_buffer_t *b, mt_arena_ends_t ends, const uint16_t *order, uint32_t n, uint32_t *top) {
    uint32_t arena = 0;
    for (uint32_t k = 0; k < n; k++) {
        uint32_t offset = 0, before;
        do {
            before = offset;
            for (uint32_t i = order[k]; i != MT_NO_BUFFER; i = b[i].next) {
                offset = clear_offset(b, i, offset, ends, order, k);
            }
        } while (offset != before);
        for (uint32_t i = order[k]; i != MT_NO_BUFFER; i = b[i].next) {
            b[i].offset = offset;
            if (offset + b[i].size > arena) {
                arena = offset + b[i].size;
                *top = k;
            }
        }
    }
    return arena;
}

uint32_t mt_arena_place(mt_buffer_t *b, uint32_t count, uint32_t bound, mt_arena_ends_t ends, uint16_t *order, uint16_t *best) {
    uint32_t smallest = UINT32_MAX, n = 0, top = 0;
    for (int rule = 0; rule < 4 && smallest > bound; rule++) {
        n = sort_leaders(b, count, rule, order);
        for (int attempt = 0; attempt < IMPROVEMENTS && smallest > bound; attempt++) {
            uint32_t size = place_in_order(b, ends, order, n, &top);
            if (size < smallest) {
                smallest = size;
                memcpy(best, order, n * sizeof(*order));
            }
            if (top == 0) {
                break;
            }
            uint16_t highest = order[top];
            memmove(order + 1, order, top * sizeof(*order));
            order[0] = highest;
        }
    }
    return count ? place_in_order(b, ends, best, n, &top) : 0;
}
