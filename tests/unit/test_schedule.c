/* train: learning rates beside Keras and PyTorch (tests/golden/recipes.txt, made by make_recipes.py) and beside values worked out by
 * hand; what looks at an epoch's figures beside Keras' callbacks. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "golden_lines.h"
#include "trainer.h"

/* Keras computes in float, PyTorch in double with a product for each step. */
static const double keras_tolerance = 1e-6, torch_tolerance = 1e-12;

/* ---------------------------------------------------------------- rates */

static cnnbn_schedule schedule_of(cnnbn_schedule_kind kind, int64_t decay)
{
    cnnbn_schedule s;
    cnnbn_schedule_defaults(&s);
    s.kind = kind;
    s.decay.n = (double)decay;
    return s;
}

static cnnbn_schedule named_schedule(const char *name)
{
    cnnbn_schedule s;
    if (strncmp(name, "keras_exponential", 17) == 0) {
        s = schedule_of(CNNBN_SCHEDULE_EXPONENTIAL, 7);
        s.decay_rate = 0.8;
        s.staircase = name[17] != '\0';
    } else if (strcmp(name, "keras_cosine") == 0) {
        s = schedule_of(CNNBN_SCHEDULE_COSINE, 20);
        s.alpha = 0.1;
    } else if (strcmp(name, "keras_cosine_warmup") == 0) {
        s = schedule_of(CNNBN_SCHEDULE_COSINE, 15);
        s.alpha = 0.02;
        s.warmup.n = 6;
    } else if (strcmp(name, "keras_polynomial") == 0) {
        s = schedule_of(CNNBN_SCHEDULE_POLYNOMIAL, 20);
        s.end_lr = 0.01;
        s.power = 2;
    } else if (strcmp(name, "torch_multistep") == 0) {
        s = schedule_of(CNNBN_SCHEDULE_STEP, 0);
        s.gamma = 0.3;
        s.n_milestones = 3;
        for (int i = 0; i < 3; i++) s.milestones[i].n = i == 0 ? 5 : i == 1 ? 6 : 20;
    } else if (strcmp(name, "torch_step") == 0 || strcmp(name, "torch_warmup_step") == 0) {
        s = schedule_of(CNNBN_SCHEDULE_STEP, 8);
        s.gamma = 0.5;
        s.warmup.n = strcmp(name, "torch_step") == 0 ? 0 : 5;
        s.warmup_start = 0.1;
    } else if (strcmp(name, "torch_cosine") == 0) {
        s = schedule_of(CNNBN_SCHEDULE_COSINE, 0); /* the whole run of 30 steps */
        s.alpha = 0.1;
    } else if (strcmp(name, "torch_polynomial") == 0) {
        s = schedule_of(CNNBN_SCHEDULE_POLYNOMIAL, 12);
        s.end_lr = 0;
        s.power = 3;
    } else {
        assert_int_equal(strncmp(name, "torch_one_cycle", 15), 0);
        s = schedule_of(CNNBN_SCHEDULE_ONE_CYCLE, 0);
        if (name[15]) {
            s.pct_start = 0.45;
            s.div_factor = 10;
            s.final_div_factor = 100;
        }
    }
    return s;
}

static void rates_of_keras_and_pytorch(void **state)
{
    (void)state;
    static golden_line g;
    int n_cases = 0;
    FILE *file = golden_open();
    for (; golden_next(file, "rates", &g); n_cases++) {
        cnnbn_schedule s = named_schedule(g.name);
        check_ok(cnnbn_schedule_resolve(&s, 10, 30));
        assert_int_equal(g.n[0], 30);
        for (int64_t step = 0; step < 30; step++) {
            char what[96];
            (void)snprintf(what, sizeof what, "%s, step %d", g.name, (int)step);
            check_near(what, cnnbn_schedule_rate(&s, 0.5, step), g.numbers[0][step],
                       g.name[0] == 'k' ? keras_tolerance : torch_tolerance);
        }
    }
    (void)fclose(file);
    assert_int_equal(n_cases, 12);
}

