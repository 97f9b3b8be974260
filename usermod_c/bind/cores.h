// A second core for halves of operators.
#ifndef MICROTRAIN_CORES_H
#define MICROTRAIN_CORES_H

#include "microtrain.h"

// What a board defines that has one (MT_CORES is 2), in a file of its own under boards/.

// Raises an exception that says why and what to do where the second core can't be had now. Takes a few milliseconds at most.
void board_claim_core(void);
// mt_split_t: one half here, one on the second core, which starts at the first call and waits for more until board_rest_core().
void board_split(void *stack, mt_half_t half, void *first, void *second);
// The second core leaves the stack.
void board_rest_core(void);

// What the sessions call: once, and after every forward and every backward pass.
void microtrain_claim_cores(mt_session_t *session);
void microtrain_rest_cores(const mt_session_t *session);

#endif // MICROTRAIN_CORES_H
