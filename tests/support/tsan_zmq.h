/* tests/support/tsan_zmq.h: for test programs that open libzmq sockets under ThreadSanitizer.
 *
 * The distribution's libzmq is not built with it, so its own locks are seen and its atomics are not:
 * every hand-over inside the library would be reported. Calls made by such modules are left out; those
 * of our code, on either side of a socket, are not. Include it in one file of a program.
 */
#ifndef TESTS_SUPPORT_TSAN_ZMQ_H
#define TESTS_SUPPORT_TSAN_ZMQ_H

#if defined(__SANITIZE_THREAD__)
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "ignore_noninstrumented_modules=1";
}
#endif

#endif