static void rates_by_hand(void **state)
{
    (void)state;
    /* Milestones in epochs count from the run's start, behind the warm-up or not. */
    cnnbn_schedule s = schedule_of(CNNBN_SCHEDULE_STEP, 0);
    s.warmup = (cnnbn_duration){.n = 2, .is_epochs = 1};
    s.n_milestones = 2;
    s.milestones[0] = (cnnbn_duration){.n = 3, .is_epochs = 1};
    s.milestones[1] = (cnnbn_duration){.n = 4.5, .is_epochs = 1};
    check_ok(cnnbn_schedule_resolve(&s, 10, 60));
    check_near("first step", cnnbn_schedule_rate(&s, 8, 0), 0, 0);
    check_near("half way up", cnnbn_schedule_rate(&s, 8, 10), 4, 0);
    check_near("up", cnnbn_schedule_rate(&s, 8, 20), 8, 0);
    check_near("before the first", cnnbn_schedule_rate(&s, 8, 29), 8, 0);
    check_near("at the first", cnnbn_schedule_rate(&s, 8, 30), 0.8, 1e-15);
    check_near("at the second", cnnbn_schedule_rate(&s, 8, 45), 0.08, 1e-15);
    /* What is left behind the warm-up is the cosine's length; beyond its end nothing moves. */
    s = schedule_of(CNNBN_SCHEDULE_COSINE, 0);
    s.warmup.n = 20;
    check_ok(cnnbn_schedule_resolve(&s, 10, 60));
    check_near("cosine, a quarter", cnnbn_schedule_rate(&s, 8, 30), 4 * (1 + sqrt(0.5)), 1e-15);
    check_near("cosine, half", cnnbn_schedule_rate(&s, 8, 40), 4, 1e-15);
    check_near("cosine, beyond", cnnbn_schedule_rate(&s, 8, 1000), 0, 1e-15);
    /* One step, and a rise of no step. */
    for (int64_t n = 1; n <= 3; n++) {
        s = schedule_of(CNNBN_SCHEDULE_ONE_CYCLE, n);
        for (int pct = 0; pct <= 10; pct++) {
            s.pct_start = pct / 10.0;
            check_ok(cnnbn_schedule_resolve(&s, 10, 60));
            for (int64_t step = 0; step < 5; step++) {
                double rate = cnnbn_schedule_rate(&s, 8, step);
                assert_true(rate >= 8 / 25e4 * 0.999999 && rate <= 8);
            }
        }
    }
}

static void durations_that_cannot_be(void **state)
{
    (void)state;
    cnnbn_schedule s = schedule_of(CNNBN_SCHEDULE_STEP, 0);
    check_status(cnnbn_schedule_resolve(&s, 10, 60), CNNBN_ERR_OPTION, "--milestones");
    s.n_milestones = 2;
    s.milestones[0].n = s.milestones[1].n = 7;
    check_status(cnnbn_schedule_resolve(&s, 10, 60), CNNBN_ERR_OPTION, "must ascend");
    s = schedule_of(CNNBN_SCHEDULE_STEP, 7);
    s.n_milestones = 1;
    s.milestones[0].n = 7;
    check_status(cnnbn_schedule_resolve(&s, 10, 60), CNNBN_ERR_OPTION, "either");
    s = schedule_of(CNNBN_SCHEDULE_COSINE, 0);
    s.warmup = (cnnbn_duration){.n = 6, .is_epochs = 1};
    check_status(cnnbn_schedule_resolve(&s, 10, 60), CNNBN_ERR_OPTION, "--warmup of 60 steps leaves nothing");
    s.warmup.n = 0.01;
    check_status(cnnbn_schedule_resolve(&s, 10, 60), CNNBN_ERR_OPTION, "--warmup 0.01e");
}

/* ---------------------------------------------------------------- figures of an epoch */

static trainer trainer_of(const char *monitor)
{
    trainer t;
    memset(&t, 0, sizeof t);
    cnnbn_train_defaults(&t.opt);
    t.opt.quiet = 1;
    t.aim.n_metrics = 1;
    (void)snprintf(t.aim.names[0], sizeof t.aim.names[0], "accuracy");
    t.opt.plateau.monitor = t.opt.early_stopping.monitor = monitor;
    t.state.lr = 0.5;
    t.state.best = t.state.plateau.best = t.state.early.best = (double)NAN;
    return t;
}

