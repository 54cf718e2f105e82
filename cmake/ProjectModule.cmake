set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_VERIFY_INTERFACE_HEADER_SETS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# One interface target carries what every target of ours compiles with.
add_library(starling_build_options INTERFACE)
target_compile_options(starling_build_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
  $<$<BOOL:${STARLING_WERROR}>:-Werror>
  # libstdc++'s own stable_sort is deprecated for clang.
  $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety -Wno-c99-designator -Wno-missing-designated-field-initializers
    -Wno-deprecated-declarations>
  $<$<CXX_COMPILER_ID:GNU>:-Wno-missing-field-initializers>)
target_compile_definitions(starling_build_options INTERFACE _FILE_OFFSET_BITS=64)

# With STARLING_PRECOMPILED_HEADERS the standard library, Abseil's status and, for tests, GoogleTest are parsed once
# instead of in every file. Sources include what they use all the same: release, lint and fuzz builds do without.
set(precompiled_headers <algorithm> <array> <atomic> <charconv> <chrono> <filesystem> <fstream> <functional> <future>
  <map> <memory> <optional> <set> <span> <sstream> <string> <string_view> <thread> <utility> <variant> <vector>
  <absl/status/status.h> <absl/status/statusor.h>)
# Tests are compiled more often than they run: nothing of theirs is worth optimising.
set(test_options -O0)
if(STARLING_PRECOMPILED_HEADERS)
  # For ccache to see what a precompiled header was made of.
  add_compile_options($<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess> "$<$<CXX_COMPILER_ID:Clang>:SHELL:-Xclang -fno-pch-timestamp>")
  # Set by some libraries only, and what was parsed with it is of no use without.
  add_compile_options(-pthread)
  # g++ collects its garbage, a walk through all that was parsed beforehand, whenever its heap has doubled: from the size of
  # such a header on. Never, below this size in KiB, which saves a tenth of its time.
  add_compile_options($<$<CXX_COMPILER_ID:GNU>:--param=ggc-min-heapsize=1000000>)
  file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/precompiled.cc" CONTENT "")
  foreach(kind modules tests)
    add_library(starling_precompiled_${kind} OBJECT "${PROJECT_BINARY_DIR}/precompiled.cc")
    target_link_libraries(starling_precompiled_${kind} PRIVATE starling_build_options absl::status absl::statusor)
  endforeach()
  target_precompile_headers(starling_precompiled_modules PRIVATE ${precompiled_headers})
  if(STARLING_TESTS)
    target_compile_options(starling_precompiled_tests PRIVATE ${test_options})
    target_link_libraries(starling_precompiled_tests PRIVATE GTest::gmock)
    target_precompile_headers(starling_precompiled_tests PRIVATE ${precompiled_headers} <gmock/gmock.h> <gtest/gtest.h>)
  endif()
endif()

# starling_precompile(target modules|tests): shares what was parsed.
# starling_precompile(target HEADERS <header>...): parses more, for this target alone.
function(starling_precompile target kind)
  if(NOT STARLING_PRECOMPILED_HEADERS)
    return()
  endif()
  if(kind STREQUAL HEADERS)
    target_precompile_headers(${target} PRIVATE ${precompiled_headers} ${ARGN})
  else()
    target_precompile_headers(${target} REUSE_FROM starling_precompiled_${kind})
  endif()
endfunction()

# starling_module(NAME folder [HEADERS ...] [SOURCES ...] [DEPENDS modules...]
#                 [LIBRARIES private libraries...] [PUBLIC_LIBRARIES libraries that its headers need...])
# Declares the module of the current folder as target starling::NAME (slashes become underscores).
# DEPENDS lists direct dependencies only; `architecture.layering` compares it with the includes.
function(starling_module)
  cmake_parse_arguments(M "" "NAME" "HEADERS;SOURCES;DEPENDS;LIBRARIES;PUBLIC_LIBRARIES" ${ARGN})
  if(M_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "module ${M_NAME}: unknown arguments ${M_UNPARSED_ARGUMENTS}")
  endif()
  string(REPLACE "/" "_" target "starling_${M_NAME}")
  string(REPLACE "/" "_" alias "${M_NAME}")
  set(dependencies)
  foreach(dependency IN LISTS M_DEPENDS)
    string(REPLACE "/" "_" dependency_target "starling_${dependency}")
    if(NOT TARGET ${dependency_target})
      message(FATAL_ERROR "module ${M_NAME} depends on ${dependency}, which is not declared above it")
    endif()
    list(APPEND dependencies ${dependency_target})
  endforeach()
  if(M_SOURCES)
    add_library(${target} STATIC ${M_SOURCES})
    set(scope PUBLIC)
    target_link_libraries(${target} PRIVATE starling_build_options ${M_LIBRARIES})
    starling_precompile(${target} modules)
  else()
    add_library(${target} INTERFACE)
    set(scope INTERFACE)
  endif()
  # A header that has a source is the first thing in it (`architecture.includes`); the others have to compile alone.
  set(headers_alone)
  foreach(header IN LISTS M_HEADERS)
    string(REGEX REPLACE "\\.h$" ".cc" source "${header}")
    if(NOT source IN_LIST M_SOURCES)
      list(APPEND headers_alone "${header}")
    endif()
  endforeach()
  list(REMOVE_ITEM M_HEADERS ${headers_alone})
  target_sources(${target}
    ${scope} FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}" FILES ${M_HEADERS}
    ${scope} FILE_SET alone TYPE HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}" FILES ${headers_alone})
  set_target_properties(${target} PROPERTIES INTERFACE_HEADER_SETS_TO_VERIFY alone)
  target_include_directories(${target} ${scope} "${PROJECT_SOURCE_DIR}")
  target_link_libraries(${target} ${scope} ${dependencies} ${M_PUBLIC_LIBRARIES})
  add_library(starling::${alias} ALIAS ${target})
