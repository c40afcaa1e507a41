# SPDX-License-Identifier: Apache-2.0
# check_headers: every header of the tree compiles alone, so that the order of includes never matters. User-space headers as
# C++, bpf/abi as C and as C++, the other eBPF headers for the eBPF target.
file(GLOB_RECURSE cxx_headers RELATIVE ${CMAKE_SOURCE_DIR} CONFIGURE_DEPENDS
     ${CMAKE_SOURCE_DIR}/lib/*.h ${CMAKE_SOURCE_DIR}/operator/*.h ${CMAKE_SOURCE_DIR}/agent/*.h ${CMAKE_SOURCE_DIR}/cni/*.h
     ${CMAKE_SOURCE_DIR}/cli/*.h)
file(GLOB abi_headers RELATIVE ${CMAKE_SOURCE_DIR} CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/bpf/abi/*.h)
file(GLOB bpf_headers RELATIVE ${CMAKE_SOURCE_DIR} CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/bpf/core/*.h
     ${CMAKE_SOURCE_DIR}/bpf/maps/*.h ${CMAKE_SOURCE_DIR}/bpf/stages/*.h)

# One file a header that includes it twice: alone, and guarded against the second time.
function(header_source header extension result)
  string(MAKE_C_IDENTIFIER ${header} id)
  set(source ${CMAKE_CURRENT_BINARY_DIR}/headers/${id}.${extension})
  file(CONFIGURE OUTPUT ${source} CONTENT "#include \"@header@\"\n#include \"@header@\" // again\n" @ONLY)
  set(${result} ${source} PARENT_SCOPE)
endfunction()

set(cxx_sources)
set(c_sources)
foreach(header IN LISTS cxx_headers abi_headers)
  header_source(${header} cc source)
  list(APPEND cxx_sources ${source})
endforeach()
foreach(header IN LISTS abi_headers)
  header_source(${header} c source)
  list(APPEND c_sources ${source})
endforeach()

get_property(proto_targets DIRECTORY ${CMAKE_SOURCE_DIR}/proto PROPERTY BUILDSYSTEM_TARGETS)
add_library(header_check OBJECT EXCLUDE_FROM_ALL ${cxx_sources} ${c_sources})
target_include_directories(header_check PRIVATE ${CMAKE_SOURCE_DIR})
target_include_directories(header_check SYSTEM PRIVATE ${PROTO_OUTPUT_DIR} ${BPF_OUTPUT_DIR} ${CMAKE_BINARY_DIR}/generated)
target_link_libraries(header_check PRIVATE PkgConfig::LIBBPF PkgConfig::LIBMNL PkgConfig::GRPCPP protobuf::libprotobuf
                      prometheus-cpp::core nlohmann_json::nlohmann_json yaml-cpp spdlog::spdlog CURL::libcurl CLI11::CLI11 tl::expected)
target_compile_options(header_check PRIVATE -Wall -Wextra -Wshadow -Werror $<$<COMPILE_LANGUAGE:CXX>:-Wconversion>)
if(proto_targets)
  add_dependencies(header_check ${proto_targets})
endif()

set(bpf_stamps)
foreach(header IN LISTS bpf_headers)
  header_source(${header} bpf.c source)
  set(stamp ${source}.o)
  add_custom_command(
    OUTPUT ${stamp}
    COMMAND ${BPF_CLANG} -target bpf -mcpu=v3 -std=gnu11 -O2 -g -Wall -Wextra -Werror -Wno-unused-function
            -I${CMAKE_SOURCE_DIR} -isystem /usr/include/${CMAKE_LIBRARY_ARCHITECTURE}
            -MD -MF ${stamp}.d -MT ${stamp} -c ${source} -o ${stamp}
    DEPENDS ${source}
    DEPFILE ${stamp}.d
    COMMENT "header ${header}"
    VERBATIM)
  list(APPEND bpf_stamps ${stamp})
endforeach()
add_custom_target(bpf_header_check DEPENDS ${bpf_stamps})
add_custom_target(check_headers DEPENDS header_check bpf_header_check)
get_property(bpf_targets DIRECTORY ${CMAKE_SOURCE_DIR}/bpf PROPERTY BUILDSYSTEM_TARGETS)
foreach(target IN LISTS bpf_targets)
  if(target MATCHES "^bpf_.*_build$")
    add_dependencies(header_check ${target})
  endif()
endforeach()
