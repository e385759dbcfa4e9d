# What is installed with the command: its manual page and the shells' completions, which it prints
# itself. Included by tools/CMakeLists.txt.
include(GNUInstallDirs)

# A sanitizer's build is not installed, and does not run its command while it builds.
if(TAILRACE_SANITIZE)
  return()
endif()

set(pages ${PROJECT_BINARY_DIR}/pages)
set(page_files)
foreach(page "man=tailrace.1" "completion bash=tailrace.bash" "completion zsh=_tailrace"
             "completion fish=tailrace.fish")
  string(REGEX REPLACE "=.*" "" words ${page})
  string(REGEX REPLACE ".*=" "" file ${page})
  separate_arguments(words)
  add_custom_command(OUTPUT ${pages}/${file}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${pages}
    COMMAND tailrace ${words} > ${pages}/${file}
    DEPENDS tailrace
    VERBATIM)
  list(APPEND page_files ${pages}/${file})
endforeach()
add_custom_target(tailrace_pages ALL DEPENDS ${page_files})

if(NOT TAILRACE_INSTALL)
  return()
endif()
install(TARGETS tailrace RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT command)
install(FILES ${pages}/tailrace.1
  DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT command)
install(FILES ${pages}/tailrace.bash RENAME tailrace
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions COMPONENT command)
install(FILES ${pages}/_tailrace
  DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions COMPONENT command)
install(FILES ${pages}/tailrace.fish
  DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d COMPONENT command)
