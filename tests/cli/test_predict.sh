#!/usr/bin/env bash
# cnnbn-predict: image files and datasets, text and CSV; what cannot be read does not stop the rest.
set -u
# shellcheck source=cli_lib.sh
. "$CNNBN_SOURCE/tests/cli/cli_lib.sh"

expect 0 'Usage: cnnbn-predict' "$predict" --help
expect 0 '^cnnbn-predict [0-9]+\.[0-9]+\.[0-9]+$' "$predict" --version
expect 1 'a checkpoint and an input are needed' "$predict"
expect 1 'an input is needed' "$predict" x.h5
expect 1 'unrecognized option' "$predict" --no-such-option
refuse 2 '--top: 0 is out of range' "$predict" x.h5 y.png --top 0
refuse 2 '--first: -1 is out of range' "$predict" x.h5 y.h5 --first -1
refuse 2 '--count: 0 is out of range' "$predict" x.h5 y.h5 --count 0
refuse 2 "--split: 'all'" "$predict" x.h5 y.h5 --split all

expect 0 '' "$train" "${small[@]}" --epochs 4 --checkpoint-dir run --quiet --lr 0.005
trained=run/ckpt-0004-00000020.h5

# A dataset: a line an image; most probable first, probabilities that add up to 1.
expect 0 '^0: [0-3] [a-z]' "$predict" "$trained" good.h5
[ "$(wc -l < out)" = 24 ] || complain "not a line an image: $(cat out)"
expect 0 '^23: ' "$predict" "$trained" good.h5 --first 20 --count 4
[ "$(cut -d: -f1 out | paste -sd ' ')" = '20 21 22 23' ] || complain "--first, --count: $(cat out)"
expect 0 '^39: ' "$predict" "$trained" good.h5 --split train
[ "$(wc -l < out)" = 40 ] || complain "--split train: $(wc -l < out) lines"
expect 0 '^0,' "$predict" "$trained" good.h5 --csv --top 4
[ "$(head -n 1 out)" = input,class,name,probability,class_2,name_2,probability_2,class_3,name_3,probability_3,class_4,name_4,probability_4 ] ||
    complain "columns: $(head -n 1 out)"
sed 1d out | sed 's/"a, ""b"""/name/g; s/"bottom, left"/name/g' |
    awk -F, '{ s = $4 + $7 + $10 + $13
        if (NF != 13 || s < 0.99999 || s > 1.00001 || $4 < $7 || $7 < $10 || $10 < $13 || $2 == $5 || $2 == $8 || $5 == $8 || $2 + $5 + $8 + $11 != 6) { print; bad = 1 } }
        END { exit bad || NR != 24 }' || complain "--csv --top 4: $(cat out)"
grep -q '"a, ""b"""' out || complain "quotation marks: $(cat out)"
cp out one.csv
expect 0 '^0,' "$predict" "$trained" good.h5 --csv --top 4 --threads 1
cmp -s out one.csv || complain "--threads changes a prediction"
expect 0 '^0: [0-3] .*, [0-3] ' "$predict" "$trained" good.h5 --top 2
refuse 2 '--top: 5 is out of range; the model has 4 classes' "$predict" "$trained" good.h5 --top 5
refuse 2 '--first: 24 is out of range; good.h5 has the test images 0 to 23' "$predict" "$trained" good.h5 --first 24
refuse 2 '--count: 25 is out of range' "$predict" "$trained" good.h5 --count 25
expect 0 '^good.h5:0: ' "$predict" "$trained" good.h5 good.h5 --count 1

# An image file with a test image's pixels gets its prediction, to the last digit.
for i in 0 5; do
    "$make" sample good.h5 "$i" "sample $i.png"
    expect 0 "^sample $i.png," "$predict" "$trained" "sample $i.png" --csv --top 4
    [ "$(sed 1d out | cut -d, -f2-)" = "$(grep "^$i," one.csv | cut -d, -f2-)" ] || complain "sample $i.png: $(cat out) $(grep "^$i," one.csv)"
