/* Small models for tests of the compiled net: each is here for one thing that the compiler does with it. */
#ifndef CNNBN_TEST_NET_MODELS_H
#define CNNBN_TEST_NET_MODELS_H

typedef struct net_model {
    const char *name;
    const char *yaml;
} net_model;

/* Ended by a NULL name. */
extern const net_model net_models[];
/* Text of a model by name; fails the test when there is none. */
const char *net_model_yaml(const char *name);

#endif
