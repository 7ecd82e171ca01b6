/* Counts the bytes of posix_memalign, which torch's CPU allocator uses and Python does not.
   gcc -O2 -shared -fPIC -o shim.so shim.c -ldl */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#define SLOTS (1u << 20)

static struct { void *at; size_t size; } table[SLOTS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long long current, peak;
static int (*real_memalign)(void **, size_t, size_t);
static void (*real_free)(void *);

static uint32_t slot(void *at) { return (uint32_t)(((uintptr_t)at >> 6) * 2654435761u) & (SLOTS - 1); }

int posix_memalign(void **out, size_t alignment, size_t size) {
    if (!real_memalign) real_memalign = dlsym(RTLD_NEXT, "posix_memalign");
    int failed = real_memalign(out, alignment, size);
    if (failed) return failed;
    pthread_mutex_lock(&lock);
    uint32_t i = slot(*out);
    while (table[i].at && table[i].at != (void *)-1) i = (i + 1) & (SLOTS - 1);
    table[i].at = *out;
    table[i].size = size;
    current += size;
    if (current > peak) peak = current;
    pthread_mutex_unlock(&lock);
    return 0;
}

void free(void *at) {
    if (!real_free) real_free = dlsym(RTLD_NEXT, "free");
    if (at) {
        pthread_mutex_lock(&lock);
        for (uint32_t i = slot(at); table[i].at; i = (i + 1) & (SLOTS - 1))
            if (table[i].at == at) {
                current -= table[i].size;
                table[i].at = (void *)-1; /* a tombstone: probing goes on past it */
                break;
            }
        pthread_mutex_unlock(&lock);
    }
    real_free(at);
}

long long shim_current(void) { return current; }
long long shim_peak(void) { return peak; }
void shim_reset(void) { peak = current; }
