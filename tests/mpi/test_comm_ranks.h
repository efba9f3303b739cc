/* Tests that run on many ranks. An assertion that fails on one rank alone leaves the others in a collective for ever, so
 * a test notes what is wrong by expect(), and asserts once, on all ranks, by verdict(). */
#ifndef CNNBN_TEST_COMM_RANKS_H
#define CNNBN_TEST_COMM_RANKS_H

#include "check.h"
#include "cnnbn/comm.h"

/* Starts MPI; the handle is `ranks` till ranks_end. Only rank 0 prints cmocka's report from here on. */
void ranks_begin(int *argc, char ***argv);
/* Ends MPI; returns what main should return, equal on all ranks. */
int ranks_end(int n_failed);
extern cnnbn_comm *ranks;

/* Notes a failure when `ok` is 0: rank and text to stderr, the first few of each rank only. Local. Returns ok. */
int expect(int ok, const char *format, ...) CNNBN_PRINTF(2, 3);
/* Status is CNNBN_OK, or its message is noted. Local. */
int expect_ok(cnnbn_status status);
/* The status, and a message that contains `text`. Local. */
int expect_status(cnnbn_status status, cnnbn_status expected, const char *text);
/* Bits of two arrays; the first difference is noted. Local. */
int expect_same_bits(const char *what, const void *a, const void *b, size_t bytes);

/* Fails the cmocka test on all ranks when any rank noted a failure. Collective. */
void verdict(void);

#endif
