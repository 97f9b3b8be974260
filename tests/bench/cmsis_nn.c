// One operator of kernel.h, which cmsis_nn.py writes, through CMSIS-NN's wrappers: counts its cycles or instructions and gives its output, as text by
// semihosting on the Cortex-M33, to cmsis_nn.mjs on the RP2040.
#include <arm_nnfunctions.h>

#include "kernel.h"

#define SCRATCH_BYTES 65536

static int8_t output[OUT_H * OUT_W * OUT_C], scratch[SCRATCH_BYTES] __attribute__((aligned(8)));

#if defined(__ARM_ARCH_6M__)
static void begin(void) {
    __asm volatile("bkpt 1" ::: "memory");
}

static void end(void) {
    __asm volatile("bkpt 2" ::: "memory");
}

static void finish(int32_t status) {
    register int32_t r0 __asm("r0") = status;
    register const int8_t *r1 __asm("r1") = output;
    register uint32_t r2 __asm("r2") = sizeof(output);
    __asm volatile("bkpt 3" :: "r"(r0), "r"(r1), "r"(r2) : "memory");
}
#else
static volatile uint32_t *const systick = (volatile uint32_t *)0xE000E010; // counts down 24 bits, at 20 MHz: a tick is 50 instructions
static uint32_t start, ticks;

static void begin(void) {
    systick[1] = 0xFFFFFF;
    systick[2] = 0;
    systick[0] = 5;
    start = systick[2];
}

static void end(void) {
    ticks = (start - systick[2]) & 0xFFFFFF;
}

static void semihost(int operation, const void *argument) {
    register int r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = argument;
    __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

static char text[2 * sizeof(output) + 32];

static char *hex(char *to, uint32_t value, int digits) {
    while (digits--) {
        *to++ = "0123456789abcdef"[value >> 4 * digits & 15];
    }
    return to;
}

static void finish(int32_t status) {
    char *to = hex(text, (uint32_t)status, 8);
    *to++ = ' ';
    to = hex(to, ticks * 50, 8);
    *to++ = ' ';
    for (uint32_t i = 0; i < sizeof(output); i++) {
        to = hex(to, (uint8_t)output[i], 2);
    }
    *to++ = '\n';
    semihost(0x04, text);
    semihost(0x18, (const void *)0x20026);
}
#endif

static int32_t run(void) {
    const cmsis_nn_dims in = {1, IN_H, IN_W, IN_C}, out = {1, OUT_H, OUT_W, OUT_C}, biases = {1, 1, 1, OUT_C};
    cmsis_nn_context context = {scratch, 0};
    int32_t status;
#if LINEAR
    const cmsis_nn_fc_params fc = {IN_OFFSET, 0, OUT_OFFSET, {ACT_MIN, ACT_MAX}};
    const cmsis_nn_quant_params quant = {multipliers, shifts, 1};
    const cmsis_nn_dims filter = {IN_C, 1, 1, OUT_C};
    context.size = arm_fully_connected_s8_get_buffer_size(&filter);
#else
    const cmsis_nn_per_channel_quant_params quant = {multipliers, shifts};
#if DEPTHWISE
    const cmsis_nn_dw_conv_params conv = {IN_OFFSET, OUT_OFFSET, 1, {STRIDE_W, STRIDE_H}, {PAD_W, PAD_H}, {1, 1}, {ACT_MIN, ACT_MAX}};
    const cmsis_nn_dims filter = {1, KERNEL_H, KERNEL_W, OUT_C};
    context.size = arm_depthwise_conv_wrapper_s8_get_buffer_size(&conv, &in, &filter, &out);
#else
    const cmsis_nn_conv_params conv = {IN_OFFSET, OUT_OFFSET, {STRIDE_W, STRIDE_H}, {PAD_W, PAD_H}, {1, 1}, {ACT_MIN, ACT_MAX}};
    const cmsis_nn_dims filter = {OUT_C, KERNEL_H, KERNEL_W, IN_C};
    context.size = arm_convolve_wrapper_s8_get_buffer_size(&conv, &in, &filter, &out);
#endif
#endif
    if (context.size < 0 || context.size > SCRATCH_BYTES) {
        return -100;
    }
    begin();
#if LINEAR
    status = arm_fully_connected_wrapper_s8(&context, &fc, &quant, &in, input, &filter, weights, &biases, bias, &out, output);
#elif DEPTHWISE
    status = arm_depthwise_conv_wrapper_s8(&context, &conv, &quant, &in, input, &filter, weights, &biases, bias, &out, output);
#else
    status = arm_convolve_wrapper_s8(&context, &conv, &quant, &in, input, &filter, weights, &biases, bias, &out, output);
#endif
    end();
    return status;
}

void reset(void) {
    extern uint32_t data_from[], data_begin[], data_end[], bss_end[];
    volatile uint32_t *to = data_begin;
    for (const uint32_t *from = data_from; to < data_end; ) {
        *to++ = *from++;
    }
    while (to < bss_end) {
        *to++ = 0;
    }
    finish(run());
    for (;;) {
    }
}

extern uint32_t stack[];
__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {stack, (const void *)reset};
