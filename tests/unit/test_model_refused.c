/* model: what is refused, and what the message says. */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "cnnbn/model.h"

static void refused(const char *text, const char *message)
{
    cnnbn_model *m = NULL;
    check_status(cnnbn_model_from_text(text, strlen(text), "m.yaml", NULL, &m), CNNBN_ERR_MODEL, message);
    assert_null(m);
    assert_memory_equal(cnnbn_error_message(), "m.yaml: ", 8);
}

/* The layers of a text whose input is (8, 8, 4). */
static void layers_refused(const char *layers, const char *message)
{
    char text[600];
    (void)snprintf(text, sizeof text, "input: [8, 8, 4]\nlayers:\n%s\n", layers);
    refused(text, message);
}

static void arguments(void **state)
{
    (void)state;
    layers_refused("- Conv3D: {filters: 2}", "Conv3D is not a layer that is known here; known are Conv2D");
    layers_refused("- Conv2D: {filters: 2, kernel_size: 3, colour: red}",
                   "Conv2D: argument colour = red: Conv2D has no such argument here; it has filters");
    layers_refused("- Conv2D: {filters: 2}", "Conv2D: argument kernel_size is missing");
    layers_refused("- Conv2D: {filters: 0, kernel_size: 3, name: c}",
                   "layer c (Conv2D): argument filters = 0: expected 1 to");
    layers_refused("- Conv2D: {filters: 2.5, kernel_size: 3}", "argument filters = 2.5: expected an integer");
    layers_refused("- Conv2D: {filters: '2', kernel_size: 3}", "argument filters = \"2\": expected an integer");
    layers_refused("- Conv2D: {filters: 99999999999, kernel_size: 3}", "argument filters = 99999999999");
    layers_refused("- Conv2D: {filters: 2, kernel_size: [3, 3, 3]}", "argument kernel_size = [3, 3, 3]: expected");
    layers_refused("- Conv2D: {filters: 2, kernel_size: 3, padding: full}",
                   "argument padding = full: expected one of valid, same");
    layers_refused("- Conv2D: {filters: 2, kernel_size: 3, use_bias: 1}",
                   "argument use_bias = 1: expected true or false");
    layers_refused("- Conv2D: {filters: 2, kernel_size: 3, activation: mish}", "activation mish is not supported");
    layers_refused("- Conv2D: {filters: 2, kernel_size: 3, kernel_initializer: hadamard}", "initialiser hadamard");
    layers_refused("- Conv2D: {filters: 2, kernel_size: 3, kernel_initializer: OnesInitializer}",
                   "use one of zeros, ones");
    layers_refused("- Conv2D: {name: c, filters: 2, kernel_size: 3, bias_initializer: orthogonal}",
                   "layer c (Conv2D): argument bias_initializer = orthogonal: it is for weights of two dimensions and "
                   "more, and this one has 1");
    layers_refused("- Conv2D: {filters: 2, kernel_size: 3, kernel_initializer: Identity}",
                   "argument kernel_initializer = identity: it is for weights of two dimensions, and this one has 4");
    layers_refused("- Dense: {units: 2, kernel_initializer: {class_name: Identity, config: {stddev: 1}}}",
                   "initialiser Identity has no argument stddev");
    layers_refused(
        "- Conv2D: {filters: 2, kernel_size: 3, kernel_initializer: {class_name: RandomNormal, config: {stddev: -1}}}",
        "stddev -1 is below zero");
#define SCALED(config) "- Dense: {units: 2, kernel_initializer: {class_name: VarianceScaling, config: {" config "}}}"
    layers_refused(SCALED("mode: fan_max"),
                   "initialiser VarianceScaling: mode = fan_max, expected fan_in, fan_out or fan_avg");
    layers_refused(SCALED("distribution: cauchy"), "distribution = cauchy, expected truncated_normal, uniform or");
    layers_refused(SCALED("scale: 0"), "initialiser VarianceScaling: scale 0, expected more than zero");
    layers_refused(SCALED("colour: 1"), "initialiser VarianceScaling has no argument colour");
#undef SCALED
    layers_refused("- Conv2D: {filters: 2, kernel_size: 3, data_format: channels_first}",
                   "argument data_format = channels_first is not supported");
    layers_refused("- MaxPooling2D: {kernel_regularizer: l2}", "see --weight-decay");
    layers_refused("- Conv2D: {filters: 2, kernel_size: 3, dtype: mixed_float16}", "cnnbn computes in float32");
    layers_refused("- Conv2D: {filters: 2, kernel_size: 3, groups: 3}",
                   "groups = 3 must divide the input's 4 channels");
    layers_refused("- Conv2D: {filters: 2, kernel_size: 3, strides: 2, dilation_rate: 2}", "one of them is 1");
    layers_refused("- ReLU: {max_value: 0.2, threshold: 0.5}",
                   "layer re_lu (ReLU): argument threshold = 0.5: greater than max_value = 0.2; expected at most that");
    layers_refused("- Dense: {units: 1, activation: {class_name: ReLU, config: {max_value: 1, threshold: 2}}}",
                   "argument activation: ReLU: argument threshold = 2: greater than max_value = 1");
    layers_refused("- LeakyReLU: {alpha: 0.1, negative_slope: 0.1}", "argument negative_slope is there twice");
    layers_refused("- Dropout: {rate: 1.5}", "argument rate = 1.5: expected 0 to 1");
    layers_refused("- Dropout: {rate: .nan}", "argument rate = .nan: expected a number");
    layers_refused("- Dropout: 0.5", "arguments 0.5: expected a map");
    layers_refused(
        "- Dropout: {name: d, rate: 0.5, noise_shape: [32, 1, 1, 1]}",
        "layer d (Dropout): argument noise_shape = [32, 1, 1, 1]: expected a list such as [null, 1, 1, null]");
    layers_refused("- Dropout: {rate: 0.5, noise_shape: [1, 1, 1, 1]}", "null for the batch, whose samples draw on");
    layers_refused("- Dropout: {rate: 0.5, noise_shape: 1}", "argument noise_shape = 1: expected a list");
    layers_refused("- Dropout: {rate: 0.5, noise_shape: [null, 0, 1, 1]}", "noise_shape = [null, 0, 1, 1]: expected");
    layers_refused("- Dropout: {rate: 0.5, noise_shape: [null, 1]}",
                   "argument noise_shape has 2 numbers, expected 4: one for the batch, and one for each dimension of "
                   "input (8, 8, 4)");
    layers_refused("- Dropout: {rate: 0.5, noise_shape: [null, 1, 2, 1]}",
                   "argument noise_shape: 2 for axis 2 of input (8, 8, 4), expected 1, 8, or null for its size");
    layers_refused("- SpatialDropout2D: {rate: 0.5, noise_shape: [null, 1, 1, 1]}",
                   "noise_shape = [null, 1, 1, 1] is not supported: remove it; whole channels are dropped here");
    layers_refused("- BatchNormalization: {axis: 4}", "axis = 4: input (8, 8, 4) has axes 1 to 3 (0 is the batch)");
    layers_refused("- BatchNormalization: {axis: 0}", "axis = 0: input (8, 8, 4) has axes 1 to 3 (0 is the batch)");
    layers_refused("- BatchNormalization: {renorm: true}", "batch renormalisation is not supported");
    layers_refused("- Conv2D: {filters: 2, kernel_size: 3, trainable: 3}", "argument trainable = 3");
}

