/* engine/base/err.h: the codes and messages that every room returns, and the checks that none does.
 *
 * What the world can do (a peer, a disk, a caller's number) returns one of these codes, with a
 * message that carries the numbers. What only our own bug can do is an assertion.
 *
 * Threads  the message belongs to the calling thread and stands until its next fly_fail.
 */
#ifndef FLY_BASE_ERR_H
#define FLY_BASE_ERR_H

#include <stddef.h>

#if defined(__GNUC__)
#define FLY_MUST_USE       __attribute__((warn_unused_result))
#define FLY_PRINTF(at, va) __attribute__((format(printf, at, va)))
#else
#define FLY_MUST_USE
#define FLY_PRINTF(at, va)
#endif

enum fly_err {
    FLY_OK     = 0,
    FLY_EAGAIN = -1, /* nothing wrong, ask again: ring full, no line within the timeout */
    FLY_ERANGE = -2, /* the caller's number: pitch wider than the chip */
    FLY_ENOMEM = -3, /* the reserve at start did not fit, or a limit forbids it */
    FLY_EWIRE  = -4, /* bytes that break a format: rows past the scan, a torn file */
    FLY_EIO    = -5, /* the system said no: disk full, address in use */
};

/* Keep a message for this thread and return code. At most 511 bytes are kept. */
int fly_fail(int code, const char *format, ...) FLY_PRINTF(2, 3);

/* The message of this thread's last fly_fail; "" when there was none. Lent until the next one. */
const char *fly_fail_text(void);

/* "FLY_ERANGE" and the like, for logs and tests. */
const char *fly_err_name(int code);

/* Our own bugs. Stays on in every build: a wrong map is worse than a stopped one. */
#define FLY_ASSERT(cond) ((cond) ? (void)0 : fly_assert_failed(#cond, __FILE__, __LINE__))
_Noreturn void fly_assert_failed(const char *cond, const char *file, int line);

#endif
