// What a board does between two resets, for the boards whose start-up is ours.

#include "shared/runtime/pyexec.h"

// Runs boot.py, main.py and the REPL, until a soft reset is asked for.
static void run_until_reset(void) {
    int ret = pyexec_file_if_exists("boot.py");
    if (ret & PYEXEC_FORCED_EXIT) {
        return;
    }
    if (pyexec_mode_kind == PYEXEC_MODE_FRIENDLY_REPL && ret != 0) {
        ret = pyexec_file_if_exists("main.py");
        if (ret & PYEXEC_FORCED_EXIT) {
            return;
        }
    }
    for (;;) {
        ret = pyexec_mode_kind == PYEXEC_MODE_RAW_REPL ? pyexec_raw_repl() : pyexec_friendly_repl();
        if (ret != 0) {
            return;
        }
    }
}