static void rules(void **state)
{
    (void)state;
#define CONV(rule) "- Conv2D: {name: c, filters: 2, kernel_size: 3, " rule "}"
    layers_refused(CONV("activity_regularizer: l2"), "a penalty on outputs is not computed here; remove it");
    layers_refused(CONV("kernel_regularizer: l3"),
                   "layer c (Conv2D): argument kernel_regularizer: regularizer l3 is not");
    layers_refused(CONV("kernel_regularizer: l1_l2"), "regularizer l1_l2: state how strong, as in {l1: 0.001");
    layers_refused(CONV("kernel_regularizer: {l2: -1}"), "l2 = -1, expected a number from 0 to 1e+30");
    layers_refused(CONV("kernel_regularizer: {l2: .nan}"), "l2 = .nan, expected a number");
    layers_refused(CONV("kernel_regularizer: {class_name: L2, config: {l1: 1}}"), "regularizer l2 has no argument l1");
    layers_refused(CONV("kernel_regularizer: {class_name: OrthogonalRegularizer, config: {factor: 0.1}}"),
                   "use l1, l2 or l1_l2, such as {l2: 0.0001}");
    layers_refused(CONV("bias_constraint: clip"), "constraint clip is not supported; use max_norm, non_neg");
    layers_refused(CONV("bias_constraint: {class_name: NonNeg, config: {axis: 0}}"),
                   "argument bias_constraint: constraint non_neg: has no argument axis");
    layers_refused(CONV("bias_constraint: {class_name: MaxNorm, config: {axis: 1}}"), "axis 1 is none of its 1 axes");
    layers_refused(CONV("kernel_constraint: {class_name: MaxNorm, config: {axis: [0, -4]}}"), "axis -4 is named twice");
    layers_refused(CONV("kernel_constraint: {class_name: MaxNorm, config: {axis: []}}"), "axis = []: expected an axis");
    layers_refused(CONV("kernel_constraint: {class_name: MaxNorm, config: {axis: 4}}"), "axis = 4: expected an axis");
    layers_refused(CONV("kernel_constraint: {class_name: MinMaxNorm, config: {min_value: 3}}"),
                   "constraint min_max_norm: min_value 3 is above max_value 1");
    layers_refused(CONV("kernel_constraint: {class_name: MinMaxNorm, config: {rate: 2}}"),
                   "rate = 2, expected a number");
    layers_refused(CONV("activation: {class_name: LeakyReLU, config: {negative_slope: -1}}"),
                   "argument activation: LeakyReLU: argument negative_slope = -1: expected 0 to");
    layers_refused(CONV("activation: {class_name: PReLU, config: {}}"), "is not supported; use one of linear, relu");
#undef CONV
}

