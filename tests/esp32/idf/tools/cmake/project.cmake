# Stand-in for ESP-IDF's project.cmake: the port's own CMakeLists.txt configures with it. The main component is what the user module adds to
# it and what the port generates for it; the port's and MicroPython's own sources, which need ESP-IDF, are left out.
set(STANDIN ${CMAKE_CURRENT_LIST_DIR}/../..)

# sdkconfig and sdkconfig.h from the defaults that the board names.
file(STRINGS ${SDKCONFIG_DEFAULTS} lines REGEX "^CONFIG_")
if(NOT IDF_TARGET)
    set(IDF_TARGET esp32)
endif()
string(TOUPPER ${IDF_TARGET} target_upper)
if(IDF_TARGET MATCHES "c[0-9]$")
    set(arch RISCV)
else()
    set(arch XTENSA)
endif()
set(bootloader 0x0)
if(IDF_TARGET STREQUAL "esp32")
    set(bootloader 0x1000)
endif()
list(APPEND lines "CONFIG_IDF_TARGET=\"${IDF_TARGET}\"" CONFIG_IDF_TARGET_${target_upper}=y CONFIG_IDF_TARGET_ARCH_${arch}=y
    CONFIG_BOOTLOADER_OFFSET_IN_FLASH=${bootloader} CONFIG_PARTITION_TABLE_OFFSET=0x8000)
foreach(line ${lines})
    string(REGEX MATCH "^(CONFIG_[A-Z0-9_]+)=(.*)$" match "${line}")
    set(values_${CMAKE_MATCH_1} "${CMAKE_MATCH_2}")
    list(APPEND names ${CMAKE_MATCH_1})
endforeach()
list(REMOVE_DUPLICATES names)
set(config "")
set(header "#pragma once\n")
foreach(name ${names})
    set(value "${values_${name}}")
    if(NOT value STREQUAL "" AND NOT value STREQUAL "n")
        string(APPEND config "${name}=${value}\n")
        string(REGEX REPLACE "^y$" "1" defined "${value}")
        string(APPEND header "#define ${name} ${defined}\n")
        string(REGEX REPLACE "^\"(.*)\"$" "\\1" ${name} "${value}")
    endif()
endforeach()
file(WRITE ${SDKCONFIG} "${config}")
file(WRITE ${CMAKE_BINARY_DIR}/config/sdkconfig.h "${header}")

# Where the cores see flash and RAM.
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
if(arch STREQUAL "RISCV")
    set(CMAKE_C_COMPILER riscv64-unknown-elf-gcc)
    set(machine -march=rv32imc -mabi=ilp32 -misa-spec=2.2 --specs=picolibc.specs)
    set(addresses -Wl,--defsym=FLASH_DATA=0x3c000020,--defsym=FLASH_CODE=0x42010020)
else()
    set(CMAKE_C_COMPILER xtensa-esp32-elf-gcc)
    set(machine -mlongcalls)
    if(IDF_TARGET STREQUAL "esp32s3")
        set(addresses -Wl,--defsym=FLASH_DATA=0x3c000020,--defsym=FLASH_CODE=0x42010020)
    else()
        set(addresses -Wl,--defsym=FLASH_DATA=0x3f400020,--defsym=FLASH_CODE=0x400d0020)
    endif()
endif()
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

macro(idf_component_register)
    cmake_parse_arguments(component "" "" "SRCS;INCLUDE_DIRS;LDFRAGMENTS;REQUIRES" ${ARGN})
    set(COMPONENT_TARGET __idf_main)
    add_library(__idf_main OBJECT ${STANDIN}/app.c)
    target_include_directories(__idf_main PUBLIC ${component_INCLUDE_DIRS} ${STANDIN}/include ${CMAKE_BINARY_DIR}/config)
    # ESP-IDF's own options with COMPILER_OPTIMIZATION_PERF, and two warnings that matter to numbers.
    target_compile_options(__idf_main PUBLIC ${machine} -O2 -std=gnu17 -ffunction-sections -fdata-sections -Wall -Wextra
        -Wno-unused-parameter -Wno-sign-compare -Wdouble-promotion -Wfloat-conversion -Werror)
    # Names are collected from our sources only, with the compiler's own C library.
    set(MICROPY_CPP_FLAGS_EXTRA ${machine})
    set(MICROPY_SOURCE_QSTR ${MICROPY_SOURCE_USERMOD})
endmacro()

macro(project)
    _project(${ARGN} C)
    add_subdirectory(main)
    add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/micropython.elf
        DEPENDS __idf_main $<TARGET_OBJECTS:__idf_main>
        COMMAND $ENV{STANDIN_PYTHON} ${STANDIN}/link.py ${CMAKE_BINARY_DIR}/micropython.elf ${CMAKE_NM} "$<TARGET_OBJECTS:__idf_main>"
            ${CMAKE_C_COMPILER} ${machine} -nostdlib -T${STANDIN}/app.ld ${addresses}
            -Wl,--gc-sections,--undefined=microtrain_module,--undefined=mp_frozen_mpy_content
        VERBATIM)
    add_custom_target(images DEPENDS ${CMAKE_BINARY_DIR}/micropython.elf
        COMMAND $ENV{STANDIN_PYTHON} ${STANDIN}/images.py ${IDF_TARGET} ${SDKCONFIG} ${CMAKE_BINARY_DIR})
endmacro()
