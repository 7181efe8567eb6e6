# fly_python(NAME SCRIPT [LABELS label ...] [SERIAL]): a Python test that talks to build's own flyback.
#
# The distribution's interpreter is meant: its packages (zmq, msgpack, numpy, h5py) belong to it.
find_program(FLY_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH)
find_program(FLY_PYTHON python3 REQUIRED)

set(fly_test_slow 1)
set(fly_python_timeout 240)
if(FLY_SANITIZE MATCHES "thread")
  set(fly_test_slow 6)
  set(fly_python_timeout 900)
elseif(FLY_SANITIZE)
  set(fly_test_slow 4)
  set(fly_python_timeout 600)
endif()

function(fly_python name script)
  cmake_parse_arguments(arg "SERIAL" "" "LABELS" ${ARGN})
  add_test(NAME ${name} COMMAND ${FLY_PYTHON} -B -u ${script})
  set_tests_properties(${name} PROPERTIES
    LABELS "${arg_LABELS}" TIMEOUT ${fly_python_timeout} SKIP_RETURN_CODE 77
    ENVIRONMENT "FLYBACK=$<TARGET_FILE:flyback>;FLY_TEST_SLOW=${fly_test_slow};TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/support/tsan.supp"
    RUN_SERIAL "$<BOOL:${arg_SERIAL}>")
endfunction()