static void epsilon_must_be_positive(void **state)
{
    (void)state;
    layers_refused("- BatchNormalization: {name: first, epsilon: 0}",
                   "layer first (BatchNormalization): argument epsilon = 0: must be greater than zero");
    layers_refused("- BatchNormalization: {epsilon: -0.001}",
                   "layer batch_normalization (BatchNormalization): argument epsilon = -0.001");
    layers_refused("- BatchNormalization: {epsilon: 1e-60}", "must be greater than zero"); /* zero as a float */
}

static void shapes(void **state)
{
    (void)state;
    layers_refused("- Conv2D: {filters: 32, kernel_size: 6}\n- Conv2D: {filters: 2, kernel_size: 5}",
                   "m.yaml: layer conv2d_1 (Conv2D): kernel 5x5 does not fit input (3, 3, 32)");
    layers_refused("- Flatten\n- Conv2D: {filters: 2, kernel_size: 3}",
                   "expects an input of (height, width, channels)");
    layers_refused("- Reshape: {target_shape: [3, -1]}", "does not hold the 256 values of input (8, 8, 4)");
    layers_refused("- Reshape: {target_shape: [-1, -1]}", "only one dimension can be -1");
    layers_refused("- MaxPooling2D: {name: p}\n- Add: {from: [p, input]}",
                   "inputs (4, 4, 4) and (8, 8, 4) do not meet");
    layers_refused("- Flatten: {name: f}\n- Concatenate: {from: [f, input]}", "do not meet");
    layers_refused("- Cropping2D: {cropping: 4}", "cropping = [[4, 4], [4, 4]] leaves nothing of input (8, 8, 4)");
    layers_refused("- ZeroPadding2D: {padding: [1, 2, 3]}", "expected a number, a pair, or a pair of pairs");
    layers_refused("- ZeroPadding2D: {padding: -1}", "argument padding = -1: expected 0 to");
    layers_refused("- UpSampling2D: {interpolation: bicubic}", "expected one of nearest, bilinear");
    layers_refused("- Conv2DTranspose: {filters: 2, kernel_size: 3, strides: 2, dilation_rate: 2}", "one of them is 1");
    layers_refused("- Conv2DTranspose: {filters: 2, kernel_size: 3, strides: 2, output_padding: 2}",
                   "output_padding = [2, 2]: must be less than the strides 2x2");
    layers_refused("- Conv2DTranspose: {filters: 2, kernel_size: 3, groups: 2}", "has one group here");
    layers_refused("- Flatten\n- Conv2DTranspose: {filters: 2, kernel_size: 3}", "(height, width, channels)");
    layers_refused(
        "- Reshape: {target_shape: [1, 64, 4]}\n- Conv2DTranspose: {filters: 2, kernel_size: [2, 1], padding: "
        "same, strides: [2, 1], output_padding: 0}",
        "gives an output of 0x64 for input (1, 64, 4)");
    layers_refused("- Softmax: {axis: [1, 3]}", "one axis of input (8, 8, 4) is supported, or all from one axis");
    layers_refused("- GroupNormalization", "argument groups = 32 must divide the 4 channels");
    layers_refused("- LayerNormalization: {axis: [1, 2]}",
                   "argument axis: one axis of input (8, 8, 4) is supported, or");
    layers_refused("- LayerNormalization: {axis: 0}", "1 to 3 or -1 to -3 (0 is the batch)");
    layers_refused("- LayerNormalization: {epsilon: 0}", "argument epsilon = 0: must be greater than zero");
    layers_refused("- PReLU: {shared_axes: [2]}", "none or the first axes are supported");
    layers_refused("- UnitNormalization: {axis: [1, 2]}", "one axis of input (8, 8, 4) is supported");
    layers_refused("- Conv1D: {filters: 2, kernel_size: 3}", "expects an input of (length, channels), found (8, 8, 4)");
    layers_refused("- MaxPooling2D: {name: p}\n- Multiply: {from: [p, input]}",
                   "inputs (4, 4, 4) and (8, 8, 4) do not meet; their dimensions must be as many, and equal or "
                   "1 in one of them");
    layers_refused("- Flatten: {name: f}\n- Add: {from: [f, input]}", "inputs (256) and (8, 8, 4) do not meet");
    layers_refused("- ReLU: {name: p}\n- Subtract: {from: [p, input, p]}", "has 3 inputs, expected 2");
    layers_refused("- LayerScale: {name: s, init_values: 1, projection_dim: 3}",
                   "layer s (LayerScale): argument projection_dim = 3: input (8, 8, 4) has 4 channels");
    layers_refused("- LayerScale: {projection_dim: 4}", "argument init_values is missing");
    layers_refused("- Add", "layer add (Add): has 1 inputs, expected at least 2");
    layers_refused("- Flatten: {from: [input, input]}", "has 2 inputs, expected 1");
    layers_refused("- Flatten\n- Dense: {units: 16777216}", "weight kernel is too large");
    refused("input: [60000, 60000, 3]\nlayers: [Flatten]", "is too large");
    refused("input: [0, 3, 3]\nlayers: [Flatten]", "dimensions must be at least 1");
    refused("input: [1, 2, 3, 4]\nlayers: [Flatten]", "input shape [1, 2, 3, 4]: expected 1 to 3 dimensions");
    refused("layers: [Flatten]", "input: is missing");
    refused("input: [null, 28, 1]\nlayers: [Flatten]", "leaves dimension 1 open");
}

