#include "eval_report.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "cli.h"
#include "cli_csv.h"

enum { MATRIX_MOST = 20, NAME_COLUMNS = 20, CONFUSIONS_SHOWN = 10 };

typedef struct class_figures {
    int64_t support, predicted, right;
    double precision, recall, f1; /* NAN: not defined */
} class_figures;

static double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : (double)NAN;
}

/* F1, the harmonic mean of precision and recall, is 2 right/(support + predicted). */
static class_figures figures_of(const cnnbn_evaluation *e, int k)
{
    class_figures f = {0, 0, 0, 0, 0, 0};
    size_t K = (size_t)e->n_classes, at = (size_t)k;
    for (size_t i = 0; i < K; i++) {
        f.support += e->confusion[at * K + i];
        f.predicted += e->confusion[i * K + at];
    }
    f.right = e->confusion[at * K + at];
    f.precision = ratio((double)f.right, (double)f.predicted);
    f.recall = ratio((double)f.right, (double)f.support);
    f.f1 = ratio(2 * (double)f.right, (double)(f.support + f.predicted));
    return f;
}

/* Columns of UTF-8 text, one a code point; cut to at most NAME_COLUMNS and filled up. */
static void print_name(const char *name)
{
    int columns = 0;
    const char *end = name;
    while (*end) {
        const char *next = end + 1;
        while (((unsigned char)*next & 0xC0) == 0x80) next++;
        if (columns == NAME_COLUMNS) break;
        columns++;
        end = next;
    }
    (void)printf("%.*s%*s", (int)(end - name), name, NAME_COLUMNS - columns, "");
}

static void print_figure(double value)
{
    if (isnan(value))
        (void)printf("  %9s", "-");
    else
        (void)printf("  %9.4f", value);
}

static void print_figures(double precision, double recall, double f1, int64_t support)
{
    char count[32];
    print_figure(precision);
    print_figure(recall);
    print_figure(f1);
    (void)printf("  %9s\n", cli_thousands((uint64_t)support, count));
}

static void print_classes(const eval_report *report)
{
    const cnnbn_evaluation *e = report->result;
    double sums[3] = {0, 0, 0};
    int n = 0;
    (void)printf("%5s  %-*s  %9s  %9s  %9s  %9s\n", "class", NAME_COLUMNS, "name", "precision", "recall", "F1",
                 "support");
    for (int k = 0; k < e->n_classes; k++) {
        class_figures f = figures_of(e, k);
        (void)printf("%5d  ", k);
        print_name(report->names[k]);
        print_figures(f.precision, f.recall, f.f1, f.support);
        if (f.support == 0) continue;
        n++;
        sums[0] += isnan(f.precision) ? 0 : f.precision;
        sums[1] += f.recall;
        sums[2] += f.f1;
    }
    (void)printf("%5s  ", "mean");
    print_name("of the classes");
    print_figures(sums[0] / n, sums[1] / n, sums[2] / n, (int64_t)e->n);
}

static int column_width(const cnnbn_evaluation *e)
{
    int64_t most = e->n_classes - 1;
    for (size_t i = 0; i < (size_t)e->n_classes * (size_t)e->n_classes; i++)
        if (e->confusion[i] > most) most = e->confusion[i];
    return snprintf(NULL, 0, "%" PRId64, most);
}

static void print_matrix(const eval_report *report)
{
    const cnnbn_evaluation *e = report->result;
    size_t K = (size_t)e->n_classes;
    int width = column_width(e);
    (void)printf("\nconfusion matrix: a row a class, columns: what its images were taken for\n%5s  %-*s", "",
                 NAME_COLUMNS, "");
    for (int k = 0; k < e->n_classes; k++) (void)printf(" %*d", width, k);
    (void)putchar('\n');
    for (size_t k = 0; k < K; k++) {
        (void)printf("%5zu  ", k);
        print_name(report->names[k]);
        for (size_t i = 0; i < K; i++) {
            int64_t count = e->confusion[k * K + i];
            if (count)
                (void)printf(" %*" PRId64, width, count);
            else
                (void)printf(" %*s", width, "."); /* what is there stands out */
        }
        (void)putchar('\n');
    }
}

/* The cell off the diagonal that comes after (count, at) in falling order of counts; K*K when there is none. */
static size_t next_confusion(const cnnbn_evaluation *e, int64_t count, size_t at)
{
    size_t K = (size_t)e->n_classes, best = K * K;
    for (size_t i = 0; i < K * K; i++) {
        int64_t here = e->confusion[i];
        if (i / K == i % K || here == 0 || here > count || (here == count && i <= at)) continue;
        if (best == K * K || here > e->confusion[best]) best = i;
    }
    return best;
}

