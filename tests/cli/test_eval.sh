#!/usr/bin/env bash
# cnnbn-eval: figures that a recount confirms, the same at any number of ranks and threads; usage and refusals.
set -u
# shellcheck source=cli_lib.sh
. "$CNNBN_SOURCE/tests/cli/cli_lib.sh"

expect 0 'Usage: cnnbn-eval' "$eval" --help
expect 0 '^cnnbn-eval [0-9]+\.[0-9]+\.[0-9]+$' "$eval" --version
expect 1 'a checkpoint is needed' "$eval"
expect 1 'too many arguments' "$eval" a b
expect 1 'unrecognized option' "$eval" --no-such-option
refuse 2 '--batch-size: 0 is out of range' "$eval" x.h5 --batch-size 0
refuse 2 '--threads: 0 is out of range' "$eval" x.h5 --threads 0
refuse 2 "--split: 'all' is none of train, test" "$eval" x.h5 --split all

# Two epochs: some right, some wrong.
expect 0 '' "$train" "${small[@]}" --epochs 2 --checkpoint-dir run --quiet --lr 0.005
trained=run/ckpt-0002-00000010.h5
test=("$eval" "$trained" --data good.h5)
expect 0 '^accuracy: [01]\.[0-9]{4}  loss: [0-9]+\.[0-9]{4}  \(24 images\)$' "${test[@]}" --csv all.csv --threads 1
cp out all.txt
tail -n 1 out | grep -q '^accuracy: ' || complain "the last line is not the accuracy: $(tail -n 1 out)"
expect 0 '24 test images \(8, 8, 1\)' "${test[@]}"
expect 0 '^    1  a, "b"' "${test[@]}"
expect 0 '40 training images' "${test[@]}" --split train

# Each class of the test split has six images; rows of the matrix, recall and accuracy follow from the CSV.
[ "$(head -n 1 all.csv)" = class,name,precision,recall,f1,support,predicted_0,predicted_1,predicted_2,predicted_3 ] || complain "columns: $(head -n 1 all.csv)"
grep -q '^1,"a, ""b""",' all.csv || complain "a name with comma and quotation marks: $(cat all.csv)"
sed 1d all.csv | sed 's/"[^"]*""[^"]*""[^,]*"/name/; s/"[^"]*"/name/' | awk -F, -v line="$(tail -n 1 all.txt)" '
    { n = 0; for (k = 0; k < 4; k++) { m[NR - 1, k] = $(7 + k); n += $(7 + k) }
      if (n != 6 || $6 != 6) { print "support of class " NR - 1 ": " n; bad = 1 }
      r[NR - 1] = $4; p[NR - 1] = $3; f[NR - 1] = $5 }
    END { for (k = 0; k < 4; k++) {
              right += m[k, k]; taken = 0
              for (i = 0; i < 4; i++) taken += m[i, k]
              if ((r[k] - m[k, k] / 6) ^ 2 > 1e-12) { print "recall of class " k; bad = 1 }
              if (taken == 0 ? p[k] != "" : (p[k] - m[k, k] / taken) ^ 2 > 1e-12) { print "precision of class " k; bad = 1 }
              if ((f[k] - 2 * m[k, k] / (6 + taken)) ^ 2 > 1e-12) { print "F1 of class " k; bad = 1 } }
          if (NR != 4 || line !~ sprintf("^accuracy: %.4f ", right / 24)) { print "accuracy " right / 24; bad = 1 }
          exit bad }' || complain "figures: $(cat all.csv all.txt)"
# Its predictions are cnnbn-predict's.
right=$("$predict" "$trained" good.h5 --csv | sed 1d | awk -F, '$1 % 4 == $2 { n++ } END { print n + 0 }')
grep -q "; $right of 24 images right" all.txt || complain "cnnbn-predict has $right of 24 right: $(cat all.txt)"

# The same bytes at any layout.
for layout in "1 2" "2 1" "3 1" "3 2" "5 1"; do
    read -r np threads <<< "$layout"
    expect 0 '^accuracy' "$CNNBN_MPIRUN" "$np" "${test[@]}" --threads "$threads" --csv other.csv
    cmp -s out all.txt || complain "$np ranks, $threads threads: $(diff out all.txt)"
    cmp -s other.csv all.csv || complain "$np ranks, $threads threads: other CSV"
    expect 0 '^accuracy' "$CNNBN_MPIRUN" "$np" "${test[@]}" --threads "$threads" --batch-size 5
    [ "$np$threads" != 12 ] || cp out fives.txt
    cmp -s out fives.txt || complain "$np ranks, $threads threads, batches of 5: $(diff out fives.txt)"
done
expect 0 '^accuracy' "${test[@]}" --kernels ref

# The confusion matrix of many classes is asked for. (Twenty-five outputs, four classes.)
sed 's/units: 4/units: 25/' small.yaml > many.yaml
expect 0 '' "$train" "${small[@]}" --model many.yaml --epochs 1 --checkpoint-dir many --quiet
expect 0 'most frequent confusions' "$eval" many/*.h5 --data good.h5
expect_not '^confusion matrix'
expect 0 '^confusion matrix' "$eval" many/*.h5 --data good.h5 --confusion
expect 0 '^   24  ' "$eval" many/*.h5 --data good.h5

# Refusals.
"$make" data rgb rgb.h5
"$make" data no-test no-test.h5
"$make" data classes classes.h5
echo 'this is no HDF5 file' > text.h5
head -c 3000 "$trained" > cut.h5
refuse 3 'absent.h5: cannot be opened' "$eval" absent.h5 --data good.h5
refuse 3 'absent.h5: cannot be opened' "$eval" "$trained" --data absent.h5
refuse 2 'text.h5' "$eval" text.h5 --data good.h5
refuse 2 'text.h5: is not an HDF5 file' "$eval" "$trained" --data text.h5
refuse 2 'cut.h5: .*(truncated|3000)' "$eval" cut.h5 --data good.h5
refuse 2 'good.h5: .*model_config' "$eval" good.h5 --data good.h5
refuse 2 'rgb.h5: images \(8, 8, 3\), the model wants \(8, 8, 1\)' "$eval" "$trained" --data rgb.h5
refuse 2 'no-test.h5: has no test images' "$eval" "$trained" --data no-test.h5
refuse 2 'has 4 outputs, classes.h5 has labels of 5 classes' "$eval" "$trained" --data classes.h5
refuse 2 'cuda' "${test[@]}" --kernels cuda
expect 3 '--csv nowhere/x.csv: cannot be opened' "${test[@]}" --csv nowhere/x.csv
cp good.h5 kept.h5
expect 2 '--csv kept.h5: is the file of --data' "${test[@]}" --data kept.h5 --csv kept.h5
cmp -s good.h5 kept.h5 || complain "--csv wrote over the dataset"
refuse_at 3 3 '^cnnbn-eval: absent.h5: cannot be opened' "$eval" absent.h5 --data good.h5
"$make" poison "$trained" poison.h5
expect 4 'poison.h5: the loss is not finite' "$eval" poison.h5 --data good.h5
verdict "cnnbn-eval: all as expected"