static void layers_of_images(void **state)
{
    (void)state;
    layers_refused("- RandomFlip: {mode: diagonal}",
                   "argument mode = diagonal: expected one of horizontal, vertical, horizontal_and_vertical");
    layers_refused("- Flatten\n- RandomFlip", "expects an input of (height, width, channels)");
    layers_refused("- RandomCrop: {height: 8, width: 9}",
                   "layer random_crop (RandomCrop): argument width = 9: greater than the input (8, 8, 4)");
    layers_refused("- RandomCrop: {height: 4}", "argument width is missing");
    layers_refused("- RandomTranslation: {height_factor: 0.1, width_factor: 1.5}",
                   "argument width_factor = 1.5: expected -1 to 1");
    layers_refused("- RandomTranslation: {height_factor: [0.2, 0.1], width_factor: 0}",
                   "argument height_factor = [0.2, 0.1]: expected the lower number first");
    layers_refused("- RandomTranslation: {height_factor: [1, 2, 3], width_factor: 0}",
                   "expected a list of two numbers");
    layers_refused("- RandomRotation: {factor: much}", "argument factor = much: expected a number or a list of two");
    layers_refused("- RandomRotation: {factor: .nan}", "argument factor = .nan: expected a number or a list of two");
    layers_refused("- RandomRotation: {factor: 0.1, fill_mode: mirror}",
                   "argument fill_mode = mirror: expected one of reflect, wrap, constant, nearest");
    layers_refused("- RandomRotation: {factor: 0.1, interpolation: bicubic}", "expected one of nearest, bilinear");
    layers_refused("- RandomContrast: {factor: -0.1}", "argument factor = -0.1: expected 0 to 1");
    layers_refused("- RandomContrast: {factor: 0.1, value_range: 255}",
                   "argument value_range = 255: expected a list of two numbers");
    layers_refused("- Normalization: {mean: 1}", "of 1 and 0 numbers, expected both or neither");
    layers_refused("- Normalization: {mean: [1, 2], variance: [1, 2]}", "2 numbers, expected one or one for each of 4");
    layers_refused("- Normalization: {mean: 1, variance: -1}", "argument variance = -1: expected 0 to 1e+30");
    layers_refused("- Normalization: {mean: [[1, 2], [3, 4]], variance: 1}", "a list of 1 to 16 of them");
    layers_refused("- Normalization: {axis: 4}", "argument axis = 4");
    layers_refused("- Normalization: {axis: [1, 3]}", "argument axis: none, one axis of input (8, 8, 4), or all from");
    layers_refused("- Normalization: {axis: null, mean: [1, 2, 3, 4], variance: [1, 1, 1, 1]}",
                   "argument mean: 4 numbers for 0 axes, expected one; or state one axis");
    layers_refused("- Rescaling: {scale: [1, 2, 3]}",
                   "argument scale: 3 numbers, expected one or one for each of 4 channels");
    layers_refused("- Rescaling: {scale: 1, offset: [1, 2]}", "argument offset: 2 numbers, expected one");
    layers_refused("- Rescaling: {scale: null}", "argument scale = null: expected a number or a list");
    layers_refused("- LayerNormalization: {axis: null}", "argument axis: one axis of input (8, 8, 4) is supported, or");
    layers_refused("- UnitNormalization: {axis: []}", "one axis of input (8, 8, 4) is supported");
    layers_refused("- Softmax: {axis: []}", "one axis of input (8, 8, 4) is supported, or all from one axis");
    layers_refused("- Normalization: {invert: true}", "needs mean and variance as arguments");
}

