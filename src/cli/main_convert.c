/* cnnbn-convert: models and weights from one kind of file into another. */
#include <stdio.h>

#include "cli.h"
#include "cnnbn/convert.h"

typedef struct run {
    const char *in, *out;
    cnnbn_convert_options options;
} run;

enum { OPT_FOLD_BN = 256, OPT_EMA, OPT_FORCE };

static const struct argp_option options[] = {
    {"model", 'm', "NAME or FILE", 0, "Whose weights IN holds, when it is a .weights.h5", 0},
    {"fold-bn", OPT_FOLD_BN, NULL, 0, "ONNX: batch normalisation becomes part of the weights before it", 0},
    {"ema", OPT_EMA, NULL, 0, "The averages of the weights, which cnnbn-train --ema leaves in a checkpoint", 0},
    {"force", OPT_FORCE, NULL, 0, "Overwrite OUT where it exists", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    run *r = state->input;
    switch (key) {
    case 'm':
        r->options.model = arg;
        return 0;
    case OPT_FOLD_BN:
        r->options.fold_bn = 1;
        return 0;
    case OPT_EMA:
        r->options.use_ema = 1;
        return 0;
    case OPT_FORCE:
        r->options.overwrite = 1;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 1) argp_error(state, "two files are expected, '%s' is a third", arg);
        *(state->arg_num ? &r->out : &r->in) = arg;
        return 0;
    case ARGP_KEY_END:
        if (state->arg_num < 2) argp_error(state, "two files are expected, IN and OUT");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    static const struct argp arguments = {
        .options = options,
        .parser = parse,
        .args_doc = "IN OUT",
        .doc =
            "Converts a model from one kind of file into another.\v"
            "The endings say what the files are:\n"
            "  .h5            a checkpoint, or a whole model of Keras 2 or 3\n"
            "  .keras         a whole model of Keras 3\n"
            "  .weights.h5    weights of Keras 3, without the model\n"
            "  .yaml, .json   a model without weights; JSON is Keras' model.to_json()\n"
            "  .onnx          ONNX, for inference (OUT only)\n"
            "\n"
            "Exit codes: 0 done; 1 wrong usage; 2 bad model, file or option value; 3 a file cannot be opened, read or "
            "written.",
    };
    run r = {0};
    cli_start("cnnbn-convert");
    cli_parse(&arguments, 0, argc, argv, &r);
    return cli_finish(cnnbn_convert(r.in, r.out, &r.options));
}
