# cmake -D SOURCE=<top of the sources> -D OUTPUT=<folder> -D ENTRIES=a.h,b.h -P public_headers.cmake
#
# Writes the headers ENTRIES and all that they include into <OUTPUT>/tailrace, and removes whatever
# else is there. In the copies, includes of one another begin with "tailrace/". A copy is written
# only if it changed, so that nothing is compiled again for nothing. Fails when a header reaches one
# that is made by a generator: those are not for embedders.
cmake_minimum_required(VERSION 3.25)

string(REPLACE "," ";" due "${ENTRIES}")
set(done)
while(due)
  list(POP_FRONT due header)
  list(APPEND done ${header})
  file(READ ${SOURCE}/${header} text)
  string(REGEX MATCHALL "#include \"[^\"\n]+\"" includes "${text}")
  foreach(include IN LISTS includes)
    string(REGEX REPLACE "#include \"([^\"]+)\"" "\\1" name "${include}")
    if(NOT EXISTS ${SOURCE}/${name})
      message(FATAL_ERROR "${header} includes ${name}, which is no header of the sources: an "
        "embedder could not compile it")
    endif()
    if(NOT name IN_LIST done AND NOT name IN_LIST due)
      list(APPEND due ${name})
    endif()
  endforeach()
  string(REGEX REPLACE "#include \"([^\"\n]+)\"" "#include \"tailrace/\\1\"" text "${text}")
  set(copy ${OUTPUT}/tailrace/${header})
  set(old)
  if(EXISTS ${copy})
    file(READ ${copy} old)
  endif()
  if(NOT "${text}" STREQUAL "${old}")
    file(WRITE ${copy} "${text}")
  endif()
endwhile()

file(GLOB_RECURSE present RELATIVE ${OUTPUT}/tailrace ${OUTPUT}/tailrace/*)
foreach(header IN LISTS present)
  if(NOT header IN_LIST done)
    file(REMOVE ${OUTPUT}/tailrace/${header})
  endif()
endforeach()
