// Both cores of a chip for a session whose plan has a stack for the second one.
#include "cores.h"

#include "py/runtime.h"

void microtrain_claim_cores(mt_session_t *session) {
    if (MT_CORES > 1 && session->stack) {
        board_claim_core();
        mt_session_set_split(session, board_split, session->stack);
    }
}

void microtrain_rest_cores(const mt_session_t *session) {
    if (MT_CORES > 1 && session->stack) {
        board_rest_core();
        if (!mt_session_stack_is_intact(session)) {
            mp_raise_msg_varg(&mp_type_RuntimeError,
                MP_ERROR_TEXT("the second core needs more than its stack of %u B, the session is damaged: make a new one with cores=1"), MT_STACK_BYTES);
        }
    }
}