static epoch_figures figures_of(const char *monitor, double value)
{
    epoch_figures f = {.has_val = 1, .loss = NAN, .val_loss = NAN, .metrics = {NAN}, .val_metrics = {NAN}};
    double *const places[] = {&f.loss, &f.metrics[0], &f.val_loss, &f.val_metrics[0]};
    static const char *const names[] = {"loss", "accuracy", "val_loss", "val_accuracy"};
    for (int i = 0; i < 4; i++)
        if (strcmp(names[i], monitor) == 0) *places[i] = value;
    return f;
}

static void plateau_of_keras(void **state)
{
    (void)state;
    static golden_line g;
    static const struct {
        const char *name;
        cnnbn_plateau plateau;
    } cases[] = {
        {"loss", {0.3, 2, 0, 1e-3, 0, "val_loss"}},
        {"loss_cooldown", {0.5, 1, 2, 1e-4, 0.1, "loss"}},
        {"accuracy", {0.1, 3, 0, 1e-4, 0, "val_accuracy"}},
    };
    FILE *file = golden_open();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(golden_next(file, "plateau", &g));
        assert_string_equal(g.name, cases[i].name);
        trainer t = trainer_of(cases[i].plateau.monitor);
        t.opt.plateau = cases[i].plateau;
        for (size_t e = 0; e < g.n[0]; e++) {
            epoch_figures f = figures_of(t.opt.plateau.monitor, g.numbers[0][e]);
            monitor_plateau(&t, &f);
            check_near(g.name, rate_of_step(&t, (int64_t)e), g.numbers[1][e], keras_tolerance);
        }
        assert_true(t.state.lr < 0.5);
    }
    (void)fclose(file);
}

static void early_stopping_of_keras(void **state)
{
    (void)state;
    static golden_line g;
    static const cnnbn_early_stopping cases[] = {
        {1, 3, 0, "val_loss", 0},
        {1, 4, 0.05, "val_loss", 0},
        {1, 2, 0, "accuracy", 0},
        {1, 0, 0, "accuracy", 0},
    };
    FILE *file = golden_open();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(golden_next(file, "stopping", &g));
        trainer t = trainer_of(cases[i].monitor);
        t.opt.early_stopping = cases[i];
        while (!t.state.stopped && t.state.epoch < (int64_t)g.n[0]) {
            epoch_figures f = figures_of(cases[i].monitor, g.numbers[0][t.state.epoch]);
            monitor_stopping(&t, &f);
            t.state.epoch++;
        }
        assert_true(t.state.stopped);
        assert_int_equal(t.state.epoch, (int64_t)g.numbers[1][0]);
    }
    assert_false(golden_next(file, "stopping", &g));
    (void)fclose(file);
}

/* A figure that is not a number is never the best, first or later. */
static void nan_is_not_better(void **state)
{
    (void)state;
    static const double values[] = {NAN, 2, NAN, 2, 1, NAN, INFINITY};
    static const int best[] = {0, 1, 0, 0, 1, 0, 0};
    trainer t = trainer_of("val_loss");
    t.opt.checkpoint_best = "val_loss";
    for (size_t i = 0; i < sizeof values / sizeof *values; i++, t.state.epoch++) {
        epoch_figures f = figures_of("val_loss", values[i]);
        assert_int_equal(monitor_best(&t, &f), best[i]);
    }
    assert_int_equal(t.state.best_epoch, 5);
}

/* As Keras has it: not after the first epoch, whatever it brought. */
static void no_stop_after_the_first_epoch(void **state)
{
    (void)state;
    trainer t = trainer_of("val_loss");
    t.opt.early_stopping = (cnnbn_early_stopping){1, 1, 0, "val_loss", 0};
    epoch_figures f = figures_of("val_loss", (double)NAN);
    monitor_stopping(&t, &f);
    assert_int_equal(t.state.stopped, 0);
    t.state.epoch = 1;
    monitor_stopping(&t, &f);
    assert_int_equal(t.state.stopped, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_of_keras_and_pytorch),    cmocka_unit_test(rates_by_hand),
        cmocka_unit_test(durations_that_cannot_be),      cmocka_unit_test(plateau_of_keras),
        cmocka_unit_test(early_stopping_of_keras),       cmocka_unit_test(nan_is_not_better),
        cmocka_unit_test(no_stop_after_the_first_epoch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
