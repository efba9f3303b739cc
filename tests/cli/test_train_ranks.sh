#!/usr/bin/env bash
# One rank of three fails, or has other options: all end within seconds, with one message that names it and its code.
set -u
# shellcheck source=cli_lib.sh
. "$CNNBN_SOURCE/tests/cli/cli_lib.sh"
most_s=20 # of two cores that others use too; a rank that waits for ever takes 90

# one_fails CODE REGEX RANK WORDS OTHERS OPTION...
one_fails() {
    local wanted=$1 regex=$2 rank=$3 words=$4 others=$5 start=$SECONDS
    shift 5
    refuse_at 3 "$wanted" "$regex" ./by_rank "$rank" "$words" "$others" "$@"
    [ $((SECONDS - start)) -le "$most_s" ] || complain "rank $rank with '$words': took $((SECONDS - start)) s"
}

for kind in nan rank2 label; do "$make" data "$kind" "$kind.h5"; done
head -c 1500 good.h5 > short.h5
"$train" "${small[@]}" --epochs 1 --checkpoint-dir kept --quiet || complain "no checkpoint"
kept=kept/ckpt-0001-00000005.h5
head -c 3000 "$kept" > cut.h5
base=("$train" --batch-size 8 --threads 1 --epochs 1 --progress lines)
given=("${base[@]}" --data good.h5 --model small.yaml)

# Its data, its model.
for rank in 0 1 2; do
    one_fails 3 "rank $rank on [^ ]+: absent.h5: cannot be opened" "$rank" '--data absent.h5' '--data good.h5' "${base[@]}" --model small.yaml
done
one_fails 2 'rank 1 on [^ ]+: short.h5: ' 1 '--data short.h5' '--data good.h5' "${base[@]}" --model small.yaml
one_fails 2 'rank 2 on [^ ]+: label.h5: y_train' 2 '--data label.h5' '--data good.h5' "${base[@]}" --model small.yaml
one_fails 3 'rank 1 on [^ ]+: absent.yaml' 1 '--model absent.yaml' '--model small.yaml' "${base[@]}" --data good.h5
one_fails 2 'rank 1 on [^ ]+: .*resnet9000' 1 '--model resnet9000' '--model small.yaml' "${base[@]}" --data good.h5
# All look at the same name, which one rank's host does not have.
cp good.h5 fashion-mnist-7000.h5
cat > elsewhere << 'END'
#!/usr/bin/env bash
if [ "${OMPI_COMM_WORLD_RANK:-${PMIX_RANK:-${PMI_RANK:-0}}}" = 1 ]; then export CNNBN_DATASETS=/dev/null; fi
exec "$@"
END
chmod +x elsewhere
CNNBN_DATASETS=$work refuse_at 3 3 'rank 1 on [^ ]+: /dev/null/fashion-mnist-7000.h5' ./elsewhere "${base[@]}" --model small.yaml

# Its options: wrong before MPI has started, ...
for rank in 0 1 2; do
    one_fails 2 '--threads: 0 is out of range' "$rank" '--threads 0' '' "${given[@]}"
done
one_fails 1 "rank 1 on [^ ]+: unrecognized option '--no-such-option'" 1 --no-such-option '' "${given[@]}"
one_fails 2 'rank 2 on [^ ]+: --config absent.yaml' 2 '--config absent.yaml' '' "${given[@]}"
one_fails 2 'rank 1 on [^ ]+: .*cuda' 1 '--kernels cuda' '' "${given[@]}"

# ... or good ones, but not the others'.
differ() { one_fails 2 "$1 must be the same on all ranks: rank 0 on [^ ]+ has \".*\", rank 1 on [^ ]+ has" 1 "$2" '' "${given[@]}"; }
differ 'option batch-size' '--batch-size 9'
differ 'option lr' '--lr 0.5'
differ 'option optimizer' '--optimizer adamw'
differ 'option seed' '--seed 7'
differ 'option shuffle' --no-shuffle
differ 'option slices' '--slices 3'
differ 'option bn' '--bn local'
differ 'option reduce' '--reduce mpi'
differ 'option conv' '--conv direct'
differ 'option global-clip-norm|option clip' '--global-clip-norm 1'
differ 'option epochs' '--epochs 2'
differ 'option steps' '--steps 2'
differ 'option no-validation' --no-validation
differ 'option dry-run' --dry-run
differ 'option watchdog' '--watchdog 0'
differ 'option checkpoint-dir given' '--checkpoint-dir other'
differ 'kernels .instruction set.' '--kernels ref'
sed 's/filters: 4/filters: 5/' small.yaml > five.yaml
one_fails 2 'model must be the same on all ranks: .*filters.* 5' 1 '--model five.yaml' '--model small.yaml' "${base[@]}" --data good.h5
"$make" data float float.h5
one_fails 2 'option data must be the same on all ranks' 1 '--data float.h5' '--data good.h5' "${base[@]}" --model small.yaml
# Threads are each rank's own business.
expect 0 'images/s$' "$CNNBN_MPIRUN" 3 ./by_rank 1 '--threads 2' '--threads 1' "$train" --data good.h5 --model small.yaml --batch-size 8 --epochs 1

# The reader of the data, streamed, meets a NaN that its rank alone sees.
one_fails 2 'nan.h5: x_train' 1 '' '' "${base[@]}" --model small.yaml --data nan.h5 --data-memory 2K

# cnnbn-eval.
given=("$eval" --threads 1)
one_fails 3 'rank 1 on [^ ]+: absent.h5: cannot be opened' 1 'absent.h5' "$kept" "${given[@]}" --data good.h5
one_fails 2 'rank 2 on [^ ]+: cut.h5: ' 2 'cut.h5' "$kept" "${given[@]}" --data good.h5
one_fails 3 'rank 1 on [^ ]+: absent.h5: cannot be opened' 1 '--data absent.h5' '--data good.h5' "${given[@]}" "$kept"
one_fails 2 'split must be the same on all ranks' 1 '--split train' '' "${given[@]}" "$kept" --data good.h5
one_fails 2 'batch size must be the same on all ranks' 1 '--batch-size 5' '' "${given[@]}" "$kept" --data good.h5
one_fails 2 'dataset must be the same on all ranks' 1 '--data float.h5' '--data good.h5' "${given[@]}" "$kept"
"$train" "${small[@]}" --epochs 1 --seed 1 --checkpoint-dir other --quiet || complain "no other checkpoint"
one_fails 2 'state of the checkpoint must be the same on all ranks' 1 other/ckpt-0001-00000005.h5 "$kept" "${given[@]}" --data good.h5
verdict "one rank of three: all as expected"
