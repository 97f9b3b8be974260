// The second core: a thread that runs half of an operator and ends. It takes no signals, which the interpreter's thread handles.
#include <pthread.h>
#include <signal.h>

#include "../../usermod_c/bind/cores.h"

typedef struct {
    mt_half_t half;
    void *argument;
} job_t;

static void *run(void *argument) {
    const job_t *job = argument;
    job->half(job->argument);
    return NULL;
}

void board_claim_core(void) {
}

void board_rest_core(void) {
}

void board_split(void *stack, mt_half_t half, void *first, void *second) {
    (void)stack; // the system gives a thread its own
    job_t job = {half, second};
    sigset_t all, before;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&thread, NULL, run, &job);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    half(first);
    if (failed) { // one after the other
        half(second);
    } else {
        pthread_join(thread, NULL);
    }
}
