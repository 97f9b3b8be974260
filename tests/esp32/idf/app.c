// What esptool insists on: the application descriptor at the start of the first segment, and an entry point.
#include <stdint.h>

#include "sdkconfig.h"

__attribute__((used, section(".app_desc"))) const struct {
    uint32_t magic, secure_version, reserved1[2];
    char version[32], project_name[32], time[16], date[16], idf_version[32];
    uint8_t elf_sha256[32];
    uint32_t reserved2[20];
} app_desc = {.magic = 0xABCD5432, .version = "1", .project_name = "micropython", .idf_version = "stand-in"};

void call_start_cpu0(void);
void call_start_cpu0(void) {
}
