// What the port's mpconfigport.h and mpthreadport.h want of FreeRTOS: types of about the right size.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "soc_caps.h"

typedef void *SemaphoreHandle_t, *TaskHandle_t, *QueueHandle_t;
typedef struct {
    uint32_t words[20];
} StaticSemaphore_t, StaticTask_t;
typedef uint32_t TickType_t, UBaseType_t;
typedef int BaseType_t;
typedef uint8_t StackType_t;