static void print_confusions(const eval_report *report)
{
    const cnnbn_evaluation *e = report->result;
    size_t K = (size_t)e->n_classes, at = 0;
    int64_t count = INT64_MAX;
    (void)printf("\nmost frequent confusions (the whole matrix: --confusion)\n");
    for (int i = 0; i < CONFUSIONS_SHOWN && (at = next_confusion(e, count, at)) < K * K; i++) {
        count = e->confusion[at];
        (void)printf("  %" PRId64 " of class %zu %s taken for %zu %s\n", count, at / K, report->names[at / K], at % K,
                     report->names[at % K]);
    }
}

static void print_by_class(const eval_report *report, int show_matrix)
{
    const cnnbn_evaluation *e = report->result;
    int64_t right = 0;
    for (int k = 0; k < e->n_classes; k++) right += e->confusion[(size_t)k * (size_t)e->n_classes + (size_t)k];
    print_classes(report);
    if (show_matrix || e->n_classes <= MATRIX_MOST)
        print_matrix(report);
    else
        print_confusions(report);
    (void)printf("\nmean loss %.15g; %" PRId64 " of %zu images right\n", e->loss, right, e->n);
}

static int holds_averages(const cnnbn_checkpoint *checkpoint)
{
    for (int k = 0; k < checkpoint->n_slots; k++)
        if (strcmp(checkpoint->slots[k].name, "ema") == 0) return 1;
    return 0;
}

/* Which weights: a run with --ema has told the figures of the averages after each epoch. */
static void print_header(const eval_report *report)
{
    char shape[48], count[32];
    (void)printf("%s%s on %s: %s %s images %s\n", report->checkpoint,
                 report->of_averages ? " (averages of the weights)" : "", report->data->path,
                 cli_thousands(report->result->n, count), report->split == CNNBN_TEST ? "test" : "training",
                 cnnbn_shape_text(report->data->shape, shape, sizeof shape));
    if (!report->of_averages && holds_averages(cnnbn_predictor_checkpoint(report->predictor)))
        (void)printf("It also holds averages of the weights, which its run was validated with: --ema\n");
    (void)putchar('\n');
}

void eval_print(const eval_report *report, int show_matrix)
{
    const cnnbn_evaluation *e = report->result;
    print_header(report);
    if (e->confusion)
        print_by_class(report, show_matrix);
    else
        (void)printf("mean loss %.15g\n", e->loss);
    if (!e->confusion || e->n_metrics > 1)
        for (int m = 0; m < e->n_metrics; m++) (void)printf("%s %.15g\n", e->names[m], e->metrics[m]);
    for (int m = 0; m < e->n_metrics; m++) (void)printf("%s: %.4f  ", e->names[m], e->metrics[m]);
    (void)printf("loss: %.4f  (%zu images)\n", e->loss, e->n);
}

static void write_figure(FILE *out, double value)
{
    if (isnan(value))
        (void)fputc(',', out);
    else
        (void)fprintf(out, ",%.9g", value);
}

void eval_write_csv(const eval_report *report, FILE *out)
{
    const cnnbn_evaluation *e = report->result;
    size_t K = (size_t)e->n_classes;
    if (!e->confusion) {
        (void)fprintf(out, "figure,value\nloss,%.9g\n", e->loss);
        for (int m = 0; m < e->n_metrics; m++) (void)fprintf(out, "%s,%.9g\n", e->names[m], e->metrics[m]);
        return;
    }
    (void)fputs("class,name,precision,recall,f1,support", out);
    for (size_t k = 0; k < K; k++) (void)fprintf(out, ",predicted_%zu", k);
    (void)fputc('\n', out);
    for (size_t k = 0; k < K; k++) {
        class_figures f = figures_of(e, (int)k);
        (void)fprintf(out, "%zu,", k);
        cli_csv_text(out, report->names[k]);
        write_figure(out, f.precision);
        write_figure(out, f.recall);
        write_figure(out, f.f1);
        (void)fprintf(out, ",%" PRId64, f.support);
        for (size_t i = 0; i < K; i++) (void)fprintf(out, ",%" PRId64, e->confusion[k * K + i]);
        (void)fputc('\n', out);
    }
}
