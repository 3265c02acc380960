# cmake --install: headers, library, the package engram::engram and engram.pc.
include(CMakePackageConfigHelpers)
install(TARGETS engram EXPORT engram-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/engram DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(EXPORT engram-targets NAMESPACE engram:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/engram)

# A static library hands its dependencies on; a shared one brings them itself.
get_target_property(EG_LIBRARY_TYPE engram TYPE)
configure_package_config_file(cmake/engram-config.cmake.in engram-config.cmake INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/engram)
write_basic_package_version_file(engram-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/engram-config.cmake ${PROJECT_BINARY_DIR}/engram-config-version.cmake cmake/Finddnnl.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/engram)

set(EG_PC_LIBS -ldnnl -lm ${OpenMP_C_FLAGS})
foreach(library ${HDF5_C_LIBRARIES})
  list(APPEND EG_PC_LIBS ${library})
endforeach()
list(JOIN EG_PC_LIBS " " EG_PC_LIBS)
configure_file(cmake/engram.pc.in engram.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/engram.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
