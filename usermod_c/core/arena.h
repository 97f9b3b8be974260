// Offsets for buffers that live for a while: rectangles of (bytes, time) packed into the smallest arena.
#ifndef MT_ARENA_H
#define MT_ARENA_H

#include <stdint.h>

#define MT_NO_BUFFER 0xFFFFu

typedef struct {
    uint32_t offset, size;
    uint16_t start, end; // first and last time at which it is needed
    uint16_t leader; // the buffer whose offset it shares (itself, unless it reuses another one's memory in place)
    uint16_t next; // next buffer with the same leader
} mt_buffer_t;

// Largest sum of bytes needed at one time (`*when`), at `from` or later: no arena can be smaller.
uint32_t mt_arena_lower_bound(const mt_buffer_t *buffers, uint32_t count, uint16_t from, uint16_t *when);
// Where an arena may be split: no buffer lies across one of the `count` offsets `ends`, which rise; the last ends the arena.
typedef struct {
    const uint32_t *ends;
    uint32_t count; // 0: one piece, as large as it needs to be
} mt_arena_ends_t;

// Sets every offset and returns the arena's size: the best of greedy-by-size, by area, by lifetime and first-fit in time order,
// each improved by placing what sticks out first; stops at `bound`. A size above the last end: it did not fit. `order` and `best` hold `count` entries of scratch each.
uint32_t mt_arena_place(mt_buffer_t *buffers, uint32_t count, uint32_t bound, mt_arena_ends_t ends, uint16_t *order, uint16_t *best);

#endif // MT_ARENA_H
