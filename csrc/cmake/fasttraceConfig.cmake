# find_package(fasttrace) gives fasttrace::fasttrace, a static library of the C files beside this folder.
#
# FASTTRACE_NO_CLONES  one compiled copy of each kernel instead of one for each level of the CPU
if(TARGET fasttrace::fasttrace)
  return()
endif()
get_filename_component(FASTTRACE_INCLUDE_DIR "${CMAKE_CURRENT_LIST_DIR}/.." ABSOLUTE)
file(GLOB FASTTRACE_SOURCES "${FASTTRACE_INCLUDE_DIR}/*.c")

get_property(_fasttrace_languages GLOBAL PROPERTY ENABLED_LANGUAGES)
if(NOT "C" IN_LIST _fasttrace_languages)
  set(fasttrace_FOUND FALSE)
  set(fasttrace_NOT_FOUND_MESSAGE "fasttrace is C: project(... LANGUAGES C CXX)")
  return()
endif()

add_library(fasttrace STATIC EXCLUDE_FROM_ALL ${FASTTRACE_SOURCES})
add_library(fasttrace::fasttrace ALIAS fasttrace)
set_target_properties(fasttrace PROPERTIES C_STANDARD 99 POSITION_INDEPENDENT_CODE ON)
target_include_directories(fasttrace PUBLIC "${FASTTRACE_INCLUDE_DIR}")
# Whatever the build type: a library without optimisation is of no use, and one that contracts gives other bits.
if(MSVC)
  target_compile_options(fasttrace PRIVATE /O2)
else()
  target_compile_options(fasttrace PRIVATE -O3 -ffp-contract=off)
  target_link_libraries(fasttrace PUBLIC m)
endif()
if(FASTTRACE_NO_CLONES)
  target_compile_definitions(fasttrace PRIVATE FT_NO_CLONES)
endif()
