# SPDX-License-Identifier: Apache-2.0
# sluice_warnings(TARGET...): warnings are errors in our own code; generated code is built without them.
function(sluice_warnings)
  foreach(target IN LISTS ARGN)
    target_compile_options(${target} PRIVATE -Wall -Wextra -Wconversion -Wshadow -Wnon-virtual-dtor -Werror)
  endforeach()
endfunction()

# sluice_library(NAME SOURCES... LINK targets...): one static library a folder, seen from the root of the tree:
# a header is included by its path from there.
function(sluice_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PUBLIC ${ARG_LINK})
  sluice_warnings(${name})
endfunction()