done
"$make" png 30 17 3 'colour, large.png'
expect 0 '^"colour, large.png",[0-3],' "$predict" "$trained" 'colour, large.png' --csv
expect 0 '^colour, large.png: [0-3] ' "$predict" "$trained" 'colour, large.png'
cp out as-it-is
expect 0 '^colour, large.png: [0-3] ' "$predict" "$trained" 'colour, large.png' --invert --top 1
cmp -s out as-it-is && complain "--invert changes nothing"
# More files than fit a batch, in order; a dataset between them.
many=()
for i in 0 1 2 3 4 5 6 7; do
    "$make" sample good.h5 "$i" "s$i.png"
    many+=("s$i.png")
done
expect 0 '^s7.png: ' "$predict" "$trained" "${many[@]}" good.h5 s0.png --count 2 --batch-size 3 --threads 1
[ "$(sed 's/: .*//' out | paste -sd ' ')" = "${many[*]} good.h5:0 good.h5:1 s0.png" ] || complain "order: $(cat out)"

# What cannot be read is named; the others are predicted; exit code 2.
head -c 60 s1.png > torn.png
echo text > text.png
expect 2 '^s2.png: ' "$predict" "$trained" s0.png torn.png absent.png text.png s2.png
[ "$(cut -d: -f1 out | paste -sd ' ')" = 's0.png s2.png' ] || complain "not the others: $(cat out)"
for name in torn absent text; do grep -q "^cnnbn-predict: $name.png: " err || complain "no message about $name.png: $(cat err)"; done
[ "$(wc -l < err)" = 3 ] || complain "not three messages: $(cat err)"

# A colour model takes grey files; a model of three channels refuses what no file can be.
"$make" data rgb rgb.h5
sed 's/8, 8, 1/8, 8, 3/' small.yaml > rgb.yaml
expect 0 '' "$train" --data rgb.h5 --model rgb.yaml --batch-size 8 --epochs 1 --checkpoint-dir rgb --quiet
expect 0 '^s0.png: [0-3] ' "$predict" rgb/*.h5 s0.png
refuse 2 'good.h5: images \(8, 8, 1\), the model wants \(8, 8, 3\)' "$predict" rgb/*.h5 good.h5
# Floats were taken as they were: said.
"$make" data float float.h5
expect 0 '' "$train" "${small[@]}" --data float.h5 --epochs 1 --checkpoint-dir float --quiet
expect 0 'warning: .*trained on float images' "$predict" float/*.h5 s0.png
expect 0 '^0: ' "$predict" float/*.h5 float.h5

# Plain Keras files have no class names: numbers alone, or the dataset's names.
"$info" "$trained" --export-weights plain.h5
expect 0 '^s0.png: [0-3] [a-z]' "$predict" plain.h5 s0.png

# Files that are no checkpoint.
head -c 3000 "$trained" > cut.h5
refuse 3 'absent.h5: cannot be opened' "$predict" absent.h5 s0.png
refuse 3 'absent.h5: cannot be opened' "$predict" "$trained" absent.h5
refuse 2 'cut.h5: ' "$predict" cut.h5 s0.png
refuse 2 'good.h5: .*model_config' "$predict" good.h5 s0.png
echo text > text.h5
refuse 2 'text.h5' "$predict" text.h5 s0.png
refuse 2 'cuda' "$predict" "$trained" s0.png --kernels cuda

# Under a launcher rank 0 alone works.
expect 0 '^s0.png: ' "$CNNBN_MPIRUN" 3 "$predict" "$trained" s0.png
[ "$(wc -l < out)" = 1 ] || complain "more than one rank speaks: $(cat out)"
# A full disk behind the output is not success.
if [ -c /dev/full ]; then
    got=0
    "$predict" "$trained" s0.png > /dev/full 2> err || got=$?
    [ "$got" = 3 ] || complain "written to a full disk: exit code $got"
fi
verdict "cnnbn-predict: all as expected"