static void graphs(void **state)
{
    (void)state;
    layers_refused("- Flatten: {from: nobody}", "there is no layer nobody");
    layers_refused("- ReLU: {name: a, from: b}\n- ReLU: {name: b, from: a}", "cycle through");
    layers_refused("- ReLU: {name: a, from: a}", "cycle through a and a");
    layers_refused("- ReLU: {name: a}\n- ReLU: {name: a}", "the name a is used twice");
    layers_refused("- ReLU: {name: input}", "the name input is used twice");
    layers_refused("- ReLU: {name: a}\n- ReLU: {name: b, from: input}", "layer a does not lead to the output b");
    layers_refused("- again: {layer: nobody}", "again: there is no layer nobody");
    layers_refused("- Conv2D: {name: c, filters: 2, kernel_size: 3}\n- again: {layer: c}",
                   "is used twice, on inputs (8, 8, 4) and (6, 6, 2)");
    layers_refused(
        "- PReLU: {name: p}\n- MaxPooling2D\n- again: {layer: p}",
        "layer p (PReLU): is used twice, on inputs (8, 8, 4) and (4, 4, 4), for which its weights have other");
    layers_refused("- BatchNormalization: {name: n, axis: 1}\n- Cropping2D: {cropping: [1, 0]}\n- again: {layer: n}",
                   "is used twice, on inputs (8, 8, 4) and (6, 8, 4)");
    layers_refused("- Softmax: {name: s, axis: 1}\n- Flatten\n- again: {layer: s}",
                   "is used twice, on inputs of 3 and 1 dimensions; its axis is of one number");
    layers_refused("- {Flatten: {}, Dense: {units: 2}}", "one layer is expected");
    layers_refused("- [Flatten]", "expected a layer, such as");
    refused("input: [8]\nlayers: []", "layers: expected a list of layers");
    refused("input: [8]\nlayer: [Flatten]", "layer: expected name, input");
    refused("[1, 2]", "expected a map with");
    char text[400];
    (void)snprintf(text, sizeof text, "input: [8]\nlayers:\n- Flatten: {name: %0200d}", 7);
    refused(text, "has 200 bytes; 1 to 127 are allowed");
}

static void texts(void **state)
{
    (void)state;
    refused("", "the text is empty");
    refused(" \n", "the text is empty");
    refused("# nothing\n", "the text is empty");
    refused("input: [8", "not valid YAML or JSON");
    refused("input: [8]\nlayers: [\"10", "not valid YAML or JSON: line 2, column 11: ");
    refused("{\"class_name\": \"Sequential\"", "not valid YAML or JSON");
    refused("input: [8]\ninput: [9]\nlayers: [Flatten]", "key \"input\" is there twice");
    refused("a: &x [1]\nb: *x", "anchors (&) and aliases (*) are not taken");
    refused("input: !!python/object [8]", "tags (!) are not taken");
    refused("input: [8]\n---\ninput: [9]", "a second document");
    refused("%YAML 1.2\n---\ninput: [8]", "line 1: directives (%) are not taken");
    refused("# c\n%  x\": null", "line 2: directives (%) are not taken");
    refused("\xEF\xBB\xBF%  x\": null", "directives (%) are not taken");
    refused("{[1]: 2}", "a key must be a word");
    char deep[200];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    refused(deep, "nested deeper than 48");
}

static void keras(void **state)
{
    (void)state;
#define LAYER(type, config) "{\"class_name\": \"" type "\", \"config\": {" config "}}"
#define MODEL(layers) "{\"class_name\": \"Sequential\", \"config\": {\"name\": \"m\", \"layers\": [" layers "]}}"
#define INPUT LAYER("InputLayer", "\"batch_shape\": [null, 8, 8, 4], \"name\": \"i\"")
    refused("{\"class_name\": \"Sequential\"}", "needs class_name and config");
    refused("{\"class_name\": \"MyModel\", \"config\": {}}", "a model of class MyModel");
    refused(MODEL(INPUT ", " LAYER("Sequential", "\"name\": \"inner\"")),
            "model inner: a Sequential model needs a list of layers");
    refused(MODEL(INPUT ", " LAYER("Sequential",
                                   "\"name\": \"inner\", \"layers\": [" LAYER("Lambda", "\"name\": \"l\"") "]")),
            "model inner: layer l: Lambda is not a layer");
    layers_refused("- Sequential: {layers: []}", "models inside models are read in Keras' files alone");
    refused(MODEL(INPUT ", " INPUT), "a second input");
    refused(MODEL(LAYER("Flatten", "\"name\": \"f\"")), "the model states no input shape");
    refused(MODEL(INPUT ", " LAYER("Lambda", "\"name\": \"l\"")), "layer l: Lambda is not a layer");
    refused(
        MODEL(INPUT ", " LAYER("Conv2D", "\"name\": \"c\", \"filters\": 2, \"kernel_size\": 3, \"kernel_constraint\": "
                                         "{\"class_name\": \"RadialConstraint\", \"config\": {}}")),
        "layer c (Conv2D): argument kernel_constraint: constraint {class_name: \"RadialConstraint\", config: {}} is "
        "not");
    refused("{\"class_name\": \"Functional\", \"config\": {\"layers\": [{\"class_name\": \"InputLayer\", \"name\": "
            "\"i\", \"config\": "
            "{\"batch_shape\": [null, 8]}, \"inbound_nodes\": []}, {\"class_name\": \"Flatten\", \"name\": \"f\", "
            "\"config\": {}, "
            "\"inbound_nodes\": [[[\"i\", 0, 0, {\"training\": false}]]]}], \"input_layers\": [[\"i\", 0, 0]], "
            "\"output_layers\": [[\"f\", 0, 0]]}}",
            "layer f (Flatten): is called with training = false");
}

