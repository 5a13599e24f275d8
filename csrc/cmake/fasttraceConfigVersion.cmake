# The version that pkgconfig/fasttrace.pc names.
file(STRINGS "${CMAKE_CURRENT_LIST_DIR}/../pkgconfig/fasttrace.pc" _fasttrace_version REGEX "^Version: ")
string(REPLACE "Version: " "" PACKAGE_VERSION "${_fasttrace_version}")
string(REGEX MATCH "^[0-9]+\\.[0-9]+" _fasttrace_series "${PACKAGE_VERSION}")
string(REGEX MATCH "^[0-9]+\\.[0-9]+" _fasttrace_wanted "${PACKAGE_FIND_VERSION}")
if(PACKAGE_FIND_VERSION VERSION_LESS_EQUAL PACKAGE_VERSION AND
   (_fasttrace_wanted STREQUAL _fasttrace_series OR PACKAGE_FIND_VERSION_COUNT LESS 2))
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
  if(PACKAGE_FIND_VERSION VERSION_EQUAL PACKAGE_VERSION)
    set(PACKAGE_VERSION_EXACT TRUE)
  endif()
endif()
