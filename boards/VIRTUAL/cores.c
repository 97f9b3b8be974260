// The second core: a thread that runs half of an operator and ends. It takes no signals, which the interpreter's thread handles.
#include <pthread.h>
#include <signal.h>
#include <stddef.h>

#include "py/mpconfig.h"

typedef struct {
    void (*half)(void *);
    void *argument;
} job_t;

static void *run(void *argument) {
    const job_t *job = argument;
    job->half(job->argument);
    return NULL;
}

void board_split(void *context, void (*half)(void *), void *first, void *second) {
    (void)context;
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