/* What a file says beside the layers' own arguments. */
/* A model of one layer or operation that is called once. */
#define CALLED(class_name, config, node)                                                                            \
    "{\"class_name\": \"Functional\", \"config\": {\"layers\": [{\"class_name\": \"InputLayer\", \"name\": \"i\", " \
    "\"config\": {\"batch_shape\": [null, 8]}, \"inbound_nodes\": []}, {\"class_name\": \"" class_name              \
    "\", \"name\": \"a\", \"config\": {" config "}, \"inbound_nodes\": [" node                                      \
    "]}], \"input_layers\": [[\"i\", 0, 0]], \"output_layers\": [[\"a\", 0, 0]]}}"
#define TENSOR "{\"class_name\": \"__keras_tensor__\", \"config\": {\"keras_history\": [\"i\", 0, 0]}}"

static void keras_operations(void **state)
{
    (void)state;
#define ON(class_name, args) CALLED(class_name, "", "{\"args\": [" args "], \"kwargs\": {}}")
    refused(ON("Divide", TENSOR ", 0"), "operation a (Divide): divides by 0; expected a number other than zero");
    refused(ON("TrueDivide", "1.5, " TENSOR),
            "operation a (TrueDivide): divides 1.5 by a tensor, which is not supported");
    refused(ON("TrueDivide", TENSOR ", " TENSOR), "divides one tensor by another, which is not supported");
    refused(ON("Maximum", TENSOR ", 0.5"),
            "takes the maximum of a tensor and 0.5; tensors of layers are expected: ReLU");
    refused(ON("Add", TENSOR ", {\"class_name\": \"__tensor__\", \"config\": {\"value\": [1, 2]}}"),
            "operation a (Add): is called on {class_name: \"__tensor__\", config: {value: [1, 2]}}; expected two "
            "tensors, of "
            "which one may be a number: numbers for each channel come in by Rescaling");
    refused(ON("Add", TENSOR), "operation a (Add): is called on too little; expected two tensors");
    refused(ON("Add", "2, 3"), "operation a (Add): is called on 3; expected two tensors");
    refused(ON("Negative", "2"), "operation a (Negative): is called on 2; expected a tensor");
    refused(ON("Negative", TENSOR ", 2"), "operation a (Negative): is called on more than 1 operands");
    refused(ON("Multiply", TENSOR ", NaN"), "is called on NaN; expected two tensors");
    refused(CALLED("Add", "", "{\"args\": [" TENSOR ", 2]}, {\"args\": [" TENSOR ", 3]}"),
            "is called several times, with numbers; call an operation of its own each time");
    refused(CALLED("Add", "\"axis\": 1", "{\"args\": [" TENSOR ", 2]}"),
            "operation a (Add): argument axis is not known");
    refused(CALLED("Add", "\"dtype\": \"float16\"", "{\"args\": [" TENSOR ", 2]}"), "cnnbn computes in float32");
    refused(CALLED("Add", "", "{\"args\": [" TENSOR ", 2], \"kwargs\": {\"x2\": 3}}"),
            "is called with x2 = 3, which is");
#undef ON
#define LAMBDA(function, node) CALLED("TFOpLambda", "\"function\": \"" function "\"", node)
    refused(LAMBDA("math.sin", "[\"i\", 0, 0, {\"name\": null}]"),
            "operation a (TFOpLambda): the function math.sin of TensorFlow is not known here; known are add, subtract");
    refused(LAMBDA("linalg.add", "[\"i\", 0, 0, {\"y\": 2}]"), "the function linalg.add of TensorFlow is not known");
    refused(LAMBDA("math.add", "[\"i\", 0, 0, {\"y\": 2, \"name\": \"sum\"}]"),
            "is called with name = \"sum\", which is");
    refused(LAMBDA("math.add", "[\"i\", 0, 0, {\"name\": null}]"), "is called on too little; expected two tensors");
    refused(LAMBDA("math.divide", "[\"_CONSTANT_VALUE\", -1, 2.0, {\"y\": [\"i\", 0, 0]}]"), "divides 2 by a tensor");
#undef LAMBDA
}

