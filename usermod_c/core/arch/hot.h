// Marks the functions that a training step spends its time in. A board whose flash is slow to read (behind a cache that weights stream
// through) defines MT_HOT_SECTION as a section of its linker script that lies in RAM.
#ifndef MT_HOT_H
#define MT_HOT_H

#ifdef MT_HOT_SECTION
#define MT_HOT __attribute__((noinline, section(MT_HOT_SECTION)))
#else
#define MT_HOT
#endif

// Marks functions that plain SGD does not call: small rather than fast.
#define MT_COLD __attribute__((cold, noinline))

#endif // MT_HOT_H
