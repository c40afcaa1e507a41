# SPDX-License-Identifier: Apache-2.0
# Version and commit as one header, written anew only when they change.
find_package(Git QUIET)
set(SLUICE_COMMIT unknown)
if(Git_FOUND)
  execute_process(COMMAND ${GIT_EXECUTABLE} rev-parse --short=12 HEAD WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
                  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(NOT failed)
    set(SLUICE_COMMIT ${commit})
  endif()
endif()
configure_file(${CMAKE_SOURCE_DIR}/cmake/version.h.in ${CMAKE_BINARY_DIR}/generated/version.h @ONLY)
add_library(sluice_version INTERFACE)
target_include_directories(sluice_version INTERFACE ${CMAKE_BINARY_DIR}/generated)
