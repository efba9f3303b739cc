#include "cnnbn/kernels.h"

int cnnbn_act_from_output(cnnbn_activation act)
{
    switch (act.kind) {
    case CNNBN_ACT_LINEAR:
    case CNNBN_ACT_RELU:
    case CNNBN_ACT_SELU:
    case CNNBN_ACT_SIGMOID:
    case CNNBN_ACT_TANH:
        return 1;
    case CNNBN_ACT_LEAKY_RELU:
    case CNNBN_ACT_ELU:
        return act.p0 > 0;
    case CNNBN_ACT_RELU_GENERAL:
        /* Strictly rising below a ceiling that is above the kink at 0: sign and size of y tell the branch. */
        return act.p0 > 0 && act.p1 > 0 && !(act.p2 < 0) && !(act.p2 > 0);
    default:
        return 0;
    }
}
