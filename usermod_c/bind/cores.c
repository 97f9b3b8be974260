// Both cores of a chip for a session whose plan has a stack for the second one.
#include "cores.h"

#include "py/runtime.h"

void microtrain_claim_cores(mt_session_t *session) {
    if (session->stack) {
        #ifdef MICROTRAIN_SECOND_CORE
        board_claim_core();
        mt_session_set_split(session, board_split, session->stack);
        #else
        mp_raise_ValueError(MP_ERROR_TEXT("cores 2: this firmware runs the engine on one core: use cores=1"));
        #endif
    }
}

void microtrain_rest_cores(const mt_session_t *session) {
    #ifdef MICROTRAIN_SECOND_CORE
    if (session->stack) {
        board_rest_core();
        if (!mt_session_stack_is_intact(session)) {
            mp_raise_msg_varg(&mp_type_RuntimeError,
                MP_ERROR_TEXT("the second core needs more than its stack of %u B, the session is damaged: make a new one with cores=1"), MT_STACK_BYTES);
        }
    }
    #else
    (void)session;
    #endif
}
