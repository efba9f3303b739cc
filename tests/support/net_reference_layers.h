/* The reference's layers: one call, forward, or backward into the gradients of its inputs and weights. */
#ifndef CNNBN_TEST_NET_REFERENCE_LAYERS_H
#define CNNBN_TEST_NET_REFERENCE_LAYERS_H

#include "net_reference.h"

void net_reference_layer(net_reference *ref, int call, int backward);

#endif
