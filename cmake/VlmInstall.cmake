# What `cmake --install` lays down: the library, its headers as include/vlm/<room>/<name>.h, the command, the recipes and
# a CMake package for find_package(vlm).
include(CMakePackageConfigHelpers)
set(VLM_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/vlm)
file(RELATIVE_PATH vlm_lib_from_bin /${CMAKE_INSTALL_BINDIR} /${CMAKE_INSTALL_LIBDIR})
# The way to LibTorch stays in both: FindVlmTorch gives it as a link option of its own.
set_target_properties(vlm PROPERTIES INSTALL_RPATH "$ORIGIN")
set_target_properties(vlm_command PROPERTIES INSTALL_RPATH "$ORIGIN/${vlm_lib_from_bin}")

install(TARGETS vlm EXPORT vlm-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS vlm_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY lib/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/vlm
  FILES_MATCHING PATTERN "*.h" PATTERN golden EXCLUDE)
if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/configs)
  install(DIRECTORY configs/ DESTINATION ${CMAKE_INSTALL_DATADIR}/vlm/configs)
endif()

# Where LibTorch was at build time is only the last place that an installed package looks in.
get_filename_component(VLM_TORCH_BUILT_WITH ${VLM_TORCH_CPU} DIRECTORY)
get_filename_component(VLM_TORCH_BUILT_WITH ${VLM_TORCH_BUILT_WITH} DIRECTORY)
configure_package_config_file(cmake/vlm-config.cmake.in ${CMAKE_BINARY_DIR}/vlm-config.cmake
  INSTALL_DESTINATION ${VLM_CMAKE_DIR})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/vlm-config-version.cmake COMPATIBILITY SameMinorVersion)
install(EXPORT vlm-targets NAMESPACE vlm:: DESTINATION ${VLM_CMAKE_DIR})
install(FILES ${CMAKE_BINARY_DIR}/vlm-config.cmake ${CMAKE_BINARY_DIR}/vlm-config-version.cmake cmake/FindVlmTorch.cmake
  DESTINATION ${VLM_CMAKE_DIR})
