# Debian packages of an existing build, made by tools/package: `tailrace` (the command) and
# `libtailrace-dev` (the library for programs). Included last by the top CMakeLists.txt.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "Tailrace maintainers <maintainers@tailrace.invalid>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL command library)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(CPACK_DEBIAN_COMMAND_PACKAGE_NAME tailrace)
set(CPACK_DEBIAN_COMMAND_PACKAGE_SECTION database)
set(CPACK_DEBIAN_COMMAND_PACKAGE_SHLIBDEPS ON)
set(CPACK_COMPONENT_COMMAND_DESCRIPTION
"Keeps DynamoDB-style tables of items in a directory, and every change of an
item in the table's stream. This is the command that works on such a store.")

# The archive holds no names of shared libraries to find dependencies by. What links with it needs
# these for their .so names and their pkg-config files, not for their headers.
set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME libtailrace-dev)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_DEPENDS
  "libc6-dev, libstdc++-12-dev | libstdc++-dev, librocksdb-dev, libprotobuf-dev, libxxhash-dev")
set(CPACK_COMPONENT_LIBRARY_DESCRIPTION
"Keeps DynamoDB-style tables of items in a directory, and every change of an
item in the table's stream. This is the library for C++ programs: headers, a
static archive, and what CMake and pkg-config need to find them.")

foreach(component command library)
  string(TOUPPER ${component} COMPONENT)
  install(FILES ${PROJECT_SOURCE_DIR}/LICENSE RENAME copyright
    DESTINATION share/doc/${CPACK_DEBIAN_${COMPONENT}_PACKAGE_NAME} COMPONENT ${component})
endforeach()

include(CPack)
