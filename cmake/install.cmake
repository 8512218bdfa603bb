# Install rules: library, headers, CMake package, pkg-config files.
include(CMakePackageConfigHelpers)
install(TARGETS knative knative_core knative_build knative_serving knative_eventing
  EXPORT knativeTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY include/knative DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT knativeTargets NAMESPACE knative:: FILE knativeTargets.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/knative)
configure_package_config_file(cmake/knativeConfig.cmake.in knativeConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/knative)
write_basic_package_version_file(knativeConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/knativeConfig.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/knativeConfigVersion.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/knative)
# Relative, so that the installed tree may be moved.
file(RELATIVE_PATH KNATIVE_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
if(KNATIVE_SHARED)
  set(KNATIVE_PC_CFLAGS "-DKNATIVE_SHARED")
endif()
foreach(component "" core build serving eventing)
  set(KNATIVE_PC_SUFFIX "")
  if(component)
    set(KNATIVE_PC_SUFFIX "-${component}")
  endif()
  configure_file(cmake/knative.pc.in knative${KNATIVE_PC_SUFFIX}.pc @ONLY)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/knative${KNATIVE_PC_SUFFIX}.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()
