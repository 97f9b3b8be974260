# Included by the ports that build with CMake (rp2, esp32): USER_C_MODULES=<this file>.
file(GLOB MICROTRAIN_CORE CONFIGURE_DEPENDS
    ${CMAKE_CURRENT_LIST_DIR}/core/*.c
    ${CMAKE_CURRENT_LIST_DIR}/core/ops/*.c
    ${CMAKE_CURRENT_LIST_DIR}/core/arch/*/*.c
    ${CMAKE_CURRENT_LIST_DIR}/link/*.c)
file(GLOB MICROTRAIN_BIND CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/bind/*.c)

add_library(usermod_microtrain INTERFACE)
target_sources(usermod_microtrain INTERFACE ${MICROTRAIN_BIND} ${MICROTRAIN_CORE})
# Both ports keep what standard input has received there (bind/link.c).
target_compile_definitions(usermod_microtrain INTERFACE MICROTRAIN_STDIN_RINGBUF=1)
if(IDF_TARGET MATCHES "^esp32(s3)?$")
    # Xtensa with the options MAC16 and loops, which not all have (core/arch/xtensa).
    target_compile_definitions(usermod_microtrain INTERFACE MT_MAC16=1)
endif()
target_include_directories(usermod_microtrain INTERFACE ${CMAKE_CURRENT_LIST_DIR}/core)
# Floating point in the same steps on every target: never contracted into fused multiply-adds.
set_source_files_properties(${MICROTRAIN_CORE} PROPERTIES COMPILE_OPTIONS "-O3;-ffp-contract=off")
target_link_libraries(usermod INTERFACE usermod_microtrain)
