#ifndef CNNBN_FUZZ_MODEL_KNOWN_H
#define CNNBN_FUZZ_MODEL_KNOWN_H

/* Reads a file of weights into the model of the seeds (tests/io/checkpoint_made.h). */
void fuzz_read_weights(const char *path);

#endif