static void keras_surroundings(void **state)
{
    (void)state;
#define FLATTEN(more) "{\"class_name\": \"Flatten\", \"config\": {\"name\": \"f\"}, " more "}"
    refused(MODEL(INPUT ", " FLATTEN("\"module\": \"my.layers\", \"registered_name\": \"Flatten\"")),
            "f: module = \"my.layers\": a class Flatten that is not Keras' own; build the model of Keras' layers");
    refused(MODEL(INPUT ", " FLATTEN("\"module\": \"kerasy.layers\"")), "f: module = \"kerasy.layers\"");
    refused(MODEL(INPUT ", " FLATTEN("\"module\": null, \"registered_name\": \"Custom>Flatten\"")),
            "f: registered_name = \"Custom>Flatten\": a class Flatten that is not Keras' own");
    refused(MODEL(INPUT ", " FLATTEN("\"colour\": 1")), "f: key colour is not known");
    refused(CALLED("Average", "", "{\"args\": [" TENSOR ", 3.0]}"),
            "layer a (Average): is called on 3.0; tensors of layers are expected, and numbers come in by Rescaling");
    refused(CALLED("Average", "", "{\"args\": [" TENSOR ", " TENSOR "], \"colour\": 1}"),
            "layer a (Average): inbound_nodes: key colour is not known");
    refused(CALLED("Average", "", "{\"args\": [" TENSOR "], \"kwargs\": {\"alpha\": 2}}"),
            "is called with alpha = 2, which is not supported; call it on");
    refused("{\"class_name\": \"Functional\", \"module\": \"mine\", \"config\": {}}", "the model: module = \"mine\"");
    refused(MODEL(LAYER("InputLayer", "\"batch_shape\": [null, 8], \"dtype\": \"uint8\"")),
            "layer input (InputLayer): argument dtype = \"uint8\" is not supported: cnnbn computes in float32");
    refused("{\"class_name\": \"Sequential\", \"config\": {\"dtype\": {\"class_name\": \"DTypePolicy\", \"config\": "
            "{\"name\": \"mixed_float16\"}}, \"layers\": [" INPUT "]}}",
            "argument dtype = {class_name: \"DTypePolicy\", config: {name: \"mixed_float16\"}} is not supported");
#undef FLATTEN
}

/* A Functional model `in` of two inputs a and b, called in the ways of `nodes`; `layers` are its other layers. */
static void nested_refused(const char *layers, const char *outputs, const char *nodes, const char *message)
{
    char text[3000];
    (void)snprintf(text, sizeof text,
                   "{\"class_name\": \"Functional\", \"config\": {\"layers\": ["
                   "{\"class_name\": \"InputLayer\", \"name\": \"i\", \"config\": {\"batch_shape\": [null, 8]}, "
                   "\"inbound_nodes\": []},"
                   "{\"class_name\": \"Functional\", \"name\": \"in\", \"config\": {\"name\": \"in\", \"layers\": ["
                   "{\"class_name\": \"InputLayer\", \"name\": \"a\", \"config\": {}, \"inbound_nodes\": []},"
                   "{\"class_name\": \"InputLayer\", \"name\": \"b\", \"config\": {}, \"inbound_nodes\": []},%s],"
                   "\"input_layers\": [[\"a\", 0, 0], [\"b\", 0, 0]], \"output_layers\": %s}, \"inbound_nodes\": %s}],"
                   "\"input_layers\": [[\"i\", 0, 0]], \"output_layers\": [[\"in\", 1, 0]]}}",
                   layers, outputs, nodes);
    refused(text, message);
}

