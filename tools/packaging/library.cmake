# The library as embedders get it, in this tree or installed: the target tailrace::tailrace, one
# static libtailrace.a with everything in it, and the public headers below <tailrace/...>. Included
# by the top CMakeLists.txt once the layers are there. See docs/embedding.md.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# What embedders may include; what these include in turn comes along by itself.
set(TAILRACE_PUBLIC_HEADERS
  engine/store.h engine/backup.h engine/consumer.h engine/durable_reader.h engine/item_codec.h
  engine/local_server.h engine/local_store.h engine/merged_reader.h engine/replay.h engine/salvage.h
  engine/store_follower.h engine/table_as_of.h shards/sequence_number.h)

# The public headers, with their includes of one another turned into "tailrace/...", in a folder
# that holds nothing else: an embedder may have an engine/ or a shards/ of its own.
set(tailrace_include ${PROJECT_BINARY_DIR}/include)
file(GLOB tailrace_headers CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/wal/*.h ${PROJECT_SOURCE_DIR}/shards/*.h ${PROJECT_SOURCE_DIR}/engine/*.h)
set(public_headers_script ${CMAKE_CURRENT_LIST_DIR}/public_headers.cmake)
string(REPLACE ";" "," entries "${TAILRACE_PUBLIC_HEADERS}")
add_custom_command(
  OUTPUT ${tailrace_include}.stamp
  COMMAND ${CMAKE_COMMAND} -D SOURCE=${PROJECT_SOURCE_DIR} -D OUTPUT=${tailrace_include}
          -D ENTRIES=${entries} -P ${public_headers_script}
  COMMAND ${CMAKE_COMMAND} -E touch ${tailrace_include}.stamp
  DEPENDS ${tailrace_headers} ${public_headers_script} ${CMAKE_CURRENT_LIST_FILE}
  VERBATIM)
add_custom_target(tailrace_public_headers ALL DEPENDS ${tailrace_include}.stamp)

add_library(tailrace_library STATIC
  $<TARGET_OBJECTS:tailrace_wal>
  $<TARGET_OBJECTS:tailrace_shards>
  $<TARGET_OBJECTS:tailrace_rocks_fs>
  $<TARGET_OBJECTS:tailrace_engine>)
add_library(tailrace::tailrace ALIAS tailrace_library)
set_target_properties(tailrace_library PROPERTIES
  OUTPUT_NAME tailrace
  EXPORT_NAME tailrace
  LINKER_LANGUAGE CXX)
add_dependencies(tailrace_library tailrace_public_headers)
target_compile_features(tailrace_library PUBLIC cxx_std_20)
target_include_directories(tailrace_library INTERFACE
  $<BUILD_INTERFACE:${tailrace_include}>
  $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
# PRIVATE: what a program needs at its link, never at its compiling.
target_link_libraries(tailrace_library
  PRIVATE Threads::Threads protobuf::libprotobuf PkgConfig::rocksdb PkgConfig::xxhash
          ${TAILRACE_SANITIZER_LIBRARIES})

if(NOT TAILRACE_INSTALL)
  return()
endif()

install(TARGETS tailrace_library EXPORT tailrace
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library)
# install/strip leaves archives alone; a packaged one goes without its debug information.
install(CODE "
  if(CMAKE_INSTALL_DO_STRIP)
    execute_process(COMMAND \"${CMAKE_STRIP}\" --strip-debug
      \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/libtailrace.a\"
      COMMAND_ERROR_IS_FATAL ANY)
  endif()" COMPONENT library)
install(DIRECTORY ${tailrace_include}/tailrace
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT library)

# find_package(tailrace)
set(tailrace_cmake ${CMAKE_INSTALL_LIBDIR}/cmake/tailrace)
install(EXPORT tailrace NAMESPACE tailrace:: FILE tailrace-targets.cmake
  DESTINATION ${tailrace_cmake} COMPONENT library)
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/tailrace-config.cmake.in
  ${PROJECT_BINARY_DIR}/tailrace-config.cmake INSTALL_DESTINATION ${tailrace_cmake}
  NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may change what a program sees.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/tailrace-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES
  ${PROJECT_BINARY_DIR}/tailrace-config.cmake
  ${PROJECT_BINARY_DIR}/tailrace-config-version.cmake
  DESTINATION ${tailrace_cmake} COMPONENT library)

# pkg-config: relative to where the file lies, so that a moved copy still works.
file(RELATIVE_PATH prefix_from_pc /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" prefix_from_pc ${prefix_from_pc})
configure_file(${CMAKE_CURRENT_LIST_DIR}/tailrace.pc.in ${PROJECT_BINARY_DIR}/tailrace.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/tailrace.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT library)