endfunction()

# What a sanitizer runs: whatever is one program of ours, and the corpora.
add_custom_target(sanitized_tests)
# What has to be seen as the product's compiler makes it: our programs, and all tests but those of units.
add_custom_target(system_tests)

# starling_test(NAME unit.base SOURCES ... [DEPENDS modules...] [LABELS ...] [LIBRARIES ...])
# One GoogleTest binary; every test in it becomes one ctest case with the given labels (default: unit).
# With a sanitizer there are SHARDS cases (default: 1), each a process for its share of the tests: an instrumented
# program takes longer to start than most tests to run. tests/run.sh counts what they report in reports/.
function(starling_test)
  cmake_parse_arguments(T "" "NAME;TIMEOUT;SHARDS" "SOURCES;DEPENDS;LABELS;LIBRARIES" ${ARGN})
  if(NOT STARLING_TESTS)
    return()
  endif()
  if(NOT T_LABELS)
    set(T_LABELS unit)
  endif()
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 120)
  endif()
  string(REPLACE "." "_" target "${T_NAME}_test")
  set(dependencies)
  foreach(dependency IN LISTS T_DEPENDS)
    string(REPLACE "/" "_" dependency_target "starling_${dependency}")
    list(APPEND dependencies ${dependency_target})
  endforeach()
  add_executable(${target} ${T_SOURCES})
  target_compile_options(${target} PRIVATE ${test_options})
  starling_precompile(${target} tests)
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}")
  target_link_libraries(${target} PRIVATE starling_build_options ${dependencies} ${T_LIBRARIES}
    GTest::gmock GTest::gtest GTest::gtest_main)
  if(NOT "conformance" IN_LIST T_LABELS)
    add_dependencies(sanitized_tests ${target})
  endif()
  if(NOT "unit" IN_LIST T_LABELS)
    add_dependencies(system_tests ${target})
  endif()
  if(NOT STARLING_SANITIZE)
    gtest_discover_tests(${target} TEST_PREFIX "${T_NAME}." NO_PRETTY_VALUES
      DISCOVERY_TIMEOUT 60
      PROPERTIES LABELS "${T_LABELS}" TIMEOUT ${T_TIMEOUT})
    return()
  endif()
  if(NOT T_SHARDS)
    set(T_SHARDS 1)
  endif()
  math(EXPR last "${T_SHARDS} - 1")
  foreach(shard RANGE ${last})
    set(name ${T_NAME}.${shard})
    set(environment ${STARLING_TEST_ENVIRONMENT} GTEST_TOTAL_SHARDS=${T_SHARDS} GTEST_SHARD_INDEX=${shard})
    add_test(NAME ${name} COMMAND ${target} --gtest_output=xml:${CMAKE_BINARY_DIR}/reports/${name}.xml)
    set_tests_properties(${name} PROPERTIES LABELS "${T_LABELS}" TIMEOUT 900 ENVIRONMENT "${environment}")
  endforeach()
endfunction()

# starling_fuzz(NAME toc DEPENDS modules...): tests/fuzz/NAME_fuzz.cc with the corpus tests/fuzz/corpus/NAME.
# With STARLING_FUZZ it becomes a libFuzzer binary; with STARLING_TESTS the corpus is replayed by ctest.
function(starling_fuzz)
  cmake_parse_arguments(F "" "NAME" "DEPENDS;LIBRARIES" ${ARGN})
  set(dependencies)
  foreach(dependency IN LISTS F_DEPENDS)
    string(REPLACE "/" "_" dependency_target "starling_${dependency}")
    list(APPEND dependencies ${dependency_target})
  endforeach()
  set(corpus "${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${F_NAME}")
  if(STARLING_FUZZ)
    add_executable(${F_NAME}_fuzz ${F_NAME}_fuzz.cc)
    target_link_options(${F_NAME}_fuzz PRIVATE -fsanitize=fuzzer)
    target_link_libraries(${F_NAME}_fuzz PRIVATE starling_build_options ${dependencies} ${F_LIBRARIES})
    target_include_directories(${F_NAME}_fuzz PRIVATE "${PROJECT_SOURCE_DIR}")
  endif()
  if(STARLING_TESTS)
    add_executable(${F_NAME}_replay ${F_NAME}_fuzz.cc replay_main.cc)
    target_link_libraries(${F_NAME}_replay PRIVATE starling_build_options ${dependencies} ${F_LIBRARIES})
    target_include_directories(${F_NAME}_replay PRIVATE "${PROJECT_SOURCE_DIR}")
    add_dependencies(sanitized_tests ${F_NAME}_replay)
    add_test(NAME fuzz-replay.${F_NAME} COMMAND ${F_NAME}_replay ${corpus})
    set_tests_properties(fuzz-replay.${F_NAME} PROPERTIES LABELS fuzz-replay TIMEOUT 120
      ENVIRONMENT "${STARLING_TEST_ENVIRONMENT}")
  endif()
endfunction()