static void nested(void **state)
{
    (void)state;
#define ADD(name, x, y)                                                                            \
    "{\"class_name\": \"Add\", \"name\": \"" name "\", \"config\": {}, \"inbound_nodes\": [[[\"" x \
    "\", 0, 0, {}], [\"" y "\", 0, 0, {}]]]}"
    static const char both[] = "[[[\"i\", 0, 0, {}], [\"i\", 0, 0, {}]]]";
    nested_refused(ADD("s", "a", "b"), "[[\"s\", 0, 0]]", "[[[\"i\", 0, 0, {}]]]",
                   "model in: is called on 1 tensors, and has 2 inputs");
    nested_refused(ADD("s", "a", "b"), "[[\"s\", 0, 0]]", "[[[\"i\", 0, 0, {}], [\"in\", 1, 0, {}]]]", "cycle through");
    nested_refused(ADD("s", "a", "b"), "[[\"b\", 0, 0]]", "[[[\"i\", 0, 0, {}], [\"in\", 1, 0, {}]]]",
                   "models form a cycle through in");
    nested_refused(ADD("s", "a", "i"), "[[\"s\", 0, 0]]", both,
                   "no layer's output is called [\"i\", 0, 0"); /* not inside */
    nested_refused(ADD("s", "a", "b") "," ADD("s", "a", "b"), "[[\"s\", 0, 0]]", both, "the name s is used twice");
    nested_refused(ADD("s", "a", "b") "," ADD("t", "a", "b"), "[[\"s\", 0, 0]]", both,
                   "layer in_t does not lead to the output in_s");
    nested_refused(ADD("s", "a", "b"), "[[\"s\", 1, 0]]", both, "no layer's output is called [\"s\", 1, 0]");
    nested_refused(ADD("s", "a", "b"), "[]", both, "model in: output_layers: expected a list such as");
#undef ADD
}

/* A model inside a Sequential one, called on (8, 8, 4). */
static void inputs_of_nested(void **state)
{
    (void)state;
#define CHAIN(name, layers) LAYER("Sequential", "\"name\": \"" name "\", \"layers\": [" layers "]")
#define STATED(shape) CHAIN("in", LAYER("InputLayer", "\"name\": \"j\", \"batch_shape\": " shape) ", " FLAT)
#define FLAT LAYER("Flatten", "\"name\": \"f\"")
    refused(MODEL(INPUT ", " STATED("[null, 8, 8, 3]")),
            "model in: is called on (8, 8, 4), and its input is (8, 8, 3)");
    refused(MODEL(INPUT ", " STATED("[null, null, 4, null]")), "is called on (8, 8, 4), and its input is (8, 4, 4)");
    refused(MODEL(INPUT ", " FLAT ", " CHAIN("out", STATED("[null, 255]"))),
            "model in: is called on (256), and its input is (255)");
    refused(MODEL(INPUT ", " STATED("[null, 8, 32]")), "is called on (8, 8, 4), and its input is (8, 32)");
    refused(MODEL(INPUT ", " STATED("[null, 8, 0, 4]")), "model in: input shape [null, 8, 0, 4]: expected");
    refused(MODEL(INPUT ", " STATED("[null, 1, 8, 8, 4]")), "expected the batch's null and 1 to 3 dimensions");
    refused(MODEL(INPUT ", " STATED("[null]")), "expected the batch's null and 1 to 3 dimensions");
    refused(MODEL(INPUT ", " STATED("8")), "expected the batch's null and 1 to 3 dimensions");
    cnnbn_model *m = NULL;
    static const char fits[] = MODEL(INPUT ", " STATED("[null, 8, null, 4]")),
                      keras2[] = "{\"keras_version\": \"2.11.0\", \"class_name\": \"Sequential\", \"config\": "
                                 "{\"layers\": [" INPUT ", " STATED("[null, 9, 9, 4]") "]}}";
    check_ok(cnnbn_model_from_text(fits, strlen(fits), "m", NULL, &m));
    cnnbn_model_destroy(m);
    check_ok(cnnbn_model_from_text(keras2, strlen(keras2), "m", NULL, &m)); /* only a warning there */
    cnnbn_model_destroy(m);
}

static void names(void **state)
{
    (void)state;
    cnnbn_model *m = NULL;
    check_status(cnnbn_model_load("resnet21", NULL, &m), CNNBN_ERR_MODEL, "resnet21 is no built-in model");
    check_status(cnnbn_model_load("no/such.yaml", NULL, &m), CNNBN_ERR_IO, "no/such.yaml: cannot be opened");
    check_status(cnnbn_model_load("/", NULL, &m), CNNBN_ERR_IO, "cannot be read");
    cnnbn_model_wish wish = {{3, {8, 8, 1}}, 10, CNNBN_NORM_OWN};
    check_status(cnnbn_model_load("allcnn", &wish, &m), CNNBN_ERR_MODEL, "needs images of 9x9 at least");
    wish.input = (cnnbn_shape){1, {784, 0, 0}};
    check_status(cnnbn_model_load("resnet20", &wish, &m), CNNBN_ERR_MODEL, "takes images (height, width, channels)");
    assert_null(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments),
        cmocka_unit_test(rules),
        cmocka_unit_test(epsilon_must_be_positive),
        cmocka_unit_test(shapes),
        cmocka_unit_test(graphs),
        cmocka_unit_test(texts),
        cmocka_unit_test(layers_of_images),
        cmocka_unit_test(keras),
        cmocka_unit_test(keras_operations),
        cmocka_unit_test(keras_surroundings),
        cmocka_unit_test(nested),
        cmocka_unit_test(inputs_of_nested),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests_name("model_refused", tests, NULL, NULL);
}
