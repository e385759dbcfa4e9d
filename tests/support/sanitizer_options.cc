// What the sanitizers are told in every test binary, so that it needs no environment to be set.
//
// A sanitizer that is not built in never calls its function.

extern "C" const char* __asan_default_options() {
  return "detect_stack_use_after_return=1:strict_string_checks=1:check_initialization_order=1:"
         "strict_init_order=1:detect_leaks=1";
}

extern "C" const char* __ubsan_default_options() { return "print_stacktrace=1"; }

extern "C" const char* __tsan_default_options() {
  return "halt_on_error=1:second_deadlock_stack=1:detect_deadlocks=1";
}
