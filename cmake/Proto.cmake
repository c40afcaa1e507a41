# SPDX-License-Identifier: Apache-2.0
# proto_library(NAME [GRPC] PROTOS file.proto... LINK targets...): C++ of our .proto files, paths from proto/.
# Generated code is built without our warnings; include as "control/v1/control.pb.h".
find_program(GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)
set(PROTO_OUTPUT_DIR ${CMAKE_BINARY_DIR}/proto)
file(MAKE_DIRECTORY ${PROTO_OUTPUT_DIR})

function(proto_library name)
  cmake_parse_arguments(ARG "GRPC" "" "PROTOS;LINK" ${ARGN})
  set(generated)
  foreach(proto IN LISTS ARG_PROTOS)
    string(REGEX REPLACE "\\.proto$" "" stem ${proto})
    set(outputs ${PROTO_OUTPUT_DIR}/${stem}.pb.cc ${PROTO_OUTPUT_DIR}/${stem}.pb.h)
    set(flags --cpp_out=${PROTO_OUTPUT_DIR})
    if(ARG_GRPC)
      list(APPEND outputs ${PROTO_OUTPUT_DIR}/${stem}.grpc.pb.cc ${PROTO_OUTPUT_DIR}/${stem}.grpc.pb.h)
      list(APPEND flags --grpc_out=${PROTO_OUTPUT_DIR} --plugin=protoc-gen-grpc=${GRPC_CPP_PLUGIN})
    endif()
    add_custom_command(
      OUTPUT ${outputs}
      COMMAND protobuf::protoc ${flags} -I${CMAKE_SOURCE_DIR}/proto -I/usr/include ${CMAKE_SOURCE_DIR}/proto/${proto}
      DEPENDS ${CMAKE_SOURCE_DIR}/proto/${proto}
      COMMENT "protoc ${proto}"
      VERBATIM)
    list(APPEND generated ${outputs})
  endforeach()
  add_library(${name} STATIC ${generated})
  target_include_directories(${name} SYSTEM PUBLIC ${PROTO_OUTPUT_DIR})
  target_link_libraries(${name} PUBLIC protobuf::libprotobuf ${ARG_LINK})
  if(ARG_LINK)
    add_dependencies(${name} ${ARG_LINK}) # their headers are generated too
  endif()
  if(ARG_GRPC)
    target_link_libraries(${name} PUBLIC PkgConfig::GRPCPP)
  endif()
  # Nobody debugs it and it is not ours to sanitise: a third of the time to build.
  target_compile_options(${name} PRIVATE -w -g0)
  if(SLUICE_SANITIZE)
    target_compile_options(${name} PRIVATE -fno-sanitize=all)
  endif()
endfunction()
