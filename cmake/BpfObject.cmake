# SPDX-License-Identifier: Apache-2.0
# bpf_object(NAME source.bpf.c): compiles one eBPF program file, strips its DWARF (BTF stays) and writes the bpftool
# skeleton <NAME>.skel.h. Link the interface target bpf_<NAME> to include it. A change of any header that the source
# includes rebuilds it (the compiler writes the dependency file).
find_program(BPF_CLANG clang-19 REQUIRED)
find_program(BPF_STRIP llvm-strip-19 REQUIRED)
find_program(BPFTOOL bpftool PATHS /usr/sbin /usr/local/sbin REQUIRED)

set(BPF_OUTPUT_DIR ${CMAKE_BINARY_DIR}/bpf)
file(MAKE_DIRECTORY ${BPF_OUTPUT_DIR})

function(bpf_object name source)
  get_filename_component(source ${source} ABSOLUTE)
  set(object ${BPF_OUTPUT_DIR}/${name}.bpf.o)
  set(skeleton ${BPF_OUTPUT_DIR}/${name}.skel.h)
  add_custom_command(
    OUTPUT ${object} ${skeleton}
    COMMAND ${CCACHE} ${BPF_CLANG} -target bpf -mcpu=v3 -std=gnu11 -O2 -g -Wall -Wextra -Werror
            -I${CMAKE_SOURCE_DIR} -isystem /usr/include/${CMAKE_LIBRARY_ARCHITECTURE}
            -MD -MF ${object}.d -MT ${object} -c ${source} -o ${object}
    COMMAND ${BPF_STRIP} -g ${object}
    COMMAND ${BPFTOOL} gen skeleton ${object} name ${name} > ${skeleton}
    DEPENDS ${source}
    DEPFILE ${object}.d
    COMMENT "eBPF ${name}"
    VERBATIM)
  add_custom_target(bpf_${name}_build DEPENDS ${object} ${skeleton})
  add_library(bpf_${name} INTERFACE)
  add_dependencies(bpf_${name} bpf_${name}_build)
  target_include_directories(bpf_${name} SYSTEM INTERFACE ${BPF_OUTPUT_DIR})
  target_link_libraries(bpf_${name} INTERFACE PkgConfig::LIBBPF)
endfunction()
