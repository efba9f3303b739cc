/* What cnnbn-train does to training images. */
#include "train_options.h"

enum option_key {
    OPT_RANDOM_FLIP = 256,
    OPT_RANDOM_CROP,
    OPT_RANDOM_TRANSLATION,
    OPT_RANDOM_ROTATION,
    OPT_RANDOM_CONTRAST,
    OPT_CUTOUT,
    OPT_MIXUP
};

static const struct argp_option options[] = {
    {NULL, 0, NULL, 0, "Augmentation, of training images only:", 32},
    {"random-flip", OPT_RANDOM_FLIP, "DIRECTION", 0, "horizontal, vertical or both (default: none)", 0},
    {"random-crop", OPT_RANDOM_CROP, "PAD", 0, "pad by PAD black pixels, crop back to size (default 0)", 0},
    {"random-translation", OPT_RANDOM_TRANSLATION, "F", 0, "move by up to F of height and width (default 0)", 0},
    {"random-rotation", OPT_RANDOM_ROTATION, "F", 0, "turn by up to F of a full circle (default 0)", 0},
    {"random-contrast", OPT_RANDOM_CONTRAST, "F", 0, "contrast times 1 - F to 1 + F (default 0)", 0},
    {"cutout", OPT_CUTOUT, "SIZE", 0, "a square of SIZE pixels is 0 (default 0)", 0},
    {"mixup", OPT_MIXUP, "ALPHA", 0,
     "mix each image and its label with another one's, weights from Beta(ALPHA, ALPHA) (default 0)", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    static const char *const directions[] = {"horizontal", "vertical", "both", NULL};
    cnnbn_augment *a = &((train_settings *)state->input)->opt.augment;
    int direction;
    switch (key) {
    case OPT_RANDOM_FLIP:
        direction = train_word("--random-flip", arg, directions);
        a->flip_horizontal = direction != 1;
        a->flip_vertical = direction != 0;
        break;
    case OPT_RANDOM_CROP:
        a->crop_pad = (int)train_int("--random-crop", arg, 0, 1 << 14);
        break;
    case OPT_RANDOM_TRANSLATION:
        a->translation = train_real("--random-translation", arg, 0, 1);
        break;
    case OPT_RANDOM_ROTATION:
        a->rotation = train_real("--random-rotation", arg, 0, 1);
        break;
    case OPT_RANDOM_CONTRAST:
        a->contrast = train_real("--random-contrast", arg, 0, 1);
        break;
    case OPT_CUTOUT:
        a->cutout = (int)train_int("--cutout", arg, 0, 1 << 14);
        break;
    case OPT_MIXUP:
        a->mixup = train_real("--mixup", arg, 0, 1e3);
        if (a->mixup > 0 && a->mixup < 1e-6)
            cli_check(cnnbn_error(CNNBN_ERR_OPTION, "--mixup %s: expected 0 or from 1e-6 to 1000", arg));
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

const struct argp train_options_augment = {.options = options, .parser = parse};
